"""`python -m llamaduo +experiment=…`: a migration from its configuration to its report."""

import re
import sys
from typing import TYPE_CHECKING

from llamaduo.base import signals

if TYPE_CHECKING:
    from llamaduo.cli import Caller
    from llamaduo.config import Experiment
    from llamaduo.sweep.handle import Handle

DRY = r"\+*dry_run=(true|yes|on|1)"


def migrate(exp: "Experiment") -> "float | dict[str, float | None] | None":
    """Run one migration and return its objective; as a sweep's trial, its measures by name.

    A dry run prints the plan and has none.
    """
    if exp.dry_run:
        from llamaduo.migration.plan import show

        show(exp)
        return None
    # The stages import numpy and more; `--help` should not wait for them.
    from llamaduo.run import try_out
    from llamaduo.sweep import handle

    place = handle.current()
    if place is None or place.trial is None:
        return _run(exp, place)
    from llamaduo.sweep.trial import pruned_by

    return try_out(exp, place, pruned_by(place))


def _run(exp: "Experiment", place: "Handle | None") -> float | None:
    """Run a whole migration; with `format=json` its outcome in brief is all that is printed."""
    from llamaduo.run import run

    if exp.format == "text":
        return run(exp, command=signals.command(), best_of=place).objective
    from llamaduo.base import stdout
    from llamaduo.outcome.summary import summary_of
    from llamaduo.report.page import page_of

    with stdout.reserved() as show:
        outcome = run(exp, command=signals.command(), best_of=place)
        show(summary_of(outcome, page_of(outcome, exp.tracking.home / "reports")))
    return outcome.objective


def caller() -> "Caller | None":
    """Find the sweep that waits for this job, if any: a trial's errors are its result."""
    from llamaduo.sweep import handle

    place = handle.current()
    if place is None:
        return None
    if place.trial is None:
        return lambda job: job()
    from llamaduo.sweep.trial import attempt

    return attempt


def main() -> None:
    """Run the command line."""
    with signals.handled(resumes=True):  # from the first moment: the imports take one, too
        from llamaduo import cli
        from llamaduo.config import Experiment

        words = sys.argv[1:]
        if any(re.fullmatch(DRY, word, re.I) for word in words):
            words += cli.NO_TRACE
        cli.launch("config", Experiment, migrate, words=words, caller=caller)


if __name__ == "__main__":
    main()
