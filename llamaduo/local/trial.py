"""A trial of a sweep, as the training that it consists of sees it."""

from typing import Protocol


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
