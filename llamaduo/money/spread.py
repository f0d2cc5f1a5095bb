"""How sure a decision is: draws over the declared ranges, and each figure moved by itself.

Every figure that has a range is drawn from a triangle over it with its top at the value,
independently of the others: a band holds what was declared, and no more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from llamaduo.config import Quantity
from llamaduo.money.case import KEYS
from llamaduo.money.model import (
    Array,
    Choices,
    Inputs,
    accumulated,
    break_evens,
    project,
    requests_in,
)
from llamaduo.records import Record

NUDGE = Decimal("0.1")  # by which figures are moved where none has a range
BOUNDS = {  # where a figure cannot go
    "cached": (Decimal(0), Decimal(1)),
    "batch": (Decimal(0), Decimal(1)),
    "discount": (Decimal(0), Decimal(1)),
    "utilisation": (Decimal(0), Decimal(1)),
    "peak": (Decimal(1), Decimal("Infinity")),
}


CALENDAR = ("days", "hours")  # conventions, not figures that one is unsure of


class Band(Record):
    """What the draws lie between, but for the tails, and their median; None: never.

    The value may lie outside of it: where ranges reach further up than down, so do the draws.
    """

    low: Decimal | None
    median: Decimal | None
    high: Decimal | None


class Move(Record):
    """What the break-even does when one figure goes to an end of its range, the others staying.

    `low` and `high` are the ends, `at_low` and `at_high` the break-evens in months, None: never.
    """

    key: str
    low: Decimal
    high: Decimal
    at_low: Decimal | None
    at_high: Decimal | None

    @property
    def months(self) -> float:
        """How far the break-even moves; infinity where it comes at one end only."""
        ends = [float("inf") if at is None else float(at) for at in (self.at_low, self.at_high)]
        return 0.0 if ends[0] == ends[1] else abs(ends[1] - ends[0])


@dataclass(frozen=True)
class Draws:
    """How uncertainty is drawn: how often, from which seed, and the share that bands hold."""

    number: int
    seed: int
    confidence: float


def tidy(amount: Decimal | float) -> Decimal:
    """An amount to six decimals, without idle zeros."""
    text = f"{amount:.6f}".rstrip("0").rstrip(".")
    return Decimal("0" if text == "-0" else text)


def drawn(given: Inputs[Quantity], draws: Draws) -> Inputs[Array]:
    """Every figure as an array: so many draws where it has a range, else the one value."""
    names = list(KEYS)

    def draw(name: str, figure: Quantity) -> Array:
        low, top, high = map(float, (figure.bounds[0], figure.value, figure.bounds[1]))
        if low == high:
            return np.asarray(top)
        # A stream for each figure, so that the range of one does not move the draws of others.
        rng = np.random.default_rng([draws.seed, names.index(name)])
        return rng.triangular(low, top, high, draws.number)

    return given.map(draw)


@dataclass(frozen=True)
class Spread:
    """The draws of a case: totals by month, a row each from the start on, and break-evens.

    `requests` is their number over `months`, None where nobody counted them.
    """

    service: Array
    local: Array
    evens: Array
    requests: Array | None
    months: int
    confidence: float

    def band(self, values: Array) -> Band:
        """What all but the tails of some draws lie between."""
        ordered = np.sort(values)
        tail = (1 - self.confidence) / 2
        ends = (ordered[round(share * (len(ordered) - 1))] for share in (tail, 0.5, 1 - tail))
        low, median, high = (None if np.isinf(end) else tidy(float(end)) for end in ends)
        return Band(low=low, median=median, high=high)

    def total(self, side: str, month: int) -> Band:
        """All that a side takes until the end of a month."""
        return self.band(self.service[month] if side == "service" else self.local[month])

    def break_even(self) -> Band:
        """The months until local has cost no more."""
        return self.band(self.evens)

    def pays_back(self) -> float:
        """The share of draws that break even within the months asked for."""
        return float(np.mean(self.evens <= self.months))

    def saving(self, months: int) -> Band:
        """What local saves over some months."""
        return self.band(self.service[months] - self.local[months])

    def per_1000(self, side: str) -> Band | None:
        """What a thousand requests take over the months asked for."""
        if self.requests is None:
            return None
        total = (self.service if side == "service" else self.local)[self.months]
        return self.band(total * 1000 / self.requests)


def spread(
    given: Inputs[Quantity],
    choices: Choices,
    *,
    months: int,
    kept: int,
    searched: int,
    draws: Draws,
) -> Spread | None:
    """The draws of a case, `kept` months of them; None where nothing has a range to draw from."""
    if not draws.number or not any(ranged(given)):
        return None
    x = drawn(given, draws)
    series = project(x, choices, searched)

    def rows(totals: list[Array]) -> Array:
        return np.stack([np.broadcast_to(row, draws.number) for row in totals[: kept + 1]])

    service, local = accumulated(series)
    asked = None if x.requests is None else requests_in(x, months)
    evens = np.broadcast_to(break_evens(series), draws.number)
    return Spread(rows(service), rows(local), evens, asked, months, draws.confidence)


def ranged(given: Inputs[Quantity]) -> list[str]:
    """The figures that have a range."""
    return [name for name in KEYS if (one := getattr(given, name)) is not None and one.ranged]


def sensitivity(
    given: Inputs[Quantity], choices: Choices, searched: int
) -> tuple[tuple[Move, ...], bool]:
    """Each figure moved by itself, what moves the break-even most first.

    To the ends of its range; where no figure has one, ten percent down and up: then the second
    value is true.
    """
    names = ranged(given)
    nudged = not names
    if nudged:
        there = {name: getattr(given, name) for name in KEYS if name not in CALENDAR}
        names = [name for name, one in there.items() if one is not None and one.value]
    ends = {name: _ends(name, getattr(given, name), nudged) for name in names}
    # A draw for each end of each figure, so that all are projected at once.
    values = given.map(_variants(names, ends))
    found = np.broadcast_to(break_evens(project(values, choices, searched)), 2 * len(names))
    moves = []
    for place, name in enumerate(names):
        at_low, at_high = (
            None if np.isinf(at) else tidy(float(at)) for at in found[2 * place : 2 * place + 2]
        )
        low, high = ends[name]
        moves.append(Move(key=KEYS[name], low=low, high=high, at_low=at_low, at_high=at_high))
    return tuple(sorted(moves, key=lambda move: -move.months)), nudged


def _variants(
    names: list[str], ends: dict[str, tuple[Decimal, Decimal]]
) -> Callable[[str, Quantity], Array]:
    def variants(name: str, figure: Quantity) -> Array:
        values = np.full(2 * len(names), float(figure.value))
        if name in ends:
            place = 2 * names.index(name)
            values[place : place + 2] = [float(end) for end in ends[name]]
        return values

    return variants


def _ends(name: str, figure: Quantity, nudged: bool) -> tuple[Decimal, Decimal]:
    if not nudged:
        return figure.bounds
    least, most = BOUNDS.get(name, (None, None))
    step = abs(figure.value) * NUDGE
    low, high = figure.value - step, figure.value + step
    return (low if least is None else max(least, low), high if most is None else min(most, high))
