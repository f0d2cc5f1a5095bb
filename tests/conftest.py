"""What every test may use: an experiment composed as the command line would, and small data."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from llamaduo import cli
from llamaduo.config import Experiment
from llamaduo.records import Message, Pair, Prompt

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each take all cores for torch wait for one another more than they work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

FAKES = ("service=fake", "local=fake", "judge=fake")


def composed(*overrides: str) -> Experiment:
    """The experiment that these words on the command line make."""
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        return cli.validated(compose("config", overrides=list(overrides)), Experiment)


@pytest.fixture
def fake_experiment(tmp_path: Path) -> Callable[..., Experiment]:
    """A migration on fakes in a folder of its own; more overrides as arguments."""

    def make(*overrides: str) -> Experiment:
        home = f"tracking.home={tmp_path / 'mlruns'}"
        return composed("+experiment=summarize", *FAKES, "tracking=memory", home, *overrides)

    return make


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
