"""What a run says at its end, on a terminal and as a page."""

import re
from decimal import Decimal
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llamaduo import report, report_charts
from llamaduo.cost import Bill
from llamaduo.gate import Check, Decision
from llamaduo.outcome import (
    CostFacts,
    Example,
    Outcome,
    Result,
    RoundFacts,
    StageFacts,
    Stop,
    SystemFacts,
)
from llamaduo.scores import METRICS, Estimate, Scores, Summary
from llamaduo.stages.collect import DataCard, Lengths
from llamaduo.tracking import Promotion

PAGE = Path("mlruns/reports/summarize-0123abcd/report.html")
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


def decision(passed: bool, where: str = "") -> Decision:
    def check(metric: Any) -> Check:
        words = f"{metric}{where} {'meets' if passed else 'falls short of'} what is asked"
        return Check(metric=metric, seen=None, needed=0.7, passed=passed, words=words)

    return Decision(gate="demo", checks=tuple(check(metric) for metric in METRICS))


def a_round(number: int, mean: float, *, passed: bool = True) -> RoundFacts:
    return RoundFacts(
        number=number,
        pool=40 * (number + 1),
        scores=scores(mean),
        decision=decision(passed, " on dev"),
        losses=((1, 3.5), (11, 1.9), (21, 1.3)),
        seconds=52.0,
        bill=SIMULATED,
    )


def a_system(role: Any, name: str, mean: float) -> SystemFacts:
    over = Estimate(value=mean - 40, low=mean - 44, high=mean - 36)
    found = {} if role == "base" else {"similarity": over, "precision": over}
    return SystemFacts(role=role, name=name, scores=scores(mean), over_base=found)


def an_example(**texts: Any) -> Example:
    facts = {
        "prompt": "Ring the depot before noon.",
        "reference": "Ring before noon.",
        "base": "Depot depot.",
        "base_scores": (40.0, 41.0),
        "tuned": "Ring the depot.",
        "tuned_scores": (61.5, 70.5),
        "service": "Call before noon.",
        "gain": 21.5,
    }
    return Example.model_validate({**facts, **texts})


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
        StageFacts(name="collect", label="", round=None, seconds=0.1, reused=True, bill=Bill()),
        StageFacts(name="synthesize", label="", round=1, seconds=9.0, reused=False, bill=SIMULATED),
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
        prompt_words=Lengths(least=71, mean=92.0, most=106),
        response_words=Lengths(least=31, mean=40.2, most=46),
    ),
    objective=62.0,
    run_id="0123abcd4567",
    home="mlruns",
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


ENDINGS = [
    ("qualified", "qualified"),
    ("qualified", "not_confirmed"),
    *product([stop for stop in get_args(Stop) if stop != "qualified"], ["not_qualified"]),
]


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
    return Reader(report.write(outcome, folder).read_text(encoding="utf-8"))


def row(text: str, name: str) -> str:
    return next(line for line in text.split("\n") if line.startswith(name))


@pytest.mark.parametrize(("stop", "result"), ENDINGS)
def test_every_ending_says_how_it_went_and_what_is_next(
    stop: Stop, result: Result, tmp_path: Path
) -> None:
    outcome = ended(stop, result)
    text = report.table(outcome, PAGE)
    said = {"qualified": "Qualified: ", "not_confirmed": "Not confirmed: "}
    first = text.strip().split("\n")[0]
    assert first.startswith(said.get(result, "Not qualified: "))
    assert stop in row(text, "stop")
    assert len(row(text, "next").split()) > 3
    assert first.split(" (")[0] in page_of(outcome, tmp_path).words
    promoted = "models:/llamaduo-summarize@champion" in text
    assert promoted == (result == "qualified")
    assert ("llamaduo.ask task=summarize" in text) == (result == "qualified")


@pytest.mark.parametrize(("stop", "result"), ENDINGS)
def test_table_fits_a_terminal_whatever_the_figures(stop: Stop, result: Result) -> None:
    longest = [
        SystemFacts(
            role=system.role,
            name=system.name,
            scores=scores(100.0, 0.0, failures=3),
            over_base={"similarity": Estimate(value=-100.0, low=-100.0, high=-100.0)},
        )
        for system in OUTCOME.systems
    ]
    outcome = ended(stop, result).model_copy(
        update={
            "systems": tuple(longest),
            "stop_words": "service=recorded wrote nothing: " + "no answer to the request " * 6,
            "rounds": tuple(a_round(n, 50.0 + n, passed=False) for n in range(40)),
        }
    )
    for lines in (report.table(each, PAGE).split("\n") for each in (outcome, OUTCOME)):
        assert max(map(len, lines)) <= 100
        assert len(lines) <= 42
    assert len(report.table(ended(stop, result), PAGE).split("\n")) <= 35


