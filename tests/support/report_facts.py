"""An outcome to report on, and the parts to make others of; and how a browser reads the page."""

from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from llamaduo.gate import Check, GateDecision
from llamaduo.migration.loop import Stop
from llamaduo.outcome import (
    CostFacts,
    Example,
    Outcome,
    PromptScores,
    Result,
    RoundFacts,
    Said,
    StageFacts,
    SystemFacts,
)
from llamaduo.records import Bill
from llamaduo.report.page import write_page
from llamaduo.stages.collect import DataCard, Lengths
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.scores import Scores, Summary
from llamaduo.stats.table import METRICS
from llamaduo.tracking import Promotion

SIMULATED = Bill(
    calls=80, input_tokens=9000, output_tokens=3000, simulated_usd=Decimal("0.0432100")
)


def scores(mean: float, spread: float | None = 4.0, failures: int = 0) -> Scores:
    bounds = (None, None) if spread is None else (mean - spread, mean + spread)
    of = Summary(
        mean=Estimate(value=mean, low=bounds[0], high=bounds[1]), coverage_50=61, coverage_70=23
    )
    return Scores(
        similarity=of,
        precision=of,
        both_50=61,
        both_70=23,
        prompts=20,
        responses=80,
        failures=failures,
    )


def decision(passed: bool, where: str = "") -> GateDecision:
    def check(metric: Any) -> Check:
        words = f"{metric}{where} {'meets' if passed else 'falls short of'} what is asked"
        return Check(metric=metric, seen=None, needed=0.7, passed=passed, words=words)

    return GateDecision(gate="demo", checks=tuple(check(metric) for metric in METRICS))


def a_round(number: int, mean: float, *, passed: bool = True) -> RoundFacts:
    return RoundFacts(
        number=number,
        pool=40 * (number + 1),
        tokens=7000,
        scores=scores(mean),
        decision=decision(passed, " on dev"),
        losses=((1, 3.5), (11, 1.9), (21, 1.3)),
        seconds=52.0,
        bill=SIMULATED,
    )


def a_system(role: Any, name: str, mean: float) -> SystemFacts:
    over = Estimate(value=mean - 40, low=mean - 44, high=mean - 36)
    found = {} if role == "base" else {"similarity": over, "precision": over}
    prompts = tuple(
        PromptScores(prompt_id=f"p{i}", similarity=(mean - i, mean + i), precision=(mean, mean))
        for i in (3, 1, 2)
    )
    return SystemFacts(role=role, name=name, scores=scores(mean), over_base=found, prompts=prompts)


def an_answer(text: str | None, *scores: float, reason: str = "for a reason") -> Said:
    return Said.model_validate({"text": text, "scores": scores or None, "reason": reason})


def an_example(**changes: Any) -> Example:
    facts = {
        "prompt_id": "row-9",
        "prompt": "Ring the depot before noon.",
        "reference": "Ring before noon.",
        "base": an_answer("Depot depot.", 40.0, 41.0),
        "tuned": an_answer("Ring the depot.", 61.5, 70.5),
        "service": an_answer("Call before noon.", 80.0, 90.0),
        "gain": 21.5,
    }
    return Example.model_validate({**facts, **changes})


def a_stage(name: str, **changes: Any) -> StageFacts:
    facts = {
        "name": name,
        "label": "",
        "round": None,
        "fingerprint": f"f1f1{name}",
        "seconds": 9.0,
        "reused": False,
        "made": "2026-01-02T03:04:05+00:00",
        "bill": Bill(),
        "tokens": {},
        "other_versions": {},
    }
    return StageFacts.model_validate({**facts, **changes})


COST = CostFacts(
    spent=SIMULATED,
    embodied=SIMULATED,
    seconds_spent=75.0,
    seconds_embodied=755.0,
    service_usd_per_1000=Decimal("0.54"),
    simulated=True,
    local_seconds_per_1000=1234.0,
    local_usd_per_1000=None,
)

OUTCOME = Outcome(
    name="summarize",
    command="python -m llamaduo +experiment=summarize",
    task="summarize",
    seed=42,
    service="recorded",
    local="smollm2_135m",
    judge="embedding 3",
    judge_is_llm=False,
    gate="demo",
    stop="qualified",
    stop_words="all is met",
    result="qualified",
    best=1,
    rounds=(a_round(0, 55.0, passed=False), a_round(1, 62.0)),
    yardstick=scores(79.5),
    systems=(
        a_system("base", "base", 40.0),
        a_system("tuned", "tuned", 61.3),
        a_system("service", "service", 78.0),
        a_system("copy", "first two sentences", 51.0),
        a_system("copy", "whole prompt", 44.0),
    ),
    decision=decision(True, " on test"),
    champion=Promotion(
        model="llamaduo-summarize", version="7", uri="models:/llamaduo-summarize@champion"
    ),
    cost=COST,
    stages=(
        a_stage("collect", reused=True, seconds=0.1),
        a_stage("synthesize", round=1, bill=SIMULATED, tokens={"read": 9000, "written": 3000}),
        a_stage("finetune", round=1, tokens={"trained on": 7000}),
    ),
    examples=(an_example(),),
    card=DataCard(
        task="summarize",
        source="shipped:summarize/coverage.jsonl",
        sha256="c0ffee",
        note="Written for this project.",
        rows=80,
        rejected=0,
        system=None,
        sizes={"train": 40, "dev": 20, "test": 20},
        near_copies=0,
        prompt_words=Lengths(least=71, mean=92.0, most=106),
        response_words=Lengths(least=31, mean=40.2, most=46),
    ),
    objective=62.0,
    run_id="0123abcd4567",
    home="mlruns",
    config={"seed": 42, "gate": {"name": "demo", "ratio": 0.7}, "task": {"topic": "<short> texts"}},
    identities={"local": {"weights": {"sha256": "beef01"}}, "judge": {"version": "3"}},
    versions={"python": "3.11.9", "torch": "2.13.0"},
)


def but(**changes: Any) -> Outcome:
    return OUTCOME.model_copy(update=changes)


def ended(stop: Stop, result: Result) -> Outcome:
    """An outcome as the loop would leave it with this stop and this result."""
    on_dev = stop == "qualified"
    return but(
        stop=stop,
        result=result,
        stop_words="service=recorded wrote nothing: no answer to the request for row-1",
        rounds=(a_round(0, 55.0, passed=False), a_round(1, 62.0, passed=on_dev)),
        decision=decision(result == "qualified", " on test"),
        champion=OUTCOME.champion if result == "qualified" else None,
    )


class Reader(HTMLParser):
    """What a browser would make of a page: elements, their attributes, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.texts).split())


def page_of(outcome: Outcome, folder: Path) -> Reader:
    return Reader(write_page(outcome, folder).read_text(encoding="utf-8"))
