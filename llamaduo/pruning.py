"""Training that will come to nothing ends early: what a sweep's trial is told, and its answer.

Nothing here knows Optuna: a job finds its trial through the environment, where the sweep left it.
"""

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

