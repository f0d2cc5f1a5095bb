from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamaduo.records import JudgeFailure, Verdict
from llamaduo.stats.intervals import estimate, sign_flips
from llamaduo.stats.scores import (
    TableCell,
    compare,
    difference,
    p_match,
    prompt_means,
    ratio,
    summarise,
    whole_percent,
)
from llamaduo.stats.table import VerdictTable
from llamaduo.stats.variance import parts


def verdict(prompt: str, k: int, similarity: float, precision: float = 50, m: int = 0) -> Verdict:
    return Verdict(
        prompt_id=prompt,
        k=k,
        m=m,
        similarity=similarity,
        precision=precision,
        reason="",
        judge="j",
        version="1",
    )


def failure(prompt: str, k: int, m: int = 0) -> JudgeFailure:
    return JudgeFailure(prompt_id=prompt, k=k, m=m, cause="c", judge="j", version="1")


@pytest.mark.parametrize(("reached", "total", "percent"), [(40, 64, 62), (46, 64, 72), (1, 8, 12)])
def test_coverage_rounds_half_to_even_as_the_paper_does(reached, total, percent):
    assert whole_percent(reached, total) == percent


@given(st.integers(0, 60))
def test_coverage_of_sixty_is_never_off_by_more_than_half(k):
    assert abs(whole_percent(k, 60) - Fraction(100 * k, 60)) <= Fraction(1, 2)


def test_summary_counts_responses_not_prompts():
    rows = [verdict("a", 0, 40), verdict("a", 1, 80), verdict("b", 0, 50), verdict("b", 1, 70)]
    scores = summarise(rows, confidence=0.95, seed=1)
    assert scores is not None
    assert scores.similarity.mean.value == 60
    assert scores.similarity.coverage_50 == 75
    assert scores.similarity.coverage_70 == 50
    assert scores.both_70 == 0
    assert (scores.prompts, scores.responses) == (2, 4)


def test_failures_are_counted_and_never_averaged_in():
    rows = [verdict("a", 0, 40), failure("a", 1), failure("b", 0)]
    scores = summarise(rows, confidence=0.95, seed=1)
    assert scores is not None
    assert scores.similarity.mean.value == 40
    assert (scores.failures, scores.prompts) == (2, 1)
    assert scores.similarity.mean.low is None
    assert summarise([failure("a", 0)], confidence=0.95, seed=1) is None


def test_repeats_of_a_judgement_are_one_score():
    rows = [verdict("a", 0, 40, m=0), verdict("a", 0, 60, m=1), verdict("b", 0, 90)]
    scores = summarise(rows, confidence=0.95, seed=1)
    assert scores is not None
    assert scores.similarity.mean.value == 70
    assert scores.responses == 2


def test_repeats_are_averaged_before_anything_is_counted():
    """Each of the first two responses reaches 50 in one repeat only, and one of them on average."""
    rows = [
        *(verdict("a", 0, s, m=m) for m, s in enumerate((80, 30))),
        *(verdict("a", 1, s, m=m) for m, s in enumerate((60, 30))),
        *(verdict("b", 0, s, m=m) for m, s in enumerate((90, 90, 90, 90))),
    ]
    scores = summarise(rows, confidence=0.95, seed=1)
    assert scores is not None
    assert scores.responses == 3
    assert scores.similarity.mean.value == pytest.approx((55 + 45 + 90) / 3)
    assert scores.similarity.coverage_50 == 67
    assert scores.similarity.coverage_70 == 33


def test_a_failed_repeat_leaves_the_others_and_a_response_without_any_is_unjudged():
    rows = [
        verdict("a", 0, 40, m=0),
        failure("a", 0, m=1),
        verdict("a", 0, 60, m=2),
        *(failure("a", 1, m=m) for m in range(3)),
        *(failure("b", 0, m=m) for m in range(3)),
    ]
    scores = summarise(rows, confidence=0.95, seed=1)
    assert scores is not None
    assert scores.similarity.mean.value == 50
    assert (scores.responses, scores.unjudged, scores.failures) == (1, 2, 7)
    assert (scores.flat()["failures"], scores.flat()["unjudged"]) == (7, 2)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3)),
        st.lists(st.none() | st.integers(0, 100), min_size=1, max_size=5),
        min_size=1,
    )
)
def test_the_mean_is_that_of_the_means_of_what_succeeded(given_scores):
    rows = [
        failure(p, k, m) if s is None else verdict(p, k, s, m=m)
        for (p, k), repeats in given_scores.items()
        for m, s in enumerate(repeats)
    ]
    means = [
        np.mean(given)
        for repeats in given_scores.values()
        if (given := [s for s in repeats if s is not None])
    ]
    scores = summarise(rows, confidence=0.95, seed=1)
    if not means:
        assert scores is None
        return
    assert scores is not None
    assert scores.similarity.mean.value == pytest.approx(np.mean(means))
    assert scores.responses == len(means)
    assert scores.unjudged == len(given_scores) - len(means)


