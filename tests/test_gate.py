import pytest

from llamaduo.config import AbsoluteGateConfig, RelativeGateConfig
from llamaduo.gate import decide
from llamaduo.records import Verdict

RELATIVE = RelativeGateConfig(kind="relative", name="relative", ratio=0.9, confidence=0.95)
ABSOLUTE = AbsoluteGateConfig(kind="absolute", name="paper", threshold=90, confidence=0.95)


def verdicts(scores, precision=None):
    return [
        Verdict(
            prompt_id=f"p{i}",
            k=0,
            similarity=score,
            precision=score if precision is None else precision,
            reason="",
            judge="j",
            version="1",
        )
        for i, score in enumerate(scores)
    ]


SERVICE = verdicts([80, 82, 78, 81, 79, 80, 83, 77] * 2)


def test_a_clear_pass_and_a_clear_failure_in_words():
    good = decide(RELATIVE, verdicts([79, 81, 77, 80, 78, 79, 82, 76] * 2), SERVICE, seed=1)
    assert good.passed
    assert "meets the ratio" in good.words
    bad = decide(RELATIVE, verdicts([50, 52, 48, 51, 49, 50, 53, 47] * 2), SERVICE, seed=1)
    assert not bad.passed
    assert "short of the ratio 90.0%" in bad.words


def test_a_mean_above_the_ratio_is_not_enough_where_the_lower_bound_is_below():
    unsure = decide(RELATIVE, verdicts([95, 50, 99, 45, 98, 60, 90, 66] * 2), SERVICE, seed=1)
    similarity = unsure.checks[0]
    assert similarity.seen is not None
    assert similarity.seen.value > 0.9
    assert not unsure.passed


def test_both_metrics_must_pass():
    half = decide(RELATIVE, verdicts([80] * 16, precision=20), SERVICE, seed=1)
    assert [check.passed for check in half.checks] == [True, False]
    assert half.words.startswith("precision")


def test_without_the_services_own_score_nothing_is_passed():
    decision = decide(RELATIVE, verdicts([100] * 16), [], seed=1)
    assert not decision.passed
    assert "missing" in decision.words


@pytest.mark.parametrize(("score", "passed"), [(90, True), (89.9, False)])
def test_the_papers_gate_is_on_means_and_needs_no_service(score, passed):
    assert decide(ABSOLUTE, verdicts([score] * 4), [], seed=1).passed is passed


def test_nothing_judged_is_not_passed():
    assert not decide(ABSOLUTE, [], [], seed=1).passed
