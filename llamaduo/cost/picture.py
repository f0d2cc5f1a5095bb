"""Accumulated cost of both sides as PNG and SVG, as the paper's Figure 4 has it, with bands.

Its looks are those of `llamaduo.base.plotting`. The same decisions give the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from llamaduo.base.plotting import COLOURS, DPI, INK, LOOKS, SOFT
from llamaduo.cost.table2 import Crossing
from llamaduo.money.decision import CostDecision
from llamaduo.money.spread import Band

MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOOKS_SVG: dict[Any, Any] = {  # matplotlib types every key as a literal
    "svg.hashsalt": "llamaduo",  # else its ids would be others each time
    "svg.fonttype": "none",  # text stays text
}


def write(
    decisions: Sequence[CostDecision], crossings: Sequence[Crossing], folder: Path
) -> list[Path]:
    """Draw accumulated cost by month under a folder; the paths that were written.

    `crossings` are marked in place of each case's own break-even.
    """
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / "accumulated.png", folder / "accumulated.svg"
    with matplotlib.rc_context({**LOOKS, **LOOKS_SVG}):
        figure = draw(decisions, crossings)
        figure.savefig(svg, metadata={"Date": None, "Creator": "llamaduo"})
        figure.set_layout_engine("none")  # what was laid out stays there
        figure.savefig(png, dpi=DPI, metadata={"Software": "llamaduo"})
    return [png, svg]


def draw(decisions: Sequence[CostDecision], crossings: Sequence[Crossing]) -> Figure:
    """The figure: a colour for each case, its service dashed and its local side whole."""
    figure = Figure(figsize=(6.4, 3.9), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(decisions):
        _lines(axes, one, COLOURS[place % len(COLOURS)])
    found = list(crossings) or [
        Crossing(MARKS[place % len(MARKS)], one.name, one.name, one.name, one.break_even)
        for place, one in enumerate(decisions)
        if one.break_even is not None
    ]
    last = len(decisions[0].months) - 1
    _marks(axes, {one.name: one for one in decisions}, [x for x in found if x.months <= last])
    coin = decisions[0].currency
    axes.set_xlim(0, last)
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(0, last + 1, _stride(last)))
    axes.set_xlabel("months")
    axes.set_ylabel(f"accumulated cost, {'US dollars' if coin == 'usd' else coin}")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    banded = next((one for one in decisions if one.draws), None)
    title = f"bands hold {banded.confidence:.0%} of {banded.draws:,} draws" if banded else None
    axes.legend(loc="upper left", title=title, title_fontsize=7, alignment="left")
    return figure


def _lines(axes: Axes, one: CostDecision, colour: str) -> None:
    months = [month.month for month in one.months]
    nominal = " (nominal)" if one.nominal else ""
    for name, dash, totals, bands in (
        (
            f"{one.name}: service{nominal}",
            (0, (5, 1.6)),
            [month.service_total for month in one.months],
            [month.service_band for month in one.months],
        ),
        (
            f"{one.name}: local, {one.hardware} × {one.months[0].servers}",
            "-",
            [month.local_total for month in one.months],
            [month.local_band for month in one.months],
        ),
    ):
        axes.plot(months, [float(x) for x in totals], color=colour, linestyle=dash, label=name)
        ends = [_ends(band) for band in bands if band is not None]
        if ends:
            low, high = zip(*ends, strict=True)
            axes.fill_between(months, low, high, color=colour, alpha=0.13, linewidth=0)


def _ends(band: Band) -> tuple[float, float]:
    return float(band.low or 0), float(band.high or 0)


def _marks(axes: Axes, named: dict[str, CostDecision], crossings: Sequence[Crossing]) -> None:
    for one in crossings:
        x = float(one.months)
        months = named[one.service].months
        before = min(int(x), len(months) - 2)
        start, end = (float(months[at].service_total) for at in (before, before + 1))
        y = start + (x - before) * (end - start)
        axes.plot([x], [y], marker="o", markersize=4.5, color=INK, zorder=5)
        axes.annotate(
            f"{one.marker}  {one.months:.2f}",
            (x, y),
            xytext=(6, 7),
            textcoords="offset points",
            color=INK,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": SOFT, "lw": 0.4},
        )


def _stride(last: int) -> int:
    return next(step for step in (1, 2, 3, 6, 12) if last / step <= 12)
