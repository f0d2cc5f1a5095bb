"""The shapes that a chart is made of, at positions in the chart's own box: x right, y down.

One unit is one pixel where nothing scales the chart. `chart.svg.j2` draws them; a new kind of shape
is a class here, a field of `Chart`, a macro there and its looks in `chart.css`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from llamaduo.charts.head import Head, Key, Tone, head_of
from llamaduo.charts.scales import Tick

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 34, 12, 12, 34

RUNS: tuple[Tone, ...] = ("run1", "run2", "run3", "run4", "run5", "run6")
#: SVG's patterns of a line, told apart where colours are not.
DASHES = ("", "6 2", "2 2", "8 2 2 2", "4 1 1 1", "10 4")

Anchor: TypeAlias = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Mark:
    """A dot, its interval where it has one, and the words that it shows when pointed at."""

    x: float
    y: float
    low: float | None
    high: float | None
    words: str


def points_of(marks: Sequence[Mark]) -> str:
    """Return marks as SVG's list of points."""
    return " ".join(f"{mark.x},{mark.y}" for mark in marks)


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
        return points_of(self.marks)


@dataclass(frozen=True)
class Area:
    """A shaded ground between two edges, given as one outline."""

    outline: tuple[Mark, ...]
    tone: Tone

    @property
    def path(self) -> str:
        """The outline as the points of a polygon."""
        return points_of(self.outline)


@dataclass(frozen=True)
class Level:
    """A value that holds across the whole chart, with its interval where it has one."""

    y: float
    low: float | None
    high: float | None
    tone: Tone


@dataclass(frozen=True)
class Bar:
    """A bar from `bottom` up, and the words that it shows when pointed at."""

    x: float
    width: float
    top: float
    bottom: float
    words: str


@dataclass(frozen=True)
class Row:
    """Bars of one tone on a common ground, their mean at `x`, and the words above them."""

    bars: tuple[Bar, ...]
    tone: Tone
    x: float
    top: float
    bottom: float
    words: str


@dataclass(frozen=True)
class Text:
    """Words at a point of the chart, with a rim that keeps lines off them."""

    x: float
    y: float
    words: str
    anchor: Anchor = "start"


@dataclass(frozen=True)
class Chart:
    """A laid-out chart; `key` tells it from the other charts of a page.

    `title` and `says`, which has its figures in words, stand for it where it cannot be seen.
    `across` is the label of the axis from left to right, `rails` are grid lines that stand upright.
    The height is without `head`, which lies above.
    """

    key: str
    title: str
    says: str
    across: str
    x: tuple[Tick, ...] = ()
    y: tuple[Tick, ...] = ()
    rails: tuple[float, ...] = ()
    areas: tuple[Area, ...] = ()
    lines: tuple[Line, ...] = ()
    levels: tuple[Level, ...] = ()
    rows: tuple[Row, ...] = ()
    texts: tuple[Text, ...] = ()
    legend: tuple[Key, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    margin: int = RIGHT
    top: int = TOP

    @property
    def right(self) -> int:
        """Where the axis across ends."""
        return self.width - self.margin

    @property
    def bottom(self) -> int:
        """Where the axis across lies."""
        return self.height - BOTTOM

    @cached_property
    def head(self) -> Head:
        """The title and the legend, laid out above the chart."""
        return head_of(self.title, self.legend, self.width)

    @property
    def whole(self) -> int:
        """The height with the head."""
        return self.head.height + self.height