def test_what_was_missing_is_named_with_where() -> None:
    not_confirmed = report.table(ended("qualified", "not_confirmed"), PAGE)
    assert "not on test" in not_confirmed
    assert "similarity on test falls short" in " ".join(not_confirmed.split())
    not_qualified = report.table(ended("max_rounds", "not_qualified"), PAGE)
    assert "similarity on dev falls short" in " ".join(not_qualified.split())


def test_a_round_that_met_the_gate_too_early_is_not_said_to_have_missed_it() -> None:
    early = ended("no_service", "not_qualified").model_copy(
        update={"rounds": (a_round(0, 62.0),), "best": 0}
    )
    first = " ".join(report.table(early, PAGE).split("\n  ")[0].split())
    assert "met gate demo on dev, but no round did once min_rounds" in first
    assert "was not met" not in first


def test_no_service_names_the_config_to_switch_to(tmp_path: Path) -> None:
    outcome = ended("no_service", "not_qualified")
    for text in (report.table(outcome, PAGE), page_of(outcome, tmp_path).words):
        said = " ".join(text.split())
        assert "service=<your service>" in said
        assert "only for the shipped data" in said
        assert "no answer to the request for row-1" in said


def test_missing_service_scores_read_missing_and_never_zero(tmp_path: Path) -> None:
    gone = SystemFacts(role="service", name="service", scores=None, over_base={})
    others = tuple(s for s in OUTCOME.systems if s.role != "service")
    cost = COST.model_copy(update={"service_usd_per_1000": None, "local_seconds_per_1000": None})
    outcome = but(systems=(*others, gone), cost=cost, examples=(an_example(service=None),))
    text = report.table(outcome, PAGE)
    line = row(text, "service ")
    assert line.split() == ["service", "missing", "missing", "–", "–"]
    assert "service not known; local not known" in text
    page = report.write(outcome, tmp_path).read_text(encoding="utf-8")
    cells = page.partition('<tr class="service">')[2].partition("</tr>")[0]
    assert cells.count("missing") == 2
    assert not re.search(r"\d", Reader(cells).words)
    assert "service, second answer missing" in Reader(page).words


def test_an_answer_that_was_not_judged_has_no_score(tmp_path: Path) -> None:
    page = page_of(but(examples=(an_example(base="", base_scores=None, gain=0.0),)), tmp_path)
    assert "gain not known" in page.words
    assert "base no text not judged" in page.words


def test_one_prompt_gives_a_mean_and_no_interval(tmp_path: Path) -> None:
    alone = SystemFacts(role="tuned", name="tuned", scores=scores(61.3, None), over_base={})
    outcome = but(systems=(alone, *(s for s in OUTCOME.systems if s.role != "tuned")))
    assert row(report.table(outcome, PAGE), "tuned").split() == [
        "tuned", "61.3", "61.3", "61/23", "–",
    ]  # fmt: skip
    assert "None" not in page_of(outcome, tmp_path).words


def test_simulated_money_is_never_shown_as_spent(tmp_path: Path) -> None:
    text = " ".join(report.table(OUTCOME, PAGE).split())
    assert "$0 spent, $0.043 simulated" in text
    assert "service $0.54 simulated" in text
    words = page_of(OUTCOME, tmp_path).words
    assert (
        "dollars spent $0 $0 simulated dollars (nominal price; charged to nobody) $0.043" in words
    )
    for said in (text, words.replace("to nobody) $0.043 $0.043", "")):
        for found in re.finditer(r"\$0\.\d+", said):
            assert said[found.end() :].startswith(" simulated"), said[found.start() - 40 :][:80]


