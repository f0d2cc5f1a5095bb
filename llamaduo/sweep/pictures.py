"""A study as charts: its history, what mattered, and which settings went with which scores."""

import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from llamaduo.charts import svg
from llamaduo.charts.head import Key, Tone
from llamaduo.charts.scales import Scale, Tick, around, nice, spaced, thinned
from llamaduo.charts.shapes import (
    BOTTOM,
    DASHES,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Bar,
    Chart,
    Line,
    Mark,
    Row,
    Text,
)
from llamaduo.sweep.settings import Direction
from llamaduo.sweep.study import Study

LEAST = 4  # trials that came to their end, below which importances say nothing
ROOM = 46  # left of the charts, for the values of any measure
APART = 92  # between the upright axes of parallel coordinates
EDGE = 76  # left of the first of them, half of its name
BAR = 32  # height of a row of importances

#: Its place among a trial's values, its name, and which way is better.
Objective: TypeAlias = tuple[int, str, Direction]


def draw(study: Study, folder: Path) -> None:
    """Write the charts that the study has enough trials for, as SVG."""
    done = [t for t in study.trials() if t.state == TrialState.COMPLETE]
    if len(done) < 2:
        return
    each: list[Objective] = [(i, *named) for i, named in enumerate(study.objectives.items())]
    space = study.space.distributions
    sheets = {
        "history": [history(done, *one) for one in each],
        "parallel": [parallel(done, space, *one) for one in each],
        "importance": [
            chart
            for place, name, _ in each
            if len(space) > 1 and (chart := importance(study, place, name)) is not None
        ],
        "pareto": [front(study, done, *pair) for pair in combinations(each, 2)],
        "reports": reports([t for t in study.trials() if t.intermediate_values]),
    }
    svg.write(sheets, folder)


def history(done: Sequence[FrozenTrial], place: int, name: str, way: Direction) -> Chart:
    """Return an objective by trial, and the best value so far."""
    values = [t.values[place] for t in done]
    up, ticks = around(values, HEIGHT - BOTTOM, TOP)
    across = Scale(0, max(1, done[-1].number), ROOM + 8, WIDTH - RIGHT - 8)
    best = [_best(values[: i + 1], way) for i in range(len(values))]
    return Chart(
        key=f"history-{place}",
        title=f"{name} by trial",
        says=f"best: {best[-1]:.4g} after {len(done)} trials that came to their end",
        across="trial",
        x=thinned([Tick(across(t.number), str(t.number)) for t in done]),
        y=ticks,
        lines=(
            Line(_marks(done, best, across, up), dots=False),
            Line(_marks(done, values, across, up), joined=False),
        ),
        legend=(Key(f"best so far ({way})", "tuned", dash=""),),
        left=ROOM,
    )


def _best(values: Sequence[float], way: Direction) -> float:
    return max(values) if way == "maximize" else min(values)


def _marks(
    trials: Sequence[FrozenTrial], values: Sequence[float], across: Scale, up: Scale
) -> tuple[Mark, ...]:
    return tuple(
        Mark(across(t.number), up(value), None, None, _words(t, value))
        for t, value in zip(trials, values, strict=True)
    )


def _words(trial: FrozenTrial, value: float) -> str:
    settings = ", ".join(f"{name}={setting}" for name, setting in trial.params.items())
    return f"trial {trial.number}: {value:.4g} ({settings})"


def parallel(
    done: Sequence[FrozenTrial],
    space: Mapping[str, BaseDistribution],
    place: int,
    name: str,
    way: Direction,
) -> Chart:
    """Return an upright axis for each setting and, last, the objective; a line for each trial.

    The better a trial, the less faint its line. A setting that is searched by its logarithm has a
    logarithmic axis.
    """
    whole = [t for t in done if space.keys() <= t.params.keys()]
    whole.sort(key=lambda t: float(t.values[place]), reverse=way == "minimize")
    values = [float(t.values[place]) for t in whole]
    axes = [_axis([t.params[param] for t in whole], found) for param, found in space.items()]
    axes.append(_axis(values, None))
    xs = [EDGE + APART * i for i in range(len(axes))]
    lines, texts = [], []
    for i, (trial, value) in enumerate(zip(whole, values, strict=True)):
        words = _words(trial, value)
        marks = (Mark(x, at[i], None, None, words) for x, (at, _) in zip(xs, axes, strict=True))
        lines.append(Line(tuple(marks), fade=round(0.12 + 0.88 * ((i + 1) / len(whole)) ** 2, 2)))
    for i, (x, param, (_, ticks)) in enumerate(zip(xs, [*space, name], axes, strict=True)):
        texts += [Text(x - 5, round(t.at + 3.5, 1), _cut(t.label), "end") for t in ticks]
        # Names are long: every other one stands lower.
        texts.append(Text(x, HEIGHT - BOTTOM + (29 if i % 2 else 15), param, "middle"))
    return Chart(
        key=f"parallel-{place}",
        title=f"settings and {name}, a line for each trial",
        says=f"best: {_words(whole[-1], values[-1])}",
        across="",
        rails=tuple(float(x) for x in xs),
        lines=tuple(lines),
        texts=tuple(texts),
        width=max(WIDTH, xs[-1] + EDGE),
    )


