"""Intervals and p-values by resampling prompts.

The K responses to one prompt are not independent, so prompts are resampled, not responses. The
interval is a studentised bootstrap of a ratio of sums over prompts: plain percentile intervals are
too narrow at twenty prompts (they cover 90 to 93 % instead of 95 %).
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from llamaduo.records import Record

RESAMPLES = 4000
_CELLS = 2_000_000  # of a matrix of draws by prompts that is in memory at once
_KEPT = 10_000_000  # cells of the largest matrix that is cached, two bytes each
Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.unsignedinteger[Any]]


class Estimate(Record):
    """A figure and its interval; the bounds are None for fewer than two prompts."""

    value: float
    low: float | None
    high: float | None


def estimate(
    clusters: Sequence[tuple[float, float]] | Floats,
    *,
    confidence: float,
    seed: int,
    top: float | None = None,
) -> Estimate:
    """Return the sum of firsts over the sum of seconds, with a bootstrap-t interval over clusters.

    The standard error of each resample is the linearised one of a ratio of means. With fewer than
    five clusters, or so few different ones that many resamples miss them, the bound is Student's,
    or the one by resampling where that is wider. With `top` the interval is cut to 0 … top.
    Deterministic for a seed.
    """
    table = np.asarray(clusters, dtype=float)
    value = float(table[:, 0].sum() / table[:, 1].sum())
    n = len(table)
    if n < 2:
        return Estimate(value=value, low=None, high=None)
    residual = table[:, 0] - value * table[:, 1]
    error = float(np.sqrt(n / (n - 1) * (residual**2).sum()) / table[:, 1].sum())
    if error <= 1e-12:
        return Estimate(value=value, low=value, high=value)
    t = _studentised(residual, table[:, 1], seed)
    tail = (1 - confidence) / 2
    upper = _bound(float(np.quantile(t, 1 - tail, method="higher")), n, tail)
    lower = _bound(float(-np.quantile(t, tail, method="lower")), n, tail)
    low, high = value - upper * error, value + lower * error
    if top is not None:
        low, high = max(0.0, low), min(top, high)
    return Estimate(value=value, low=low, high=high)


def _studentised(residual: Floats, bottom: Floats, seed: int) -> Floats:
    """Return the distance of each resample from the figure, in its own standard errors.

    A resample without spread, such as one that misses the only different prompt, has an infinite
    distance. Without it, the tail that gives the bound would be cut.
    """
    n = len(residual)
    columns = np.stack([residual, bottom, residual**2, residual * bottom, bottom**2], axis=1)
    sums = np.concatenate([counts @ columns for counts in _counts(n, seed)])
    top, whole, square, mixed, below = sums[sums[:, 1] > 0].T
    off = top / whole
    spread = square - 2 * off * mixed + off**2 * below
    spread[spread <= 1e-12 * (square + off**2 * below)] = 0  # only rounding is left
    with np.errstate(divide="ignore", invalid="ignore"):
        t = off * whole / np.sqrt(n / (n - 1) * spread)
    t[np.abs(off) <= 1e-12] = 0
    return np.asarray(t)


def _counts(n: int, seed: int) -> Iterator[Floats]:
    """Yield how often each resample has each of n clusters: `RESAMPLES` rows in all, in blocks."""
    if n * RESAMPLES <= _KEPT:
        blocks: Iterable[Counts] = _kept(n, seed)
    else:
        blocks = _drawn(n, seed)
    for block in blocks:
        yield block.astype(np.float64)


@lru_cache(maxsize=4)
def _kept(n: int, seed: int) -> tuple[Counts, ...]:
    """Return the blocks of `_drawn`, cached: many figures have the same prompts and seed.

    Drawing is the slowest part.
    """
    return tuple(_drawn(n, seed))


def _drawn(n: int, seed: int) -> Iterator[Counts]:
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // n)
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        picks = rng.integers(0, n, size=(rows, n))
        picks += n * np.arange(rows)[:, None]
        counts = np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n)
        yield counts.astype(np.uint32 if n > 65_535 else np.uint16)


def _bound(quantile: float, n: int, tail: float) -> float:
    if np.isfinite(quantile) and n >= 5:
        return quantile
    from scipy.special import stdtrit  # rarely needed, and slow to import

    student = float(stdtrit(n - 1, 1 - tail))
    return max(student, quantile) if np.isfinite(quantile) else student


def sign_flips(differences: Sequence[float] | Floats, *, seed: int) -> float | None:
    """Return the two-sided permutation p-value of a mean difference, by flipping signs of prompts.

    It is the share of sign patterns whose mean is at least as far from 0 as the observed one: of
    all 2ⁿ patterns up to twelve prompts, beyond that of `RESAMPLES` random ones and the observed
    one. None without differences.
    """
    d = np.asarray(differences, dtype=float)
    n = len(d)
    if not n:
        return None
    observed = abs(float(d.sum())) - 1e-9 * float(np.abs(d).sum())
    if n <= 12:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
        return float(np.mean(np.abs(signs @ d) >= observed))
    rng = np.random.default_rng(seed)
    beyond = 0
    block = max(1, _CELLS // n)
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        flips = np.unpackbits(np.frombuffer(rng.bytes(rows * -(-n // 8)), np.uint8))
        flips = flips.reshape(rows, -1)[:, :n]
        sums = 2 * (flips.astype(float) @ d) - d.sum()
        beyond += int((np.abs(sums) >= observed).sum())
    return (1 + beyond) / (1 + RESAMPLES)
