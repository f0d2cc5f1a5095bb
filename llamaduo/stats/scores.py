"""From verdicts to figures: means, coverage, spread, and comparisons that pair prompts.

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

    `variance` says where single verdicts get their spread from.
    """

    mean: Estimate
    coverage_50: int
    coverage_70: int
    median: float | None = None
    variance: Parts | None = None


class Scores(Record):
    """What a judge made of one system on one set of prompts.

    `responses` were scored, each by the mean of its repeats; `unjudged` others have not one
    verdict, or none of one of the judges. `failures` counts judgements that are none, of either.
    Neither is in any mean.
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
            spread = one.variance or Parts(prompt=None, sample=None, judge=None, within=None)
            found = {
                "mean": one.mean.value,
                "coverage_50": one.coverage_50,
                "coverage_70": one.coverage_70,
                "low": one.mean.low,
                "high": one.mean.high,
                "median": one.median,
                **{f"variance_{part}": value for part, value in spread},
            }
            figures |= {f"{metric}_{n}": float(v) for n, v in found.items() if v is not None}
        return figures


class Comparison(Record):
    """One system less another on the prompts that both have.

    `p` is the permutation p-value of no difference: the smaller, the less likely by chance.
    """

    difference: Estimate
    p: float
    prompts: int


def whole_percent(reached: int, total: int) -> int:
    """Percent as a whole number, half to even, as in LlamaDuo's Table 1."""
    return round(Fraction(100 * reached, total))


def by_prompt(rows: Verdicts, metric: Metric) -> dict[str, tuple[float, ...]]:
    """The scores of each prompt's responses, each the mean of its repeats.

    Of several judges each counts the same, on the responses that all of them gave a verdict on.
    Failures are left out, so a prompt of which every judgement failed is not there.
    """
    table = VerdictTable.of(rows)
    found: dict[str, list[float]] = {}
    responses = table.responses
    scores = responses.scores(metric).tolist()
    for prompt, score in zip(responses.prompt.tolist(), scores, strict=True):
        found.setdefault(table.prompts[prompt], []).append(score)
    return {prompt_id: tuple(scores) for prompt_id, scores in found.items()}


def prompt_means(rows: Verdicts, metric: Metric) -> dict[str, float]:
    """The mean score of each prompt's responses; prompts without a verdict are not there."""
    table = VerdictTable.of(rows)
    places, sums, counts = _clusters(table, table.responses.scores(metric))
    means = (sums / counts).tolist()
    return {table.prompts[i]: mean for i, mean in zip(places.tolist(), means, strict=True)}


def summarise(rows: Verdicts, *, confidence: float, seed: int) -> Scores | None:
    """The scores of one system, or None where not one judgement succeeded."""
    table = VerdictTable.of(rows)
    responses = table.responses
    total = len(responses.prompt)
    if not total:
        return None

    def reach(threshold: float, *metrics: Metric) -> int:
        reached = np.all([responses.scores(metric) >= threshold for metric in metrics], axis=0)
        return whole_percent(int(reached.sum()), total)

    def one(metric: Metric) -> Summary:
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
        similarity=one("similarity"),
        precision=one("precision"),
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
    """Mean of a minus mean of b, prompt by prompt, over the prompts that both have.

    Raises:
        DataError: they are tables of different test sets; so with all that compare two systems.
    """
    pairs = paired(a, b, metric)
    clusters = np.stack([pairs[:, 0] - pairs[:, 1], np.ones(len(pairs))], axis=1)
    return estimate(clusters, confidence=confidence, seed=seed) if len(pairs) else None


def compare(
    a: Verdicts, b: Verdicts, metric: Metric, *, confidence: float, seed: int
) -> Comparison | None:
    """As `difference`, with a p-value; None where they have no prompt in common."""
    a, b = VerdictTable.of(a), VerdictTable.of(b)
    found = difference(a, b, metric, confidence=confidence, seed=seed)
    pairs = paired(a, b, metric)
    p = sign_flips(pairs[:, 0] - pairs[:, 1], seed=seed)
    if found is None or p is None:
        return None
    return Comparison(difference=found, p=p, prompts=len(pairs))


def ratio(
    a: Verdicts, b: Verdicts, metric: Metric, *, confidence: float, seed: int
) -> Estimate | None:
    """Mean of a over mean of b on the prompts that both have; None where b has nothing above 0."""
    pairs = paired(a, b, metric)
    if not pairs[:, 1].sum():
        return None
    return estimate(pairs, confidence=confidence, seed=seed)


def coverage_ratio(
    a: Verdicts, b: Verdicts, metric: Metric, threshold: float, *, confidence: float, seed: int
) -> Estimate | None:
    """Share of a's responses that reach the threshold over that of b's, prompt by prompt.

    None where none of b's does, on the prompts that both have.
    """
    pairs = paired(a, b, metric, threshold)
    if not pairs[:, 1].sum():
        return None
    return estimate(pairs, confidence=confidence, seed=seed)


def paired(a: Verdicts, b: Verdicts, metric: Metric, threshold: float | None = None) -> Floats:
    """The means of a and of b for each prompt that both have, shaped (prompts, 2).

    With a threshold, the shares of responses that reach it.
    """
    tables = VerdictTable.of(a), VerdictTable.of(b)
    same_test_set(*tables)
    found = []
    for table in tables:
        scores = table.responses.scores(metric)
        if threshold is not None:
            scores = (scores >= threshold).astype(float)
        places, sums, counts = _clusters(table, scores)
        found.append((np.array(table.prompts, dtype=str)[places], sums / counts))
    (first, x), (second, y) = found
    _, i, j = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return np.stack([x[i], y[j]], axis=1)


def _clusters(table: VerdictTable, scores: Floats) -> tuple[NDArray[np.intp], Floats, Floats]:
    """For each prompt with a verdict its place, the sum of its responses' scores, their number."""
    prompt = table.responses.prompt
    counts = np.bincount(prompt, minlength=len(table.prompts))
    places = np.flatnonzero(counts)
    sums = np.asarray(np.bincount(prompt, scores, len(table.prompts)), dtype=np.float64)
    return places, sums[places], counts[places].astype(np.float64)


class TableCell(Record):
    """What a table has of one model under one judge and metric: a mean and two percentages."""

    mean: float
    coverage_50: float
    coverage_70: float

    @classmethod
    def of(cls, one: Summary) -> "TableCell":
        """The cell of a summary."""
        return cls(mean=one.mean.value, coverage_50=one.coverage_50, coverage_70=one.coverage_70)


class PMatch(Record):
    """P-Match of one column, in percent; None where there is nothing to divide, or by."""

    mean: float | None
    coverage_50: float | None
    coverage_70: float | None


def p_match(local: Sequence[TableCell], service: Sequence[TableCell]) -> PMatch:
    """Best local over best service, for mean and coverages each by itself, as in the paper.

    The best mean and the best coverage may be those of different models. One column is one task,
    judge and metric.
    """

    def share(name: str) -> float | None:
        ours, theirs = ([getattr(cell, name) for cell in cells] for cells in (local, service))
        if not ours or not theirs or not max(theirs):
            return None
        return 100 * float(max(ours)) / float(max(theirs))

    return PMatch(**{name: share(name) for name in PMatch.model_fields})
