"""From a finished migration to the figures and examples that its report shows."""

import platform
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

from llamaduo.base.redact import redacted
from llamaduo.config import Experiment
from llamaduo.lab import StageRun, StageRuns, versions
from llamaduo.migration.loop import Migration, Round
from llamaduo.migration.systems import Assessed, Systems
from llamaduo.migration.yardsticks import SYSTEMS, shown_name
from llamaduo.outcome.evaluation import evaluate, is_llm
from llamaduo.outcome.examples import examples
from llamaduo.outcome.outcome import (
    CostFacts,
    Outcome,
    PromptScores,
    Reading,
    Result,
    RoundFacts,
    StageFacts,
    SystemFacts,
)
from llamaduo.records import Bill, Judgement, Price, digest
from llamaduo.stages.judge import Anchored
from llamaduo.stats.scores import by_prompt, compare, summarise
from llamaduo.stats.table import METRICS, VerdictTable
from llamaduo.tracking import Promotion

# What stages call the tokens that they count, and what became of them.
TOKENS = {"tokens": "trained on", "completion_tokens": "written"}


def outcome_of(
    migration: Migration,
    systems: Systems,
    promotion: Promotion | None,
    *,
    run_id: str,
    command: str,
) -> Outcome:
    """Collect everything that the terminal, the report and the tracker say of a migration."""
    exp, runs = systems.exp, systems.lab.stage_runs
    service, local, judge = systems.service, systems.local, systems.judge
    anchored = [run.artifact for run in runs]
    anchors = [artifact.table for artifact in anchored if isinstance(artifact, Anchored)]
    return Outcome(
        name=exp.name,
        task=exp.task.name,
        seed=exp.seed,
        service=service.name,
        local=local.name,
        judge=f"{judge.name} {judge.version}",
        judge_is_llm=is_llm(exp.judge),
        gate=exp.gate.name,
        stop=migration.stop,
        stop_words=redacted(migration.stop_words),
        result=result(migration),
        best=migration.best.number,
        rounds=tuple(_round(round, runs) for round in migration.rounds),
        yardstick=own.judged.scores if (own := migration.yardstick) is not None else None,
        systems=tuple(systems_of(exp, migration)),
        decision=migration.decision,
        champion=promotion,
        cost=costs(systems, migration),
        stages=tuple(_stage(run) for run in runs),
        examples=tuple(examples(migration)),
        card=migration.coverage.card,
        objective=_objective(exp, migration.best),
        run_id=run_id,
        command=redacted(command),
        home=str(exp.tracking.home),
        config=redacted(exp.model_dump(mode="json", exclude={"prices"})),
        identities={
            "service": dict(service.identity),
            "local": dict(local.identity(exp.hparams)),
            "judge": dict(judge.identity),
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


def systems_of(exp: Experiment, migration: Migration) -> list[SystemFacts]:
    """List every system on test, each with its paired difference to the untuned base.

    A yardstick that was not asked is there without scores, a candidate that was not is left out.
    """
    nothing = VerdictTable.of([])
    base = migration.test["base"].judged.table() if "base" in migration.test else nothing
    systems = []
    for key, role in SYSTEMS.items():
        facts: dict[str, Any] = {"role": role}
        if key in migration.test:
            facts |= _system(exp, migration.test[key], nothing if key == "base" else base)
        elif key == "tuned":
            continue
        else:
            name = shown_name(key, None)
            facts |= {"name": name, "scores": None, "over_base": {}, "prompts": ()}
            facts["absent"] = migration.absent.get(key)
        systems.append(SystemFacts.model_validate(facts))
    return systems


def _system(exp: Experiment, read: Assessed, base: VerdictTable) -> dict[str, Any]:
    table = read.judged.table()
    compared = {
        metric: compare(table, base, metric, confidence=exp.gate.confidence, seed=exp.seed)
        for metric in METRICS
    }
    return {
        "name": read.name,
        "scores": read.judged.scores,
        "over_base": {
            name: comparison.difference
            for name, comparison in compared.items()
            if comparison is not None
        },
        "over_base_p": {
            name: comparison.p for name, comparison in compared.items() if comparison is not None
        },
        "prompts": _prompts(read.judged.rows()),
    }


def costs(systems: Systems, migration: Migration) -> CostFacts:
    """Add up what the migration took, and what a thousand answers take at today's prices."""
    runs, rates = systems.lab.stage_runs, systems.lab.rates
    bill, seconds = runs.embodied()
    price = systems.service.price
    latency = migration.test["tuned"].latency if "tuned" in migration.test else None
    taken_spent, taken_embodied = runs.taken()
    return CostFacts(
        spent=runs.spent(),
        embodied=bill,
        seconds_spent=sum(run.seconds for run in runs.built()),
        seconds_embodied=seconds,
        service_usd_per_1000=_per_thousand(price, runs),
        simulated=price is not None and price.simulated,
        local_seconds_per_1000=None if latency is None else 1000 * latency,
        local_usd_per_1000=None if latency is None else rates.usd(1000 * latency),
        taken_spent=taken_spent,
        taken_embodied=taken_embodied,
    )


def _per_thousand(price: Price | None, runs: StageRuns) -> Decimal | None:
    """Return dollars per 1,000 answers, by the tokens of the service's second answers to test."""
    answers = (run.bill for run in runs.named("answer") if run.split == "test")
    bill = next(answers, Bill())
    if price is None or not bill.calls:
        return None
    return price.of(bill.input_tokens, bill.output_tokens) * 1000 / bill.calls


def readings(exp: Experiment, migration: Migration) -> list[Reading]:
    """List each judge's scores of each system: rounds and service on dev, all on test."""
    best = migration.best
    reads: list[tuple[Assessed, Literal["dev", "test"], int | None, int]] = [
        *((round.read, "dev", round.number, round.pool) for round in migration.rounds),
        *((read, "dev", None, 0) for read in [migration.yardstick] if read is not None),
        *(
            (read, "test", None, best.pool if key == "tuned" else 0)
            for key, read in migration.test.items()
        ),
    ]
    found = []
    for read, split, number, pool in reads:
        by_judge: dict[str, list[Judgement]] = defaultdict(list)
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


def _prompts(rows: Sequence[Judgement]) -> list[PromptScores]:
    similarity, precision = (by_prompt(rows, metric) for metric in METRICS)
    return [
        PromptScores(prompt_id=key, similarity=scores, precision=precision[key])
        for key, scores in similarity.items()
    ]


def _round(round: Round, runs: StageRuns) -> RoundFacts:
    own = [run for run in runs if run.round == round.number]
    return RoundFacts(
        number=round.number,
        pool=round.pool,
        tokens=round.adapter.training.tokens,
        scores=round.read.judged.scores,
        decision=round.decision,
        losses=round.adapter.training.losses,
        seconds=sum(run.seconds for run in own),
        bill=Bill.total(run.bill for run in own),
    )


def _stage(run: StageRun) -> StageFacts:
    now = versions()
    if run.bill.calls:
        tokens = {"read": run.bill.input_tokens, "written": run.bill.output_tokens}
    else:
        metrics = run.artifact.metrics
        tokens = {TOKENS[name]: int(metrics[name]) for name in TOKENS if name in metrics}
    return StageFacts(
        name=run.name,
        label=run.label,
        system=run.system,
        split=run.split,
        round=run.round,
        fingerprint=run.fingerprint,
        seconds=run.seconds,
        reused=run.reused,
        made=run.made,
        bill=run.bill,
        tokens=tokens,
        other_versions={k: v for k, v in run.versions.items() if now.get(k) != v},
        taken=run.taken,
    )


def _objective(exp: Experiment, best: Round) -> float | None:
    name = exp.objective.removeprefix("dev/")
    return best.read.judged.metrics.get(name)
