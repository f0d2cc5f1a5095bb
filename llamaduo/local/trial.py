"""The part of a sweep's trial that a training needs: it reports, and may be pruned."""

from typing import Protocol


class Trial(Protocol):
    """A trial of a sweep, as its training sees it."""

    number: int

    def report(self, value: float, step: int) -> None:
        """Report how good the model is after `step` of its training.

        A higher `value` is better, on one scale for all trials of a study. `step` is the budget
        used so far: a whole number from 1 on that grows from report to report and means the same in
        all trials, whatever their settings. A step that was reported before changes nothing. NaN
        never prunes.

        Raises:
            TrialPruned: the trial is not worth going on with.
        """
