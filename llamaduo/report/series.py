"""The data of the charts by judge and by volume, out of one outcome or several.

Which figure of the paper each chart goes with is in docs/report.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llamaduo.base.format import integer
from llamaduo.outcome import Outcome, Reading
from llamaduo.outcome.runs import Named
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.table import Metric


@dataclass(frozen=True)
class Spread:
    """The scores of single answers that make one curve. `run` counts from 0."""

    words: str
    run: int
    pool: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class Point:
    """A system's figures at a volume and in a round; `round` is None on test."""

    pool: int
    round: int | None
    similarity: Estimate
    precision: Estimate
    coverage_50: int
    coverage_70: int

    def of(self, metric: Metric) -> Estimate:
        """Return the mean in one metric."""
        return self.similarity if metric == "similarity" else self.precision


@dataclass(frozen=True)
class Series:
    """One run's rounds under one judge, on dev, the same model on test, and the service's level.

    `colour` and `dash` count from 0: runs are told by colour and judges by dash, and by both where
    there is one of the other.
    """

    words: str
    colour: int
    dash: int
    dev: tuple[Point, ...]
    test: Point | None
    service: Point | None


def readings(outcome: Outcome) -> tuple[Reading, ...]:
    """Return the readings of an outcome; where none were kept, those of test that it implies."""
    if outcome.readings:
        return outcome.readings
    pool = next((one.pool for one in outcome.rounds if one.number == outcome.best), 0)
    return tuple(
        Reading(
            judge=outcome.judge.partition(" ")[0],
            system=system.name,
            split="test",
            round=None,
            pool=pool if system.role == "tuned" else 0,
            scores=system.scores,
            prompts=system.prompts,
        )
        for system in outcome.systems
    )


def judges(runs: Sequence[Named]) -> list[str]:
    """Return the judges of all runs, in the order in which they first appear."""
    return list(dict.fromkeys(r.judge for run in runs for r in readings(run.outcome)))


def split_shown(runs: Sequence[Named]) -> str:
    """Return the split that curves by volume show: dev of one run, with all rounds; else test."""
    alone = len(runs) == 1 and any(r.split == "dev" for r in readings(runs[0].outcome))
    return "dev" if alone else "test"


def spreads(runs: Sequence[Named], judge: str, metric: Metric) -> list[Spread]:
    """Return a curve for each volume of the tuned model, least first; no scores, no curve."""
    split, found = split_shown(runs), []
    for number, run in enumerate(runs):
        for one in readings(run.outcome):
            if (one.judge, one.system, one.split) != (judge, "tuned", split):
                continue
            values = tuple(value for prompt in one.prompts for value in prompt.of(metric))
            words = " · ".join([*([run.label] if run.label else []), f"{integer(one.pool)} pairs"])
            if values:
                found.append(Spread(words, number, one.pool, values))
    return sorted(found, key=lambda spread: (spread.pool, spread.run))


def series(runs: Sequence[Named]) -> list[Series]:
    """Return a line for each run and judge that has something to show."""
    all_judges, found = judges(runs), []
    several = len(all_judges) > 1
    for number, run in enumerate(runs):
        for judge in judges([run]):
            mine = [one for one in readings(run.outcome) if one.judge == judge]
            tuned = [one for one in mine if one.system == "tuned"]
            dev = _points(one for one in tuned if one.split == "dev")
            test = _points(one for one in tuned if one.split == "test")
            own = _points(o for o in mine if (o.system, o.split) == ("service", "dev"))
            parts = [run.label, judge if several or not run.label else ""]
            words = " · ".join(part for part in parts if part)
            if dev or test:
                first_test, service = (next(iter(points), None) for points in (test, own))
                place = all_judges.index(judge)
                looks = (number if len(runs) > 1 else place, place if several else number)
                found.append(Series(words, *looks, dev, first_test, service))
    return found


def _points(of: Iterable[Reading]) -> tuple[Point, ...]:
    return tuple(
        Point(
            pool=one.pool,
            round=one.round,
            similarity=one.scores.similarity.mean,
            precision=one.scores.precision.mean,
            coverage_50=one.scores.both_50,
            coverage_70=one.scores.both_70,
        )
        for one in of
        if one.scores is not None
    )
