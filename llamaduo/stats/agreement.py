"""How far judges agree, and where one leans: leniency, rank correlation, alpha, and biases.

Every figure is a function of verdict rows alone, of one judge or several, told apart by name; the
biases also want to know what the rows do not say: whose model a system is, how long its answers
are. Repeats of a judge are averaged first. What cannot be told is None, with `words` to say why.
docs/judges.md has the definitions and their sources.
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

#: A response of a system: the system's name, the prompt's id, k.
Unit: TypeAlias = tuple[str, str, int]

SAME = 1e-9  # scores no further apart than this are one score


class Leniency(Record):
    """How many points a judge gives above the mean of the others, on responses that all judged.

    Positive: lenient. `shift` is None where there is no such response; `constant` says that it gave
    all of them one score, so that its shift says nothing about how it judges.
    """

    judge: str
    shift: Estimate | None
    responses: int
    constant: bool


class Correlation(Record):
    """Spearman's rank correlation of two judges over `responses`; None as `words` say."""

    judges: tuple[str, str]
    rho: float | None
    responses: int
    words: str


class Agreement(Record):
    """What several judges make of the same responses, in one metric.

    `alpha` is Krippendorff's with the interval metric: 1 is agreement, 0 what chance would give,
    below 0 worse than chance. `centred` is alpha after each judge's leniency is taken away, so that
    the two tell strictness from disorder. None as `words` say.
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
    """By judge, the score of every response of the systems: the mean of its repeats.

    A judge whose every judgement failed is there without a score.
    """
    given: dict[str, dict[Unit, list[float]]] = {}
    for system, rows in systems.items():
        for row in rows:
            scores = given.setdefault(row.judge, defaultdict(list))
            if isinstance(row, Verdict):
                scores[system, row.prompt_id, row.k].append(getattr(row, metric))
    return {
        judge: {unit: math.fsum(of) / len(of) for unit, of in scores.items()}
        for judge, scores in sorted(given.items())
    }


def agreement(
    systems: Mapping[str, Sequence[Judgement]], metric: Metric, *, confidence: float, seed: int
) -> Agreement:
    """Leniency, correlations and alpha of the judges of some systems' rows, by system name."""
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
    found = list(scores)
    return bool(found) and max(found) - min(found) <= SAME


def _shift(judge: str, scores: Mapping[str, Mapping[Unit, float]]) -> float:
    """A judge's mean less the mean of all judges, on the responses that all judged; else 0."""
    common = _common(scores)
    if not common:
        return 0.0
    means = {name: math.fsum(of[unit] for unit in common) for name, of in scores.items()}
    return (means[judge] - math.fsum(means.values()) / len(means)) / len(common)


def leniency(
    scores: Mapping[str, Mapping[Unit, float]], *, confidence: float, seed: int
) -> list[Leniency]:
    """Of each judge the shift against the others, with an interval clustered by prompt."""
    common = _common(scores)
    found = []
    for judge, own in scores.items():
        others = [of for name, of in scores.items() if name != judge]
        clusters: dict[str, list[float]] = defaultdict(list)
        for unit in common if others else ():
            rest = math.fsum(of[unit] for of in others) / len(others)
            clusters[unit[1]].append(own[unit] - rest)
        sums = [(math.fsum(gaps), float(len(gaps))) for gaps in clusters.values()]
        found.append(
            Leniency(
                judge=judge,
                shift=estimate(sums, confidence=confidence, seed=seed) if sums else None,
                responses=len(common) if others else 0,
                constant=_is_constant(own.values()),
            )
        )
    return found


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The rank correlation of two columns, ties at their mean rank; None where either is constant.

    Fewer than three pairs say nothing, so they give None too.
    """
    if len(a) != len(b):
        raise ValueError(f"columns of {len(a)} and {len(b)}")
    if len(a) < 3 or _is_constant(a) or _is_constant(b):
        return None
    from scipy.stats import rankdata  # slow to import

    x, y = (np.asarray(rankdata(column)) for column in (a, b))
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))


def _correlation(a: str, b: str, scores: Mapping[str, Mapping[Unit, float]]) -> Correlation:
    shared = sorted(scores[a].keys() & scores[b].keys())
    first, second = ([scores[judge][unit] for unit in shared] for judge in (a, b))
    rho = spearman(first, second)
    constant = [name for name, of in ((a, first), (b, second)) if _is_constant(of)]
    if len(shared) < 3:
        words = f"{len(shared)} responses are too few to rank"
    elif constant:
        words = f"{' and '.join(constant)} gave one score to all, so there is nothing to rank by"
    else:
        words = f"rank correlation of {rho:.2f} over {len(shared)} responses"
    return Correlation(judges=(a, b), rho=rho, responses=len(shared), words=words)


def krippendorff(scores: Mapping[str, Mapping[Unit, float]]) -> tuple[float | None, str]:
    """Krippendorff's alpha with the interval metric, and what it says; missing scores are allowed.

    1 - observed over expected disagreement, both squared differences: within the responses that at
    least two judges scored, each weighted by its scores, and among all of those scores. None, with
    the reason, where there are none, or where they are all one.
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
        return None, "all judges gave one and the same score, so agreement cannot be told"
    n = len(values)
    # The sum of squared differences of all ordered pairs of m numbers is 2 m times their squares
    # around the mean.
    within = math.fsum(2 * len(c) * _squares(c) / (len(c) - 1) for c in rated)
    among = 2 * n * _squares(values)
    alpha = 1 - (within / n) / (among / (n * (n - 1)))
    return alpha, f"alpha {alpha:.2f} over {len(rated)} responses of {len(scores)} judges"


def _squares(column: Sequence[float] | Floats) -> float:
    values = np.asarray(column, dtype=float)
    return float(((values - values.mean()) ** 2).sum())
