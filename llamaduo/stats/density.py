"""A kernel density of scores that stays between 0 and 100."""

from collections.abc import Sequence

import numpy as np

GRID = np.linspace(0.0, 100.0, 201)
LEAST = 1.0  # points; the least bandwidth, for scores that are all the same


def bandwidth(scores: Sequence[float]) -> float:
    """Return the bandwidth in points by Silverman's rule of thumb.

    It is 0.9 · min(standard deviation, quartile range / 1.34) · n^-⅕.
    """
    values = np.asarray(scores, dtype=float)
    low, high = np.quantile(values, (0.25, 0.75))
    spreads = [s for s in (float(values.std(ddof=len(values) > 1)), (high - low) / 1.34) if s > 0]
    return max(LEAST, 0.9 * float(min(spreads, default=0.0)) / float(len(values) ** 0.2))


def density(scores: Sequence[float]) -> np.ndarray:
    """Return the density per point at each place of `GRID`; its integral from 0 to 100 is 1.

    The kernels are normal. The part of a kernel below 0 or above 100 is reflected at the bound; a
    plain kernel density would show scores that do not exist.

    Raises:
        ValueError: no scores, or one that is not between 0 and 100.
    """
    values = np.asarray(scores, dtype=float)
    if not len(values) or not ((values >= 0) & (values <= 100)).all():
        raise ValueError("a density needs scores, each from 0 to 100")
    width = bandwidth(scores)
    at = np.zeros_like(GRID)
    for part in np.array_split(values, max(1, len(values) // 10_000)):
        images = np.concatenate([part, -part, 200.0 - part])
        at += np.exp(-0.5 * ((GRID[:, None] - images) / width) ** 2).sum(axis=1)
    return np.asarray(at / (len(values) * width * np.sqrt(2 * np.pi)))