def test_real_and_unknown_money(tmp_path: Path) -> None:
    bill = Bill(calls=3, usd=Decimal("12.5"))
    real = COST.model_copy(update={"spent": bill, "embodied": bill, "simulated": False})
    text = report.table(but(cost=real), PAGE)
    assert "3 calls, $12.50 spent" in text
    assert "simulated" not in text
    unknown = Bill(calls=3, usd=None)
    cost = real.model_copy(update={"spent": unknown, "embodied": unknown})
    said = row(report.table(but(cost=cost), PAGE), "service LLM")
    assert "not known" in said
    assert "$" not in said
    assert "dollars spent not known not known" in page_of(but(cost=cost), tmp_path).words


def test_local_dollars_are_asked_for_or_given() -> None:
    assert "local.usd_per_hour" in report.table(OUTCOME, PAGE)
    known = but(cost=COST.model_copy(update={"local_usd_per_1000": Decimal("1.75")}))
    assert "local.usd_per_hour" not in report.table(known, PAGE)
    assert "$1.75" in report.table(known, PAGE)


def test_gate_and_judge_are_named_for_what_they_are(tmp_path: Path) -> None:
    note = "shows the mechanism, not a standard to switch a service off by"
    for said in (report.table(OUTCOME, PAGE), page_of(OUTCOME, tmp_path).words):
        assert note in said
        assert "mbedding judge: not an LLM judge" in said
    other = but(gate="relative", judge="gpt_4o 2", judge_is_llm=True)
    for said in (report.table(other, PAGE), page_of(other, tmp_path).words):
        assert note not in said
        assert "relative" in said
        assert "not an LLM judge" not in said
        assert "No LLM read" not in said


def test_a_copy_that_does_as_well_as_tuned_is_pointed_out() -> None:
    assert "no lower than tuned" not in report.table(OUTCOME, PAGE)
    parrot = a_system("copy", "whole prompt", 64.0)
    text = report.table(but(systems=(*OUTCOME.systems[:-1], parrot)), PAGE)
    assert "whole prompt: a plain copy scores no lower than tuned" in text


def test_terminal_and_page_give_the_same_figures(tmp_path: Path) -> None:
    text, words = report.table(OUTCOME, PAGE), page_of(OUTCOME, tmp_path).words
    for figure in ("61.3 [57.3, 65.3]", "+21.3 [+17.3, +25.3]", "78.0 [74.0, 82.0]"):
        assert figure in text
        assert figure in words
    assert str(PAGE) in text
    assert "dev similarity 55.0, 62.0" in text


def test_escape_sequences_of_others_do_not_reach_the_terminal() -> None:
    outcome = ended("no_service", "not_qualified").model_copy(
        update={"stop_words": "cause: \x1b[2J\x07gone\nstop          qualified"}
    )
    text = report.table(outcome, PAGE)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert len(re.findall(r"^stop ", text, re.M)) == 1


