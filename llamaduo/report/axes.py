"""What the charts on a report's page are made of: shapes with positions, scales and ticks.

Positions are in the units of a `Chart`'s own box, x to the right and y down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 34, 12, 12, 34

Tone: TypeAlias = Literal[
    "tuned", "base", "service", "run1", "run2", "run3", "run4", "run5", "run6"
]


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
    """Marks that belong together, `joined` by a line; `fade` runs from 1, in front, to faint.

    `dash` is SVG's pattern of the line, "" for a whole one; `hollow` dots are drawn as rings.
    """

    marks: tuple[Mark, ...]
    tone: Tone = "tuned"
    joined: bool = True
    dots: bool = True
    fade: float = 1.0
    dash: str = ""
    hollow: bool = False

    @property
    def path(self) -> str:
        """The marks as the points of a polyline."""
        return " ".join(f"{mark.x},{mark.y}" for mark in self.marks)


@dataclass(frozen=True)
class Level:
    """A value that holds across the whole chart, with its interval where it has one."""

    y: float
    low: float | None
    high: float | None
    tone: Tone


@dataclass(frozen=True)
class Bar:
    """A bar from `bottom` up, and what it says when pointed at."""

    x: float
    width: float
    top: float
    bottom: float
    words: str


@dataclass(frozen=True)
class Row:
    """Bars of one tone on a common ground, their mean at `x`, and what stands above them."""

    bars: tuple[Bar, ...]
    tone: Tone
    x: float
    top: float
    bottom: float
    words: str


@dataclass(frozen=True)
class Tick:
    """A position on an axis and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Key:
    """An entry of the legend: a patch, or with a `dash` a piece of the line."""

    words: str
    tone: Tone
    fade: float = 1.0
    dash: str | None = None


@dataclass(frozen=True)
class Chart:
    """A laid-out chart; `key` tells it from the other charts of a page.

    `title` and `says`, which has its figures in words, stand for it where it cannot be seen.
    """

    key: str
    title: str
    says: str
    across: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...] = ()
    lines: tuple[Line, ...] = ()
    levels: tuple[Level, ...] = ()
    rows: tuple[Row, ...] = ()
    legend: tuple[Key, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP

    @property
    def bottom(self) -> int:
        """Where the axis across lies."""
        return self.height - BOTTOM


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

    def ticks(self, step: float) -> tuple[Tick, ...]:
        """The multiples of a step within the range."""
        first, last = math.ceil(self.low / step), math.floor(self.high / step + 1e-9)
        values = [round(step * i, 9) for i in range(first, last + 1)]
        return tuple(Tick(self(value), f"{value:g}") for value in values)


def nice(value: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is at least the value."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= value * (1 - 1e-9))


def thinned(ticks: Sequence[Tick], most: int = 10) -> tuple[Tick, ...]:
    """At most so many of the ticks, at even distances."""
    return tuple(ticks[:: math.ceil(len(ticks) / most)])
