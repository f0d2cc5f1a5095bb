"""An experiment composed as the command line would, commands called, and small data."""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir

from llamaduo import cli
from llamaduo.config import Experiment
from llamaduo.records import Message, Pair, Prompt
from support.forks import Command, Running, can_fork, shared

FAKES = ("service=fake", "local=fake", "judge=fake")


@cache
def composed(*overrides: str) -> Experiment:
    """Return the experiment that these words on the command line make; the same words, the same."""
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        return cli.validated(compose("config", overrides=list(overrides)), Experiment)


def begun(
    what: str, cwd: Path, *args: str, stdin: str = "", merged: bool = False, **env: str
) -> Running:
    """Start `python -m` a module, or a script, in a folder; `merged` standard error is output."""
    folder = Path(tempfile.mkdtemp())
    (folder / "stdin").write_text(stdin, encoding="utf-8")
    streams = {"stdin": str(folder / "stdin"), "out": str(folder / "out")}
    if not merged:
        streams["err"] = str(folder / "err")
    return shared().start(Command(what, args, str(cwd), env={**os.environ, **env}, **streams))


def called(
    module: str,
    cwd: Path,
    *args: str,
    prefix: tuple[str, ...] = (),
    timeout: float = 120,
    stdin: str = "",
    fresh: bool | None = None,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """`python -m` a module as typed in a folder, under the command `prefix`.

    The process is forked (`support.forks`) unless a `fresh` interpreter is asked for, or needed.
    """
    words = [*prefix, sys.executable, "-m", module, *args]
    if fresh or prefix or (fresh is None and not can_fork(env)):
        whole = {**os.environ, **env}
        return subprocess.run(
            words, cwd=cwd, env=whole, capture_output=True, text=True, timeout=timeout, input=stdin
        )
    running = begun(module, cwd, *args, stdin=stdin, **env)
    out, err = running.communicate(timeout)
    return subprocess.CompletedProcess(words, running.wait(), out, err)


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
