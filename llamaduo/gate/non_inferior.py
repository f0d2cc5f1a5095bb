"""`gate=non_inferior`: at most so many points below the service's own score."""

from collections.abc import Iterator, Mapping

from llamaduo.config import NonInferiorGateConfig
from llamaduo.gate import checks
from llamaduo.gate.protocol import Check
from llamaduo.gate.repeats import Condition, Responses
from llamaduo.stats.scores import difference, prompt_means
from llamaduo.stats.table import METRICS, Metric, VerdictTable


class NonInferiorGate:
    """A gate on the lower bound of candidate less service; see `Gate`."""

    def __init__(self, config: NonInferiorGateConfig) -> None:
        self._config = config

    def checks(
        self, candidate: VerdictTable, service: VerdictTable, *, seed: int
    ) -> Iterator[Check]:
        """See `Gate.checks`."""
        for metric in METRICS:
            yield self._difference(candidate, service, metric, seed)

    def conditions(
        self,
        candidate: VerdictTable,
        service: VerdictTable,
        repeats: Mapping[str, int],
        *,
        seed: int,
    ) -> Iterator[Condition]:
        """See `Gate.conditions`."""
        gate = self._config
        for metric in METRICS:
            responses = Responses(candidate, metric, repeats)
            theirs = prompt_means(service, metric)
            ones = dict.fromkeys(theirs, 1.0)
            yield responses.condition(ones, -gate.margin, gate.confidence, seed, less=theirs)

    def _difference(
        self, candidate: VerdictTable, service: VerdictTable, metric: Metric, seed: int
    ) -> Check:
        gate = self._config
        seen = difference(candidate, service, metric, confidence=gate.confidence, seed=seed)
        low = None if seen is None else seen.low
        if seen is None or low is None:
            return checks.unknown(metric, seen, -gate.margin, "the service's own score is missing")
        passed = low >= -gate.margin
        both, part = checks.prompts_of(candidate, service, metric)
        more, future = checks.prompts_more(seen, -gate.margin, both, passed)
        words = (
            f"{metric} is {_apart(seen.value)} the service's own{part}, "
            f"at worst {_apart(low)} it at {gate.confidence:.0%} confidence, "
            f"{'within' if passed else 'beyond'} the margin of {gate.margin:g} points{future}"
        )
        return Check(
            metric=metric,
            seen=seen,
            needed=-gate.margin,
            passed=passed,
            words=words,
            more=more,
        )


def _apart(points: float) -> str:
    return f"{abs(points):.1f} points {'below' if points < 0 else 'above'}"
