"""When repeats may end: by hand, on extremes, and in a short form of benchmarks/sequential.py."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experiments import composed

from llamaduo.gate import build, decide
from llamaduo.gate.repeats import noise
from llamaduo.gate.sequential import Rule, looks, rule_for
from llamaduo.records import Verdict
from llamaduo.stats.table import VerdictTable

PATH = Path(__file__).parents[2] / "benchmarks" / "sequential.py"
RELATIVE = composed("gate=relative").gate
GATES = [composed(f"gate={name}").gate for name in ("relative", "non_inferior", "paper_absolute")]


def verdict(prompt, score, *, k=0, m=0, judge="llm", precision=None):
    return Verdict(
        prompt_id=prompt,
        k=k,
        m=m,
        similarity=score,
        precision=score if precision is None else precision,
        reason="so",
        judge=judge,
        version="1",
    )


def judged(levels, wobble, *, repeats, k=2):
    """A verdict for each prompt, k and m; the repeats lie `wobble` above and below the level."""
    return [
        verdict(f"p{i:02}", level + (wobble if m % 2 else -wobble), k=r, m=m)
        for i, level in enumerate(levels)
        for r in range(k)
        for m in range(repeats)
    ]


def rule(service, *, gate=RELATIVE, error=0.05, repeats=10):
    return Rule(gate, service, {"llm": looks(repeats)}, {"llm": repeats}, error, 1)


def test_looks_begin_with_two_repeats_and_end_with_all():
    assert looks(10) == (2, 3, 5, 8, 10)
    assert (looks(1), looks(2), looks(3)) == ((1,), (2,), (2, 3))


@given(st.integers(1, 200))
def test_looks_rise_to_all_repeats(repeats):
    found = looks(repeats)
    assert list(found) == sorted(set(found))
    assert found[-1] == repeats


def test_the_noise_that_is_left_by_hand():
    # Two verdicts, 4 above and below their mean: a variance of 32 each, the same for all. With 2
    # of 10 repeats the mean still moves with 32 * (1/2 - 1/10) = 12.8; with all, not at all.
    table = VerdictTable.of(judged([50, 60, 70], 4, repeats=2))
    left, freedom = noise(table, "similarity", {"llm": 10})
    assert left == pytest.approx([12.8] * 6)
    assert freedom == 6
    done, _ = noise(table, "similarity", {"llm": 2})
    assert done == pytest.approx([0] * 6)


def test_a_prompts_own_noise_is_drawn_to_that_of_all():
    rows = judged([50], 0, repeats=2, k=4) + [
        row.model_copy(update={"prompt_id": "q"}) for row in judged([50], 4, repeats=2, k=4)
    ]
    left, _ = noise(VerdictTable.of(rows), "similarity", {"llm": 10})
    # Own 0 and 32, pooled 16: (4 * 0 + 8 * 16) / 12 and (4 * 32 + 8 * 16) / 12.
    assert left == pytest.approx([0.4 * 128 / 12] * 4 + [0.4 * 256 / 12] * 4)


def test_of_a_panel_only_the_part_that_may_still_move_counts():
    rows = judged([50, 60, 70], 4, repeats=2)
    rows += [verdict(f"p{i:02}", 50, k=k, judge="rules") for i in range(3) for k in range(2)]
    left, _ = noise(VerdictTable.of(rows), "similarity", {"llm": 10, "rules": 1})
    assert left == pytest.approx([12.8 / 4] * 6), "half of the mean, a quarter of its variance"


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_with_all_repeats_the_conditions_are_the_gates_own(gate):
    """So the rule and the gate cannot come to differ in what they measure."""
    rng = np.random.default_rng(3)
    for shift in (-12, -3, 0, 3, 15):
        levels = np.clip(rng.normal(72, 9, 12), 5, 95)
        service = judged(levels, 3, repeats=4, k=1)
        rows = judged(np.clip(levels + shift + rng.normal(0, 3, 12), 5, 95), 3, repeats=4)
        found = list(
            build(gate).conditions(
                VerdictTable.of(rows), VerdictTable.of(service), {"llm": 4}, seed=1
            )
        )
        decision = decide(gate, rows, service, seed=1)
        assert all(not any(one.spread.values()) for one in found)
        assert all(one.margin >= 0 for one in found) == decision.passed
        assert rule(service, gate=gate, repeats=4).open(rows) == frozenset()


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_a_judge_without_noise_is_asked_no_more(gate):
    levels = [60.0 + i for i in range(12)]
    service = judged(levels, 0, repeats=10, k=1)
    assert rule(service, gate=gate).open(judged(levels, 0, repeats=2)) == frozenset()


def test_far_from_the_gate_two_repeats_do_and_near_it_they_do_not():
    levels = [60.0 + i for i in range(12)]
    service = judged(levels, 4, repeats=10, k=1)
    for far in (20, -20):
        rows = judged([level + far for level in levels], 8, repeats=2)
        assert rule(service).open(rows) == frozenset(), far
    near = next(
        shift
        for shift in np.arange(-4, 4, 0.05)
        if decide(
            RELATIVE, judged([x + shift for x in levels], 8, repeats=2), service, seed=1
        ).passed
    )
    rows = judged([level + near for level in levels], 8, repeats=2)
    assert rule(service).open(rows) == {f"p{i:02}" for i in range(12)}


def test_near_the_gate_the_prompts_that_are_judged_steadily_are_left_alone():
    levels = [60.0 + i for i in range(12)]
    service = judged(levels, 4, repeats=10, k=1)
    for shift in np.arange(-4, 4, 0.05):
        rows = judged([x + shift for x in levels[:6]], 0, repeats=2, k=40)
        rows += [
            row.model_copy(update={"prompt_id": f"p{6 + int(row.prompt_id[1:]):02}"})
            for row in judged([x + shift for x in levels[6:]], 20, repeats=2, k=40)
        ]
        wanting = rule(service).open(rows)
        if wanting and wanting != {f"p{i:02}" for i in range(12)}:
            assert wanting == {f"p{i:02}" for i in range(6, 12)}
            return
    pytest.fail("no shift at which only some prompts want more repeats")


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=6),
    st.lists(st.integers(0, 100), min_size=1, max_size=6),
    st.integers(2, 4),
    st.sampled_from(GATES),
)
def test_whatever_the_verdicts_are_it_says_something(ours, theirs, repeats, gate):
    service = judged(theirs, 0, repeats=10, k=1)
    found = rule(service, gate=gate).open(judged(ours, 0, repeats=repeats))
    assert found <= {f"p{i:02}" for i in range(6)}


def test_nothing_judged_yet_is_no_reason_to_fail():
    assert rule(judged([50.0], 0, repeats=10, k=1)).open([]) == frozenset()


def test_who_is_judged_one_after_the_other():
    service = judged([50.0, 60.0], 2, repeats=10, k=1)
    llm = composed("judge=llm", "service@judge.client=fake").judge
    found = rule_for(llm, RELATIVE, service, seed=1)
    assert found is not None
    assert found.looks == {"llm": (2, 3, 5, 8, 10)}
    assert found.error == 0.05
    for change in ({"sequential": False}, {"repeats": 2}):
        assert rule_for(llm.model_copy(update=change), RELATIVE, service, seed=1) is None
    assert rule_for(llm, RELATIVE, [], seed=1) is None, "nothing to compare with"
    assert rule_for(composed("judge=overlap").judge, RELATIVE, service, seed=1) is None
    more = ("+judge@judge.members.llm=llm", "service@judge.members.llm.client=fake")
    panel = composed("judge=panel", *more).judge
    found = rule_for(panel, RELATIVE, service, seed=1)
    assert found is not None
    assert (set(found.looks), found.repeats["overlap"]) == ({"llm"}, 1)


def test_what_changes_the_number_of_verdicts_is_in_the_identity():
    service = judged([50.0, 60.0], 2, repeats=10, k=1)
    one = rule(service).identity
    assert one == rule(list(service)).identity
    others = [
        rule(service, error=0.01),
        rule(service, gate=composed("gate=demo").gate),
        rule(service[:-1]),
        rule(service, repeats=8),
    ]
    assert all(one != other.identity for other in others)


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_sequential", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(("true", "calls"), [(0.95, 0.35), (1.0, 0.55), (1.05, 0.5)])
def test_half_the_calls_decide_alike(benchmark, true, calls):
    """The short version: 40 candidates each; the bounds on calls leave room for chance."""
    found = benchmark.figures(benchmark.WORLDS["N=20, noise 8"], true, 40, 0.05, seed=7)
    assert found.calls <= calls
    assert found.differ <= 0.075
    assert math.isclose(found.fixed, found.sequential, abs_tol=0.051)
