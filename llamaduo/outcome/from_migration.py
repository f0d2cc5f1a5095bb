"""From a finished migration to the figures and examples that its report shows."""

import json
import platform
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from statistics import fmean
from typing import Any, Literal

from llamaduo.base.redact import redacted
from llamaduo.config import Experiment
from llamaduo.lab import Lab, Visit, versions
from llamaduo.migration.loop import Migration, Migrator, Read, Round
from llamaduo.outcome.evaluation import evaluate, is_llm
from llamaduo.outcome.outcome import (
    CostFacts,
    Example,
    Outcome,
    PromptScores,
    Reading,
    Result,
    RoundFacts,
    Said,
    StageFacts,
    SystemFacts,
)
from llamaduo.records import Bill, JudgeFailure, Pair, Price, Verdict, digest
from llamaduo.stats.scores import by_prompt, compare, summarise
from llamaduo.stats.table import METRICS, VerdictTable
from llamaduo.tracking import Promotion

EXAMPLES = 10
ROLES = ("base", "few_shot", "tuned", "service")
YARDSTICKS = (*ROLES, "first two sentences", "whole prompt")  # in the order of telling
NAMES = {"few_shot": "few-shot base"}
ANCHOR = "anchor"
UNSAID = Said(text=None, scores=None, reason="no answer")
# What stages call the tokens that they count, and what became of them.
TOKENS = {"tokens": "trained on", "completion_tokens": "written"}


def account(
    migrator: Migrator,
    migration: Migration,
    promotion: Promotion | None,
    *,
    run_id: str,
    command: str,
) -> Outcome:
    """Everything that the terminal, the report and the tracker say of a migration."""
    exp, visits = migrator.exp, migrator.lab.visits
    cost = costs(migrator, migration)
    objective = _objective(exp, migration.best)
    anchors = [_kept(migrator.lab, v, "artifact.json")["table"] for v in visits if v.name == ANCHOR]
    return Outcome(
        name=exp.name,
        task=exp.task.name,
        seed=exp.seed,
        service=migrator.service.name,
        local=migrator.local.name,
        judge=f"{migrator.judge.name} {migrator.judge.version}",
        judge_is_llm=is_llm(exp.judge),
        gate=exp.gate.name,
        stop=migration.stop,
        stop_words=redacted(migration.stop_words),
        result=result(migration),
        best=migration.best.number,
        rounds=tuple(_round(round, visits) for round in migration.rounds),
        yardstick=own.judged.scores if (own := migration.yardstick) is not None else None,
        systems=tuple(systems(exp, migration)),
        decision=migration.decision,
        champion=promotion,
        cost=cost,
        stages=tuple(_stage(migrator.lab, visit) for visit in visits),
        examples=tuple(examples(migration)),
        card=migration.coverage.card,
        objective=objective,
        run_id=run_id,
        command=redacted(command),
        home=str(exp.tracking.home),
        config=redacted(exp.model_dump(mode="json", exclude={"prices"})),
        identities={
            "service": dict(migrator.service.identity),
            "local": dict(migrator.local.identity(exp.hparams)),
            "judge": dict(migrator.judge.identity),
        },
        versions={"python": platform.python_version(), **versions()},
        readings=tuple(readings(exp, migration)),
        test_set=digest(migration.coverage.split("test")),
        evaluation=evaluate(exp, migration, anchors),
    )


def result(migration: Migration) -> Result:
    """Qualified needs the gate twice: on dev, which chose the model, and on test, which did not."""
    if migration.stop != "qualified":
        return "not_qualified"
    return "qualified" if migration.decision.passed else "not_confirmed"


