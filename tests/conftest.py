"""What every test may use."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from absl import logging as absl_logging
from support.experiments import FAKES, composed

from llamaduo.config import Experiment

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each take all cores for torch wait for one another more than they work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# As the launcher does: imports leave a million objects, among which there is nothing to be freed.
gc.set_threshold(50_000, 20, 20)

# rouge-score brings absl, whose handler closes the stream that it was made with when Hydra sets up
# logging anew. It spares this one, and pytest's own, which it would else have, is of use later.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(scope="module", autouse=True)
def what_is_there_stays() -> None:
    """Spare the garbage collector all objects that are older than the module's tests.

    Libraries leave millions, and a collection, which a training asks for several times, would look
    at each of them.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def fake_experiment(tmp_path: Path) -> Callable[..., Experiment]:
    """A migration on fakes in a folder of its own; more overrides as arguments."""

    def make(*overrides: str) -> Experiment:
        exp = composed("+experiment=summarize", *FAKES, "tracking=memory", *overrides)
        if any(word.startswith("tracking.home=") for word in overrides):
            return exp
        # Not one of the words, which would have every test compose anew.
        tracking = exp.tracking.model_copy(update={"home": tmp_path / "mlruns"})
        return exp.model_copy(update={"tracking": tracking})

    return make


@pytest.fixture(scope="session")
def ended_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs on fakes: `first`, `less` of the same test set, `other`, and `panel`."""
    from llamaduo.run import run

    home = tmp_path_factory.mktemp("runs") / "mlruns"
    one_less = ("judge=panel", "~judge@judge.members.embedding", "+judge@judge.members.fake=fake")
    for words in (
        ("name=first", "min_rounds=2", "max_rounds=2"),
        ("name=less", "synthesis.pairs_per_seed=1", "min_rounds=2", "max_rounds=2"),
        ("name=other", "seed=7", "max_rounds=1", "min_rounds=1"),
        ("name=panel", "max_rounds=1", "min_rounds=1", *one_less),
    ):
        where = ("tracking=memory", f"tracking.home={home}")
        exp = composed("+experiment=summarize", *FAKES, *where, *words)
        run(exp, command="python -m llamaduo +experiment=summarize", say=lambda line: None)
    return home