def _axis(
    values: Sequence[Any], distribution: BaseDistribution | None
) -> tuple[list[float], tuple[Tick, ...]]:
    """Return where values stand on an upright axis, and its ticks."""
    low, high = HEIGHT - BOTTOM, TOP
    if isinstance(distribution, CategoricalDistribution):
        up = Scale(0, len(distribution.choices) - 1, low, high)
        options = [Tick(up(i), str(one)) for i, one in enumerate(distribution.choices)]
        return [up(distribution.choices.index(value)) for value in values], spaced(options, 12)
    if getattr(distribution, "log", False):
        ends = [float(getattr(distribution, end)) for end in ("low", "high")]
        up = Scale(math.log10(ends[0]), math.log10(ends[1]), low, high)
        decades = range(math.floor(up.low) + 1, math.ceil(up.high))
        all_ticks = [ends[0], *(10.0**n for n in decades), ends[1]]
        ticks = [Tick(up(math.log10(value)), f"{value:g}") for value in all_ticks]
        return [up(math.log10(value)) for value in values], spaced(ticks, 12)
    up, found = around(map(float, values), low, high)
    return [up(float(value)) for value in values], found


def _cut(text: str) -> str:
    return text if len(text) <= 13 else f"{text[:12]}…"


def importance(study: Study, place: int, name: str) -> Chart | None:
    """Return how much each setting mattered, by PED-ANOVA, as bars that add up to 1.

    None where there are too few trials, or nothing to be seen, such as values that are all alike.
    """
    done = [t for t in study.trials() if t.state == TrialState.COMPLETE]
    if len(done) < LEAST:
        return None
    shown = optuna.create_study(directions=[*study.objectives.values()])
    shown.add_trials(done)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the evaluator is marked as experimental
        try:
            shares = optuna.importance.get_param_importances(
                shown,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                target=lambda trial: float(trial.values[place]),
            )
        except (ValueError, RuntimeError):
            return None
    across = Scale(0, 1, LEFT, WIDTH - RIGHT)
    rows = []
    for i, (param, share) in enumerate(shares.items()):
        bottom = TOP + BAR * (i + 1)
        bar = Bar(LEFT, round(across(share) - LEFT, 1), bottom - 12, bottom, f"{share:.2f}")
        words = f"{param}: {share:.2f}"
        rows.append(Row((bar,), "tuned", across(share), bottom - 12, bottom, words))
    return Chart(
        key=f"importance-{place}",
        title=f"importance of the settings for {name}",
        says="; ".join(row.words for row in rows),
        across="share of the importance (PED-ANOVA)",
        x=across.ticks(0.25),
        rows=tuple(rows),
        height=TOP + BAR * len(rows) + BOTTOM,
    )


def front(study: Study, done: Sequence[FrozenTrial], one: Objective, other: Objective) -> Chart:
    """Return the trials by two objectives, with the Pareto front of all objectives."""
    across, x_ticks = around((t.values[one[0]] for t in done), ROOM + 8, WIDTH - RIGHT - 12)
    up, y_ticks = around((t.values[other[0]] for t in done), HEIGHT - BOTTOM, TOP)
    leading = {t.number for t in study.leading(len(done))}

    def marks(trials: Sequence[FrozenTrial]) -> tuple[Mark, ...]:
        return tuple(
            Mark(
                across(t.values[one[0]]),
                up(t.values[other[0]]),
                None,
                None,
                f"{_words(t, t.values[one[0]])}, {other[1]} {t.values[other[0]]:.4g}",
            )
            for t in trials
        )

    best = marks([t for t in done if t.number in leading])
    rest = marks([t for t in done if t.number not in leading])
    return Chart(
        key=f"pareto-{one[0]}-{other[0]}",
        title=f"{other[1]} against {one[1]}",
        says="; ".join(mark.words for mark in best),
        across=f"{one[1]} ({one[2]}); upwards: {other[1]} ({other[2]})",
        x=x_ticks,
        y=y_ticks,
        lines=(
            Line(rest, "base", joined=False, hollow=True),
            Line(best, "tuned", joined=False),
        ),
        legend=(Key("Pareto front", "tuned"), Key("the other trials", "base")),
        left=ROOM,
    )


def reports(trials: Sequence[FrozenTrial]) -> list[Chart]:
    """Return what trials reported on their way, pruned ones dashed; nothing where none did."""
    found = {
        t.number: {s: v for s, v in t.intermediate_values.items() if math.isfinite(v)}
        for t in trials
    }
    values = [value for steps in found.values() for value in steps.values()]
    if not values:
        return []
    up, ticks = around(values, HEIGHT - BOTTOM, TOP)
    last = max(step for steps in found.values() for step in steps)
    across = Scale(0, max(1, last), ROOM + 4, WIDTH - RIGHT - 4)
    lines = []
    for trial in trials:
        marks = (
            Mark(across(step), up(value), None, None, f"trial {trial.number}, {step}: {value:.4g}")
            for step, value in sorted(found[trial.number].items())
        )
        ended_early = trial.state == TrialState.PRUNED
        tone: Tone = "base" if ended_early else "tuned"
        dash = DASHES[1] if ended_early else ""
        lines.append(Line(tuple(marks), tone, fade=0.8, dash=dash))
    pruned = sum(trial.state == TrialState.PRUNED for trial in trials)
    return [
        Chart(
            key="reports",
            title="reported while training",
            says=f"{len(trials)} trials, {pruned} pruned",
            across="step",
            x=across.ticks(max(1, nice(last / 4))),
            y=ticks,
            lines=tuple(lines),
            legend=(Key("to the end", "tuned", dash=""), Key("pruned", "base", dash=DASHES[1])),
            left=ROOM,
        )
    ]
