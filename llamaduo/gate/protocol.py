"""A gate as its callers see it: what it decides, and what can still turn its decision."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from llamaduo.gate.repeats import Condition
from llamaduo.records import Record
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.table import Metric, VerdictTable


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


class GateDecision(Record):
    """The decision of a gate: passed when every check did."""

    gate: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True where every condition is met."""
        return all(check.passed for check in self.checks)

    @property
    def words(self) -> str:
        """All conditions in words, those not met first."""
        ordered = sorted(self.checks, key=lambda check: check.passed)
        return "; ".join(check.words for check in ordered)


class Gate(Protocol):
    """A rule that says whether a local LLM is good enough."""

    def checks(
        self, candidate: VerdictTable, service: VerdictTable, *, seed: int
    ) -> Iterator[Check]:
        """Hold a candidate's verdicts against each condition; one judge, the same prompts.

        Raises:
            DataError: the verdicts are on two test sets.
        """

    def conditions(
        self,
        candidate: VerdictTable,
        service: VerdictTable,
        repeats: Mapping[str, int],
        *,
        seed: int,
    ) -> Iterator[Condition]:
        """Look at each condition after some of the `repeats` that each judge, by name, will give.

        The service has had all of its own. docs/judges.md says what follows from it.
        """
