"""A table of verdicts, the input of all statistics.

It has one row for each prompt, response k, repeat m and judge, with failures among them. Every
statistic of `llamaduo.stats.scores` is a function of this table alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from llamaduo.base.errors import DataError
from llamaduo.records import Bill, JudgeFailure, Judgement, Verdict

Metric: TypeAlias = Literal["similarity", "precision"]
METRICS: tuple[Metric, ...] = ("similarity", "precision")
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses with a score, the mean of their verdicts; in order of prompt and k."""

    prompt: Ints
    k: Ints
    similarity: Floats
    precision: Floats

    def scores(self, metric: Metric) -> Floats:
        """Return the scores in one metric."""
        return self.similarity if metric == "similarity" else self.precision


@dataclass(frozen=True, eq=False)
class VerdictTable:
    """Verdicts and failures as columns of one length; a failure has NaN for both scores.

    `prompt` and `judge` are places in `prompts` (ids, in order) and `judges` (name, version).
    `texts` are the reasons of verdicts and the causes of failures, `bills` the cost of each row.
    `final` is False for a failure that may succeed when it is judged again. `test_set` is the
    fingerprint of the prompts and recorded answers that were judged, None where it is not known.

    Raises:
        DataError: a score is not between 0 and 100, or a row has one score without the other.
    """

    prompts: tuple[str, ...]
    judges: tuple[tuple[str, str], ...]
    prompt: Ints
    k: Ints
    m: Ints
    judge: Ints
    similarity: Floats
    precision: Floats
    texts: Sequence[str]
    final: NDArray[np.bool_]
    bills: Sequence[Bill]
    test_set: str | None = None

    def __post_init__(self) -> None:
        """Refuse a score that is not between 0 and 100, and a row with one score only."""
        half = np.isnan(self.similarity) != np.isnan(self.precision)
        for metric in METRICS:
            scores = self.scores(metric)
            wrong = np.flatnonzero((scores < 0) | (scores > 100) | (half & np.isnan(scores)))
            if len(wrong):
                i = int(wrong[0])
                raise DataError(
                    f"prompt {self.prompts[self.prompt[i]]}, k={self.k[i]}, m={self.m[i]}: "
                    f"{metric} {scores[i]:g} is no score from 0 to 100; leave the row out, or make "
                    "it a failure"
                )

    @classmethod
    def of(
        cls, rows: "Iterable[Judgement] | VerdictTable", test_set: str | None = None
    ) -> "VerdictTable":
        """Return the table of rows; a table is returned as it is."""
        if isinstance(rows, VerdictTable):
            return rows
        rows = list(rows)
        prompts = {prompt: i for i, prompt in enumerate(sorted({row.prompt_id for row in rows}))}
        judges = {key: i for i, key in enumerate(sorted({(r.judge, r.version) for r in rows}))}
        none = float("nan"), float("nan")
        pairs = [(r.similarity, r.precision) if isinstance(r, Verdict) else none for r in rows]
        scores = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        return cls(
            prompts=tuple(prompts),
            judges=tuple(judges),
            prompt=_ints(prompts[row.prompt_id] for row in rows),
            k=_ints(row.k for row in rows),
            m=_ints(row.m for row in rows),
            judge=_ints(judges[row.judge, row.version] for row in rows),
            similarity=scores[:, 0],
            precision=scores[:, 1],
            texts=[row.reason if isinstance(row, Verdict) else row.cause for row in rows],
            final=np.array([isinstance(row, Verdict) or row.final for row in rows], dtype=bool),
            bills=[row.bill for row in rows],
            test_set=test_set,
        )

    @classmethod
    def of_scores(cls, similarity: Floats, precision: Floats, judge: str) -> "VerdictTable":
        """Return the table of scores shaped (prompts, responses, repeats).

        NaN in both metrics is a failure.
        """
        n, many, repeats = similarity.shape
        prompt, k, m = (axis.ravel() for axis in np.indices((n, many, repeats)))
        return cls(
            prompts=tuple(f"p{i:06}" for i in range(n)),
            judges=((judge, "1"),),
            prompt=prompt,
            k=k,
            m=m,
            judge=np.zeros(len(prompt), dtype=np.int64),
            similarity=similarity.ravel().astype(float),
            precision=precision.ravel().astype(float),
            texts=[""] * len(prompt),
            final=np.ones(len(prompt), dtype=bool),
            bills=[Bill()] * len(prompt),
        )

    def __len__(self) -> int:
        """Return the number of verdicts and failures."""
        return len(self.prompt)

    def scores(self, metric: Metric) -> Floats:
        """Return the scores in one metric, NaN for failures."""
        return self.similarity if metric == "similarity" else self.precision

    @cached_property
    def failed(self) -> NDArray[np.bool_]:
        """True for each row that is a failure."""
        return np.isnan(self.similarity)

    def rows(self) -> list[Judgement]:
        """Return the rows as records."""
        records: list[Judgement] = []
        columns = self.prompt, self.k, self.m, self.judge, self.similarity, self.precision
        lists = [column.tolist() for column in (*columns, self.final)]
        for p, k, m, j, similarity, precision, final, text, bill in zip(
            *lists, self.texts, self.bills, strict=True
        ):
            name, version = self.judges[j]
            facts = {"prompt_id": self.prompts[p], "k": k, "m": m, "judge": name}
            facts |= {"version": version, "bill": bill}
            if similarity != similarity:  # NaN
                records.append(JudgeFailure(**facts, cause=text, final=final))
            else:
                scores = {"similarity": similarity, "precision": precision}
                records.append(Verdict(**facts, **scores, reason=text))
        return records

    def by(self, judge: str) -> "VerdictTable":
        """Return the rows of one judge; every prompt keeps its place."""
        return self._where(np.array([name == judge for name, _ in self.judges], bool)[self.judge])

    def _where(self, chosen: NDArray[np.bool_]) -> "VerdictTable":
        places = np.flatnonzero(chosen)
        return replace(
            self,
            prompt=self.prompt[places],
            k=self.k[places],
            m=self.m[places],
            judge=self.judge[places],
            similarity=self.similarity[places],
            precision=self.precision[places],
            texts=[self.texts[i] for i in places.tolist()],
            final=self.final[places],
            bills=[self.bills[i] for i in places.tolist()],
        )

    @cached_property
    def answers(self) -> tuple[Ints, Ints]:
        """A number for each row, the same for rows of one response; the prompt of each number."""
        if not len(self):
            return _ints(()), _ints(())
        span = int(self.k.max()) + 1
        keys, number = np.unique(self.prompt * span + self.k, return_inverse=True)
        return number.reshape(-1).astype(np.int64), keys // span

    @cached_property
    def responses(self) -> Responses:
        """The responses that every judge of the table gave a verdict on.

        A judge's repeats are averaged first, then the judges with equal weight. A response without
        a verdict of one judge is left out: it would score lower where that judge is a lenient one.
        """
        number, prompt = self.answers
        seats, seat = np.unique(self.judge, return_inverse=True)
        cell, ok = number * len(seats) + seat.reshape(-1), ~self.failed
        size = len(prompt) * len(seats)
        many = np.bincount(cell[ok], minlength=size).reshape(len(prompt), len(seats))
        some = many.all(axis=1)
        k = np.zeros(len(prompt), dtype=np.int64)
        k[number] = self.k
        means = []
        for metric in METRICS:
            sums = np.bincount(cell[ok], self.scores(metric)[ok], size).reshape(many.shape)
            means.append((sums[some] / many[some]).sum(axis=1) / max(1, len(seats)))
        return Responses(prompt[some], k[some], *means)


def same_test_set(a: VerdictTable, b: VerdictTable) -> None:
    """Refuse two tables of different test sets; a table without a test set fits any other.

    Raises:
        DataError: both have a test set, and they differ.
    """
    if a.test_set is not None and b.test_set is not None and a.test_set != b.test_set:
        raise DataError(
            f"verdicts on test set {a.test_set} and on test set {b.test_set} cannot be compared: "
            "have both systems answer the same prompts"
        )


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)
