"""Figures of verdicts: means, coverage, spread, and comparisons of two systems prompt by prompt.

Every function takes verdicts as rows or as a `VerdictTable`, and depends on nothing else. Intervals
and p-values resample prompts (`llamaduo.stats.intervals`).
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from llamaduo.records import Judgement, Record
from llamaduo.stats.intervals import Estimate, estimate, sign_flips
from llamaduo.stats.table import METRICS, Floats, Metric, VerdictTable, same_test_set
from llamaduo.stats.variance import Parts, parts

Verdicts: TypeAlias = Iterable[Judgement] | VerdictTable


class Summary(Record):
    """One metric of one system: mean and median of all responses, percent that reach 50 and 70.

    `variance` has the sources of the spread of single verdicts.
    """

    mean: Estimate
    coverage_50: int
    coverage_70: int
    median: float | None = None
    variance: Parts | None = None


class Scores(Record):
    """The scores of one system on one set of prompts, by one judge or a panel.

    `responses` is the number of responses with a score, each the mean of its repeats. `unjudged`
    counts the others: they have no verdict at all, or none of one of the judges. `failures` counts
    failed judgements. `unjudged` and `failures` are in no mean.
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
        """Return the summary of one metric."""
        return self.similarity if metric == "similarity" else self.precision

    def flat(self) -> dict[str, float]:
        """Return the figures under the names of their MLflow metrics."""
        figures: dict[str, float] = {
            "coverage_50": self.both_50,
            "coverage_70": self.both_70,
            "failures": self.failures,
            "unjudged": self.unjudged,
        }
        for metric in METRICS:
            summary = self.of(metric)
            spread = summary.variance or Parts(prompt=None, sample=None, judge=None, within=None)
            by_name = {
                "mean": summary.mean.value,
                "coverage_50": summary.coverage_50,
                "coverage_70": summary.coverage_70,
                "low": summary.mean.low,
                "high": summary.mean.high,
                "median": summary.median,
                **{f"variance_{part}": value for part, value in spread},
            }
            figures |= {f"{metric}_{n}": float(v) for n, v in by_name.items() if v is not None}
        return figures


class Comparison(Record):
    """One system minus another on the prompts that both have.

    `p` is the permutation p-value of no difference: the smaller it is, the less likely is chance.
    """

    difference: Estimate
    p: float
    prompts: int


def whole_percent(reached: int, total: int) -> int:
    """Return percent as a whole number, half to even, as in LlamaDuo's Table 1."""
    return round(Fraction(100 * reached, total))


def by_prompt(rows: Verdicts, metric: Metric) -> dict[str, tuple[float, ...]]:
    """Return the scores of each prompt's responses, each the mean of its repeats.

    Several judges have equal weight, on the responses that all of them gave a verdict on. Failures
    are left out, so a prompt without a verdict is not there.
    """
    table = VerdictTable.of(rows)
    grouped: dict[str, list[float]] = {}
    responses = table.responses
    scores = responses.scores(metric).tolist()
    for prompt, score in zip(responses.prompt.tolist(), scores, strict=True):
        grouped.setdefault(table.prompts[prompt], []).append(score)
    return {prompt_id: tuple(scores) for prompt_id, scores in grouped.items()}


def prompt_means(rows: Verdicts, metric: Metric) -> dict[str, float]:
    """Return the mean score of each prompt's responses, without prompts that have no verdict."""
    table = VerdictTable.of(rows)
    places, sums, counts = _clusters(table, table.responses.scores(metric))
    means = (sums / counts).tolist()
    return {table.prompts[i]: mean for i, mean in zip(places.tolist(), means, strict=True)}


def summarise(rows: Verdicts, *, confidence: float, seed: int) -> Scores | None:
    """Return the scores of one system, or None where it has no verdict."""
    table = VerdictTable.of(rows)
    responses = table.responses
    total = len(responses.prompt)
    if not total:
        return None

    def reach(threshold: float, *metrics: Metric) -> int:
        reached = np.all([responses.scores(metric) >= threshold for metric in metrics], axis=0)
        return whole_percent(int(reached.sum()), total)

    def summary(metric: Metric) -> Summary:
        scores = responses.scores(metric)
        _, sums, counts = _clusters(table, scores)
        clusters = np.stack([sums, counts], axis=1)
        return Summary(
            mean=estimate(clusters, confidence=confidence, seed=seed, top=100),
            coverage_50=reach(50, metric),
            coverage_70=reach(70, metric),
            median=float(np.median(scores)),
            variance=parts(table, metric),
        )

    return Scores(
        similarity=summary("similarity"),
        precision=summary("precision"),
        both_50=reach(50, *METRICS),
        both_70=reach(70, *METRICS),
        prompts=len(np.unique(responses.prompt)),
        responses=total,
        failures=int(table.failed.sum()),
        unjudged=len(table.answers[1]) - total,
    )


