"""The contract of gates; a gate's test class inherits from `GateContract`."""

from collections.abc import Sequence

from llamaduo.gate import Gate
from llamaduo.records import Verdict
from llamaduo.stats.table import METRICS, VerdictTable

NOTHING = VerdictTable.of([])


def scored(scores: Sequence[float]) -> VerdictTable:
    """Return one verdict with the same similarity and precision for each of these prompts."""
    return VerdictTable.of(
        [
            Verdict(
                prompt_id=f"p{number}",
                k=0,
                similarity=score,
                precision=score,
                reason="",
                judge="judge",
                version="1",
            )
            for number, score in enumerate(scores)
        ]
    )


class GateContract:
    """Inherit, and give the fixture `gate`."""

    service = scored([100, 98, 99, 100, 97, 99] * 4)
    good = scored([99, 98, 100, 99, 98, 97] * 4)
    bad = scored([3, 0, 1, 2, 4, 1] * 4)

    def test_a_candidate_as_good_as_the_service_passes(self, gate: Gate) -> None:
        checks = list(gate.checks(self.good, self.service, seed=1))
        assert checks
        assert all(check.passed for check in checks)

    def test_a_poor_candidate_does_not_pass(self, gate: Gate) -> None:
        checks = list(gate.checks(self.bad, self.service, seed=1))
        assert not all(check.passed for check in checks)

    def test_unknown_is_not_good_enough(self, gate: Gate) -> None:
        checks = list(gate.checks(NOTHING, self.service, seed=1))
        assert checks
        assert not any(check.passed for check in checks)

    def test_each_check_says_why(self, gate: Gate) -> None:
        for candidate in (self.good, self.bad, NOTHING):
            for check in gate.checks(candidate, self.service, seed=1):
                assert check.metric in METRICS
                assert check.metric in check.words

    def test_the_same_seed_decides_alike(self, gate: Gate) -> None:
        first, again = (list(gate.checks(self.good, self.service, seed=7)) for _ in range(2))
        assert first == again

    def test_after_all_repeats_its_conditions_are_met_where_its_checks_are(
        self, gate: Gate
    ) -> None:
        for candidate in (self.good, self.bad):
            conditions = list(gate.conditions(candidate, self.service, {"judge": 1}, seed=1))
            checks = list(gate.checks(candidate, self.service, seed=1))
            met = all(condition.margin >= 0 for condition in conditions)
            assert met == all(check.passed for check in checks)
            assert all(condition.turns == 0 for condition in conditions)
