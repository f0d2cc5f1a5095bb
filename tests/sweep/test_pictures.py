"""A study as charts: every trial on them, within their box."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from llamaduo.charts.shapes import Chart
from llamaduo.sweep import pictures

SPACE = {
    "hparams.learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "local": CategoricalDistribution(["smollm2_135m", "another"]),
    "epochs": IntDistribution(1, 5),
}


def a_study(*ways: str, trials: int = 8, value: float | None = None) -> Any:
    """A stand-in for `Study` with ended trials, the third of which was pruned where it can be."""
    chance = random.Random(1)
    book = optuna.create_study(directions=list(ways))
    for number in range(trials):
        trial = book.ask(SPACE)
        if len(ways) == 1:
            for step in (0, 10, 20):
                trial.report(chance.random(), step)
            if number == 2:
                book.tell(trial, state=TrialState.PRUNED)
                continue
        book.tell(trial, [chance.random() if value is None else value for _ in ways])
    return SimpleNamespace(
        trials=lambda: book.trials,
        objectives={f"goal{place}": way for place, way in enumerate(ways)},
        space=SimpleNamespace(distributions=SPACE),
        leading=lambda most: book.best_trials,
    )


def within(chart: Chart) -> None:
    for line in chart.lines:
        for mark in line.marks:
            assert 0 < mark.x < chart.width
            assert chart.top <= mark.y <= chart.bottom


@pytest.mark.parametrize(
    ("ways", "names"),
    [
        (("maximize",), {"history", "parallel", "importance", "reports"}),
        (("maximize", "minimize"), {"history", "parallel", "importance", "pareto"}),
        (("maximize",) * 3, {"history", "parallel", "importance", "pareto"}),
    ],
)
def test_a_study_is_drawn(ways: tuple[str, ...], names: set[str], tmp_path: Path) -> None:
    pictures.draw(a_study(*ways), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.svg" for name in names}
    for path in tmp_path.iterdir():
        ElementTree.parse(path)
    titles = (tmp_path / "history.svg").read_text(encoding="utf-8")
    assert all(f"goal{place} by trial" in titles for place in range(len(ways)))


def test_the_best_so_far_never_gets_worse_and_ends_with_the_best() -> None:
    for way, better in (("maximize", -1), ("minimize", 1)):
        study = a_study(way)
        done = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
        chart = pictures.history(done, 0, "goal", way)
        within(chart)
        best, dots = chart.lines
        ys = [mark.y for mark in best.marks]
        assert [better * y for y in ys] == sorted(better * y for y in ys)
        assert ys[-1] == (max if way == "minimize" else min)(mark.y for mark in dots.marks)
        assert len(dots.marks) == len(done) == 7


def test_parallel_axes_hold_logarithms_choices_and_the_best_in_front() -> None:
    study = a_study("maximize")
    done = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    chart = pictures.parallel(done, SPACE, 0, "goal", "maximize")
    within(chart)
    assert len(chart.lines) == len(done)
    assert {len(line.marks) for line in chart.lines} == {len(SPACE) + 1}
    words = [text.words for text in chart.texts]
    for label in ("1e-05", "0.001", "0.1", "smollm2_135m", "another", *SPACE, "goal"):
        assert label in words
    top = chart.lines[-1]
    assert top.fade == max(line.fade for line in chart.lines) == 1.0
    assert top.marks[-1].y == min(line.marks[-1].y for line in chart.lines)


def test_the_front_is_that_of_the_study() -> None:
    study = a_study("maximize", "minimize")
    chart = pictures.front(study, study.trials(), (0, "a", "maximize"), (1, "b", "minimize"))
    within(chart)
    rest, best = chart.lines
    assert len(best.marks) == len(study.leading(9)) > 0
    assert len(rest.marks) + len(best.marks) == 8


def test_pruned_trials_are_dashed() -> None:
    (chart,) = pictures.reports(a_study("maximize").trials())
    within(chart)
    assert [bool(line.dash) for line in chart.lines].count(True) == 1
    assert chart.says == "8 trials, 1 pruned"


def test_values_that_are_all_alike_can_be_drawn(tmp_path: Path) -> None:
    pictures.draw(a_study("maximize", value=0.5), tmp_path)
    assert (tmp_path / "history.svg").exists()


def test_a_study_of_one_trial_is_not_drawn(tmp_path: Path) -> None:
    pictures.draw(a_study("maximize", trials=1), tmp_path)
    assert not list(tmp_path.iterdir())
