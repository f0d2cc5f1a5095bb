"""The trial as the job that runs it sees it: what it reports, and what becomes of it."""

import math
import traceback
from collections.abc import Callable
from typing import Any, Literal

import optuna

from llamaduo.base.errors import BudgetReached, LlamaduoError, TrialPruned
from llamaduo.base.redact import redacted
from llamaduo.local import Trial
from llamaduo.records import Record
from llamaduo.sweep import storage
from llamaduo.sweep.choices import pruner
from llamaduo.sweep.handle import Handle


class Attempt(Record):
    """What became of a trial: its measures by name, or how it ended without them.

    `error` is one line, `trace` the whole of it where the error is none that a user can cause.
    """

    state: Literal["complete", "pruned", "failed", "no_budget"]
    measures: dict[str, float | None]
    error: str | None = None
    trace: str | None = None


def attempt(measure: Callable[[], Any]) -> Attempt:
    """Run a trial's job. Whatever it raises comes back as a value that travels between processes.

    An interrupt passes: it stops the sweep.
    """
    try:
        return Attempt(state="complete", measures=dict(measure()))
    except TrialPruned:
        return Attempt(state="pruned", measures={})
    except BudgetReached as error:
        return Attempt(state="no_budget", measures={}, error=redacted(str(error)))
    except (LlamaduoError, OSError) as error:
        return Attempt(state="failed", measures={}, error=redacted(str(error)))
    except Exception as error:
        trace = redacted(traceback.format_exc())
        said = redacted(f"{type(error).__name__}: {error}")
        return Attempt(state="failed", measures={}, error=said, trace=trace)


class OptunaTrial:
    """A trial in a study's storage, which may be another process's or another machine's."""

    def __init__(self, handle: Handle) -> None:
        assert handle.trial is not None
        assert handle.pruner is not None
        self.number = handle.number
        self._storage = handle.storage
        self._sign = 1.0 if handle.better == "maximize" else -1.0
        with storage.usable(handle.storage):
            study = optuna.load_study(
                study_name=handle.study,
                storage=storage.reach(handle.storage),
                pruner=pruner(handle.pruner),
            )
            self._trial = optuna.Trial(study, handle.trial)

    def report(self, value: float, step: int) -> None:
        """See `Trial.report`. A storage that fails later ends the trial, not only the report."""
        with storage.usable(self._storage):
            self._trial.report(self._sign * value, step)
            # Optuna would prune NaN, and nobody would hear that the training has diverged.
            worse = not math.isnan(value) and self._trial.should_prune()
        if worse:
            raise TrialPruned(f"trial {self.number} at step {step}")


def pruned_by(handle: Handle) -> Trial | None:
    """The trial of a handle, None where it is pruned by nobody.

    None so that no score is worked out for nobody.

    Raises:
        ConfigError: the storage cannot be reached.
    """
    return None if handle.trial is None or handle.pruner is None else OptunaTrial(handle)