def systems(exp: Experiment, migration: Migration) -> list[SystemFacts]:
    """Every system on test, each with its paired difference to the untuned base.

    A yardstick that was not asked is there without scores, a candidate that was not is left out.
    """
    base = VerdictTable.of([])
    if "base" in migration.test:
        base = migration.test["base"].judged.table()
    found = []
    for key in YARDSTICKS:
        facts: dict[str, Any] = {"role": key if key in ROLES else "copy"}
        if key in migration.test:
            facts |= _system(
                exp, migration.test[key], VerdictTable.of([]) if key == "base" else base
            )
        elif key == "tuned":
            continue
        else:
            facts |= {"name": NAMES.get(key, key), "scores": None, "over_base": {}, "prompts": ()}
            facts["absent"] = migration.absent.get(key)
        found.append(SystemFacts.model_validate(facts))
    return found


def _system(exp: Experiment, read: Read, base: VerdictTable) -> dict[str, Any]:
    table = read.judged.table()
    compared = {
        metric: compare(table, base, metric, confidence=exp.gate.confidence, seed=exp.seed)
        for metric in METRICS
    }
    return {
        "name": read.name,
        "scores": read.judged.scores,
        "over_base": {name: one.difference for name, one in compared.items() if one is not None},
        "over_base_p": {name: one.p for name, one in compared.items() if one is not None},
        "prompts": _prompts(read.judged.rows()),
    }


def costs(migrator: Migrator, migration: Migration) -> CostFacts:
    """What the migration took and what a thousand answers take afterwards, at today's prices."""
    visits = migrator.lab.visits
    bill, seconds = migrator.lab.embodied()
    price = migrator.service.price
    latency = migration.test["tuned"].latency if "tuned" in migration.test else None
    local = None if latency is None else migrator.lab.rates.usd(1000 * latency)
    made = [visit for visit in visits if not visit.reused]
    taken_spent, taken_embodied = migrator.lab.taken()
    return CostFacts(
        spent=migrator.lab.spent(),
        embodied=bill,
        seconds_spent=sum(visit.seconds for visit in made),
        seconds_embodied=seconds,
        service_usd_per_1000=_per_thousand(price, visits),
        simulated=price is not None and price.simulated,
        local_seconds_per_1000=None if latency is None else 1000 * latency,
        local_usd_per_1000=local,
        taken_spent=taken_spent,
        taken_embodied=taken_embodied,
    )


def _per_thousand(price: Price | None, visits: Sequence[Visit]) -> Decimal | None:
    """Dollars per thousand answers, by the tokens of the service LLM's second answers to test."""
    bill = next((v.bill for v in visits if v.name == "answer" and v.label.endswith("test")), Bill())
    if not bill.calls or price is None:
        return None
    return price.of(bill.input_tokens, bill.output_tokens) * 1000 / bill.calls


def readings(exp: Experiment, migration: Migration) -> list[Reading]:
    """What each judge makes of each system: the rounds on dev, the service there, all on test."""
    best = migration.best
    reads: list[tuple[Read, Literal["dev", "test"], int | None, int]] = [
        *((one.read, "dev", one.number, one.pool) for one in migration.rounds),
        *((read, "dev", None, 0) for read in [migration.yardstick] if read is not None),
        *(
            (read, "test", None, best.pool if key == "tuned" else 0)
            for key, read in migration.test.items()
        ),
    ]
    found = []
    for read, split, number, pool in reads:
        by_judge: dict[str, list[Verdict | JudgeFailure]] = defaultdict(list)
        for row in read.judged.rows():
            by_judge[row.judge].append(row)
        found += [
            Reading(
                judge=judge,
                system=read.name,
                split=split,
                round=number,
                pool=pool,
                scores=summarise(rows, confidence=exp.gate.confidence, seed=exp.seed)
                if len(by_judge) > 1
                else read.judged.scores,
                prompts=tuple(_prompts(rows)),
            )
            for judge, rows in by_judge.items()
        ]
    return found


def _prompts(rows: Sequence[Verdict | JudgeFailure]) -> list[PromptScores]:
    similarity, precision = (by_prompt(rows, metric) for metric in METRICS)
    return [
        PromptScores(prompt_id=key, similarity=found, precision=precision[key])
        for key, found in similarity.items()
    ]


