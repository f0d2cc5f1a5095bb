"""The gate: the rule that says a local LLM is good enough, and says in words why or why not."""

import math
from collections.abc import Iterator

from llamaduo.config import (
    AbsoluteGateConfig,
    GateConfig,
    NonInferiorGateConfig,
    RelativeGateConfig,
)
from llamaduo.records import Record
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.scores import (
    Verdicts,
    coverage_ratio,
    difference,
    paired,
    prompt_means,
    ratio,
    summarise,
)
from llamaduo.stats.table import METRICS, Metric, VerdictTable

MOST = 1_000_000  # prompts beyond which their number says nothing


class Check(Record):
    """One condition of a gate: what was seen, what was asked for, and the sentence that says so.

    `seen` is None where there was nothing to hold against the condition. `more` is about how many
    prompts beyond those of this set would settle it: 0 where it is settled, None where no number of
    them would, or where nothing can be said.
    """

    metric: Metric
    seen: Estimate | None
    needed: float
    passed: bool
    words: str
    more: int | None = None


class Decision(Record):
    """What a gate decided: passed when every check did."""

    gate: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every condition is met."""
        return all(check.passed for check in self.checks)

    @property
    def words(self) -> str:
        """All conditions in words, those not met first."""
        ordered = sorted(self.checks, key=lambda check: check.passed)
        return "; ".join(check.words for check in ordered)


def decide(config: GateConfig, candidate: Verdicts, service: Verdicts, *, seed: int) -> Decision:
    """Hold a candidate's verdicts against the gate; one judge, the same prompts.

    A gate that compares is not passed without the service LLM's own scores: unknown is not good
    enough.

    Raises:
        DataError: the verdicts are on two test sets.
    """
    table, own = VerdictTable.of(candidate), VerdictTable.of(service)
    return Decision(gate=config.name, checks=tuple(_checks(config, table, own, seed)))


def _checks(
    config: GateConfig, candidate: VerdictTable, service: VerdictTable, seed: int
) -> Iterator[Check]:
    for metric in METRICS:
        if isinstance(config, RelativeGateConfig):
            yield _relative(config, candidate, service, metric, seed)
        elif isinstance(config, NonInferiorGateConfig):
            yield _non_inferior(config, candidate, service, metric, seed)
        else:
            yield _absolute(config, candidate, metric, seed)
    if isinstance(config, RelativeGateConfig):
        for metric in METRICS:
            yield _covers(config, candidate, service, metric, seed)


def _relative(
    config: RelativeGateConfig,
    candidate: VerdictTable,
    service: VerdictTable,
    metric: Metric,
    seed: int,
) -> Check:
    seen = ratio(candidate, service, metric, confidence=config.confidence, seed=seed)
    low = None if seen is None else seen.low
    if seen is None or low is None:
        own = "0" if len(paired(candidate, service, metric)) else "missing"
        return _unknown(metric, seen, config.ratio, f"the service's own score is {own}")
    passed = low >= config.ratio
    both, part = _prompts(candidate, service, metric)
    more, future = _more(seen, config.ratio, both, passed)
    words = (
        f"{metric} is {seen.value:.1%} of the service's own score{part}, "
        f"at least {low:.1%} at {config.confidence:.0%} confidence, "
        f"{'which meets' if passed else 'short of'} the ratio {config.ratio:.1%}{future}"
    )
    return Check(
        metric=metric, seen=seen, needed=config.ratio, passed=passed, words=words, more=more
    )


def _non_inferior(
    config: NonInferiorGateConfig,
    candidate: VerdictTable,
    service: VerdictTable,
    metric: Metric,
    seed: int,
) -> Check:
    seen = difference(candidate, service, metric, confidence=config.confidence, seed=seed)
    low = None if seen is None else seen.low
    if seen is None or low is None:
        return _unknown(metric, seen, -config.margin, "the service's own score is missing")
    passed = low >= -config.margin
    both, part = _prompts(candidate, service, metric)
    more, future = _more(seen, -config.margin, both, passed)
    words = (
        f"{metric} is {_apart(seen.value)} the service's own{part}, "
        f"at worst {_apart(low)} it at {config.confidence:.0%} confidence, "
        f"{'within' if passed else 'beyond'} the margin of {config.margin:g} points{future}"
    )
    return Check(
        metric=metric, seen=seen, needed=-config.margin, passed=passed, words=words, more=more
    )


def _covers(
    config: RelativeGateConfig,
    candidate: VerdictTable,
    service: VerdictTable,
    metric: Metric,
    seed: int,
) -> Check:
    """Coverage is held against its share by its value: its interval only says how sure that is."""
    at, needed = config.coverage_at, config.coverage_share
    seen = coverage_ratio(candidate, service, metric, at, confidence=config.confidence, seed=seed)
    if seen is None:
        if len(paired(candidate, service, metric)):
            words = (
                f"{metric}: none of the service's own answers reaches {at:g}, so any coverage does"
            )
            return Check(metric=metric, seen=None, needed=needed, passed=True, words=words, more=0)
        return _unknown(metric, seen, needed, f"the service's own coverage@{at:g} is missing")
    passed = seen.value >= needed
    both, part = _prompts(candidate, service, metric)
    more, future = _more(seen, needed, both, passed)
    ours, own = paired(candidate, service, metric, at).mean(axis=0)
    words = (
        f"{metric} of {at:g} or more in {ours:.0%} of the answers, "
        f"{seen.value:.1%} of the service's own {own:.0%}{part}, "
        f"{'which meets' if passed else 'short of'} the share {needed:.1%}{future}"
    )
    return Check(metric=metric, seen=seen, needed=needed, passed=passed, words=words, more=more)


def _absolute(
    config: AbsoluteGateConfig, candidate: VerdictTable, metric: Metric, seed: int
) -> Check:
    scores = summarise(candidate, confidence=config.confidence, seed=seed)
    if scores is None:
        words = f"{metric}: no response could be judged"
        return Check(metric=metric, seen=None, needed=config.threshold, passed=False, words=words)
    mean = scores.of(metric).mean
    passed = mean.value >= config.threshold
    more, future = _more(mean, config.threshold, scores.prompts, passed)
    words = (
        f"mean {metric} {mean.value:.1f} {'reaches' if passed else 'is below'} "
        f"{config.threshold:g}{future}"
    )
    return Check(
        metric=metric, seen=mean, needed=config.threshold, passed=passed, words=words, more=more
    )


def _unknown(metric: Metric, seen: Estimate | None, needed: float, missing: str) -> Check:
    """A check without an interval to decide by: no pairs, or one."""
    words = (
        f"{metric}: {missing}, so there is nothing to compare with"
        if seen is None
        else f"{metric}: one prompt is too few for an interval"
    )
    return Check(metric=metric, seen=seen, needed=needed, passed=False, words=words)


def _prompts(candidate: VerdictTable, service: VerdictTable, metric: Metric) -> tuple[int, str]:
    """How many prompts both have, and a remark where one has more."""
    asked, answered = (set(prompt_means(rows, metric)) for rows in (candidate, service))
    both = len(asked & answered)
    if asked == answered:
        return both, ""
    return both, f" (candidate on {len(asked)} prompts, service on {len(answered)}, both on {both})"


def _more(seen: Estimate, needed: float, prompts: int, passed: bool) -> tuple[int | None, str]:
    """About how many more prompts would take the interval off what is needed; and in words.

    The bound that faces it comes nearer the value with the root of the number of prompts. What is
    not met at its value is not met by more prompts of the same kind.
    """
    if not passed and seen.value <= needed:
        return None, "; no number of prompts would make that up"
    if seen.low is None:
        return None, "; one prompt is too few to be sure of it"
    if seen.low >= needed:
        return 0, ""
    if seen.value <= needed:
        return None, "; it is met with nothing to spare, so no number of prompts makes it sure"
    more = math.ceil(prompts * (((seen.value - seen.low) / (seen.value - needed)) ** 2 - 1))
    if more > MOST:
        return None, "; it is too close for any number of prompts"
    about = float(f"{more:.2g}") if more > 99 else more
    many = f"about {about:,.0f} more prompt{'' if more == 1 else 's'}"
    if passed:
        return more, f", though not surely: {many} would settle it"
    return more, f"; {many} would settle it, if the rest are like these"


def _apart(points: float) -> str:
    return f"{abs(points):.1f} points {'below' if points < 0 else 'above'}"
