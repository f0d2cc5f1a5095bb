"""Commands that start in a tenth of the time: forked from a process that has imported everything.

Each is a process of its own, with its own folder, arguments, environment, streams and signals, and
runs the same code as `python -m`; only the imports are done already. What depends on a new
interpreter (what is imported and when, variables that libraries read as they are imported) needs
`support.experiments.called(..., fresh=True)`.

Run as a script, this file is the process that forks.
"""

import atexit
import importlib
import json
import os
import pkgutil
import random
import re
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
# Importing these takes seconds, and commands on fakes do without.
SKIPPED = r"llamaduo\.(local|testing|service\.litellm|champion\.mlflow_model)\b|.*__main__$"
# What commands on fakes import as they go.
LATE = (
    *("llamaduo.local.fake", "llamaduo.local.early_stopping", "alembic.command", "alembic.config"),
    *("antlr4.LL1Analyzer", "hydra.core.plugins", "pyarrow.dataset", "pynvml", "scipy.stats"),
)
# Libraries read these when they are imported.
READ_AT_IMPORT = re.compile(r"PYTHON|LD_|OMP_|HF_|TRANSFORMERS_|MLFLOW_")


@dataclass(frozen=True)
class Command:
    """A module as after `python -m`, or the path of a script, with what it is started with.

    `prepare` names a module whose `prepare(detail)` is called in the new process before all else.
    Without `err`, standard error goes where standard output goes.
    """

    what: str
    args: tuple[str, ...]
    cwd: str
    out: str
    err: str | None = None
    stdin: str = os.devnull
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    prepare: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


class Running:
    """A command that was started, with the names of `subprocess.Popen`."""

    def __init__(self, server: "Forks", command: Command, pid: int) -> None:
        self.command, self.pid = command, pid
        self.returncode: int | None = None
        self._server = server

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code (-n: by signal n).

        Raises:
            subprocess.TimeoutExpired: it takes longer than `timeout` seconds.
        """
        if self.returncode is None:
            code = self._server.end_of(self.pid, timeout)
            if code is None:
                raise subprocess.TimeoutExpired([self.command.what], timeout or 0)
            self.returncode = code
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.end_of(self.pid, 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end, and return what was written to standard output and error."""
        self.wait(timeout)
        return self.out, "" if self.command.err is None else _text(self.command.err)

    @property
    def out(self) -> str:
        """What was written to standard output so far."""
        return _text(self.command.out)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _text(path: str) -> str:
    # A process opens its streams a moment after it was started.
    return Path(path).read_text(encoding="utf-8") if os.path.exists(path) else ""


class Forks:
    """The process that forks; `prefix` is a command that it is started under."""

    def __init__(self, *prefix: str) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.pid = self._process.pid
        self._unread = b""
        self._ended: dict[int, int] = {}

    def start(self, command: Command) -> Running:
        """Start a command, which runs beside all others."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(command)).encode() + b"\n")
        while "started" not in (told := self._next(None) or {}):
            self._note(told)
        return Running(self, command, told["started"])

    def end_of(self, pid: int, timeout: float | None) -> int | None:
        """Return the exit code of a process, or None if it has none within `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while pid not in self._ended:
            left = None if until is None else max(0.0, until - time.monotonic())
            told = self._next(left)
            if told is None:
                return None
            self._note(told)
        return self._ended[pid]

    def close(self) -> None:
        """End the process, not what it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _note(self, told: dict[str, int]) -> None:
        self._ended[told["pid"]] = told["code"]

    def _next(self, timeout: float | None) -> dict[str, int] | None:
        """Return the next line that the process writes; None if there is none in time."""
        source = self._process.stdout
        assert source is not None
        while b"\n" not in self._unread:
            if not select.select([source], [], [], timeout)[0]:
                return None
            if not (data := os.read(source.fileno(), 1 << 16)):
                raise RuntimeError(f"the process that forks has ended: {self._process.wait(10)}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        told: dict[str, int] = json.loads(line)
        return told


@cache
def shared() -> Forks:
    """Return the one process that forks for all tests of this worker, started at first use."""
    forks = Forks()
    atexit.register(forks.close)
    return forks


def can_fork(env: Iterable[str]) -> bool:
    """Return whether a command with variables of its own of these names may be forked."""
    return not any(map(READ_AT_IMPORT.match, env))


# ---------------------------------------------------------------- in the process that forks


def main() -> None:
    """Import everything, then fork a process for each line of standard input and tell its end."""
    # `python -m` looks for modules in the folder that it is started in.
    sys.path[0] = str(TESTS)
    given = set(os.environ)  # imports add to it
    _import_everything()
    told = os.dup(1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    unread = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 1 << 16)
            for pid, status in iter(_ended_child, (0, 0)):
                code = os.waitstatus_to_exitcode(status)
                os.write(told, json.dumps({"pid": pid, "code": code}).encode() + b"\n")
        if 0 in ready:
            if not (data := os.read(0, 1 << 20)):
                return
            unread += data
            while b"\n" in unread:
                line, _, unread = unread.partition(b"\n")
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for descriptor in (told, woken, wake):
                        os.close(descriptor)
                    _run(json.loads(line), given)
                os.write(told, json.dumps({"started": pid}).encode() + b"\n")


def _import_everything() -> None:
    import llamaduo

    for module in pkgutil.walk_packages(llamaduo.__path__, "llamaduo.", lambda name: None):
        if not re.match(SKIPPED, module.name):
            importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)
    from hydra.core.plugins import Plugins

    Plugins.instance()
    threads = threading.active_count()
    assert threads == 1, f"{threads} threads, of which a fork would have one"


def _ended_child() -> tuple[int, int]:
    try:
        return os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0, 0


def _run(command: dict[str, Any], given: Set[str]) -> None:
    """Be the command, and end with its exit code."""
    code = 1
    try:
        _settle(command, given)
        if command["prepare"] is not None:
            importlib.import_module(command["prepare"]).prepare(command["detail"])
        if command["what"].endswith(".py"):
            sys.path[0] = str(Path(command["what"]).parent)
            runpy.run_path(command["what"], run_name="__main__")
        else:
            sys.path[0] = command["cwd"]
            if not hasattr(sys.modules.get(command["what"]), "__path__"):
                sys.modules.pop(command["what"], None)  # it is run, not imported
            runpy.run_module(command["what"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = _code_of(end)
    except BaseException:
        traceback.print_exc()
    finally:
        # As the interpreter does on its way out, but for the freeing of memory.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _settle(command: dict[str, Any], given: Set[str]) -> None:
    os.setsid()
    for number in (signal.SIGCHLD, signal.SIGINT):
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)
    os.chdir(command["cwd"])
    for name in given - command["env"].keys():
        del os.environ[name]
    os.environ.update(command["env"])
    streams = (command["stdin"], command["out"], command["err"] or command["out"])
    for descriptor, path in enumerate(streams):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND if descriptor else os.O_RDONLY
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = [command["what"], *command["args"]]
    random.seed()


def _code_of(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
