"""How far judges agree, against figures worked out by hand or published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamaduo.records import JudgeFailure, Verdict
from llamaduo.stats.agreement import (
    agreement,
    krippendorff,
    leniency,
    spearman,
    units,
)
from llamaduo.stats.bias import family_of, length_bias, self_preference

FIXED = {"confidence": 0.95, "seed": 1}


def verdict(prompt, score, *, judge="a", k=0, m=0, precision=50.0):
    return Verdict(
        prompt_id=prompt,
        k=k,
        m=m,
        similarity=score,
        precision=precision,
        reason="so",
        judge=judge,
        version="1",
    )


def failure(prompt, *, judge="a", k=0, m=0):
    return JudgeFailure(prompt_id=prompt, k=k, m=m, cause="down", judge=judge, version="1")


def scores(**columns):
    """By judge, the scores of units 0, 1, 2 …; None is missing."""
    return {
        judge: {("s", f"p{i:02}", 0): float(x) for i, x in enumerate(column) if x is not None}
        for judge, column in columns.items()
    }


def test_alpha_of_krippendorffs_own_example():
    """Four observers, twelve units, missing values: 0.849 with the interval metric."""
    x = None
    table = scores(
        a=[1, 2, 3, 3, 2, 1, 4, 1, 2, x, x, x],
        b=[1, 2, 3, 3, 2, 2, 4, 1, 2, 5, x, 3],
        c=[x, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, x],
        d=[1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, x],
    )
    alpha, words = krippendorff(table)
    assert alpha == pytest.approx(0.849, abs=5e-4)
    assert "0.85 over 11 responses" in words


def test_alpha_by_hand():
    # Units (0, 2) and (4, 6). Observed: each ordered pair is 4 apart squared, mean 4. Expected: of
    # 12 ordered pairs of 0 2 4 6 the squares are 2 * (4+16+36+4+16+4) = 160, mean 40/3.
    alpha, _ = krippendorff(scores(a=[0, 4], b=[2, 6]))
    assert alpha == pytest.approx(1 - 4 / (40 / 3))


columns = st.lists(
    st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=5, max_size=5),
    min_size=2,
    max_size=4,
)


@given(columns, st.floats(0.1, 3), st.floats(-50, 50))
def test_alpha_is_at_most_one_and_knows_no_unit(table, scale, shift):
    named = scores(**{f"j{i}": column for i, column in enumerate(table)})
    moved = {j: {u: scale * s + shift for u, s in own.items()} for j, own in named.items()}
    alpha, _ = krippendorff(named)
    other, _ = krippendorff(moved)
    if alpha is None:
        assert other is None
        return
    assert alpha <= 1 + 1e-12
    assert other == pytest.approx(alpha, abs=1e-6)
    turned = dict(reversed(named.items()))
    assert krippendorff(turned)[0] == pytest.approx(alpha)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"a": [1, None], "b": [None, 2]}, "no response"),
        ({"a": [7, 7], "b": [7, 7]}, "one and the same score"),
        ({"a": [1, 2]}, "no response"),
        ({}, "no response"),
    ],
)
def test_where_alpha_cannot_be_told_it_says_why(table, words):
    alpha, sentence = krippendorff(scores(**table))
    assert alpha is None
    assert words in sentence


def test_spearman_by_hand():
    assert spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert spearman([1, 2, 3], [30, 20, 10]) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 against 1 to 4: 4.5 over the root of 4.5 times 5.
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert spearman([5, 5, 5], [1, 2, 3]) is None
    assert spearman([1, 2], [1, 2]) is None


@given(st.lists(st.integers(10, 60), min_size=3, max_size=20), st.integers(-10, 40))
def test_leniency_is_the_points_that_a_judge_adds(column, more):
    table = scores(a=column, b=[x + more for x in column])
    strict, lenient = leniency(table, **FIXED)
    assert lenient.shift.value == pytest.approx(more)
    assert strict.shift.value == pytest.approx(-more)
    assert lenient.shift.low == pytest.approx(more)


def test_leniency_counts_only_what_all_judged():
    """Else a judge that failed on the poor answers would look lenient."""
    table = scores(a=[10, 90, 80], b=[None, 90, 80])
    assert [one.shift.value for one in leniency(table, **FIXED)] == pytest.approx([0, 0])
    assert {one.responses for one in leniency(table, **FIXED)} == {2}


def test_repeats_are_averaged_before_judges_are_compared():
    rows = [
        *(verdict(f"p{i}", s, m=m) for i in range(4) for m, s in enumerate((10 * i, 10 * i + 20))),
        *(verdict(f"p{i}", 10 * i + 10, judge="b") for i in range(4)),
    ]
    agreed = agreement({"tuned": rows}, "similarity", **FIXED)
    assert agreed.judges == ("a", "b")
    assert agreed.alpha == pytest.approx(1)
    assert [one.shift.value for one in agreed.leniency] == pytest.approx([0, 0])
    assert agreed.correlations[0].rho == pytest.approx(1)


def test_strictness_alone_lowers_alpha_and_not_the_centred_one():
    rows = [verdict(f"p{i}", 10 * i, judge="a") for i in range(5)]
    rows += [verdict(f"p{i}", 10 * i + 40, judge="b") for i in range(5)]
    agreed = agreement({"tuned": rows}, "similarity", **FIXED)
    assert agreed.alpha < 0.5
    assert agreed.centred == pytest.approx(1)


def test_a_constant_judge_ranks_nothing_and_is_named():
    rows = [verdict(f"p{i}", 10 * i, judge="a") for i in range(5)]
    rows += [verdict(f"p{i}", 70, judge="b") for i in range(5)]
    agreed = agreement({"tuned": rows}, "similarity", **FIXED)
    assert [one.constant for one in agreed.leniency] == [False, True]
    assert agreed.correlations[0].rho is None
    assert "b gave one score to all" in agreed.correlations[0].words


def test_a_judge_that_failed_everywhere_is_there_without_figures():
    rows = [verdict(f"p{i}", 10 * i, judge="a") for i in range(3)]
    rows += [failure(f"p{i}", judge="b") for i in range(3)]
    agreed = agreement({"tuned": rows}, "similarity", **FIXED)
    assert agreed.judges == ("a", "b")
    assert agreed.alpha is None
    assert [one.shift for one in agreed.leniency] == [None, None]


def test_one_judge_and_one_prompt():
    alone = agreement({"tuned": [verdict("p", 5)]}, "precision", **FIXED)
    assert (alone.alpha, alone.correlations, alone.leniency[0].shift) == (None, (), None)
    both = [verdict("p", 5), verdict("p", 9, judge="b")]
    agreed = agreement({"tuned": both}, "similarity", **FIXED)
    assert agreed.leniency[1].shift.value == 4
    assert agreed.leniency[1].shift.low is None, "one prompt has no interval"


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-2024-05-13", "gpt"),
        ("openrouter/openai/o3", "gpt"),
        ("bedrock/anthropic.claude-3-sonnet", "claude"),
        ("gemini/gemini-3.5-flash-lite", "gemini"),
        ("google/gemma-7b", "gemma"),
        ("ollama/mistral", "mistral"),
        ("meta-llama/Llama-3.2-1B", "llama"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm"),
        ("deepseek-r1-distill-llama-8b", None),
        ("my-own-model", None),
    ],
)
def test_a_family_is_told_by_the_name_or_not_at_all(model, family):
    assert family_of(model) == family


def preferred(own_points, lenient=0.0):
    systems = {
        name: [verdict(f"p{i}", 40 + i + gap, judge="other") for i in range(6)]
        + [verdict(f"p{i}", 40 + i + gap + lenient + extra, judge="gpt judge") for i in range(6)]
        for name, gap, extra in (("service", 20, own_points), ("tuned", 0, 0.0))
    }
    return self_preference(
        systems,
        "similarity",
        judges={"gpt judge": "gpt", "other": None},
        families={"service": "gpt", "tuned": "gemma"},
        **FIXED,
    )


def test_self_preference_is_neither_leniency_nor_a_better_model():
    own, other = preferred(5.0, lenient=7.0)
    assert own.gap.value == pytest.approx(5)
    assert preferred(0.0, lenient=7.0)[0].gap.value == pytest.approx(0)
    assert other.gap is None
    assert "no model of a known family" in other.words


def test_self_preference_that_cannot_be_told_says_why():
    rows = [verdict(f"p{i}", 10 * i, judge=j) for i in range(3) for j in ("a", "b")]
    known = {"judges": {"a": "gpt", "b": "claude"}, **FIXED}
    (a, b) = self_preference({"x": rows}, "similarity", families={"x": "gpt"}, **known)
    assert (a.gap, b.gap) == (None, None)
    assert "no system of another known family" in a.words
    assert "no system of claude" in b.words
    alone = [row for row in rows if row.judge == "a"]
    (a,) = self_preference({"x": alone}, "similarity", families={"x": "gpt"}, **known)
    assert "no other judge" in a.words


def test_length_bias_is_the_slope_among_answers_to_one_prompt():
    """Prompts with long answers are harder here; within each, twice the length brings 4 points."""
    rows, lengths = [], {}
    for i in range(8):
        for k, doublings in enumerate((-1, 0, 1)):
            rows.append(verdict(f"p{i}", 80 - 5 * i + 4 * doublings, k=k))
            lengths["tuned", f"p{i}", k] = 2.0 ** (doublings + i / 2)
    (bias,) = length_bias({"tuned": rows}, "similarity", lengths=lengths)
    assert bias.within
    assert bias.slope == pytest.approx(4)
    assert bias.rho < 0
    mean = sum(80 - 5 * i for i in range(8)) / 8 - 4 * 3.5 / 2
    assert bias.controlled["tuned"] == pytest.approx(mean)


def test_length_bias_without_repeated_answers_is_told_across_prompts():
    rows = [verdict(f"p{i}", 40 + 3 * i) for i in range(5)]
    lengths = {("tuned", f"p{i}", 0): 2.0**i for i in range(5)}
    (bias,) = length_bias({"tuned": rows}, "similarity", lengths=lengths)
    assert not bias.within
    assert bias.slope == pytest.approx(3)
    assert bias.rho == pytest.approx(1)
    assert bias.controlled["tuned"] == pytest.approx(40)


@pytest.mark.parametrize("lengths", [{}, {("s", f"p{i}", 0): 1.0 for i in range(5)}])
def test_length_bias_that_cannot_be_told_says_why(lengths):
    rows = [verdict(f"p{i}", 40 + 3 * i) for i in range(5)]
    (bias,) = length_bias({"s": rows}, "similarity", lengths=lengths)
    assert (bias.rho, bias.slope, dict(bias.controlled)) == (None, None, {})
    assert "not known" in bias.words


def test_units_average_repeats_and_leave_failures_out():
    rows = [verdict("p", 10), verdict("p", 30, m=1), failure("p", m=2), failure("q")]
    assert units({"s": rows}, "similarity") == {"a": {("s", "p", 0): 20.0}}