def examples(migration: Migration) -> list[Example]:
    """Test prompts by what tuning gained, largest first: the first few and the last few.

    By the similarity of the first answers, which are those shown; a prompt is left out where tuned
    or base has none that was judged.
    """
    firsts = {
        name: _firsts(migration.test[name]) if name in migration.test else {}
        for name in ("base", "tuned", "service")
    }
    rows = [_example(pair, firsts) for pair in migration.coverage.split("test")]
    ordered = sorted((row for row in rows if row is not None), key=lambda row: -row.gain)
    if len(ordered) <= EXAMPLES:
        return ordered
    half = EXAMPLES // 2
    return [*ordered[:half], *ordered[-half:]]


def _example(pair: Pair, firsts: dict[str, dict[str, Said]]) -> Example | None:
    said = {name: found.get(pair.id, UNSAID) for name, found in firsts.items()}
    base, tuned = said["base"].scores, said["tuned"].scores
    if base is None or tuned is None:
        return None
    return Example(
        prompt_id=pair.id,
        prompt=pair.prompt.user,
        reference=pair.response,
        gain=tuned[0] - base[0],
        **said,
    )


def _firsts(read: Read) -> dict[str, Said]:
    """The first answer to each prompt, with the judge's scores and reason, or why it has none."""
    judged: dict[str, list[Verdict | JudgeFailure]] = defaultdict(list)
    for row in read.judged.rows():
        if row.k == 0:
            judged[row.prompt_id].append(row)
    return {r.prompt_id: _said(r.text, judged[r.prompt_id]) for r in read.responses if r.k == 0}


def _said(text: str, rows: Sequence[Verdict | JudgeFailure]) -> Said:
    verdicts = [row for row in rows if isinstance(row, Verdict)]
    if not verdicts:
        causes = [row.cause for row in rows if isinstance(row, JudgeFailure)]
        return Said(text=text, scores=None, reason=redacted(causes[0] if causes else "not judged"))
    scores = fmean(v.similarity for v in verdicts), fmean(v.precision for v in verdicts)
    return Said(text=text, scores=scores, reason=verdicts[0].reason)


def _round(round: Round, visits: Sequence[Visit]) -> RoundFacts:
    made = [visit for visit in visits if visit.round == round.number]
    return RoundFacts(
        number=round.number,
        pool=round.pool,
        tokens=round.adapter.training.tokens,
        scores=round.read.judged.scores,
        decision=round.decision,
        losses=round.adapter.training.losses,
        seconds=sum(visit.seconds for visit in made),
        bill=Bill.total(visit.bill for visit in made),
    )


def _stage(lab: Lab, visit: Visit) -> StageFacts:
    record, now = _kept(lab, visit, "record.json"), versions()
    if visit.bill.calls:
        tokens = {"read": visit.bill.input_tokens, "written": visit.bill.output_tokens}
    else:
        metrics = _kept(lab, visit, "artifact.json")["metrics"]
        tokens = {TOKENS[name]: int(metrics[name]) for name in TOKENS if name in metrics}
    return StageFacts(
        name=visit.name,
        label=visit.label,
        round=visit.round,
        fingerprint=visit.fingerprint,
        seconds=visit.seconds,
        reused=visit.reused,
        made=record["made"],
        bill=visit.bill,
        tokens=tokens,
        other_versions={k: v for k, v in record["versions"].items() if now.get(k) != v},
        taken=visit.taken,
    )


def _kept(lab: Lab, visit: Visit, name: str) -> dict[str, Any]:
    home = lab.home / "stages" / f"{visit.name}-{visit.fingerprint}"
    found: dict[str, Any] = json.loads((home / name).read_text(encoding="utf-8"))
    return found


def _objective(exp: Experiment, best: Round) -> float | None:
    name = exp.objective.removeprefix("dev/")
    return best.read.judged.metrics.get(name)
