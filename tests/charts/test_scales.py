"""Where values stand on an axis, and which ticks are shown."""

from hypothesis import given
from hypothesis import strategies as st

from llamaduo.charts.scales import Tick, around, spaced


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_any_values_lie_between_the_first_tick_and_the_last(values: list[float]) -> None:
    scale, ticks = around(values, 100, 0)
    assert 2 <= len(ticks) <= 8
    assert ticks[0].at == 100
    assert ticks[-1].at == 0
    for value in values:
        assert -0.1 <= scale(value) <= 100.1


def test_small_values_keep_their_digits() -> None:
    _, ticks = around([1e-5, 3e-5], 0, 10)
    assert [tick.label for tick in ticks] == ["1e-05", "1.5e-05", "2e-05", "2.5e-05", "3e-05"]


def test_ticks_that_would_touch_are_left_out_but_the_last() -> None:
    ticks = [Tick(float(at), str(at)) for at in (0, 10, 35, 60, 100)]
    assert [tick.label for tick in spaced(ticks, 30)] == ["10", "60", "100"]
    upwards = [Tick(-tick.at, tick.label) for tick in ticks]
    assert [tick.label for tick in spaced(upwards, 20)] == ["10", "35", "60", "100"]
