"""The geometry of the charts on a report's page: numbers in, positions out.

The template draws what is laid out here. Positions are in the units of a `Chart`'s own box, x to
the right and y down.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llamaduo.outcome import Outcome
from llamaduo.report_words import estimate
from llamaduo.scores import Estimate, Metric

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 34, 12, 12, 34


@dataclass(frozen=True)
class Mark:
    """A dot, its interval where it has one, and what it says when pointed at."""

    x: float
    y: float
    low: float | None
    high: float | None
    words: str


@dataclass(frozen=True)
class Line:
    """Marks that belong together; `fade` runs from 1, in front, down to faint."""

    name: str
    marks: tuple[Mark, ...]
    dots: bool
    fade: float = 1.0

    @property
    def path(self) -> str:
        """The marks as the points of a polyline."""
        return " ".join(f"{mark.x},{mark.y}" for mark in self.marks)


@dataclass(frozen=True)
class Tick:
    """A position on an axis and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A laid-out chart. `title` also stands for it where it cannot be seen.

    With `names` its upper right corner names the lines, or the first and last of more than six.
    """

    title: str
    across: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    lines: tuple[Line, ...]
    names: bool = False
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM

    @property
    def named(self) -> tuple[Line, ...]:
        """The lines that the corner names."""
        few = self.lines if len(self.lines) <= 6 else (self.lines[0], self.lines[-1])
        return few if self.names else ()


@dataclass(frozen=True)
class Scale:
    """From a value to a position; a range without extent lands in the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def by_round(outcome: Outcome, metric: Metric) -> Chart | None:
    """A metric's mean on dev in each round, with its interval; None where no round has one."""
    found = [
        (one.number, one.scores.of(metric).mean) for one in outcome.rounds if one.scores is not None
    ]
    if not found:
        return None
    across = Scale(0, outcome.rounds[-1].number, LEFT + 26, WIDTH - RIGHT - 26)
    low, high = _range(bound for _, mean in found for bound in _bounds(mean))
    up = Scale(low, high, HEIGHT - BOTTOM, TOP)
    marks = tuple(_mark(across(n), mean, up, f"round {n}: {estimate(mean)}") for n, mean in found)
    return Chart(
        title=f"{metric} on dev",
        across="round",
        x=_thinned([Tick(across(one.number), str(one.number)) for one in outcome.rounds]),
        y=tuple(Tick(up(v), f"{v:g}") for v in _steps(low, high)),
        lines=(Line(metric, marks, dots=True),),
    )


def losses(outcome: Outcome) -> Chart | None:
    """Training loss by step, a line per round; None where nothing was recorded."""
    rows = {
        one.number: [(step, loss) for step, loss in one.losses if math.isfinite(loss)]
        for one in outcome.rounds
    }
    rows = {number: found for number, found in rows.items() if found}
    if not rows:
        return None
    points = [point for found in rows.values() for point in found]
    last = max(step for step, _ in points)
    top = max(loss for _, loss in points)
    step = _nice(top / 4)
    high = step * math.ceil(max(top, step) / step)
    across = Scale(0, max(1, last), LEFT + 4, WIDTH - RIGHT - 4)
    up = Scale(0, high, HEIGHT - BOTTOM, TOP)
    lines = []
    for place, (number, found) in enumerate(rows.items(), start=1):
        marks = tuple(
            Mark(across(s), up(v), None, None, f"round {number}, step {s}: {v:.3f}")
            for s, v in found
        )
        fade = 0.35 + 0.65 * place / len(rows)
        lines.append(Line(f"round {number}", marks, dots=len(found) <= 40, fade=round(fade, 2)))
    stride = max(1, _nice(last / 4))
    return Chart(
        title="training loss",
        across="step",
        x=tuple(Tick(across(s), f"{s:g}") for s in _steps(0, last, stride)),
        y=tuple(Tick(up(v), f"{v:g}") for v in _steps(0, high, step)),
        lines=tuple(lines),
        names=True,
    )


def _mark(x: float, mean: Estimate, up: Scale, words: str) -> Mark:
    if mean.low is None or mean.high is None:
        return Mark(x, up(mean.value), None, None, words)
    return Mark(x, up(mean.value), up(mean.low), up(mean.high), words)


def _bounds(mean: Estimate) -> list[float]:
    return [v for v in (mean.value, mean.low, mean.high) if v is not None]


def _range(values: Iterable[float]) -> tuple[float, float]:
    """Tens around the values within 0 … 100, at least 30 apart so that noise looks like noise."""
    found = list(values)
    low, high = 10 * math.floor(min(found) / 10), 10 * math.ceil(max(found) / 10)
    while high - low < 30:
        high = min(100, high + 10)
        if high - low < 30:
            low = max(0, low - 10)
    return low, high


def _steps(low: float, high: float, step: float | None = None) -> list[float]:
    step = step or (10 if high - low <= 50 else 20)
    first = math.ceil(low / step)
    return [round(step * i, 6) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _nice(value: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is at least the value."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= value * (1 - 1e-9))


def _thinned(ticks: Sequence[Tick], most: int = 10) -> tuple[Tick, ...]:
    return tuple(ticks[:: math.ceil(len(ticks) / most)])
