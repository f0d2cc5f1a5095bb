"""An outcome in brief, as `format=json` prints it; `outcome.json` has the whole."""

from decimal import Decimal
from pathlib import Path

from llamaduo.gate import Check
from llamaduo.outcome.outcome import Outcome, Result
from llamaduo.records import Record
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.scores import Scores
from llamaduo.tracking import Promotion


class RoundSummary(Record):
    """One round, as dev saw it: the pairs that it trained on, mean scores, and the gate."""

    number: int
    pairs: int
    similarity: Estimate | None
    precision: Estimate | None
    passed: bool


class SystemSummary(Record):
    """One system on test: mean scores, and percent of answers with both scores at 50 or 70.

    All are None where it has no scores; `absent` then says why.
    """

    role: str
    name: str
    similarity: Estimate | None
    precision: Estimate | None
    coverage_50: int | None
    coverage_70: int | None
    absent: str | None


class Summary(Record):
    """What a migration ended with. `usd_spent` is None where a price is not known.

    `seconds` and both sums are what this run took, not what it reused. `break_even_months` is None
    where local never pays back, or nothing could be decided. `report` is the page, `outcome` the
    file with everything.
    """

    run: str
    name: str
    task: str
    seed: int
    service: str
    local: str
    judge: str
    gate: str
    result: Result
    stop: str
    stop_words: str
    best: int
    rounds: tuple[RoundSummary, ...]
    systems: tuple[SystemSummary, ...]
    checks: tuple[Check, ...]
    champion: Promotion | None
    seconds: float
    usd_spent: Decimal | None
    usd_simulated: Decimal
    break_even_months: Decimal | None
    report: Path
    outcome: Path


def summary_of(outcome: Outcome, page: Path) -> Summary:
    """Return an outcome in brief, with the `page` that reports on it."""
    cost = outcome.cost
    return Summary(
        run=outcome.run_id,
        name=outcome.name,
        task=outcome.task,
        seed=outcome.seed,
        service=outcome.service,
        local=outcome.local,
        judge=outcome.judge,
        gate=outcome.gate,
        result=outcome.result,
        stop=outcome.stop,
        stop_words=outcome.stop_words,
        best=outcome.best,
        rounds=tuple(
            RoundSummary(
                number=round.number,
                pairs=round.pool,
                passed=round.decision.passed,
                **_means(round.scores),
            )
            for round in outcome.rounds
        ),
        systems=tuple(
            SystemSummary(
                role=system.role,
                name=system.name,
                coverage_50=None if system.scores is None else system.scores.both_50,
                coverage_70=None if system.scores is None else system.scores.both_70,
                absent=system.absent,
                **_means(system.scores),
            )
            for system in outcome.systems
        ),
        checks=outcome.decision.checks,
        champion=outcome.champion,
        seconds=cost.seconds_spent,
        usd_spent=cost.spent.usd,
        usd_simulated=cost.spent.simulated_usd,
        break_even_months=None if cost.decision is None else cost.decision.break_even,
        report=page,
        outcome=page.with_name("outcome.json"),
    )


def _means(scores: Scores | None) -> dict[str, Estimate | None]:
    if scores is None:
        return {"similarity": None, "precision": None}
    return {"similarity": scores.similarity.mean, "precision": scores.precision.mean}
