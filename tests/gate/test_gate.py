import numpy as np
import pytest
from support.experiments import composed

from llamaduo.base.errors import DataError
from llamaduo.config import AbsoluteGateConfig, NonInferiorGateConfig, RelativeGateConfig
from llamaduo.gate import decide
from llamaduo.records import JudgeFailure, Verdict
from llamaduo.stats.table import VerdictTable

RELATIVE = RelativeGateConfig(
    kind="relative",
    name="relative",
    ratio=0.9,
    coverage_at=50,
    coverage_share=0.9,
    confidence=0.95,
)
ABSOLUTE = AbsoluteGateConfig(kind="absolute", name="paper", threshold=90, confidence=0.95)
NON_INFERIOR = NonInferiorGateConfig(
    kind="non_inferior", name="non_inferior", margin=5, confidence=0.95
)


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
    assert [check.more for check in good.checks] == [0] * 4
    bad = decide(RELATIVE, verdicts([50, 52, 48, 51, 49, 50, 53, 47] * 2), SERVICE, seed=1)
    assert not bad.passed
    assert "short of the ratio 90.0%" in bad.words
    assert "no number of prompts would make that up" in bad.words


def test_a_mean_above_the_ratio_is_not_enough_where_the_lower_bound_is_below():
    unsure = decide(RELATIVE, verdicts([95, 50, 99, 45, 98, 60, 90, 66] * 2), SERVICE, seed=1)
    similarity = unsure.checks[0]
    assert similarity.seen is not None
    assert similarity.seen.value > 0.9
    assert not unsure.passed


def test_both_metrics_must_pass():
    half = decide(RELATIVE, verdicts([80] * 16, precision=20), SERVICE, seed=1)
    passed = {"similarity": True, "precision": False}
    assert [check.passed for check in half.checks] == [passed[c.metric] for c in half.checks]
    assert {check.metric for check in half.checks} == {"similarity", "precision"}
    assert half.words.startswith("precision")


def test_without_the_services_own_score_nothing_is_passed():
    for gate in (RELATIVE, NON_INFERIOR):
        decision = decide(gate, verdicts([100] * 16), [], seed=1)
        assert not any(check.passed for check in decision.checks)
        assert "missing" in decision.words


def test_a_service_that_scores_nothing_is_not_called_missing():
    decision = decide(RELATIVE, verdicts([10] * 16), verdicts([0] * 16), seed=1)
    assert not decision.passed
    assert "the service's own score is 0" in decision.words


def test_a_high_mean_with_too_many_poor_answers_fails_on_coverage_alone():
    """Two answers in eight are useless, which a mean of 99 elsewhere hides."""
    candidate = verdicts([99, 99, 99, 99, 99, 99, 40, 40] * 5)
    service = verdicts([70, 71, 72, 70, 71, 72, 70, 71] * 5)
    decision = decide(RELATIVE, candidate, service, seed=1)
    assert [check.passed for check in decision.checks] == [True, True, False, False]
    assert "50 or more in 75% of the answers" in decision.words
    lax = RELATIVE.model_copy(update={"coverage_share": 0.75})
    assert decide(lax, candidate, service, seed=1).passed


@pytest.mark.parametrize(("score", "passed"), [(90, True), (89.9, False)])
def test_the_papers_gate_is_on_means_and_needs_no_service(score, passed):
    assert decide(ABSOLUTE, verdicts([score] * 4), [], seed=1).passed is passed


@pytest.mark.parametrize("gate", [RELATIVE, ABSOLUTE, NON_INFERIOR])
def test_nothing_judged_is_not_passed(gate):
    assert not decide(gate, [], [], seed=1).passed
    failed = [JudgeFailure(prompt_id="p0", k=0, cause="c", judge="j", version="1")]
    assert not decide(gate, failed, SERVICE, seed=1).passed


@pytest.mark.parametrize("gate", [RELATIVE, NON_INFERIOR])
def test_one_prompt_is_too_few(gate):
    decision = decide(gate, verdicts([99]), verdicts([80]), seed=1)
    assert not decision.passed
    assert "one prompt is too few for an interval" in decision.words


@pytest.mark.parametrize(("loss", "passed"), [(1, True), (5, False), (20, False)])
def test_non_inferior_holds_the_worst_of_the_interval_against_the_margin(loss, passed):
    rng = np.random.default_rng(3)
    own = rng.uniform(60, 90, 30)
    candidate = verdicts(own - loss + rng.normal(0, 2, 30))
    decision = decide(NON_INFERIOR, candidate, verdicts(own), seed=1)
    assert decision.passed is passed
    assert ("within the margin of 5 points" in decision.words) is passed
    assert "points below the service's own" in decision.words


@pytest.mark.parametrize(
    "gate", [RELATIVE.model_copy(update={"ratio": 0.94}), NON_INFERIOR], ids=lambda gate: gate.name
)
def test_so_many_more_prompts_do_settle_it(gate):
    """A candidate just inside, unsure at 16 prompts: what is asked for is about what it takes."""
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 12, 4000)
    noise -= noise.mean()

    def seen(n):
        own = np.full(n, 80.0)
        some = noise[:n] - noise[:n].mean()
        return decide(gate, verdicts(np.clip(own - 2 + some, 0, 100)), verdicts(own), seed=1)

    small = seen(16)
    first = small.checks[0]
    assert not first.passed
    assert first.more is not None
    assert f"{first.more} more prompts would settle it" in first.words
    enough = seen(16 + round(1.5 * first.more))
    assert enough.checks[0].passed
    assert not seen(16 + first.more // 3).checks[0].passed


def test_a_pass_by_value_says_that_it_is_not_sure():
    unsure = decide(ABSOLUTE, verdicts([100, 82, 99, 83, 98, 84, 97, 85]), [], seed=1)
    assert unsure.passed
    assert unsure.checks[0].more
    assert "though not surely" in unsure.words


def test_prompts_that_only_one_of_them_has_are_named_and_left_out():
    decision = decide(RELATIVE, verdicts([80] * 16), SERVICE[:10], seed=1)
    assert "candidate on 16 prompts, service on 10, both on 10" in decision.words


def test_verdicts_on_two_test_sets_are_refused_with_both_fingerprints():
    ours = VerdictTable.of(verdicts([80] * 8), "aaaa1111")
    theirs = VerdictTable.of(verdicts([80] * 8), "bbbb2222")
    with pytest.raises(DataError, match=r"aaaa1111.*bbbb2222"):
        decide(RELATIVE, ours, theirs, seed=1)


@pytest.mark.parametrize("name", ["relative", "demo"])
def test_the_share_of_coverage_follows_the_ratio_unless_it_is_set(name):
    gate = composed(f"gate={name}", "gate.ratio=0.4").gate
    assert gate.coverage_share == gate.ratio == 0.4
    gate = composed(f"gate={name}", "gate.coverage_share=0.3").gate
    assert gate.coverage_share == 0.3
