"""What the repeats to come can still do to a condition of a gate.

A repeat lessens the judge's noise and nothing else: prompts and responses stay as they are. So
after some repeats the change that the rest of them will bring to a condition has a known spread.
docs/judges.md has the formulas.
"""

import math
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np

from llamaduo.stats.intervals import estimate
from llamaduo.stats.table import Floats, Metric, VerdictTable

OWN = 8  # degrees of freedom at which a prompt's own noise weighs as much as that of all


@dataclass(frozen=True)
class Condition:
    """A condition of the gate after some repeats, and what the rest of them can do to it.

    `margin` is expected after all repeats, above 0 where the condition is met; `spread` has the
    variance that each prompt still adds to it; `freedom` says how well the noise is known.
    """

    margin: float
    spread: Mapping[str, float]
    freedom: int

    @property
    def turns(self) -> float:
        """The chance that what is left changes the sign of the margin."""
        from scipy.special import stdtr  # slow to import

        spread = math.fsum(self.spread.values())
        if spread <= 0:
            return 0.0
        return float(stdtr(max(1, self.freedom), -abs(self.margin) / math.sqrt(spread)))

    def open(self, error: float) -> Iterator[str]:
        """Yield the prompts that could use up more than an equal part of what the margin can spare.

        That is the variance at which the chance that its sign changes is `error`.
        """
        from scipy.special import stdtrit  # slow to import

        spare = float((self.margin / stdtrit(max(1, self.freedom), error)) ** 2)
        part = spare / max(1, len(self.spread))
        return (prompt for prompt, variance in self.spread.items() if variance > part)


def noise(table: VerdictTable, metric: Metric, repeats: Mapping[str, int]) -> tuple[Floats, int]:
    """Estimate the variance that further repeats can still bring to each response's score.

    In the order of `table.responses`; with it the degrees of freedom that it is estimated with. A
    mean over m of M repeats still moves with a variance of s² (1/m - 1/M). s² is a prompt's own,
    drawn to that of all prompts of the same judge: two repeats of a response say little.
    """
    number, prompt = table.answers
    names = [name for name, _ in table.judges]
    left = np.zeros((len(prompt), len(names)))
    given = np.zeros((len(prompt), len(names)), dtype=bool)
    freedom = 0
    for seat, name in enumerate(names):
        mine = (table.judge == seat) & ~table.failed
        scores, of = table.scores(metric)[mine], number[mine]
        many = np.bincount(of, minlength=len(prompt))
        some = np.maximum(many, 1)
        off = scores - (np.bincount(of, scores, len(prompt)) / some)[of]
        squares = np.bincount(prompt[of], off**2, len(table.prompts))
        degrees = np.bincount(prompt, np.maximum(many - 1, 0), len(table.prompts))
        total = int(degrees.sum())
        pooled = squares.sum() / total if total else 0.0
        own = (squares + OWN * pooled) / (degrees + OWN)
        left[:, seat] = own[prompt] * np.maximum(0.0, 1 / some - 1 / repeats[name])
        given[:, seat] = many > 0
        freedom += total
    present = np.unique(table.judge)
    scored = given[:, present].all(axis=1)
    return left[scored].sum(axis=1) / max(1, len(present)) ** 2, freedom


class Responses:
    """The scores of a candidate's responses in one metric, and what may still come to them."""

    def __init__(self, table: VerdictTable, metric: Metric, repeats: Mapping[str, int]) -> None:
        self._names = table.prompts
        self._prompt = table.responses.prompt
        self._scores = table.responses.scores(metric)
        self._left, self._freedom = noise(table, metric, repeats)

    def reaching(self, threshold: float) -> "Responses":
        """Put the chances that they reach a threshold after all repeats in place of the scores.

        Noise spreads scores, so that after few repeats too many lie far out: each is drawn to the
        mean of all by as much as the repeats to come are expected to.
        """
        from scipy.special import ndtr  # slow to import

        chances = copy(self)
        scores, left = self._scores, self._left
        if not len(scores):
            return chances
        kept = max(0.0, float(scores.var() - left.mean()))
        share = kept / np.where(left > 0, kept + left, 1.0)
        share = np.where(left > 0, share, 1.0)
        off = scores.mean() + share * (scores - scores.mean()) - threshold
        spread = np.sqrt(share * left)
        chance = ndtr(off / np.where(spread > 0, spread, 1.0))
        chances._scores = np.where(spread > 0, chance, (off >= 0).astype(float))
        chances._left = chances._scores * (1 - chances._scores)
        return chances

    def condition(
        self,
        bottoms: Mapping[str, float],
        needed: float,
        confidence: float | None,
        seed: int,
        less: Mapping[str, float] | None = None,
    ) -> Condition:
        """Sum of prompt means, `less` some, over the sum of the bottoms, against what is needed.

        By its value, or by its lower bound where there is a confidence.
        """
        many = np.bincount(self._prompt, minlength=len(self._names))
        sums = np.bincount(self._prompt, self._scores, len(self._names))
        left = np.bincount(self._prompt, self._left, len(self._names))
        places = [i for i, name in enumerate(self._names) if many[i] and name in bottoms]
        bottom = np.array([bottoms[self._names[i]] for i in places])
        top = sums[places] / many[places]
        if less is not None:
            top = top - np.array([less[self._names[i]] for i in places])
        base = float(bottom.sum())
        if not base:
            return Condition(-math.inf, {}, self._freedom)
        spread = left[places] / many[places] ** 2 / base**2
        value = float(top.sum()) / base
        margin = value - needed
        if confidence is not None:
            margin = _after(top, bottom, confidence, seed, float(spread.sum())) - needed
        names = (self._names[i] for i in places)
        return Condition(margin, dict(zip(names, spread.tolist(), strict=True)), self._freedom)


def _after(top: Floats, bottom: Floats, confidence: float, seed: int, gone: float) -> float:
    """Expect the lower bound once the noise `gone` is no longer in the standard error.

    Minus infinity where there is no bound, since no gate is passed then.
    """
    seen = estimate(np.stack([top, bottom], axis=1), confidence=confidence, seed=seed)
    if seen.low is None:
        return -math.inf
    n = len(top)
    error = n / (n - 1) * float(((top - seen.value * bottom) ** 2).sum()) / float(bottom.sum()) ** 2
    shrinks = math.sqrt(max(0.0, 1 - gone / error)) if error > 0 else 1.0
    return seen.value - (seen.value - seen.low) * shrinks
