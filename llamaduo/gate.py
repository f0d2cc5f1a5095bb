"""The gate: the rule that says a local LLM is good enough, and says in words why or why not."""

from collections.abc import Sequence

from llamaduo.config import AbsoluteGateConfig, GateConfig, RelativeGateConfig
from llamaduo.records import JudgeFailure, Record, Verdict
from llamaduo.scores import METRICS, Estimate, Metric, by_prompt, ratio, summarise


class Check(Record):
    """One condition of a gate: what was seen, what was asked for, and the sentence that says so.

    `seen` is None where there was nothing to hold against the condition.
    """

    metric: Metric
    seen: Estimate | None
    needed: float
    passed: bool
    words: str


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


Verdicts = Sequence[Verdict | JudgeFailure]


def decide(config: GateConfig, candidate: Verdicts, service: Verdicts, *, seed: int) -> Decision:
    """Hold a candidate's verdicts against the gate; one judge, the same prompts.

    A relative gate without the service LLM's own scores is not passed: unknown is not good enough.
    """
    if isinstance(config, RelativeGateConfig):
        checks = tuple(_relative(config, candidate, service, m, seed) for m in METRICS)
    else:
        checks = tuple(_absolute(config, candidate, m, seed) for m in METRICS)
    return Decision(gate=config.name, checks=checks)


def _relative(
    config: RelativeGateConfig, candidate: Verdicts, service: Verdicts, metric: Metric, seed: int
) -> Check:
    share = ratio(candidate, service, metric, confidence=config.confidence, seed=seed)
    low = None if share is None else share.low
    passed = low is not None and low >= config.ratio
    asked, answered = (len(by_prompt(rows, metric)) for rows in (candidate, service))
    part = "" if asked == answered else f" (candidate on {asked} prompts, service on {answered})"
    if share is None:
        words = f"{metric}: the service's own score is missing, so there is nothing to compare with"
    elif low is None:
        words = f"{metric}: one prompt is too few for an interval"
    else:
        words = (
            f"{metric} is {share.value:.1%} of the service's own score{part}, "
            f"at least {low:.1%} at {config.confidence:.0%} confidence, "
            f"{'which meets' if passed else 'short of'} the ratio {config.ratio:.1%}"
        )
    return Check(metric=metric, seen=share, needed=config.ratio, passed=passed, words=words)


def _absolute(config: AbsoluteGateConfig, candidate: Verdicts, metric: Metric, seed: int) -> Check:
    scores = summarise(candidate, confidence=config.confidence, seed=seed)
    if scores is None:
        words = f"{metric}: no response could be judged"
        return Check(metric=metric, seen=None, needed=config.threshold, passed=False, words=words)
    mean = scores.of(metric).mean
    passed = mean.value >= config.threshold
    words = (
        f"mean {metric} {mean.value:.1f} {'reaches' if passed else 'is below'} {config.threshold:g}"
    )
    return Check(metric=metric, seen=mean, needed=config.threshold, passed=passed, words=words)
