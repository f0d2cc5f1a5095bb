"""The density of scores: all of it lies between 0 and 100, and where the scores are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamaduo.stats.density import GRID, density

SCORES = st.lists(st.floats(0, 100), min_size=1, max_size=60)


def area(scores: list[float], low: float = 0.0, high: float = 100.0) -> float:
    curve, inside = density(scores), (low <= GRID) & (high >= GRID)
    return float(np.trapezoid(curve[inside], GRID[inside]))


@given(SCORES)
def test_any_scores_have_one_unit_of_area_within_the_scale(scores: list[float]) -> None:
    assert area(scores) == pytest.approx(1, abs=0.02)
    assert (density(scores) >= 0).all()


@given(st.floats(0, 100), st.integers(1, 30))
def test_scores_that_are_all_the_same_make_one_hill_there(value: float, many: int) -> None:
    curve = density([value] * many)
    assert abs(GRID[curve.argmax()] - value) <= 1
    assert area([value] * many, value - 5, value + 5) > 0.99


def test_scores_at_a_bound_lose_nothing_beyond_it() -> None:
    at_the_top = [100.0] * 30 + [90.0] * 30
    assert area(at_the_top, 80, 100) > 0.95
    assert density(at_the_top)[-1] > density(at_the_top)[GRID == 85.0][0]


def test_two_groups_show_as_two_hills() -> None:
    curve = density([20.0, 21.0, 22.0, 19.0] * 10 + [80.0, 81.0, 79.0, 82.0] * 10)
    assert curve[GRID == 50.0][0] < 0.3 * min(curve[GRID == 20.0][0], curve[GRID == 80.0][0])


@given(SCORES, st.randoms())
def test_order_does_not_matter(scores: list[float], random) -> None:
    mixed = list(scores)
    random.shuffle(mixed)
    assert density(mixed) == pytest.approx(density(scores))


def test_more_scores_than_are_taken_at_once() -> None:
    some = [float(i % 101) for i in range(101)]
    many = some * 250
    assert area(many) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("scores", [[], [101.0], [-0.1], [float("nan")]])
def test_what_is_no_score_is_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="from 0 to 100"):
        density(scores)
