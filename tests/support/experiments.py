"""An experiment composed as the command line would, commands called, and small data."""

import json
import os
import subprocess
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir

from llamaduo import cli
from llamaduo.config import Experiment
from llamaduo.records import Message, Pair, Prompt

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
