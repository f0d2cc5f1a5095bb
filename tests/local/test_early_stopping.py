"""When training looks at dev, and what it concludes."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamaduo.config import EarlyStopping
from llamaduo.local import early_stopping

LOSSES = st.lists(st.one_of(st.floats(0, 20), st.just(math.nan)), min_size=1, max_size=12)


def rule(patience: int | None, min_gain: float = 0.0) -> EarlyStopping:
    return EarlyStopping(patience=patience, looks=10, min_gain=min_gain, pairs=None)


@given(st.integers(1, 500))
def test_each_report_comes_after_its_share_and_before_the_end(total: int):
    reported = [
        (step, eighth)
        for step, eighths in early_stopping.reports(total).items()
        for eighth in eighths
    ]
    assert reported == sorted(reported)
    for step, eighth in reported:
        assert total * eighth / 8 <= step < total
        assert step < total * eighth / 8 + 1
    if total >= 8:
        assert [eighth for _, eighth in reported] == [1, 2, 4]


@given(st.integers(1, 40), st.integers(1, 500))
def test_looks_are_spread_evenly_and_end_with_the_last_step(wanted: int, total: int):
    steps = sorted(early_stopping.steps_of(wanted, total))
    assert len(steps) == min(wanted, total)
    assert steps[-1] == total
    assert steps[0] > 0
    gaps = [b - a for a, b in pairwise([0, *steps])]
    assert max(gaps) - min(gaps) <= 1


@given(LOSSES, st.integers(1, 4), st.floats(0, 2))
def test_training_ends_at_the_first_look_whose_patience_is_out(
    losses: list[float], patience: int, min_gain: float
):
    """Held against a plain count of looks in a row that fell short."""
    short, best, ended = 0, math.inf, None
    for at, loss in enumerate(losses, start=1):
        if at > 1:
            short = 0 if loss < best - min_gain else short + 1
        best = loss if loss < best else best
        if short >= patience:
            ended = at
            break
    seen = list(enumerate(losses, start=1))
    over = [
        n
        for n in range(1, len(seen) + 1)
        if early_stopping.is_over(seen[:n], rule(patience, min_gain))
    ]
    assert (over[0] if over else None) == ended
    assert not early_stopping.is_over(seen, rule(None))


@pytest.mark.parametrize(
    ("losses", "best"),
    [([3.0, 2.0, 2.0], 2), ([math.nan, 9.0], 2), ([math.nan, math.nan], 1), ([1.0], 1)],
)
def test_the_first_lowest_is_the_best(losses: list[float], best: int):
    assert early_stopping.best_of(list(enumerate(losses, start=1))) == best
