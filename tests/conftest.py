"""What every test may use: an experiment composed as the command line would, and small data."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from absl import logging as absl_logging
from hydra import compose, initialize_config_dir

from llamaduo import cli
from llamaduo.config import Experiment
from llamaduo.records import Message, Pair, Prompt

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each take all cores for torch wait for one another more than they work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# rouge-score brings absl, whose handler closes the stream that it was made with when Hydra sets up
# logging anew. It spares this one, and pytest's own, which it would else have, is of use later.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

FAKES = ("service=fake", "local=fake", "judge=fake")


def composed(*overrides: str) -> Experiment:
    """The experiment that these words on the command line make."""
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        return cli.validated(compose("config", overrides=list(overrides)), Experiment)


def called(
    module: str,
    cwd: Path,
    *args: str,
    prefix: tuple[str, ...] = (),
    timeout: float = 120,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """`python -m` a module as typed in a folder, under the command `prefix`."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", module, *args],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def fake_experiment(tmp_path: Path) -> Callable[..., Experiment]:
    """A migration on fakes in a folder of its own; more overrides as arguments."""

    def make(*overrides: str) -> Experiment:
        home = f"tracking.home={tmp_path / 'mlruns'}"
        return composed("+experiment=summarize", *FAKES, "tracking=memory", home, *overrides)

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


def pair(number: int, words: int = 40) -> Pair:
    """A pair whose texts share nothing with those of another number."""
    text = " ".join(f"w{number}x{i}" for i in range(words))
    prompt = Prompt(id=f"p{number}", messages=(Message(role="user", content=text),))
    return Pair(prompt=prompt, response=" ".join(text.split()[: words // 3]))


def coverage_file(path: Path, rows: list[dict[str, object]]) -> Path:
    """A JSONL file of these rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def columns(number: int) -> dict[str, object]:
    """A row of prompt and response columns."""
    made = pair(number)
    return {"prompt": made.prompt.user, "response": made.response}
