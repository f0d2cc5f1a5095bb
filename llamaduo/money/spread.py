"""The uncertainty of a decision: draws over the declared ranges, and each figure moved alone.

Every figure with a range is drawn from a triangular distribution over it with its peak at the
value, independently of the others. A band reflects the declared ranges, and nothing else.
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

NUDGE = Decimal("0.1")  # share by which figures are moved where none has a range
BOUNDS = {  # that a nudged figure cannot leave
    "cached": (Decimal(0), Decimal(1)),
    "batch": (Decimal(0), Decimal(1)),
    "discount": (Decimal(0), Decimal(1)),
    "utilisation": (Decimal(0), Decimal(1)),
    "peak": (Decimal(1), Decimal("Infinity")),
}


CALENDAR = ("days", "hours")  # conventions, not uncertain figures


class Band(Record):
    """The bounds of the draws without their tails, and their median; None: never.

    The value may lie outside: where ranges reach further up than down, so do the draws.
    """

    low: Decimal | None
    median: Decimal | None
    high: Decimal | None


class Move(Record):
    """The move of the break-even when one figure moves to the ends of its range, alone.

    `low` and `high` are the ends, `at_low` and `at_high` the break-evens in months; None: never.
    """

    key: str
    low: Decimal
    high: Decimal
    at_low: Decimal | None
    at_high: Decimal | None

    @property
    def months(self) -> float:
        """The move of the break-even; infinity where it exists at one end only."""
        ends = [float("inf") if at is None else float(at) for at in (self.at_low, self.at_high)]
        return 0.0 if ends[0] == ends[1] else abs(ends[1] - ends[0])


@dataclass(frozen=True)
class Draws:
    """The number of draws, their seed, and the share of them that a band holds."""

    number: int
    seed: int
    confidence: float


def tidy(amount: Decimal | float) -> Decimal:
    """Round an amount to six decimals, without trailing zeros."""
    text = f"{amount:.6f}".rstrip("0").rstrip(".")
    return Decimal("0" if text == "-0" else text)


def drawn(given: Inputs[Quantity], draws: Draws) -> Inputs[Array]:
    """Return every figure as an array: its draws where it has a range, else the one value."""
    names = list(KEYS)

    def draw(name: str, figure: Quantity) -> Array:
        low, top, high = map(float, (figure.bounds[0], figure.value, figure.bounds[1]))
        if low == high:
            return np.asarray(top)
        # A random stream for each figure: the range of one does not change the draws of others.
        rng = np.random.default_rng([draws.seed, names.index(name)])
        return rng.triangular(low, top, high, draws.number)

    return given.map(draw)


@dataclass(frozen=True)
class Spread:
    """The draws of a case: totals, with a row for the start and each month, and break-evens.

    `requests` is their number over `months`; None where nobody counted them.
    """

    service: Array
    local: Array
    evens: Array
    requests: Array | None
    months: int
    confidence: float

    def band(self, values: Array) -> Band:
        """Return the band of some draws."""
        ordered = np.sort(values)
        tail = (1 - self.confidence) / 2
        ends = (ordered[round(share * (len(ordered) - 1))] for share in (tail, 0.5, 1 - tail))
        low, median, high = (None if np.isinf(end) else tidy(float(end)) for end in ends)
        return Band(low=low, median=median, high=high)

    def total(self, side: str, month: int) -> Band:
        """Return the total cost of a side until the end of a month."""
        return self.band(self.service[month] if side == "service" else self.local[month])

    def break_even(self) -> Band:
        """Return the months until local has cost no more than the service."""
        return self.band(self.evens)

    def pays_back(self) -> float:
        """Return the share of draws that break even within `months`."""
        return float(np.mean(self.evens <= self.months))

    def saving(self, months: int) -> Band:
        """Return the savings of local over so many months."""
        return self.band(self.service[months] - self.local[months])

    def per_1000(self, side: str) -> Band | None:
        """Return the cost of a thousand requests over `months`."""
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
    """Draw a case, and keep `kept` months of it; None where no figure has a range."""
    if not draws.number or not any(ranged(given)):
        return None
    x = drawn(given, draws)
    series = project(x, choices, searched)

    def rows(totals: list[Array]) -> Array:
        return np.stack([np.broadcast_to(row, draws.number) for row in totals[: kept + 1]])

    service, local = accumulated(series)
    requests = None if x.requests is None else requests_in(x, months)
    evens = np.broadcast_to(break_evens(series), draws.number)
    return Spread(rows(service), rows(local), evens, requests, months, draws.confidence)


def ranged(given: Inputs[Quantity]) -> list[str]:
    """Return the names of the figures that have a range."""
    return [name for name in KEYS if (figure := getattr(given, name)) is not None and figure.ranged]


def sensitivity(
    given: Inputs[Quantity], choices: Choices, searched: int
) -> tuple[tuple[Move, ...], bool]:
    """Move each figure alone, and return the moves of the break-even, the largest first.

    A figure moves to the ends of its range. Where no figure has one, each moves by ten percent down
    and up; then the second value is true.
    """
    names = ranged(given)
    nudged = not names
    if nudged:
        figures = {name: getattr(given, name) for name in KEYS if name not in CALENDAR}
        names = [name for name, figure in figures.items() if figure is not None and figure.value]
    ends = {name: _ends(name, getattr(given, name), nudged) for name in names}
    # A draw for each end of each figure, so that all are projected at once.
    values = given.map(_variants(names, ends))
    evens = np.broadcast_to(break_evens(project(values, choices, searched)), 2 * len(names))
    moves = []
    for place, name in enumerate(names):
        at_low, at_high = (
            None if np.isinf(at) else tidy(float(at)) for at in evens[2 * place : 2 * place + 2]
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
