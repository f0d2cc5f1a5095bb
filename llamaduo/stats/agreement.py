"""Agreement of judges: leniency, rank correlation and Krippendorff's alpha.

Every figure is a function of verdict rows alone, of one judge or several with different names.
Repeats of a judge are averaged first. A figure that cannot be computed is None, and `words` say
why. docs/judges.md has the definitions and their sources.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np

from llamaduo.records import Judgement, Record, Verdict
from llamaduo.stats.intervals import Estimate, estimate
from llamaduo.stats.table import Floats, Metric

#: A response of a system: the name of the system, the id of the prompt, k.
Unit: TypeAlias = tuple[str, str, int]

SAME = 1e-9  # scores that differ by no more than this are the same score


class Leniency(Record):
    """The points that a judge gives above the mean of the others, on responses that all judged.

    Positive: lenient. `shift` is None where there is no such response. `constant` is True where the
    judge gave all responses one score, so that its shift says nothing about how it judges.
    """

    judge: str
    shift: Estimate | None
    responses: int
    constant: bool


class Correlation(Record):
    """Spearman's rank correlation of two judges over `responses`; `words` say why it is None."""

    judges: tuple[str, str]
    rho: float | None
    responses: int
    words: str


class Agreement(Record):
    """The agreement of several judges on the same responses, in one metric.

    `alpha` is Krippendorff's with the interval metric: 1 is agreement, 0 is chance, below 0 is
    worse than chance. `centred` is alpha after each judge's leniency is subtracted: a low alpha
    with a high `centred` comes from strictness, two low ones from disorder. `words` say why alpha
    is None.
    """

    metric: Metric
    judges: tuple[str, ...]
    leniency: tuple[Leniency, ...]
    correlations: tuple[Correlation, ...]
    alpha: float | None
    centred: float | None
    words: str


def units(
    systems: Mapping[str, Sequence[Judgement]], metric: Metric
) -> dict[str, dict[Unit, float]]:
    """Return by judge the score of every response of the systems: the mean of its repeats.

    A judge that failed on every response is there without a score.
    """
    repeats: dict[str, dict[Unit, list[float]]] = {}
    for system, rows in systems.items():
        for row in rows:
            scores = repeats.setdefault(row.judge, defaultdict(list))
            if isinstance(row, Verdict):
                scores[system, row.prompt_id, row.k].append(getattr(row, metric))
    return {
        judge: {unit: math.fsum(values) / len(values) for unit, values in scores.items()}
        for judge, scores in sorted(repeats.items())
    }


def agreement(
    systems: Mapping[str, Sequence[Judgement]], metric: Metric, *, confidence: float, seed: int
) -> Agreement:
    """Return leniency, correlations and alpha of the judges of rows, given by system name."""
    scores = units(systems, metric)
    judges = tuple(scores)
    alpha, words = krippendorff(scores)
    shifts = {judge: _shift(judge, scores) for judge in judges}
    centred, _ = krippendorff(
        {
            judge: {unit: score - shifts[judge] for unit, score in scores[judge].items()}
            for judge in judges
        }
    )
    return Agreement(
        metric=metric,
        judges=judges,
        leniency=tuple(leniency(scores, confidence=confidence, seed=seed)),
        correlations=tuple(_correlation(a, b, scores) for a, b in combinations(judges, 2)),
        alpha=alpha,
        centred=centred,
        words=words,
    )


def _common(scores: Mapping[str, Mapping[Unit, float]]) -> list[Unit]:
    columns = list(scores.values())
    return sorted(set(columns[0]).intersection(*columns[1:])) if columns else []


def _is_constant(scores: Iterable[float]) -> bool:
    values = list(scores)
    return bool(values) and max(values) - min(values) <= SAME


