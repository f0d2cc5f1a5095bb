"""Training that will come to nothing ends early: what a sweep's trial is told, and its answer.

Nothing here knows Optuna: a job finds its trial through the environment, where the sweep left it.
"""

import os
from typing import Protocol

#: The environment variable that holds a trial's handle, set in a sweep's jobs and nowhere else.
HANDLE = "LLAMADUO_TRIAL"


class TrialPruned(Exception):
    """The trial is worse than its peers were at the same point; end it at once.

    It is no error: whoever has something open closes it, and passes this on. `tokens` are those it
    was trained on until then; None: not known.
    """

    tokens: int | None = None


class Trial(Protocol):
    """A trial of a sweep, as the training that it consists of sees it."""

    number: int

    def report(self, value: float, step: int) -> None:
        """Tell how good the model is after `step` of its training.

        `value` is better the higher it is, and on one scale for all trials of a study. `step` is
        the budget used so far, a whole number from 1 on that grows from report to report and means
        the same in all trials, whatever their settings; a step that was reported is not asked for
        again. NaN never prunes.

        Raises:
            TrialPruned: the trial need not go on.
        """


def current() -> Trial | None:
    """The trial that this process trains for and that may be pruned; None: report to nobody.

    None as well in a sweep that prunes nothing, so that no score is worked out for nobody.

    Raises:
        ConfigError: the study's storage cannot be reached.
    """
    handle = os.environ.get(HANDLE)
    if handle is None:
        return None
    from llamaduo.sweep.trial import pruned_by

    return pruned_by(handle)
