"""From a finished migration to the figures and examples that its report shows."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeAlias

from llamaduo.config import Experiment
from llamaduo.cost import Bill
from llamaduo.migrate import Migration, Migrator, Read, Round
from llamaduo.outcome import (
    CostFacts,
    Example,
    Outcome,
    Result,
    RoundFacts,
    StageFacts,
    SystemFacts,
)
from llamaduo.records import Pair, Verdict
from llamaduo.scores import METRICS, difference
from llamaduo.stage import Visit
from llamaduo.tracking import Promotion

EXAMPLES = 5
First: TypeAlias = tuple[str | None, tuple[float, float] | None]


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
    return Outcome(
        name=exp.name,
        task=exp.task.name,
        seed=exp.seed,
        service=migrator.service.name,
        local=migrator.local.name,
        judge=f"{migrator.judge.name} {migrator.judge.version}",
        judge_is_llm=exp.judge.kind not in ("embedding", "fake"),
        gate=exp.gate.name,
        stop=migration.stop,
        stop_words=migration.stop_words,
        result=result(migration),
        best=migration.best.number,
        rounds=tuple(_round(round, visits) for round in migration.rounds),
        systems=tuple(systems(exp, migration)),
        decision=migration.decision,
        champion=promotion,
        cost=cost,
        stages=tuple(_stage(visit) for visit in visits),
        examples=tuple(examples(migration)),
        card=migration.coverage.card,
        objective=objective,
        run_id=run_id,
        command=command,
        home=str(exp.tracking.home),
    )


def result(migration: Migration) -> Result:
    """Qualified needs the gate twice: on dev, which chose the model, and on test, which did not."""
    if migration.stop != "qualified":
        return "not_qualified"
    return "qualified" if migration.decision.passed else "not_confirmed"


def systems(exp: Experiment, migration: Migration) -> list[SystemFacts]:
    """Every system on test, each with its paired difference to the untuned base."""
    base = migration.test["base"].judged.rows()
    found = []
    for key, read in migration.test.items():
        role = key if key in ("tuned", "base", "service") else "copy"
        over = {
            metric: difference(
                read.judged.rows(), base, metric, confidence=exp.gate.confidence, seed=exp.seed
            )
            for metric in METRICS
        }
        facts = {
            "role": role,
            "name": read.name,
            "scores": read.judged.scores,
            "over_base": {k: v for k, v in over.items() if v is not None and key != "base"},
        }
        found.append(SystemFacts.model_validate(facts))
    return found


def costs(migrator: Migrator, migration: Migration) -> CostFacts:
    """What the migration took and what a thousand answers take afterwards, at today's prices."""
    exp, visits = migrator.exp, migrator.lab.visits
    bill, seconds = migrator.lab.embodied()
    latency = migration.test["tuned"].latency
    hourly = exp.local.usd_per_hour
    local = None
    if latency is not None and hourly is not None:
        local = hourly * Decimal(str(latency)) * 1000 / 3600
    made = [visit for visit in visits if not visit.reused]
    return CostFacts(
        spent=Bill.total(visit.bill for visit in made),
        embodied=bill,
        seconds_spent=sum(visit.seconds for visit in made),
        seconds_embodied=seconds,
        service_usd_per_1000=_service_price(exp, visits),
        simulated=exp.service.price.simulated,
        local_seconds_per_1000=None if latency is None else 1000 * latency,
        local_usd_per_1000=local,
    )


def _service_price(exp: Experiment, visits: Sequence[Visit]) -> Decimal | None:
    """Dollars per thousand answers, by the tokens of the service LLM's second answers to test."""
    bill = next((v.bill for v in visits if v.name == "answer" and v.label.endswith("test")), Bill())
    if not bill.calls:
        return None
    return exp.service.price.of(bill.input_tokens, bill.output_tokens) * 1000 / bill.calls


def examples(migration: Migration) -> list[Example]:
    """A few test prompts across the whole range of gains, from the largest to the largest loss."""
    firsts = {name: _firsts(migration.test[name]) for name in ("base", "tuned", "service")}
    rows = [_example(pair, firsts) for pair in migration.coverage.split("test")]
    ordered = sorted(rows, key=lambda row: -row.gain)
    if len(ordered) <= EXAMPLES:
        return ordered
    step = (len(ordered) - 1) / (EXAMPLES - 1)
    return [ordered[round(i * step)] for i in range(EXAMPLES)]


def _example(pair: Pair, firsts: dict[str, dict[str, First]]) -> Example:
    base, tuned, service = (
        firsts[name].get(pair.id, (None, None)) for name in ("base", "tuned", "service")
    )
    gain = tuned[1][0] - base[1][0] if tuned[1] and base[1] else 0.0
    return Example(
        prompt=pair.prompt.user,
        reference=pair.response,
        base=base[0] or "",
        base_scores=base[1],
        tuned=tuned[0] or "",
        tuned_scores=tuned[1],
        service=service[0],
        gain=gain,
    )


def _firsts(read: Read) -> dict[str, First]:
    """The first response to each prompt, with its similarity and precision where it has any."""
    scores = {
        row.prompt_id: (row.similarity, row.precision)
        for row in read.judged.rows()
        if row.k == 0 and isinstance(row, Verdict)
    }
    return {r.prompt_id: (r.text, scores.get(r.prompt_id)) for r in read.responses if r.k == 0}


def _round(round: Round, visits: Sequence[Visit]) -> RoundFacts:
    made = [visit for visit in visits if visit.round == round.number]
    return RoundFacts(
        number=round.number,
        pool=round.pool,
        scores=round.read.judged.scores,
        decision=round.decision,
        losses=round.adapter.training.losses,
        seconds=sum(visit.seconds for visit in made),
        bill=Bill.total(visit.bill for visit in made),
    )


def _stage(visit: Visit) -> StageFacts:
    return StageFacts(
        name=visit.name,
        label=visit.label,
        round=visit.round,
        seconds=visit.seconds,
        reused=visit.reused,
        bill=visit.bill,
    )


def _objective(exp: Experiment, best: Round) -> float | None:
    name = exp.objective.removeprefix("dev/")
    return best.read.judged.metrics.get(name)
