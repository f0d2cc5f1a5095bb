"""Write a sweep to the tracker: a run above its migrations, with the study as table and charts."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from llamaduo import records
from llamaduo.base.redact import redacted
from llamaduo.config import Experiment, MlflowTrackingConfig
from llamaduo.sweep import pictures
from llamaduo.sweep.study import ERROR, MEASURES, Study
from llamaduo.tracking import Run

BEST, FRONT = 5, 20  # trials that the tag lists: of one objective, of several


class Row(records.Record):
    """A trial in the table of its sweep; `params` and `measures` are JSON."""

    number: int
    state: str
    values: dict[str, float]
    params: dict[str, Any]
    measures: dict[str, float | None]
    seconds: float | None
    error: str | None


@dataclass
class StudyLog:
    """The log of a study in the tracked run of its sweep."""

    study: Study
    base: Experiment
    run: Run

    def begin(self) -> None:
        """Write the study's name, space and rules."""
        settings = self.study.settings
        self.run.params(
            redacted(
                {
                    "study": settings.study_name,
                    "storage": settings.storage,
                    "objectives": dict(self.study.objectives),
                    "sampler": settings.sampler.model_dump(),
                    "pruner": settings.pruner.model_dump(),
                    "space": {
                        name: str(distribution)
                        for name, distribution in self.study.space.distributions.items()
                    },
                    "fixed": list(self.study.space.fixed.values()),
                }
            )
        )

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Write a finished trial's values, and the best so far, with the trial number as step."""
        values = self._values(trial)
        if len(values) == 1:
            [best] = self.study.leading(1)
            values["best"] = best.values[0]
        self.run.metrics(
            {f"sweep/{name}": value for name, value in values.items()}, step=trial.number
        )

    def end(self) -> None:
        """Write counts, the table of trials, the best ones, and charts where MLflow keeps them."""
        trials = self.study.trials()
        states = [trial.state.name.lower() for trial in trials]
        self.run.metrics({f"sweep/{name}": states.count(name) for name in ("pruned", "fail")})
        rows = [self._row(t) for t in trials if t.state.is_finished()]
        leading = self.study.leading(BEST)[:FRONT]
        self.run.tags({"llamaduo.best": "\n".join(map(_line, leading))})
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "trials.json").write_text(
                json.dumps([row.model_dump(mode="json") for row in rows], indent=1) + "\n",
                encoding="utf-8",
            )
            if isinstance(self.base.tracking, MlflowTrackingConfig):
                pictures.draw(self.study, folder)
            self.run.files(folder, "study")

    def _values(self, trial: FrozenTrial) -> dict[str, float]:
        if trial.state != TrialState.COMPLETE:
            return {}
        return dict(zip(self.study.objectives, trial.values, strict=True))

    def _row(self, trial: FrozenTrial) -> Row:
        duration = trial.duration
        return Row(
            number=trial.number,
            state=trial.state.name,
            values=self._values(trial),
            params=trial.params,
            measures=json.loads(trial.user_attrs.get(MEASURES, "{}")),
            seconds=None if duration is None else duration.total_seconds(),
            error=trial.user_attrs.get(ERROR),
        )


def _line(trial: FrozenTrial) -> str:
    values = ", ".join(f"{value:.4g}" for value in trial.values)
    settings = ", ".join(f"{name}={value}" for name, value in trial.params.items())
    return f"trial {trial.number}: {values} ({settings})"
