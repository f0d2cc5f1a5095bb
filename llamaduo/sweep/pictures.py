"""A study in pictures: its history, what mattered, and which settings went with which scores."""

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llamaduo.base.cache import cache_folder

# Before the import: matplotlib would else look for a home of its own, and for a screen.
os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))
os.environ["MPLBACKEND"] = "Agg"

import optuna
from matplotlib import pyplot
from optuna.trial import TrialState
from optuna.visualization import matplotlib as plots

from llamaduo.sweep.study import Study

for chatty in ("matplotlib", "fontTools"):
    logging.getLogger(chatty).setLevel(logging.ERROR)

LEAST = 4  # trials that came to their end, below which importances say nothing


def draw(study: Study, folder: Path) -> None:
    """Write the pictures that the study has enough trials for, as PNG."""
    done = [t for t in study.trials() if t.state == TrialState.COMPLETE]
    if len(done) < 2:
        return
    shown = optuna.create_study(directions=[*study.objectives.values()])
    shown.add_trials([t for t in study.trials() if t.state.is_finished()])
    for index, name in enumerate(study.objectives):
        several = len(study.objectives) > 1
        target = _value(index) if several else None
        about: dict[str, Any] = {"target": target, "target_name": name}
        end = f"-{name}" if several else ""
        _keep(folder / f"history{end}.png", plots.plot_optimization_history, shown, about)
        wide = 3 + 1.7 * len(study.space.params)
        _keep(folder / f"parallel{end}.png", plots.plot_parallel_coordinate, shown, about, wide)
        if len(done) >= LEAST and len(study.space.params) > 1:
            ways = {"evaluator": optuna.importance.PedAnovaImportanceEvaluator()}
            _keep(
                folder / f"importance{end}.png", plots.plot_param_importances, shown, about | ways
            )
    if len(study.objectives) in (2, 3):
        names = {"target_names": list(study.objectives)}
        _keep(folder / "pareto.png", plots.plot_pareto_front, shown, names)
    if any(t.intermediate_values for t in study.trials()):
        _keep(folder / "reports.png", plots.plot_intermediate_values, shown, {})


def _value(index: int) -> Callable[[Any], float]:
    return lambda trial: float(trial.values[index])


def _keep(
    path: Path, plot: Callable[..., Any], shown: optuna.Study, about: Any, wide: float = 9
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its pictures are marked as experimental
        try:
            plot(shown, **about)
        except (ValueError, RuntimeError):
            return  # such as all values alike: nothing to be seen
        figure = pyplot.gcf()
        figure.set_size_inches(wide, 5)
        figure.savefig(path, dpi=110, bbox_inches="tight")
        pyplot.close("all")
