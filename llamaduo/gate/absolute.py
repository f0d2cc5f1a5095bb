"""`gate=paper_absolute`: both means at least a threshold, as in the paper's code."""

from collections.abc import Iterator, Mapping

from llamaduo.config import AbsoluteGateConfig
from llamaduo.gate import checks
from llamaduo.gate.protocol import Check
from llamaduo.gate.repeats import Condition, Responses
from llamaduo.stats.scores import summarise
from llamaduo.stats.table import METRICS, Metric, VerdictTable


class AbsoluteGate:
    """A gate on the candidate's means alone; see `Gate`."""

    def __init__(self, config: AbsoluteGateConfig) -> None:
        self._config = config

    def checks(
        self, candidate: VerdictTable, service: VerdictTable, *, seed: int
    ) -> Iterator[Check]:
        """See `Gate.checks`; the service's verdicts decide nothing."""
        for metric in METRICS:
            yield self._mean(candidate, metric, seed)

    def conditions(
        self,
        candidate: VerdictTable,
        service: VerdictTable,
        repeats: Mapping[str, int],
        *,
        seed: int,
    ) -> Iterator[Condition]:
        """See `Gate.conditions`."""
        for metric in METRICS:
            responses = Responses(candidate, metric, repeats)
            ones = dict.fromkeys(candidate.prompts, 1.0)
            yield responses.condition(ones, self._config.threshold, None, seed)

    def _mean(self, candidate: VerdictTable, metric: Metric, seed: int) -> Check:
        scores = summarise(candidate, confidence=self._config.confidence, seed=seed)
        if scores is None:
            words = f"{metric}: no response could be judged"
            return Check(
                metric=metric, seen=None, needed=self._config.threshold, passed=False, words=words
            )
        mean = scores.of(metric).mean
        passed = mean.value >= self._config.threshold
        more, future = checks.prompts_more(mean, self._config.threshold, scores.prompts, passed)
        words = (
            f"mean {metric} {mean.value:.1f} {'reaches' if passed else 'is below'} "
            f"{self._config.threshold:g}{future}"
        )
        return Check(
            metric=metric,
            seen=mean,
            needed=self._config.threshold,
            passed=passed,
            words=words,
            more=more,
        )
