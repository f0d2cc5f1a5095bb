"""Starts of llamaduo that end at an exact place: killed, out of room, or waiting for one another.

Each start is forked (`support.forks`). The places are audit events of the interpreter, such as the
opening of a file: none of the code under test is replaced.
"""

import os
import re
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from support.forks import Command, Forks

FAKE = ("+experiment=summarize", "service=fake", "local=fake", "judge=fake")

# A process that dies with changes to a database of which its journal alone knows the way back.
KILL_IN_TRANSACTION = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
for i in range(50):
    database.execute(f"CREATE TABLE odd{i} (a)")
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN")
for i in range(50):
    database.execute(f"DROP TABLE odd{i}")
    database.execute("UPDATE experiments SET name = name || '.'")
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class At:
    """The `nth` audit event of this name whose paths match, and what happens there.

    Events: `open` for writing, `os.rename`, `os.mkdir`, `shutil.copyfile`, `sqlite3.connect`, … and
    `row` after a `RowFile` took one. Acts: `kill`: SIGKILL. `tear`: the process dies when it next
    makes a file longer than `size` bytes. `limit`: such writes fail. `fill`: a file takes all room
    that is left beside `other`. `wait`: until the file `other` tells of a run that waits.
    """

    event: str
    path: str
    nth: int = 1
    act: str = "kill"
    size: int = 0
    other: str = ""


@dataclass(frozen=True)
class Start:
    """One start of the command line in a folder; what it says goes to `log`."""

    cwd: str
    log: str
    args: tuple[str, ...] = FAKE
    at: At | None = None
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a start ended: its exit code (-n: by signal n), and what it said."""

    code: int
    said: str
    asked: list[tuple[str, int]]

    @property
    def complaint(self) -> str:
        """Its one message, where the user has something to mend."""
        assert self.code == 2, self.said
        assert "Traceback" not in self.said, self.said
        (line,) = [line for line in self.said.splitlines() if line.startswith("llamaduo: ")]
        return line


def run(forks: Forks, *starts: Start) -> list[Ended]:
    """Run starts at once and wait for all of them."""
    running = [
        forks.start(
            Command(
                "llamaduo",
                start.args,
                start.cwd,
                start.log,
                env={**os.environ, **start.env},
                prepare=__name__,
                detail=asdict(start),
            )
        )
        for start in starts
    ]
    ended = []
    for start, process in zip(starts, running, strict=True):
        code = process.wait()
        calls = Path(start.log + ".calls")
        lines = calls.read_text().splitlines() if calls.exists() else []
        asked = [(kind, int(n)) for kind, n in map(str.split, lines)]
        ended.append(Ended(code, Path(start.log).read_text(), asked))
    return ended


def prepare(start: dict[str, Any]) -> None:
    """Watch, in the process of a start, for its place."""
    _count_what_is_asked(start["log"] + ".calls")
    if start["at"] is not None:
        _watch_for(At(**start["at"]))


def _count_what_is_asked(path: str) -> None:
    """Note how many things each call of a fake is given."""
    from llamaduo.judge.fake import FakeJudge
    from llamaduo.local.fake import FakeLocal
    from llamaduo.service.fake import FakeService

    def counted(kind: type, name: str) -> None:
        real = getattr(kind, name)

        def call(
            self: object, things: Sequence[object], *args: object, **options: object
        ) -> object:
            with open(path, "a") as out:
                out.write(f"{name} {len(things)}\n")
            return real(self, things, *args, **options)

        setattr(kind, name, call)

    for kind, name in (
        (FakeLocal, "train"),
        (FakeLocal, "generate"),
        (FakeJudge, "assess"),
        (FakeService, "complete"),
    ):
        counted(kind, name)


def _watch_for(at: At) -> None:
    from llamaduo.records import Record, RowFile

    seen = 0

    def happened(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if event != at.event or (event == "open" and not _writes(args)):
            return
        paths = " ".join(str(arg) for arg in args if isinstance(arg, str | os.PathLike))
        if re.search(at.path, paths):
            seen += 1
            if seen == at.nth:
                _act(at)

    if at.event == "row":
        add = RowFile.add

        def added(self: RowFile, row: Record) -> None:
            add(self, row)
            happened("row", (self.path,))

        RowFile.add = added  # type: ignore[method-assign]
    else:
        sys.addaudithook(happened)


def _writes(args: tuple[object, ...]) -> bool:
    flags = args[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _act(at: At) -> None:
    if at.act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif at.act in ("tear", "limit"):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if at.act == "tear" else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (at.size, resource.RLIM_INFINITY))
    elif at.act == "fill":
        _fill(Path(at.other))
    elif at.act == "wait":
        until = time.monotonic() + 60
        other = Path(at.other)
        while not (other.exists() and "waits for another run" in other.read_text()):
            assert time.monotonic() < until, "no run came to wait for this one"
            time.sleep(0.01)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as out:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    out.write(b"\0" * size)
            except OSError:
                continue
