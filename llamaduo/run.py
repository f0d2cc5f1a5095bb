"""One run from its configuration to its report: tracker, lab, loop, promotion, accounts."""

from collections.abc import Callable

from llamaduo import tracking
from llamaduo.base import progress
from llamaduo.base.errors import BudgetReached, TrialPruned
from llamaduo.base.redact import redacted
from llamaduo.champion import MODEL_CODE
from llamaduo.charts import svg
from llamaduo.config import Experiment
from llamaduo.cost.from_outcome import with_decision
from llamaduo.cost.text import months_text
from llamaduo.lab import Lab
from llamaduo.local import Trial
from llamaduo.local.revisions import by_branch
from llamaduo.migration.loop import Migrator, Round
from llamaduo.migration.systems import Systems
from llamaduo.money import machine_time
from llamaduo.money.rates import Rates, rates_of
from llamaduo.outcome import CostFacts, Outcome
from llamaduo.outcome.from_migration import outcome_of
from llamaduo.report import sheets, terminal
from llamaduo.report.page import write_page
from llamaduo.stats.intervals import Estimate
from llamaduo.sweep.handle import Handle
from llamaduo.tracking import Run, Tracker
from llamaduo.tracking.names import run_name

PREFIXES = {"tuned": "test", "few_shot": "test_few_shot"}


def run(
    exp: Experiment,
    *,
    command: str,
    tracker: Tracker | None = None,
    best_of: Handle | None = None,
    say: Callable[[str], None] = progress.say,
) -> Outcome:
    """Migrate as configured, record everything, and end with the table and the report page.

    `command` is what was typed, for the report to say how to do it again. `tracker` None is the
    configured one. `best_of` is the place in a sweep whose best trial this takes to the gate.
    """
    tracker = tracking.build(exp.tracking) if tracker is None else tracker
    tags = {"llamaduo.seed": str(exp.seed)}
    if best_of is not None:
        tags |= {"llamaduo.sweep": best_of.study, "llamaduo.trial": f"{best_of.number}, the best"}
    above = None if best_of is None else best_of.run
    name = run_name(exp, command)
    with tracker.open(exp.task.name, name, tags, parent=above) as tracked:
        # The price book is the same for all; what a run paid is among its metrics.
        tracked.params(redacted(exp.model_dump(mode="json", exclude={"prices"})))
        rates = rates_of(exp.hardware, exp.local.usd_per_hour)
        lab = Lab(exp.tracking.home, tracked, say, rates=rates, command=command, former=by_branch)
        systems = Systems.of(exp, lab)
        try:
            migration = Migrator(systems).run()
        except BudgetReached:
            tracked.tags({"llamaduo.stop": "budget"})
            raise
        promotion = None
        if migration.bundle is not None:
            promotion = tracker.promote(
                tracked,
                migration.bundle.path,
                code=MODEL_CODE,
                model=registered_name(exp),
                fingerprint=migration.bundle.fingerprint,
                tags={"llamaduo.local": exp.local.name, "llamaduo.gate": exp.gate.name},
            )
        outcome = outcome_of(migration, systems, promotion, run_id=tracked.id, command=command)
        outcome = with_decision(outcome, exp.workload, exp.hardware, systems.service.price)
        page = write_page(outcome, exp.tracking.home / "reports")
        svg.write(sheets.of_run(outcome), page.parent / "figures")
        _record(outcome, tracked)
        tracked.files(page.parent)
    say(terminal.table(outcome, page))
    return outcome


def try_out(
    exp: Experiment,
    place: Handle,
    trial: Trial | None,
    *,
    command: str = "",
    say: Callable[[str], None] = progress.say,
) -> dict[str, float | None]:
    """Run round 0 of a migration as a trial; return the measures of `sweep.settings.OBJECTIVES`.

    Dev alone is read, nothing is promoted, and there is no report. What is not known is None.
    `trial` is told how training goes; None: nobody is, as where nothing is pruned.

    Raises:
        TrialPruned: there are better trials; the tracked run is tagged so.
    """
    tags = {
        "llamaduo.seed": str(exp.seed),
        "llamaduo.sweep": place.study,
        "llamaduo.trial": str(place.number),
    }
    name = f"{exp.name} · trial {place.number}"
    tracker = tracking.build(exp.tracking)
    with tracker.open(exp.task.name, name, tags, parent=place.run) as tracked:
        tracked.params(redacted(exp.model_dump(mode="json", exclude={"prices"})))
        rates = rates_of(exp.hardware, exp.local.usd_per_hour)
        lab = Lab(
            exp.tracking.home,
            tracked,
            say,
            rates=rates,
            command=command,
            former=by_branch,
            explains=False,  # the sweep tells what its trials differ in
        )
        try:
            round = Migrator(Systems.of(exp, lab), trial).begin().round
        except BaseException as error:
            state = "PRUNED" if isinstance(error, TrialPruned) else "FAIL"
            tracked.tags({"llamaduo.trial_state": state})
            if isinstance(error, TrialPruned) and error.tokens is not None:
                tracked.metrics({"train/tokens": error.tokens})
            raise
        measured = measures(round, exp.local.sampling.k, rates)
        known = {f"sweep/{name}": value for name, value in measured.items() if value is not None}
        tracked.metrics({**known, "train/tokens": round.adapter.training.tokens})
        tracked.tags({"llamaduo.trial_state": "COMPLETE"})
    return measured


