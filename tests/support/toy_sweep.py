"""A command whose value is known at once, under the real launcher, sweeper and storage.

    python tests/support/toy_sweep.py -m +sweeps=qlora …

Its score is best at a learning rate of 1e-3 and falls with `hparams.weight_decay`. What else
happens is said by `hparams.batch_size`, which nothing else looks at.
"""

import math
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from llamaduo import cli
from llamaduo.__main__ import caller
from llamaduo.base.errors import BudgetReached, DataError, TrialPruned
from llamaduo.config import Experiment
from llamaduo.sweep import handle
from llamaduo.sweep.trial import pruned_by

FINE, FAULT, NO_NUMBER, UNKNOWN, PRUNED, KILLED, REFUSED, SPENT = range(101, 109)
SLEEPS, REPORTS, DIVERGES = range(109, 112)


def command(exp: Experiment) -> dict[str, float | None]:
    """The measures of one trial."""
    kind = exp.hparams.batch_size
    score = 90 - 10 * abs(math.log10(exp.hparams.learning_rate) + 3) - exp.hparams.weight_decay
    started = exp.tracking.home / "started"
    started.mkdir(parents=True, exist_ok=True)
    (started / f"{os.getpid()}-{time.monotonic_ns()}").write_text(f"{score}")
    if kind == FAULT:
        raise ValueError("a fault of the code's")
    if kind in (NO_NUMBER, DIVERGES):
        score = math.nan
    if kind == PRUNED:
        raise TrialPruned
    if kind == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == REFUSED:
        raise DataError("task.coverage=x.jsonl: not there")
    if kind == SPENT:
        raise BudgetReached("budget.usd=1 is used up.")
    if kind == SLEEPS:
        time.sleep(float(os.environ.get("TOY_SECONDS", "1")))
    place = handle.current()
    trial = None if place is None else pruned_by(place)
    if kind in (REPORTS, DIVERGES) and trial is not None:
        for eighth in (1, 2, 4):
            trial.report(score, eighth)
    known = None if kind == UNKNOWN else score
    return {"similarity": known, "precision": 100 - score, "usd": 1.0, "seconds": score}


if __name__ == "__main__":
    cli.launch("config", Experiment, command, caller=caller)