def test_intervals_follow_prompts_not_responses():
    rng = np.random.default_rng(0)
    means = rng.normal(60, 10, 20)
    wide = [verdict(f"p{i}", k, x) for i, x in enumerate(means) for k in range(4)]
    spread = [verdict(f"p{i}-{k}", 0, x) for i, x in enumerate(means) for k in range(4)]
    by_prompt = summarise(wide, confidence=0.95, seed=1)
    by_response = summarise(spread, confidence=0.95, seed=1)
    assert by_prompt is not None
    assert by_response is not None
    first, second = by_prompt.similarity.mean, by_response.similarity.mean
    assert first.low is not None
    assert second.low is not None
    assert first.value == pytest.approx(second.value)
    assert first.value - first.low > 1.7 * (second.value - second.low)


def test_nominal_coverage_of_the_interval_at_twenty_skewed_prompts():
    """A 95 % interval holds the true mean in 95 % of trials, within what 400 trials can tell."""
    rng = np.random.default_rng(7)
    hits = 0
    for trial in range(400):
        sample = 100 * rng.beta(4, 2, 20)
        mean = estimate([(x, 1.0) for x in sample], confidence=0.95, seed=trial, top=100)
        assert mean.low is not None
        assert mean.high is not None
        hits += mean.low <= 100 * 4 / 6 <= mean.high
    assert 0.925 <= hits / 400 <= 0.98


def test_an_estimate_is_the_same_for_the_same_seed_and_degenerate_without_spread():
    table = [(float(x), 1.0) for x in range(10)]
    once, again = (estimate(table, confidence=0.9, seed=3) for _ in range(2))
    assert once == again
    flat = estimate([(5.0, 1.0)] * 8, confidence=0.9, seed=3)
    assert (flat.low, flat.value, flat.high) == (5, 5, 5)


def test_one_odd_prompt_among_twenty_keeps_a_lower_bound_below_the_mean():
    mean = estimate([(100.0, 1.0)] * 19 + [(0.0, 1.0)], confidence=0.95, seed=1, top=100)
    assert mean.low is not None
    assert mean.low < 90 < mean.value


def test_two_prompts_tell_next_to_nothing():
    mean = estimate([(40.0, 1.0), (90.0, 1.0)], confidence=0.95, seed=1, top=100)
    assert (mean.low, mean.high) == (0, 100)


@pytest.mark.parametrize(("n", "most"), [(2, 0.05), (3, 0.05), (20, 0.045)])
def test_the_lower_bound_is_seldom_above_the_truth(n, most):
    rng = np.random.default_rng(n)
    above = 0
    for trial in range(400):
        mean = estimate(
            [(x, 1.0) for x in rng.normal(60, 10, n)], confidence=0.95, seed=trial, top=100
        )
        assert mean.low is not None
        above += mean.low > 60
    assert above / 400 <= most


def test_differences_and_ratios_are_taken_prompt_by_prompt_on_common_prompts():
    a = [verdict(f"p{i}", 0, 50 + i) for i in range(10)]
    b = [verdict(f"p{i}", 0, 40 + i) for i in range(10)] + [verdict("only b", 0, 0)]
    gain = difference(a, b, "similarity", confidence=0.95, seed=1)
    assert gain is not None
    assert (gain.value, gain.low, gain.high) == pytest.approx((10, 10, 10))
    share = ratio(a, b, "similarity", confidence=0.95, seed=1)
    assert share is not None
    assert share.value == pytest.approx(545 / 445)
    assert share.low is not None
    assert share.low < share.value


def test_no_ratio_without_anything_to_divide_by():
    a = [verdict("a", 0, 50)]
    assert ratio(a, [], "similarity", confidence=0.95, seed=1) is None
    assert ratio(a, [verdict("a", 0, 0)], "similarity", confidence=0.95, seed=1) is None
    assert difference(a, [verdict("b", 0, 1)], "similarity", confidence=0.95, seed=1) is None


def test_the_median_is_that_of_the_responses():
    rows = [verdict("a", 0, 10), verdict("a", 1, 20), verdict("b", 0, 90)]
    scores = summarise(rows, confidence=0.95, seed=1)
    assert scores is not None
    assert scores.similarity.median == 20
    assert scores.flat()["similarity_median"] == 20


def test_prompt_means_are_of_responses_not_of_verdicts():
    rows = [*(verdict("a", 0, 90, m=m) for m in range(3)), verdict("a", 1, 30)]
    assert prompt_means(rows, "similarity") == {"a": 60}


def drawn(prompt: float, sample: float, judge: float, *, holes: float = 0.0) -> VerdictTable:
    """400 prompts, K = 3, M = 4, with these standard deviations and a share of failures."""
    rng = np.random.default_rng(11)
    scores = (
        50
        + prompt * rng.normal(size=(400, 1, 1))
        + sample * rng.normal(size=(400, 3, 1))
        + judge * rng.normal(size=(400, 3, 4))
    )
    assert scores.min() >= 0
    assert scores.max() <= 100
    scores[rng.uniform(size=scores.shape) < holes] = np.nan
    return VerdictTable.of_scores(scores, scores, "j")