HOSTILE = [
    "<script>alert(1)</script>",
    "</p></section></body><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "{{ outcome.run_id }} {% raw %} <!-- &lt;b&gt; &amp;",
    "# title\n\n**bold** [link](javascript:alert(1)) `code`",
    "ħéłłø 漢字 \U0001f999 \u202egnorw ot thgir\u202c \u2028 é",
    "Donaudampfschiff" * 300,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_and_do_nothing(text: str, tmp_path: Path) -> None:
    plain = page_of(OUTCOME, tmp_path)
    everywhere = but(
        stop="budget",
        result="not_qualified",
        rounds=(a_round(0, 5.0), a_round(1, 9.0, passed=False)),
        stop_words=text,
        command=text,
        examples=(an_example(prompt=text, reference=text, base=text, tuned=text, service=text),),
        card=OUTCOME.card.model_copy(update={"note": text, "source": text, "system": text}),
        systems=(*OUTCOME.systems[:-1], a_system("copy", text, 44.0)),
    )
    page = page_of(everywhere, tmp_path)
    shown = [found for found in page.texts if text in found]
    assert len(shown) >= 11
    assert not set(page.tags) - set(plain.tags) - {"pre"}
    assert {name for name, _ in page.attributes} <= {name for name, _ in plain.attributes}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_answer_comes_back_from_the_page_as_it_was(text: str, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("report")
    page = report.write(but(examples=(an_example(tuned=text),)), folder).read_bytes().decode()
    assert text in Reader(page).texts


def test_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = page_of(OUTCOME, tmp_path)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {"src", "href", "srcset"} & {name for name, _ in page.attributes}
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "url(" not in page.words
    assert "@import" not in page.words


def test_json_beside_the_page_is_the_outcome(tmp_path: Path) -> None:
    outcome = but(examples=(an_example(prompt=HOSTILE[0]), an_example(tuned=HOSTILE[5])))
    page = report.write(outcome, tmp_path / "new" / "folder")
    assert page == tmp_path / "new" / "folder" / "summarize-0123abcd" / "report.html"
    stored = page.with_name("outcome.json").read_text(encoding="utf-8")
    assert Outcome.model_validate_json(stored) == outcome
    assert len(list(page.parent.iterdir())) == 2


@pytest.mark.parametrize("name", ["../../up", "a/b", "/abs", "x" * 400, "v1.5 of it"])
def test_a_name_cannot_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    page = report.write(but(name=name), folder)
    assert page.parent.parent == folder
    assert page.exists()
    assert page.with_name("outcome.json").exists()


def test_chart_shows_rounds_in_order_and_intervals_around_means() -> None:
    rounds = (*OUTCOME.rounds, a_round(2, 59.0))
    chart = report_charts.by_round(but(rounds=rounds), "similarity")
    assert chart is not None
    first, second, third = chart.lines[0].marks
    assert first.x < second.x < third.x
    assert second.y < third.y < first.y  # y grows downwards: 62 is above 59 is above 55
    for mark in chart.lines[0].marks:
        assert mark.low is not None
        assert mark.high is not None
        assert chart.top <= mark.high < mark.y < mark.low <= chart.bottom
        assert chart.left <= mark.x <= chart.right


@given(mean=st.floats(0, 100), spread=st.floats(0, 50))
def test_chart_holds_any_score(mean: float, spread: float) -> None:
    low, high = max(0.0, mean - spread), min(100.0, mean + spread)
    of = Summary(mean=Estimate(value=mean, low=low, high=high), coverage_50=0, coverage_70=0)
    one = a_round(0, 50.0).model_copy(
        update={"scores": scores(50.0).model_copy(update={"similarity": of})}
    )
    chart = report_charts.by_round(but(rounds=(one,)), "similarity")
    assert chart is not None
    (mark,) = chart.lines[0].marks
    assert len(chart.y) >= 3
    for y in (mark.y, mark.low, mark.high):
        assert y is not None
        assert chart.top - 0.1 <= y <= chart.bottom + 0.1


def test_round_without_scores_leaves_a_gap_not_a_zero(tmp_path: Path) -> None:
    failed = a_round(1, 0.0).model_copy(update={"scores": None, "losses": ()})
    outcome = but(rounds=(OUTCOME.rounds[0], failed, a_round(2, 62.0)), best=2)
    chart = report_charts.by_round(outcome, "similarity")
    assert chart is not None
    assert len(chart.lines[0].marks) == 2
    assert len(chart.x) == 3
    assert "dev similarity 55.0, –, 62.0" in report.table(outcome, PAGE)
    assert "1 80 missing missing" in page_of(outcome, tmp_path).words


def test_losses_that_are_no_numbers_or_not_there(tmp_path: Path) -> None:
    diverged = a_round(0, 5.0).model_copy(update={"losses": ((1, 3.0), (2, float("nan")))})
    chart = report_charts.losses(but(rounds=(diverged,), best=0))
    assert chart is not None
    assert len(chart.lines[0].marks) == 1
    silent = a_round(0, 5.0).model_copy(update={"losses": ()})
    outcome = but(rounds=(silent,), best=0)
    assert report_charts.losses(outcome) is None
    assert "No training loss was recorded" in page_of(outcome, tmp_path).words


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=30))
def test_loss_chart_holds_any_curve(found: list[float]) -> None:
    curve = tuple((10 * i + 1, loss) for i, loss in enumerate(found))
    chart = report_charts.losses(
        but(rounds=(a_round(0, 5.0).model_copy(update={"losses": curve}),))
    )
    assert chart is not None
    assert 2 <= len(chart.y) <= 8
    for mark in chart.lines[0].marks:
        assert chart.top - 0.1 <= mark.y <= chart.bottom + 0.1
        assert chart.left <= mark.x <= chart.right


def test_reproduction_gives_seed_run_and_command(tmp_path: Path) -> None:
    words = page_of(OUTCOME, tmp_path).words
    assert "Seed 42" in words
    assert "0123abcd4567" in words
    command = "python -m llamaduo +experiment=summarize seed=42"
    assert command in page_of(but(command=command), tmp_path).words