def difference(
    a: Verdicts, b: Verdicts, metric: Metric, *, confidence: float, seed: int
) -> Estimate | None:
    """Return the mean of a minus the mean of b, prompt by prompt, over the prompts that both have.

    Raises:
        DataError: they are tables of different test sets. All functions that compare two systems
            raise it.
    """
    pairs = paired(a, b, metric)
    clusters = np.stack([pairs[:, 0] - pairs[:, 1], np.ones(len(pairs))], axis=1)
    return estimate(clusters, confidence=confidence, seed=seed) if len(pairs) else None


def compare(
    a: Verdicts, b: Verdicts, metric: Metric, *, confidence: float, seed: int
) -> Comparison | None:
    """Return the `difference` with a p-value; None where they have no prompt in common."""
    a, b = VerdictTable.of(a), VerdictTable.of(b)
    mean_difference = difference(a, b, metric, confidence=confidence, seed=seed)
    pairs = paired(a, b, metric)
    p = sign_flips(pairs[:, 0] - pairs[:, 1], seed=seed)
    if mean_difference is None or p is None:
        return None
    return Comparison(difference=mean_difference, p=p, prompts=len(pairs))


def ratio(
    a: Verdicts, b: Verdicts, metric: Metric, *, confidence: float, seed: int
) -> Estimate | None:
    """Return the mean of a over the mean of b on the prompts that both have; None over 0."""
    pairs = paired(a, b, metric)
    if not pairs[:, 1].sum():
        return None
    return estimate(pairs, confidence=confidence, seed=seed)


def coverage_ratio(
    a: Verdicts, b: Verdicts, metric: Metric, threshold: float, *, confidence: float, seed: int
) -> Estimate | None:
    """Return the share of a's responses that reach the threshold, over that of b's.

    Prompt by prompt, on the prompts that both have. None where none of b's reaches it.
    """
    pairs = paired(a, b, metric, threshold)
    if not pairs[:, 1].sum():
        return None
    return estimate(pairs, confidence=confidence, seed=seed)


def paired(a: Verdicts, b: Verdicts, metric: Metric, threshold: float | None = None) -> Floats:
    """Return the means of a and b for each prompt that both have, (prompts, 2).

    With a threshold, the shares of responses that reach it.
    """
    tables = VerdictTable.of(a), VerdictTable.of(b)
    same_test_set(*tables)
    sides = []
    for table in tables:
        scores = table.responses.scores(metric)
        if threshold is not None:
            scores = (scores >= threshold).astype(float)
        places, sums, counts = _clusters(table, scores)
        sides.append((np.array(table.prompts, dtype=str)[places], sums / counts))
    (first, x), (second, y) = sides
    _, i, j = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return np.stack([x[i], y[j]], axis=1)


def _clusters(table: VerdictTable, scores: Floats) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Return of each prompt with a verdict: place, sum of its responses' scores, their number."""
    prompt = table.responses.prompt
    counts = np.bincount(prompt, minlength=len(table.prompts))
    places = np.flatnonzero(counts)
    sums = np.asarray(np.bincount(prompt, scores, len(table.prompts)), dtype=np.float64)
    return places, sums[places], counts[places].astype(np.float64)


class TableCell(Record):
    """A cell of a table, for one model, judge and metric: a mean and two percentages."""

    mean: float
    coverage_50: float
    coverage_70: float

    @classmethod
    def of(cls, summary: Summary) -> "TableCell":
        """Return the cell of a summary."""
        return cls(
            mean=summary.mean.value,
            coverage_50=summary.coverage_50,
            coverage_70=summary.coverage_70,
        )


class PMatch(Record):
    """P-Match of one column, in percent; None without models, or where the service has 0."""

    mean: float | None
    coverage_50: float | None
    coverage_70: float | None


def p_match(local: Sequence[TableCell], service: Sequence[TableCell]) -> PMatch:
    """Return the best local over the best service score, each figure by itself, as in the paper.

    The best mean and the best coverage may be those of different models. One column is one task,
    judge and metric.
    """

    def share(name: str) -> float | None:
        ours, theirs = ([getattr(cell, name) for cell in cells] for cells in (local, service))
        if not ours or not theirs or not max(theirs):
            return None
        return 100 * float(max(ours)) / float(max(theirs))

    return PMatch(**{name: share(name) for name in PMatch.model_fields})