@pytest.mark.parametrize("holes", [0.0, 0.4])
@pytest.mark.parametrize("sds", [(9, 5, 3), (2, 8, 1), (6, 1, 6)])
def test_variance_is_put_down_to_what_it_comes_from(sds, holes):
    """Also where four verdicts in ten are missing, so that no prompt has as many as the next."""
    variance = parts(drawn(*sds, holes=holes), "similarity")
    for part, sd in zip((variance.prompt, variance.sample, variance.judge), sds, strict=True):
        assert part is not None
        assert part == pytest.approx(sd**2, abs=0.12 * sum(x**2 for x in sds))
    assert variance.within == pytest.approx(variance.sample + variance.judge)


def test_variance_agrees_with_the_formulas_for_equal_numbers():
    table = drawn(9, 5, 3)
    scores = table.similarity.reshape(400, 3, 4)
    judge = scores.var(axis=2, ddof=1).mean()
    sample = scores.mean(axis=2).var(axis=1, ddof=1).mean() - judge / 4
    prompt = scores.mean(axis=(1, 2)).var(ddof=1) - sample / 3 - judge / 12
    variance = parts(table, "similarity")
    assert (variance.prompt, variance.sample, variance.judge) == pytest.approx(
        (prompt, sample, judge)
    )


@pytest.mark.parametrize(
    ("shape", "known"),
    [
        ((5, 3, 2), {"prompt", "sample", "judge", "within"}),
        ((5, 3, 1), {"prompt", "within"}),
        ((5, 1, 3), {"judge"}),
        ((5, 1, 1), set()),
        ((1, 3, 2), {"sample", "judge", "within"}),
        ((1, 1, 3), {"judge"}),
        ((0, 1, 1), set()),
    ],
)
def test_a_part_that_the_verdicts_cannot_tell_is_unknown(shape, known):
    scores = np.random.default_rng(0).uniform(0, 100, shape)
    variance = parts(VerdictTable.of_scores(scores, scores, "j"), "precision")
    assert {name for name, value in variance if value is not None} == known


def test_no_figure_of_variance_where_it_is_unknown():
    scores = summarise([verdict("a", 0, 40), verdict("b", 0, 60)], confidence=0.95, seed=1)
    assert scores is not None
    assert not [name for name in scores.flat() if "variance" in name]


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8))
def test_a_permutation_p_value_of_few_prompts_is_exact(gains):
    from itertools import product

    p = sign_flips(gains, seed=1)
    sums = [
        abs(sum(s * g for s, g in zip(signs, gains, strict=True)))
        for signs in product((1, -1), repeat=len(gains))
    ]
    assert p == np.mean([total >= abs(sum(gains)) for total in sums])


def test_permutation_p_values_are_even_where_there_is_no_difference():
    rng = np.random.default_rng(2)
    p_values = [sign_flips(rng.normal(size=20), seed=i) for i in range(300)]
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.09
    assert 0.4 <= np.mean(np.array(p_values) <= 0.5) <= 0.6


def test_a_clear_difference_is_unlikely_by_chance_and_none_at_all_is_not():
    a = [verdict(f"p{i}", 0, 60 + i % 3) for i in range(20)]
    b = [verdict(f"p{i}", 0, 50) for i in range(20)]
    comparison = compare(a, b, "similarity", confidence=0.95, seed=1)
    assert comparison is not None
    assert comparison.p < 0.001
    assert comparison.prompts == 20
    assert comparison.difference == difference(a, b, "similarity", confidence=0.95, seed=1)
    alike = compare(a, a, "similarity", confidence=0.95, seed=1)
    assert alike is not None
    assert alike.p == 1
    assert compare(a, [verdict("other", 0, 1)], "similarity", confidence=0.95, seed=1) is None


def test_p_match_takes_the_best_of_each_column_by_itself():
    """Summarization under GPT-4o in the paper's Table 1: precision."""
    service = [(90.71, 97, 96), (88.04, 97, 92), (87.90, 96, 96)]
    local = [(57.60, 64, 35), (73.54, 85, 65), (76.38, 93, 70), (75.67, 88, 75)]

    def cells(rows):
        return [TableCell(mean=a, coverage_50=b, coverage_70=c) for a, b, c in rows]

    match = p_match(cells(local), cells(service))
    printed = (84.20, 95.88, 78.13)
    assert (match.mean, match.coverage_50, match.coverage_70) == pytest.approx(printed, abs=0.01)
    assert p_match(cells(local), []).mean is None
    assert p_match(cells(local), cells([(50, 10, 0)])).coverage_70 is None


def test_p_match_of_scores():
    ours, theirs = (
        summarise([verdict("a", 0, s), verdict("b", 0, s)], confidence=0.95, seed=1)
        for s in (60, 80)
    )
    match = p_match([TableCell.of(ours.similarity)], [TableCell.of(theirs.similarity)])
    assert (match.mean, match.coverage_50, match.coverage_70) == (75, 100, 0)
