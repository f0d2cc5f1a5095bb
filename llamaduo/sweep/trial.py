"""Run a trial in its job: report its training to the study, and return its result."""

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
    """The result of a trial: its measures by name, or how it ended without them.

    `error` is one line. `trace` is the traceback of an error that no user can cause.
    """

    state: Literal["complete", "pruned", "failed", "no_budget"]
    measures: dict[str, float | None]
    error: str | None = None
    trace: str | None = None


def attempt(measure: Callable[[], Any]) -> Attempt:
    """Run a trial's job; return its errors as values, which can be sent between processes.

    An interrupt is raised: it stops the sweep.
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
        line = redacted(f"{type(error).__name__}: {error}")
        return Attempt(state="failed", measures={}, error=line, trace=trace)


class OptunaTrial:
    """A trial in a study's storage, which may be another process's or another machine's."""

    def __init__(self, handle: Handle) -> None:
        assert handle.trial is not None
        assert handle.pruner is not None
        self.number = handle.number
        self._storage = handle.storage
        self._sign = 1.0 if handle.better == "maximize" else -1.0
        with storage.readable_errors(handle.storage):
            study = optuna.load_study(
                study_name=handle.study,
                storage=storage.open_storage(handle.storage),
                pruner=pruner(handle.pruner),
            )
            self._trial = optuna.Trial(study, handle.trial)

    def report(self, value: float, step: int) -> None:
        """Report a score as `Trial.report` does; if the storage fails, the trial fails with it."""
        with storage.readable_errors(self._storage):
            self._trial.report(self._sign * value, step)
            # Optuna would prune NaN, and hide that the training has diverged.
            is_worse = not math.isnan(value) and self._trial.should_prune()
        if is_worse:
            raise TrialPruned(f"trial {self.number} at step {step}")


def pruned_by(handle: Handle) -> Trial | None:
    """Return the trial of a handle; None where nothing is pruned, so no score is computed in vain.

    Raises:
        ConfigError: the storage cannot be reached.
    """
    return None if handle.trial is None or handle.pruner is None else OptunaTrial(handle)
