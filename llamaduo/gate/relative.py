"""`gate=relative`: a share of the service's own score, and of how many answers reach a mark."""

from collections.abc import Iterator, Mapping

from llamaduo.config import RelativeGateConfig
from llamaduo.gate import checks
from llamaduo.gate.protocol import Check
from llamaduo.gate.repeats import Condition, Responses
from llamaduo.stats.scores import by_prompt, coverage_ratio, paired, prompt_means, ratio
from llamaduo.stats.table import METRICS, Metric, VerdictTable


class RelativeGate:
    """A gate on the lower bound of candidate over service; see `Gate`."""

    def __init__(self, config: RelativeGateConfig) -> None:
        self._config = config

    def checks(
        self, candidate: VerdictTable, service: VerdictTable, *, seed: int
    ) -> Iterator[Check]:
        """See `Gate.checks`: the means in both metrics, then their coverage."""
        for metric in METRICS:
            yield self._mean(candidate, service, metric, seed)
        for metric in METRICS:
            yield self._coverage(candidate, service, metric, seed)

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
            yield responses.condition(theirs, gate.ratio, gate.confidence, seed)
            reach = {
                prompt: sum(score >= gate.coverage_at for score in scores) / len(scores)
                for prompt, scores in by_prompt(service, metric).items()
            }
            if any(reach.values()):
                covers = responses.reaching(gate.coverage_at)
                yield covers.condition(reach, gate.coverage_share, None, seed)

    def _mean(
        self, candidate: VerdictTable, service: VerdictTable, metric: Metric, seed: int
    ) -> Check:
        gate = self._config
        seen = ratio(candidate, service, metric, confidence=gate.confidence, seed=seed)
        low = None if seen is None else seen.low
        if seen is None or low is None:
            own = "0" if len(paired(candidate, service, metric)) else "missing"
            return checks.unknown(metric, seen, gate.ratio, f"the service's own score is {own}")
        passed = low >= gate.ratio
        both, part = checks.prompts_of(candidate, service, metric)
        more, future = checks.prompts_more(seen, gate.ratio, both, passed)
        words = (
            f"{metric} is {seen.value:.1%} of the service's own score{part}, "
            f"at least {low:.1%} at {gate.confidence:.0%} confidence, "
            f"{'which meets' if passed else 'short of'} the ratio {gate.ratio:.1%}{future}"
        )
        return Check(
            metric=metric,
            seen=seen,
            needed=gate.ratio,
            passed=passed,
            words=words,
            more=more,
        )

    def _coverage(
        self, candidate: VerdictTable, service: VerdictTable, metric: Metric, seed: int
    ) -> Check:
        """Hold coverage against its share by its value: the interval only says how sure it is."""
        gate = self._config
        at, needed = gate.coverage_at, gate.coverage_share
        seen = coverage_ratio(candidate, service, metric, at, confidence=gate.confidence, seed=seed)
        if seen is None:
            if len(paired(candidate, service, metric)):
                words = (
                    f"{metric}: none of the service's own answers reaches {at:g}, "
                    "so any coverage does"
                )
                return Check(
                    metric=metric, seen=None, needed=needed, passed=True, words=words, more=0
                )
            return checks.unknown(
                metric, seen, needed, f"the service's own coverage@{at:g} is missing"
            )
        passed = seen.value >= needed
        both, part = checks.prompts_of(candidate, service, metric)
        more, future = checks.prompts_more(seen, needed, both, passed)
        ours, own = paired(candidate, service, metric, at).mean(axis=0)
        words = (
            f"{metric} of {at:g} or more in {ours:.0%} of the answers, "
            f"{seen.value:.1%} of the service's own {own:.0%}{part}, "
            f"{'which meets' if passed else 'short of'} the share {needed:.1%}{future}"
        )
        return Check(metric=metric, seen=seen, needed=needed, passed=passed, words=words, more=more)
