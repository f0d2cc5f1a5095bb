"""From values to positions along an axis, and the ticks that stand there."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """A position on an axis and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """A map from a value to a position; a range without extent lands in the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, step: float) -> tuple[Tick, ...]:
        """Return a tick at each multiple of a step within the range."""
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(Tick(self(step * i), f"{step * i:.9g}") for i in range(first, last + 1))


def nice(value: float) -> float:
    """Return the least of 1, 2, 5 times a power of ten that is at least the value."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= value * (1 - 1e-9))


def around(values: Iterable[float], start: float, end: float) -> tuple[Scale, tuple[Tick, ...]]:
    """Return a scale from one tick to another with all values between, and its ticks."""
    all_values = list(values)
    low, high = min(all_values), max(all_values)
    step = nice((high - low or abs(high) or 1.0) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    scale = Scale(step * first, step * max(last, first + 1), start, end)
    return scale, scale.ticks(step)


def thinned(ticks: Sequence[Tick], most: int = 10) -> tuple[Tick, ...]:
    """Return at most so many of the ticks, at even distances."""
    return tuple(ticks[:: math.ceil(len(ticks) / most)])


def spaced(ticks: Sequence[Tick], least: float) -> tuple[Tick, ...]:
    """Return the ticks, last to first, that stand at least so far from the one kept before."""
    kept: list[Tick] = []
    for tick in reversed(ticks):
        if not kept or abs(kept[-1].at - tick.at) >= least:
            kept.append(tick)
    return tuple(reversed(kept))
