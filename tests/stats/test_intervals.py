"""The simulations of `benchmarks/intervals.py`, in short."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "intervals.py"


@pytest.fixture(scope="module")
def simulated():
    spec = importlib.util.spec_from_file_location("intervals", PATH)
    module = sys.modules["intervals"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["intervals"]


@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(simulated, shape):
    misses = simulated.intervals(simulated.World(shape), 20, simulations=250, seed=7)
    assert set(misses) == {"mean", "difference", "ratio"}
    for above, below in misses.values():
        assert 0.915 <= 1 - above - below <= 0.985
        assert above <= 0.055, "the bound that gates decide by"


@pytest.mark.parametrize("place", [0, 1], ids=["relative", "non_inferior"])
def test_a_loop_at_the_boundary_seldom_passes_dev_and_test(simulated, place):
    world = simulated.World("skewed")
    gate = list(simulated.gates(world))[place]
    dev, test = simulated.loop(world, gate, 20, looks=6, simulations=60, seed=3)
    assert test <= 0.05
    assert dev < 0.5


def test_a_loop_well_inside_the_boundary_passes(simulated):
    """Else a gate that passes nothing would look as good."""
    world = simulated.World("normal")
    gate = next(simulated.gates(world)).model_copy(update={"ratio": 0.7})
    _, test = simulated.loop(world, gate, 20, looks=6, simulations=10, seed=3)
    assert test == 1
