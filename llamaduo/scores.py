"""From verdicts to figures: means, coverage, and intervals that respect who was asked what.

The K responses to one prompt are not independent, so every interval resamples prompts, not
responses: a studentised bootstrap of a ratio of sums over prompts. Plain percentile intervals are
too narrow at twenty prompts (they cover 90 to 93 % instead of 95 %).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np

from llamaduo.records import JudgeFailure, Record, Verdict

Metric: TypeAlias = Literal["similarity", "precision"]
METRICS: tuple[Metric, ...] = ("similarity", "precision")
RESAMPLES = 4000


class Estimate(Record):
    """A figure and its interval; the bounds are None where fewer than two prompts tell."""

    value: float
    low: float | None
    high: float | None


class Summary(Record):
    """One metric of one system: mean of all responses, and percent of them that reach 50 and 70."""

    mean: Estimate
    coverage_50: int
    coverage_70: int


class Scores(Record):
    """What a judge made of one system on one set of prompts.

    `responses` were scored, each by the mean of its repeats; `unjudged` others have not one
    verdict. `failures` counts judgements that are none, of either. Neither is in any mean.
    """

    similarity: Summary
    precision: Summary
    both_50: int
    both_70: int
    prompts: int
    responses: int
    failures: int
    unjudged: int = 0

    def of(self, metric: Metric) -> Summary:
        """The summary of one metric."""
        return self.similarity if metric == "similarity" else self.precision

    def flat(self) -> dict[str, float]:
        """The figures under the names that the tracker shows."""
        figures: dict[str, float] = {
            "coverage_50": self.both_50,
            "coverage_70": self.both_70,
            "failures": self.failures,
            "unjudged": self.unjudged,
        }
        for metric in METRICS:
            one = self.of(metric)
            figures[f"{metric}_mean"] = one.mean.value
            figures[f"{metric}_coverage_50"] = one.coverage_50
            figures[f"{metric}_coverage_70"] = one.coverage_70
            if one.mean.low is not None and one.mean.high is not None:
                figures[f"{metric}_low"] = one.mean.low
                figures[f"{metric}_high"] = one.mean.high
        return figures


def coverage(reached: int, total: int) -> int:
    """Percent as a whole number, half to even, as in LlamaDuo's Table 1."""
    return round(Fraction(100 * reached, total))


def by_prompt(
    rows: Iterable[Verdict | JudgeFailure], metric: Metric
) -> dict[str, tuple[float, ...]]:
    """The scores of each prompt's responses; repeats of a response are averaged first.

    Failures are left out, so a prompt of which every judgement failed is not there.
    """
    repeats: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in rows:
        if isinstance(row, Verdict):
            repeats[row.prompt_id, row.k].append(getattr(row, metric))
    found: dict[str, tuple[float, ...]] = {}
    for (prompt_id, _), scores in sorted(repeats.items()):
        found[prompt_id] = (*found.get(prompt_id, ()), sum(scores) / len(scores))
    return found


def summarise(
    rows: Sequence[Verdict | JudgeFailure], *, confidence: float, seed: int
) -> Scores | None:
    """The scores of one system, or None where not one judgement succeeded."""
    tables = {metric: by_prompt(rows, metric) for metric in METRICS}
    if not tables["similarity"]:
        return None
    flat = {metric: [s for scores in tables[metric].values() for s in scores] for metric in METRICS}
    total = len(flat["similarity"])

    def reach(threshold: float, *metrics: Metric) -> int:
        columns = zip(*(flat[metric] for metric in metrics), strict=True)
        return coverage(sum(min(column) >= threshold for column in columns), total)

    def one(metric: Metric) -> Summary:
        scores = tables[metric].values()
        return Summary(
            mean=estimate(
                [(sum(of), len(of)) for of in scores], confidence=confidence, seed=seed, top=100
            ),
            coverage_50=reach(50, metric),
            coverage_70=reach(70, metric),
        )

    return Scores(
        similarity=one("similarity"),
        precision=one("precision"),
        both_50=reach(50, *METRICS),
        both_70=reach(70, *METRICS),
        prompts=len(tables["similarity"]),
        responses=total,
        failures=sum(isinstance(row, JudgeFailure) for row in rows),
        unjudged=len({(row.prompt_id, row.k) for row in rows}) - total,
    )


