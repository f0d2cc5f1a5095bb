"""Callbacks between the steps of a training: the bar, early stopping, and reports to a sweep."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from llamaduo.base.progress import Progress
from llamaduo.config import EarlyStopping
from llamaduo.local.chat_template import TrainingRow
from llamaduo.local.early_stopping import Look, best_of, is_over, reports, steps_of
from llamaduo.local.trial import Trial

LOOK, REPORT = "dev_loss", "reported_loss"


class Bar(TrainerCallback):
    """Shows the steps that are done, the time left, and the loss."""

    def __init__(self) -> None:
        self._steps: Progress | None = None
        self._at = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start at the step of the checkpoint, if there is one."""
        if state.is_world_process_zero:
            self._at = state.global_step
            self._steps = Progress(
                total=state.max_steps, done=self._at, what="finetune", unit="steps"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step."""
        if self._steps is not None:
            self._steps.advance(state.global_step - self._at)
            self._at = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Show the loss beside the steps."""
        if self._steps is not None and logs and "loss" in logs:
            self._steps.note(f"loss {logs['loss']:.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the bar."""
        self.close()

    def close(self) -> None:
        """Remove the bar; a second call does nothing."""
        if self._steps is not None:
            self._steps.close()


class EarlyStop(TrainerCallback):
    """Looks at dev, keeps the adapter of each look that is the best so far, and ends the training.

    The losses are in the trainer's log, so that a resumed training decides as one without a break.
    `keep` writes the current adapter to a folder.
    """

    def __init__(
        self,
        trainer: Any,
        rows: Sequence[TrainingRow],
        rule: EarlyStopping,
        keep: Callable[[Path], None],
    ) -> None:
        self._trainer, self._rows, self._rule, self._keep = trainer, rows, rule, keep
        self._steps: frozenset[int] = frozenset()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Spread the looks over all steps."""
        self._steps = steps_of(self._rule.looks, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at dev, if this is a step for it."""
        if state.global_step not in self._steps:
            return
        loss = self._trainer.mean_loss(self._rows)
        state.log_history.append({LOOK: loss, "step": state.global_step})
        if self.best == state.global_step:
            self._keep(self.kept(state.global_step))
        if is_over(self.looks, self._rule):
            control.should_training_stop = True
            # With a checkpoint here, a resumed training would go on from where this one ended.
            control.should_save = False

    @property
    def looks(self) -> list[Look]:
        """Step and loss of each look until now."""
        return logged(self._trainer, LOOK)

    @property
    def best(self) -> int:
        """The step of the best look until now."""
        return best_of(self.looks)

    def kept(self, step: int) -> Path:
        """Return the folder for the adapter of a look, which need not be there."""
        return Path(self._trainer.args.output_dir) / f"look-{step}"


class Reports(TrainerCallback):
    """Reports the negative loss on dev to a sweep's trial, after fixed shares of the training."""

    def __init__(self, trainer: Any, rows: Sequence[TrainingRow], trial: Trial) -> None:
        self._trainer, self._rows, self._trial = trainer, rows, trial
        self._steps: dict[int, list[int]] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Repeat the reports of an interrupted start, whose trial may have been another."""
        self._steps = reports(state.max_steps)
        for step, loss in logged(self._trainer, REPORT):
            self._report(step, loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at dev and report, if this is a step for it."""
        if state.global_step in self._steps:
            loss = self._trainer.mean_loss(self._rows)
            state.log_history.append({REPORT: loss, "step": state.global_step})
            self._report(state.global_step, loss)

    def _report(self, step: int, loss: float) -> None:
        for eighth in self._steps.get(step, ()):
            self._trial.report(-loss, eighth)


def logged(trainer: Any, name: str) -> list[Look]:
    """Return step and value of each entry with that name in the trainer's log."""
    return [
        (int(entry["step"]), float(entry[name]))
        for entry in trainer.state.log_history
        if name in entry
    ]
