"""Starts sweeps as a user would, and looks at what they leave."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial

from llamaduo import cli
from llamaduo.__main__ import caller
from llamaduo.config import Experiment
from support.experiments import FAKES, begun
from support.forks import Running
from support.toy_sweep import command

TOY = Path(__file__).with_name("toy_sweep.py")
ROOT = Path(__file__).parents[2]
QUIET = ("hydra/job_logging=disabled", "hydra/hydra_logging=disabled")
SPACE = "hydra.sweeper.params"
RATE = f"{SPACE}={{hparams.learning_rate:'tag(log,interval(1e-5,1e-1))'}}"
NO_GATE = "hydra.sweeper.gate_best=false"


def words(home: Path, *more: str, sweep: str = "") -> list[str]:
    """A sweep of the toy: one parameter, unless others are given."""
    chosen = [sweep] if sweep else ["hydra/sweeper=optuna"]
    return [
        *("-m", "+experiment=summarize", *FAKES, "tracking=memory", f"tracking.home={home}"),
        *(*chosen, NO_GATE, *QUIET, *more),
    ]


@contextmanager
def loggers_kept() -> Iterator[None]:
    """Hydra, started in this process, leaves loggers as it set them up; here they are put back."""
    named = logging.root.manager.loggerDict.values()
    loggers = [logging.root, *(one for one in named if isinstance(one, logging.Logger))]
    known = [(one, one.level, one.disabled, one.propagate, [*one.handlers]) for one in loggers]
    try:
        yield
    finally:
        for one, level, disabled, propagate, handlers in known:
            one.setLevel(level)
            one.disabled, one.propagate, one.handlers = disabled, propagate, handlers


class Sweeps:
    """Sweeps in one folder, in this process or in their own."""

    def __init__(
        self, home: Path, patch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.home, self._patch, self._capfd = home, patch, capfd

    def run(self, *more: str, sweep: str = "", code: int = 0) -> str:
        """What a sweep of the toy says, in this process; it ends with the exit code."""
        self._patch.setattr(sys, "argv", ["llamaduo", *words(self.home, *more, sweep=sweep)])
        self._capfd.readouterr()
        try:
            with loggers_kept():
                cli.launch("config", Experiment, command, caller=caller)
            left = 0
        except SystemExit as end:
            left = end.code if isinstance(end.code, int) else 1
        out, err = self._capfd.readouterr()
        assert left == code, out + err
        return out + err

    def refused(self, *more: str, sweep: str = "") -> str:
        """The one message with which a sweep ends before its first trial."""
        before = self.started()
        said = self.run(*more, sweep=sweep, code=2)
        assert self.started() == before
        assert "Traceback" not in said
        lines = said.strip().splitlines()
        assert len(lines) == 1, said
        assert lines[0].startswith("llamaduo: ")
        return lines[0].removeprefix("llamaduo: ")

    def process(self, *more: str) -> Running:
        """A sweep in a process of its own; what it says is its standard output."""
        return begun(str(TOY), ROOT, *words(self.home, *more), merged=True)

    def started(self) -> int:
        """How many trials ever began their work."""
        return len(list((self.home / "started").glob("*")))

    def trials(self, name: str = "summarize", file: str = "optuna.db") -> list[FrozenTrial]:
        """What the study has, as anyone with Optuna would read it."""
        storage = optuna.storages.RDBStorage(f"sqlite:///{self.home / file}")
        return optuna.load_study(study_name=name, storage=storage).trials

    def states(self) -> list[str]:
        """The state of each trial in order."""
        return [trial.state.name for trial in self.trials()]


def kill(process: Running) -> None:
    """End a process and all that it started at once, as nobody can prevent."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