def difference(
    a: Sequence[Verdict | JudgeFailure],
    b: Sequence[Verdict | JudgeFailure],
    metric: Metric,
    *,
    confidence: float,
    seed: int,
) -> Estimate | None:
    """Mean of a minus mean of b, prompt by prompt, over the prompts that both have."""
    pairs = _paired(by_prompt(a, metric), by_prompt(b, metric))
    clusters = [(x - y, 1.0) for x, y in pairs]
    return estimate(clusters, confidence=confidence, seed=seed) if clusters else None


def ratio(
    a: Sequence[Verdict | JudgeFailure],
    b: Sequence[Verdict | JudgeFailure],
    metric: Metric,
    *,
    confidence: float,
    seed: int,
) -> Estimate | None:
    """Mean of a over mean of b on the prompts that both have; None where b has nothing above 0."""
    pairs = _paired(by_prompt(a, metric), by_prompt(b, metric))
    if not sum(y for _, y in pairs):
        return None
    return estimate(pairs, confidence=confidence, seed=seed)


def _paired(
    a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]]
) -> list[tuple[float, float]]:
    common = [prompt_id for prompt_id in a if prompt_id in b]
    return [(sum(a[i]) / len(a[i]), sum(b[i]) / len(b[i])) for i in common]


def estimate(
    clusters: Sequence[tuple[float, float]],
    *,
    confidence: float,
    seed: int,
    top: float | None = None,
) -> Estimate:
    """Sum of firsts over sum of seconds, with a bootstrap-t interval over the clusters.

    The standard error of each resample is the linearised one of a ratio of means. Where resampling
    cannot tell (fewer than five clusters, or so few odd ones that many resamples miss them) the
    bound is at least Student's. With `top` the interval is cut to 0 … top. Deterministic for a
    seed.
    """
    table = np.asarray(clusters, dtype=float)
    value = float(table[:, 0].sum() / table[:, 1].sum())
    n = len(table)
    if n < 2:
        return Estimate(value=value, low=None, high=None)
    error = float(_standard_error(table[None])[0])
    picks = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n))
    resampled = table[picks]
    sums = resampled.sum(axis=1)
    errors = _standard_error(resampled)
    if error <= 1e-12:
        return Estimate(value=value, low=value, high=value)
    whole = sums[:, 1] > 0
    off = sums[whole, 0] / sums[whole, 1] - value
    # A resample without spread, such as one that misses the only odd prompt, lies infinitely many
    # of its standard errors off. Leaving it out would cut the tail that the bound is read from.
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(np.abs(off) <= 1e-12, 0.0, off / np.where(errors > 1e-12, errors, 0.0)[whole])
    tail = (1 - confidence) / 2
    upper = _bound(float(np.quantile(t, 1 - tail, method="higher")), n, tail)
    lower = _bound(float(-np.quantile(t, tail, method="lower")), n, tail)
    low, high = value - upper * error, value + lower * error
    if top is not None:
        low, high = max(0.0, low), min(top, high)
    return Estimate(value=value, low=low, high=high)


def _bound(quantile: float, n: int, tail: float) -> float:
    if np.isfinite(quantile) and n >= 5:
        return quantile
    from scipy.special import stdtrit  # rarely needed, and slow to import

    student = float(stdtrit(n - 1, 1 - tail))
    return max(student, quantile) if np.isfinite(quantile) else student


def _standard_error(tables: np.ndarray) -> np.ndarray:
    n = tables.shape[1]
    top, bottom = tables[..., 0], tables[..., 1]
    total = bottom.sum(axis=1, keepdims=True)
    safe = np.where(total > 0, total, 1.0)
    residual = top - top.sum(axis=1, keepdims=True) / safe * bottom
    return np.asarray(np.sqrt(n / (n - 1) * (residual**2).sum(axis=1)) / safe[:, 0])