def measures(round: Round, k: int, rates: Rates) -> dict[str, float | None]:
    """Return what a sweep may look for, of one round on dev with K answers to each prompt."""
    scores, latency = round.read.judged.scores, round.read.latency
    seconds = None if latency is None else 1000 * latency * k
    usd = None if seconds is None else rates.usd(seconds)
    return {
        "similarity": None if scores is None else scores.similarity.mean.value,
        "precision": None if scores is None else scores.precision.mean.value,
        "usd": None if usd is None else float(usd),
        "seconds": seconds,
    }


def registered_name(exp: Experiment) -> str:
    """Name the model that a task's champions are versions of; those of fakes are apart."""
    kinds = (exp.service.kind, exp.local.kind, exp.judge.kind)
    return f"llamaduo-{exp.task.name}" + ("-fake" if "fake" in kinds else "")


def _bounded(estimate: Estimate) -> dict[str, float]:
    figures = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
    return {name: value for name, value in figures.items() if value is not None}


def _costs(cost: CostFacts) -> dict[str, float]:
    """List what the run paid and took, and the decision; what nobody knows is left out."""
    figures = {"cost/simulated_usd": float(cost.embodied.simulated_usd)}
    for name, bill, seconds, taken in (
        ("spent", cost.spent, cost.seconds_spent, cost.taken_spent),
        ("embodied", cost.embodied, cost.seconds_embodied, cost.taken_embodied),
    ):
        figures[f"cost/seconds_{name}"] = seconds
        if bill.usd is not None:
            figures[f"cost/usd_{name}"] = float(bill.usd)
        if taken is not None:
            figures |= machine_time.metrics(bill, taken, f"_{name}")
    if (decision := cost.decision) is not None:
        figures["cost/service_month"] = float(decision.service_month)
        figures["cost/local_month"] = float(decision.local_month)
        figures |= {f"cost/saving_{x.months}_months": float(x.amount) for x in decision.savings}
        if decision.break_even is not None:
            figures["cost/break_even_months"] = float(decision.break_even)
    return figures


def _record(outcome: Outcome, tracked: Run) -> None:
    figures: dict[str, float] = {}
    for system in outcome.systems:
        prefix = PREFIXES.get(system.role) or f"test_{system.name.replace(' ', '_')}"
        if system.scores is not None:
            figures |= {f"{prefix}/{name}": v for name, v in system.scores.flat().items()}
        for metric, over in system.over_base.items():
            figures |= {f"{prefix}/{metric}_over_base{k}": v for k, v in _bounded(over).items()}
        for metric, p in system.over_base_p.items():
            figures[f"{prefix}/{metric}_over_base_p"] = p
    tracked.metrics(figures | _costs(outcome.cost))
    for round in outcome.rounds:
        costs = {"cost/seconds": round.seconds, "cost/simulated": float(round.bill.simulated_usd)}
        if round.bill.usd is not None:
            costs["cost/usd"] = float(round.bill.usd)
        # The service's level again at each round, for a line beside that of the rounds.
        own = {} if outcome.yardstick is None else outcome.yardstick.flat()
        level = {f"dev_service/{name}": value for name, value in own.items()}
        tracked.metrics({**costs, **level, "train/tokens": round.tokens}, step=round.number)
        tracked.series(f"train/loss_round_{round.number}", round.losses)
    tags: dict[str, str] = {"llamaduo.stop": outcome.stop, "llamaduo.result": outcome.result}
    if (decision := outcome.cost.decision) is not None:
        tags["llamaduo.break_even"] = months_text(decision.break_even, decision.searched)
    if outcome.champion is not None:
        tags["llamaduo.champion"] = outcome.champion.uri
    tracked.tags(tags)
