"""The page's own charts of what `report_series` has: densities, and scores by volume and round.

The files for papers (`report_plots`) show the same; these need no library and follow the reader's
light or dark.
"""

from collections.abc import Sequence
from statistics import fmean

from llamaduo.base.format import count, integer
from llamaduo.outcome.runs import Named
from llamaduo.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Key,
    Level,
    Line,
    Mark,
    Scale,
    Tick,
    Tone,
    thinned,
)
from llamaduo.report.figures import estimate, score
from llamaduo.report.series import Point, judges, series, split_shown, spreads
from llamaduo.stats.density import GRID, density
from llamaduo.stats.table import METRICS, Metric

RUNS: tuple[Tone, ...] = ("run1", "run2", "run3", "run4", "run5", "run6")
DASHES = ("", "6 2", "2 2", "8 2 2 2", "4 1 1 1", "10 4")
STEP = 2  # every so many points of the density's grid are drawn


def curves(runs: Sequence[Named]) -> list[Chart]:
    """A density chart for each judge and metric that there are scores of."""
    made = [densities(runs, judge, metric) for judge in judges(runs) for metric in METRICS]
    return [one for one in made if one is not None]


def densities(runs: Sequence[Named], judge: str, metric: Metric) -> Chart | None:
    """How the scores of single answers lie, a curve for each volume; None without any."""
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


def by_volume(runs: Sequence[Named], metric: Metric) -> Chart | None:
    """Mean and interval against the training pairs: lines of dev, and test as a mark apart."""
    found = series(runs)
    pools = sorted({p.pool for one in found for p in (*one.dev, one.test) if p is not None})
    if not pools:
        return None
    across = Scale(0, len(pools) - 1, LEFT + 26, WIDTH - RIGHT - 26)
    at = {pool: across(place) for place, pool in enumerate(pools)}
    lines, legend, said = [], [], []
    for one in found:
        tone, dash = RUNS[one.colour % len(RUNS)], DASHES[one.dash % len(DASHES)]
        marks = tuple(_mark(p, metric, at[p.pool], one.words, "dev") for p in one.dev)
        lines.append(Line(marks, tone, dash=dash))
        if one.test is not None:
            apart = _mark(one.test, metric, at[one.test.pool] + 7, one.words, "test")
            lines.append(Line((apart,), tone, joined=False, hollow=True))
            marks += (apart,)
        legend.append(Key(one.words, tone, 1.0, dash))
        said += [mark.words for mark in marks]
    return Chart(
        key=f"volume-{metric}",
        title=f"{metric} by volume",
        says="; ".join(said),
        across="training pairs (hollow: test)",
        x=thinned([Tick(at[pool], integer(pool)) for pool in pools], 6),
        y=Scale(0, 100, HEIGHT - BOTTOM, TOP).ticks(20),
        lines=tuple(lines),
        legend=tuple(legend),
    )


def by_round(runs: Sequence[Named], metric: Metric) -> Chart | None:
    """Mean and interval by round on dev, with the level of the service; None without rounds."""
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


def _mark(point: Point, metric: Metric, x: float, name: str, where: str) -> Mark:
    up, found = Scale(0, 100, HEIGHT - BOTTOM, TOP), point.of(metric)
    words = f"{name}, {where}, {integer(point.pool)} pairs: {estimate(found)}"
    if found.low is None or found.high is None:
        return Mark(x, up(found.value), None, None, words)
    return Mark(x, up(found.value), up(found.low), up(found.high), words)
