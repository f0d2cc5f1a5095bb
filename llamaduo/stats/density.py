"""How scores lie between 0 and 100: a kernel density that stays within those bounds."""

from collections.abc import Sequence

import numpy as np

GRID = np.linspace(0.0, 100.0, 201)
LEAST = 1.0  # points: scores that are all the same get a narrow hill, not a spike without a width


def bandwidth(scores: Sequence[float]) -> float:
    """Silverman's rule of thumb, in points: 0.9 · min(deviation, quartile range / 1.34) · n^-⅕."""
    values = np.asarray(scores, dtype=float)
    low, high = np.quantile(values, (0.25, 0.75))
    spread = [s for s in (float(values.std(ddof=len(values) > 1)), (high - low) / 1.34) if s > 0]
    return max(LEAST, 0.9 * float(min(spread, default=0.0)) / float(len(values) ** 0.2))


def density(scores: Sequence[float]) -> np.ndarray:
    """Density per point at each place of `GRID`; it holds 1 in all between 0 and 100.

    Normal kernels; what a kernel would put below 0 or above 100 is folded back at the bound, where
    a plain kernel density would show scores that cannot be.

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