def _shift(judge: str, scores: Mapping[str, Mapping[Unit, float]]) -> float:
    """Return a judge's mean minus the mean of all, on the responses that all judged; else 0."""
    common = _common(scores)
    if not common:
        return 0.0
    means = {name: math.fsum(own[unit] for unit in common) for name, own in scores.items()}
    return (means[judge] - math.fsum(means.values()) / len(means)) / len(common)


def leniency(
    scores: Mapping[str, Mapping[Unit, float]], *, confidence: float, seed: int
) -> list[Leniency]:
    """Return each judge's shift against the others, with an interval clustered by prompt."""
    common = _common(scores)
    rows = []
    for judge, own in scores.items():
        others = [other for name, other in scores.items() if name != judge]
        clusters: dict[str, list[float]] = defaultdict(list)
        for unit in common if others else ():
            rest = math.fsum(other[unit] for other in others) / len(others)
            clusters[unit[1]].append(own[unit] - rest)
        sums = [(math.fsum(gaps), float(len(gaps))) for gaps in clusters.values()]
        rows.append(
            Leniency(
                judge=judge,
                shift=estimate(sums, confidence=confidence, seed=seed) if sums else None,
                responses=len(common) if others else 0,
                constant=_is_constant(own.values()),
            )
        )
    return rows


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return the rank correlation of two columns, with ties at their mean rank.

    None where a column is constant, and for fewer than three pairs, which say nothing.

    Raises:
        ValueError: the columns have different lengths.
    """
    if len(a) != len(b):
        raise ValueError(f"columns of {len(a)} and {len(b)}")
    if len(a) < 3 or _is_constant(a) or _is_constant(b):
        return None
    # scipy's spearmanr differs from this in the last bit, and kept outcomes have the figure.
    from scipy.stats import rankdata  # slow to import

    x, y = (np.asarray(rankdata(column)) for column in (a, b))
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))


def _correlation(a: str, b: str, scores: Mapping[str, Mapping[Unit, float]]) -> Correlation:
    shared = sorted(scores[a].keys() & scores[b].keys())
    first, second = ([scores[judge][unit] for unit in shared] for judge in (a, b))
    rho = spearman(first, second)
    constant = [name for name, own in ((a, first), (b, second)) if _is_constant(own)]
    if len(shared) < 3:
        words = f"{len(shared)} responses are too few to rank"
    elif constant:
        words = f"{' and '.join(constant)} gave one score to all, so there is nothing to rank by"
    else:
        words = f"rank correlation of {rho:.2f} over {len(shared)} responses"
    return Correlation(judges=(a, b), rho=rho, responses=len(shared), words=words)


def krippendorff(scores: Mapping[str, Mapping[Unit, float]]) -> tuple[float | None, str]:
    """Return Krippendorff's alpha with the interval metric, and a sentence; scores may be missing.

    Alpha is 1 minus observed over expected disagreement, both in squared differences: within the
    responses that at least two judges scored, each weighted by its number of scores, and among all
    of those scores. None, with the reason, where there are none or all are the same.
    """
    columns: dict[Unit, list[float]] = defaultdict(list)
    for own in scores.values():
        for unit, score in own.items():
            columns[unit].append(score)
    rated = [column for column in columns.values() if len(column) > 1]
    if not rated:
        return None, "no response has the scores of two judges"
    values = np.concatenate([np.asarray(column) for column in rated])
    if _is_constant(values):
        return None, "all judges gave one and the same score, so agreement cannot be measured"
    n = len(values)
    # The squared differences of all ordered pairs of m numbers add up to 2 m times the sum of their
    # squared distances from the mean.
    within = math.fsum(2 * len(c) * _squares(c) / (len(c) - 1) for c in rated)
    among = 2 * n * _squares(values)
    alpha = 1 - (within / n) / (among / (n * (n - 1)))
    return alpha, f"alpha {alpha:.2f} over {len(rated)} responses of {len(scores)} judges"


def _squares(column: Sequence[float] | Floats) -> float:
    values = np.asarray(column, dtype=float)
    return float(((values - values.mean()) ** 2).sum())
