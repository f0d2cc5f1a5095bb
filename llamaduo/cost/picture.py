"""Accumulated cost of both sides by month, as the paper's Figure 4 has it, with bands."""

import math
from collections.abc import Iterator, Sequence

from llamaduo.base.format import money
from llamaduo.charts.head import Key, Tone
from llamaduo.charts.scales import Scale, Tick, nice
from llamaduo.charts.shapes import (
    BOTTOM,
    HEIGHT,
    RIGHT,
    RUNS,
    TOP,
    WIDTH,
    Area,
    Chart,
    Line,
    Mark,
    Text,
)
from llamaduo.cost.table2 import Crossing
from llamaduo.cost.text import break_even_text
from llamaduo.money.decision import CostDecision
from llamaduo.money.spread import Band

LEFT = 46  # room for thousands of dollars
LARGE = (560, 320)  # width and height of a chart of several decisions
SERVICE_DASH = "6 3"
MARKERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def accumulated(decisions: Sequence[CostDecision], crossings: Sequence[Crossing] = ()) -> Chart:
    """Return the chart: the service dashed, the local side whole, a colour for each of them.

    Of several decisions each has one colour for both sides. `crossings` are marked in place of each
    case's own break-even; those after the last month are not.
    """
    months = decisions[0].months
    width, height = LARGE if len(decisions) > 1 else (WIDTH, HEIGHT)
    across = Scale(0, len(months) - 1, LEFT, width - RIGHT)
    most = max(max(max(_highs(one)) for one in decisions), 0.01)
    step = nice(most / 4)
    up = Scale(0, step * math.ceil(most / step), height - BOTTOM, TOP)
    sides = [side for place, one in enumerate(decisions) for side in _sides(decisions, one, place)]
    shown = [x for x in crossings or _own(decisions) if x.months <= len(months) - 1]
    named = {one.name: one for one in decisions}
    points = [_crossing(x, named[x.service], across, up) for x in shown]
    coin = decisions[0].currency
    banded = next((one for one in decisions if one.draws), None)
    bands = f" (bands hold {banded.confidence:.0%} of {banded.draws:,} draws)" if banded else ""
    return Chart(
        key="accumulated",
        title=f"accumulated cost, {'dollars' if coin == 'usd' else coin}",
        says="; ".join(_said(one, several=len(decisions) > 1) for one in decisions),
        across=f"month{bands}",
        x=across.ticks(max(1, nice(len(months) / 8))),
        y=tuple(Tick(tick.at, _short(step * i)) for i, tick in enumerate(up.ticks(step))),
        areas=tuple(area for side in sides for area in side.areas(across, up)),
        lines=(
            *(side.line(across, up, coin) for side in sides),
            *(Line((mark,), "base", joined=False) for mark, _ in points),
        ),
        texts=tuple(text for _, text in points),
        legend=tuple(Key(side.words, side.tone, 1.0, side.dash) for side in sides),
        width=width,
        height=height,
        left=LEFT,
    )


class _Side:
    """One side of a decision: its amounts by month, and how they are drawn."""

    def __init__(self, found: CostDecision, words: str, tone: Tone, *, service: bool) -> None:
        self.words, self.tone, self.service = words, tone, service
        self.dash = SERVICE_DASH if service else ""
        self.amounts = [m.service_total if service else m.local_total for m in found.months]
        self.bands = [m.service_band if service else m.local_band for m in found.months]

    def line(self, across: Scale, up: Scale, coin: str) -> Line:
        marks = (
            Mark(
                across(month),
                up(float(amount)),
                None,
                None,
                f"month {month}: {money(amount, coin)}",
            )
            for month, amount in enumerate(self.amounts)
        )
        return Line(tuple(marks), self.tone, dots=False, dash=self.dash)

    def areas(self, across: Scale, up: Scale) -> Iterator[Area]:
        edges = [_edges(band) for band in self.bands if band is not None]
        if len(edges) != len(self.bands):
            return
        low, high = (
            [
                Mark(across(month), up(max(0.0, ends[end])), None, None, "")
                for month, ends in enumerate(edges)
            ]
            for end in (0, 1)
        )
        yield Area((*low, *reversed(high)), self.tone)


def _sides(decisions: Sequence[CostDecision], one: CostDecision, place: int) -> Iterator[_Side]:
    several = len(decisions) > 1
    name = f"{one.name}: " if several else ""
    tones: tuple[Tone, Tone] = ("service", "tuned")
    if several:
        tones = (RUNS[place % len(RUNS)],) * 2
    nominal = " (nominal)" if one.nominal else ""
    hardware = f"{one.hardware} × {one.months[-1].servers}"
    yield _Side(one, f"{name}service{nominal}", tones[0], service=True)
    yield _Side(one, f"{name}local, {hardware}", tones[1], service=False)


def _edges(band: Band) -> tuple[float, float]:
    return float(band.low or 0), float(band.high or 0)


def _highs(found: CostDecision) -> Iterator[float]:
    for month in found.months:
        for total, band in (
            (month.service_total, month.service_band),
            (month.local_total, month.local_band),
        ):
            high = None if band is None else band.high
            yield float(total if high is None else max(total, high))


def _own(decisions: Sequence[CostDecision]) -> list[Crossing]:
    return [
        Crossing(MARKERS[place % len(MARKERS)], one.name, one.name, one.name, one.break_even)
        for place, one in enumerate(decisions)
        if one.break_even is not None
    ]


def _crossing(
    crossing: Crossing, found: CostDecision, across: Scale, up: Scale
) -> tuple[Mark, Text]:
    at = float(crossing.months)
    before = min(int(at), len(found.months) - 2)
    start, end = (float(found.months[place].service_total) for place in (before, before + 1))
    mark = Mark(
        across(at),
        up(start + (at - before) * (end - start)),
        None,
        None,
        f"pays back after {at:.2f} months",
    )
    late = at > 0.8 * (len(found.months) - 1)
    x = mark.x - 6 if late else mark.x + 5
    words = f"{crossing.marker}  {crossing.months:.2f}"
    return mark, Text(
        round(x, 1), round(max(mark.y - 7, TOP), 1), words, "end" if late else "start"
    )


def _said(found: CostDecision, *, several: bool) -> str:
    last, coin = found.months[-1], found.currency
    name = f"{found.name}: " if several else ""
    return (
        f"{name}after {last.month} months service {money(last.service_total, coin)}, local "
        f"{money(last.local_total, coin)}; break-even: {break_even_text(found)}"
    )


def _short(value: float) -> str:
    """Return a tick of money in little room."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
