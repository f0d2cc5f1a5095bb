"""The charts of one run or several by judge: densities, and scores by volume and by round."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from llamaduo.base.format import count, integer
from llamaduo.charts.head import Key
from llamaduo.charts.scales import Scale, Tick, spaced, thinned
from llamaduo.charts.shapes import (
    BOTTOM,
    DASHES,
    HEIGHT,
    LEFT,
    RIGHT,
    RUNS,
    TOP,
    WIDTH,
    Chart,
    Level,
    Line,
    Mark,
)
from llamaduo.outcome.runs import Named
from llamaduo.report.figures import estimate, score
from llamaduo.report.series import Point, judges, series, split_shown, spreads
from llamaduo.stats.density import GRID, density
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.table import METRICS, Metric

#: A mean score, or the percent of answers with both scores at least 50 or 70.
Shown: TypeAlias = Metric | Literal["coverage@50", "coverage@70"]
SHOWN: tuple[Shown, ...] = (*METRICS, "coverage@50", "coverage@70")
WIDE = 8  # so many fold between the least and the most pairs, and the axis is logarithmic
STEP = 2  # every so many points of the density's grid are drawn


def curves(runs: Sequence[Named]) -> list[Chart]:
    """Return a density chart for each judge and metric that there are scores of."""
    charts = [densities(runs, judge, metric) for judge in judges(runs) for metric in METRICS]
    return [chart for chart in charts if chart is not None]


def densities(runs: Sequence[Named], judge: str, metric: Metric) -> Chart | None:
    """Return the density of single answers' scores, a curve for each volume; None without any."""
    found = spreads(runs, judge, metric)
    if not found:
        return None
    heights = [density(spread.values)[::STEP] for spread in found]
    across = Scale(0, 100, LEFT, WIDTH - RIGHT)
    up = Scale(0, max(float(curve.max()) for curve in heights), HEIGHT - BOTTOM, TOP)
    lines, legend, said = [], [], []
    for place, (spread, curve) in enumerate(zip(found, heights, strict=True)):
        tone = RUNS[spread.run % len(RUNS)] if len(runs) > 1 else "tuned"
        fade = round(0.45 + 0.55 * (place + 1) / len(found), 2) if len(runs) == 1 else 1.0
        dash = DASHES[(len(found) - 1 - place if len(runs) == 1 else spread.run) % len(DASHES)]
        marks = tuple(
            Mark(across(float(x)), up(float(y)), None, None, "")
            for x, y in zip(GRID[::STEP], curve, strict=True)
        )
        lines.append(Line(marks, tone, dots=False, fade=fade, dash=dash))
        legend.append(Key(spread.words, tone, fade, dash))
        mean = score(fmean(spread.values))
        said.append(f"{spread.words}: mean {mean}, {count(len(spread.values), 'answer')}")
    return Chart(
        key=f"density-{judges(runs).index(judge)}-{metric}",
        title=f"{metric} on {split_shown(runs)}, judge {judge}",
        says="; ".join(said),
        across=f"{metric} of an answer (height: density)",
        x=across.ticks(20),
        lines=tuple(lines),
        legend=tuple(legend),
    )


def volumes(runs: Sequence[Named]) -> list[Chart]:
    """Return a chart by volume for each metric, and for both coverages."""
    charts = [by_volume(runs, shown) for shown in SHOWN]
    return [chart for chart in charts if chart is not None]


def by_volume(runs: Sequence[Named], shown: Shown) -> Chart | None:
    """Return a figure against the training pairs: lines of dev, and test as a mark apart.

    The pairs stand at their distances, from `WIDE`-fold on at those of their logarithms.
    """
    all_series = series(runs)
    pools = sorted({p.pool for one in all_series for p in (*one.dev, one.test) if p is not None})
    if not pools:
        return None
    at = _positions(pools)
    lines, legend, said = [], [], []
    for one in all_series:
        tone, dash = RUNS[one.colour % len(RUNS)], DASHES[one.dash % len(DASHES)]
        marks = tuple(_mark(p, shown, at[p.pool], one.words, "dev") for p in one.dev)
        lines.append(Line(marks, tone, dash=dash))
        if one.test is not None:
            apart = _mark(one.test, shown, at[one.test.pool] + 7, one.words, "test")
            lines.append(Line((apart,), tone, joined=False, hollow=True))
            marks += (apart,)
        legend.append(Key(one.words, tone, 1.0, dash))
        said += [mark.words for mark in marks]
    return Chart(
        key=f"volume-{shown.replace('@', '-')}",
        title=f"{shown} by volume" if shown in METRICS else f"{shown} of both by volume, %",
        says="; ".join(said),
        across="training pairs (hollow: test)",
        x=spaced([Tick(at[pool], integer(pool)) for pool in pools], 40),
        y=Scale(0, 100, HEIGHT - BOTTOM, TOP).ticks(20),
        lines=tuple(lines),
        legend=tuple(legend),
    )


def _positions(pools: Sequence[int]) -> dict[int, float]:
    """Return where numbers of pairs, least first, stand across the chart."""
    logarithmic = pools[0] > 0 and pools[-1] >= WIDE * pools[0]
    values = [math.log2(pool) if logarithmic else float(pool) for pool in pools]
    across = Scale(values[0], values[-1], LEFT + 26, WIDTH - RIGHT - 26)
    return {pool: across(value) for pool, value in zip(pools, values, strict=True)}


def by_round(runs: Sequence[Named], metric: Metric) -> Chart | None:
    """Return a mean by round on dev, with the service's level; None without rounds."""
    found = [one for one in series(runs) if one.dev]
    if not found:
        return None
    up = Scale(0, 100, HEIGHT - BOTTOM, TOP)
    last = max(p.round or 0 for one in found for p in one.dev)
    across = Scale(0, last, LEFT + 26, WIDTH - RIGHT - 26)
    lines, levels, legend, said = [], [], [], []
    for one in found:
        tone, dash = RUNS[one.colour % len(RUNS)], DASHES[one.dash % len(DASHES)]
        marks = tuple(
            _mark(p, metric, across(p.round or 0), one.words, f"round {p.round}") for p in one.dev
        )
        lines.append(Line(marks, tone, dash=dash))
        if one.service is not None:
            levels.append(Level(up(one.service.of(metric).value), None, None, tone))
        legend.append(Key(one.words, tone, 1.0, dash))
        said += [mark.words for mark in marks]
    return Chart(
        key=f"round-{metric}",
        title=f"{metric} on dev by round",
        says="; ".join(said),
        across="round (level: the service's second answers)",
        x=thinned([Tick(across(number), str(number)) for number in range(last + 1)]),
        y=up.ticks(20),
        lines=tuple(lines),
        levels=tuple(levels),
        legend=tuple(legend),
    )


def _mark(point: Point, shown: Shown, x: float, name: str, where: str) -> Mark:
    up, value = Scale(0, 100, HEIGHT - BOTTOM, TOP), _value(point, shown)
    words = f"{name}, {where}, {integer(point.pool)} pairs: {estimate(value)}"
    if value.low is None or value.high is None:
        return Mark(x, up(value.value), None, None, words)
    return Mark(x, up(value.value), up(value.low), up(value.high), words)


def _value(point: Point, shown: Shown) -> Estimate:
    if shown in METRICS:
        return point.of(shown)
    percent = point.coverage_50 if shown == "coverage@50" else point.coverage_70
    return Estimate(value=float(percent), low=None, high=None)
