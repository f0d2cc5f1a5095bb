"""Figures like the paper's as files, for papers and slides: PDF with its fonts in it, and PNG.

The only file that knows matplotlib. The same outcomes give the same bytes. Colours are Okabe and
Ito's, which colour-blind readers can tell apart, and no line is told by its colour alone.
"""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from llamaduo.base.plotting import COLOURS, DPI, LOOKS
from llamaduo.outcome.runs import Named
from llamaduo.report.series import Point, Series, judges, series, split_shown, spreads
from llamaduo.stats.density import GRID, density
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.table import METRICS

DASHES = ("-", (0, (5, 1.6)), (0, (1, 1)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P")


def write(runs: Sequence[Named], folder: Path) -> list[Path]:
    """Write density, volume and rounds as PDF and PNG under a folder; the paths that were written.

    What nothing is known of is not drawn: no judged answers, no density; no rounds, no rounds.
    """
    drawn: dict[str, Callable[[Sequence[Named]], Figure | None]] = {
        "density": densities,
        "volume": volumes,
        "rounds": rounds,
    }
    written = []
    with matplotlib.rc_context(LOOKS):
        for name, draw in drawn.items():
            figure = draw(runs)
            if figure is not None:
                folder.mkdir(parents=True, exist_ok=True)
                written += _files(figure, folder / name)
    return written


def _files(figure: Figure, stem: Path) -> list[Path]:
    pdf, png = stem.with_suffix(".pdf"), stem.with_suffix(".png")
    # No date, which would make each file another.
    figure.savefig(pdf, metadata={"CreationDate": None, "Creator": "llamaduo"})
    figure.set_layout_engine("none")  # what was laid out stays there, and need not be again
    figure.savefig(png, dpi=DPI, metadata={"Software": "llamaduo"})
    return [pdf, png]


def densities(runs: Sequence[Named]) -> Figure | None:
    """Kernel densities of single answers' scores: a row a metric, a column a judge, by volume."""
    held = [judge for judge in judges(runs) if any(spreads(runs, judge, m) for m in METRICS)]
    if not held:
        return None
    found = {spread.words: spread for judge in held for spread in spreads(runs, judge, METRICS[0])}
    ordered = sorted(found.values(), key=lambda spread: (spread.pool, spread.run))
    looks = {
        spread.words: _run_look(spread.run) if len(runs) > 1 else _shade(place, len(ordered))
        for place, spread in enumerate(ordered)
    }
    figure, grid = _grid(len(METRICS), len(held), share="all")
    for row, metric in enumerate(METRICS):
        for column, judge in enumerate(held):
            axes = grid[row][column]
            for spread in spreads(runs, judge, metric):
                axes.plot(GRID, density(spread.values), **looks[spread.words])
            axes.set_xlim(0, 100)
            axes.set_ylim(bottom=0)
            axes.set_yticks([])
            axes.set_xlabel(f"{metric} of an answer on {split_shown(runs)}")
            if not row:
                axes.set_title(f"judge {judge}")
            if not column:
                axes.set_ylabel("density")
    handles = [Line2D([], [], **looks[spread.words]) for spread in ordered]
    said = "answers of the model trained on so many pairs"
    _legend(figure, handles, [spread.words for spread in ordered], said)
    return figure


def _shade(place: int, of: int) -> dict[str, Any]:
    """Darker is more; the pale end of the scale is left out, as it does not show on white."""
    share = 0.82 * (1 - place / (of - 1)) if of > 1 else 0.0
    return {
        "color": matplotlib.colormaps["cividis"](share),
        "linestyle": DASHES[place % len(DASHES)],
    }


def _run_look(run: int) -> dict[str, Any]:
    return {"color": COLOURS[run % len(COLOURS)], "linestyle": DASHES[run % len(DASHES)]}


def volumes(runs: Sequence[Named]) -> Figure | None:
    """Mean scores with their intervals, and coverage, against the training pairs."""
    found = series(runs)
    if not found:
        return None
    figure, grid = _grid(2, 2, share="col")
    for axes, metric in zip(grid[0], METRICS, strict=True):
        for line in found:
            _line(axes, line, attrgetter("pool"), partial(Point.of, metric=metric))
        axes.set_title(f"mean {metric}")
    for axes, threshold in zip(grid[1], (50, 70), strict=True):
        for line in found:
            _line(axes, line, attrgetter("pool"), partial(_coverage, threshold=threshold))
        axes.set_title(f"coverage@{threshold}, both metrics, %")
        axes.set_xlabel("training pairs")
    pools = sorted({p.pool for line in found for p in (*line.dev, line.test) if p is not None})
    for axes in (axes for row in grid for axes in row):
        axes.set_ylim(-3, 103)  # so that a mark at a bound is whole
        if pools[0] > 0 and pools[-1] >= 8 * pools[0]:
            axes.set_xscale("log", base=2)
        axes.set_xticks(pools, [f"{pool:,}" for pool in pools])
        axes.minorticks_off()
    _legend(figure, *_keys(grid[0][0]), "line: dev, by round; hollow: test")
    return figure


def rounds(runs: Sequence[Named]) -> Figure | None:
    """Mean scores with their intervals by round on dev, and the service's own level."""
    found = [line for line in series(runs) if line.dev]
    if not found:
        return None
    figure, grid = _grid(1, 2)
    for axes, metric in zip(grid[0], METRICS, strict=True):
        for line in found:
            _line(axes, line, attrgetter("round"), partial(Point.of, metric=metric), test=False)
            if line.service is not None:
                look = _look(line)
                axes.axhline(
                    line.service.of(metric).value,
                    color=look["color"],
                    linewidth=0.9,
                    linestyle=(0, (1, 2)),
                    alpha=0.9,
                )
        axes.set_title(f"mean {metric} on dev")
        axes.set_xlabel("round")
        axes.set_ylim(-3, 103)  # so that a mark at a bound is whole
        axes.set_xticks(
            sorted({p.round for line in found for p in line.dev if p.round is not None})
        )
    _legend(
        figure,
        *_keys(grid[0][0]),
        "dotted level: the service's second answers",
    )
    return figure


def _grid(rows: int, columns: int, share: Any = "none") -> tuple[Figure, Any]:
    figure = Figure(figsize=(max(3.4, 3.3 * columns), 2.3 * rows + 0.3), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=share)


def _line(
    axes: Axes,
    line: Series,
    place: Callable[[Point], int | None],
    figure: Callable[[Point], Estimate],
    *,
    test: bool = True,
) -> None:
    look = _look(line)
    bars: dict[str, Any] = {"capsize": 2.5, "elinewidth": 0.9}
    if line.dev:
        found = [figure(point) for point in line.dev]
        xs, ys = [place(point) or 0 for point in line.dev], [one.value for one in found]
        lengths = _whiskers(found)
        axes.errorbar(xs, ys, yerr=lengths, label=line.words, markersize=4, **bars, **look)
    if test and line.test is not None:
        one = figure(line.test)
        hollow = {**look, "linestyle": "none", "markerfacecolor": "white", "markersize": 6}
        name = None if line.dev else line.words
        x, y, lengths = [line.test.pool], [one.value], _whiskers([one])
        axes.errorbar(x, y, yerr=lengths, label=name, **bars, **hollow)


def _look(line: Series) -> dict[str, Any]:
    return {
        "color": COLOURS[line.colour % len(COLOURS)],
        "marker": MARKERS[line.colour % len(MARKERS)],
        "linestyle": DASHES[line.dash % len(DASHES)],
    }


def _coverage(point: Point, threshold: int) -> Estimate:
    value = point.coverage_50 if threshold == 50 else point.coverage_70
    return Estimate(value=float(value), low=None, high=None)


def _whiskers(found: Sequence[Estimate]) -> list[list[float]]:
    """How far each interval reaches below and above its figure; nowhere where it has none."""
    below = [0.0 if e.low is None else max(0.0, e.value - e.low) for e in found]
    above = [0.0 if e.high is None else max(0.0, e.high - e.value) for e in found]
    return [below, above]


def _keys(axes: Axes) -> tuple[list[Any], list[Any]]:
    handles, labels = axes.get_legend_handles_labels()
    return list(handles), list(labels)


def _legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], title: str) -> None:
    columns = min(3, len(labels))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, title=title, title_fontsize=7
    )
