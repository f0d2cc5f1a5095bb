"""Ctrl-C and `kill` in the middle of the work: real processes, real signals, fakes slowed down."""

import fcntl
import os
import pty
import re
import select
import shlex
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from support.experiments import FAKES, called
from support.forks import Command, Running, shared
from support.screen import Screen
from support.slowed import AT_IMPORT

from llamaduo.tracking.mlflow import MlflowTracker

ARGS = ["+experiment=summarize", *FAKES, "name='two words'"]


class Slowed:
    """`python -m llamaduo` that comes to a place in its work and stays there."""

    def __init__(self, folder: Path, place: str, *args: str) -> None:
        self.folder, self.args = folder, (*ARGS, *args)
        self.mark = folder / "mark"
        self._detail = {"place": place, "mark": str(self.mark)}

    def start(self, terminal: str | None = None) -> Running:
        """Start it, with its three streams on a terminal if one is named."""
        streams = {"out": str(self.folder / "out"), "err": str(self.folder / "err")}
        if terminal is not None:
            streams = {"stdin": terminal, "out": terminal}
        return shared().start(
            Command(
                "llamaduo",
                self.args,
                str(self.folder),
                env={**os.environ, "TERM": "xterm"},
                prepare="support.slowed",
                detail=self._detail,
                **streams,
            )
        )

    def arrive(self, process: "Running | subprocess.Popen[str]") -> None:
        """Wait until it has come to the place."""
        ends = time.monotonic() + 60
        while not self.mark.exists():
            if process.poll() is not None or time.monotonic() > ends:
                process.kill()
                raise AssertionError("it never came there:\n" + process.communicate()[1])
            time.sleep(0.02)


def stop(process: "Running | subprocess.Popen[str]", number: int) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.wait(), out, err


def way_to_go_on(said: str) -> list[str]:
    """The command in the one message that stands there, checked to be the one that was typed."""
    assert "Traceback" not in said
    lines = said.strip().splitlines()
    assert lines[-2:-1] == ["llamaduo: interrupted; what is finished is kept. To go on:"], said
    assert said.count("interrupted") == 1
    words = shlex.split(lines[-1])
    assert words[:3] == ["python", "-m", "llamaduo"]
    assert words[3 : 3 + len(ARGS)] == ARGS
    return words


def statuses(folder: Path) -> Counter[tuple[str, str]]:
    """How often runs of a name ended in a way; a migration's name is cut after the user's own."""
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as database:
        rows = database.execute("SELECT name, status FROM runs").fetchall()
    own = "two words"
    return Counter((own if name.startswith(own) else name, status) for name, status in rows)


def next_start(folder: Path) -> None:
    """What the same command does first of all, as far as runs go."""
    with MlflowTracker(folder / "mlruns").open("summarize", "next", {}):
        pass


def running(folder: Path) -> list[str]:
    return [name for name, status in statuses(folder) if status == "RUNNING"]


def test_ctrl_c_closes_the_runs_keeps_the_rows_and_names_the_command_that_goes_on(tmp_path):
    slowed = Slowed(tmp_path, "generate")
    process = slowed.start()
    slowed.arrive(process)
    code, out, err = stop(process, signal.SIGINT)
    assert code == 130
    again = way_to_go_on(err)
    assert running(tmp_path) == []
    assert statuses(tmp_path)["two words", "KILLED"] == 1
    assert statuses(tmp_path)["infer r0 tuned · dev", "KILLED"] == 1
    assert statuses(tmp_path)["finetune r0", "FINISHED"] == 1
    (part,) = (tmp_path / "mlruns" / "stages").glob("*.part")
    kept = (part / "responses.jsonl").read_text(encoding="utf-8")
    assert len(kept.splitlines()) == 5

    done = called(again[2], tmp_path, *again[3:])
    assert done.returncode == 0, done.stderr
    finished = [line.split()[0] for line in out.splitlines()]
    assert "finetune" in finished
    reused = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("reused")]
    assert reused[: len(finished)] == finished
    whole = part.with_suffix("") / "responses.jsonl"
    assert whole.read_text(encoding="utf-8").startswith(kept)
    assert not list(part.parent.glob("*.part"))


@pytest.mark.parametrize("place", ["train", "assess"])
def test_a_kill_ends_as_cleanly(tmp_path, place):
    slowed = Slowed(tmp_path, place, "tracking=memory")
    process = slowed.start()
    slowed.arrive(process)
    code, _, err = stop(process, signal.SIGTERM)
    assert code == 143
    way_to_go_on(err)


def test_a_kill_during_the_imports_ends_as_cleanly(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(AT_IMPORT, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    slowed = Slowed(tmp_path, "import")
    process = subprocess.Popen(
        [sys.executable, "-m", "llamaduo", *ARGS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "MARK": str(slowed.mark)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    slowed.arrive(process)
    code, _, err = stop(process, signal.SIGTERM)
    assert code == 143
    way_to_go_on(err)


def test_on_a_terminal_the_message_stands_where_the_bar_was(tmp_path):
    slowed = Slowed(tmp_path, "generate", "tracking=memory")
    terminal, theirs = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    # A process without a terminal has the first that it opens, and its Ctrl-C, for its own.
    process = slowed.start(os.ttyname(theirs))
    shown, typed, ends = "", False, time.monotonic() + 60
    while time.monotonic() < ends:
        if not select.select([terminal], [], [], 0.05)[0]:
            if slowed.mark.exists() and not typed:
                os.write(terminal, b"\x03")
                typed = True
            continue
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:
            break
        if theirs and slowed.mark.exists():
            os.close(theirs)  # else no end of its output is seen
            theirs = 0
    os.close(terminal)
    assert process.wait(30) == 130
    assert re.search(r"infer .*tuned · dev  \|.*\| \d+/\d+ answers", shown), shown
    screen = Screen(1000)
    screen.write(shown.replace("^C", ""))
    way_to_go_on("\n".join(screen.shown[-2:]))
    assert not [line for line in screen.shown if "|" in line]


def test_a_second_ctrl_c_does_not_wait_and_the_next_start_closes_what_it_left(tmp_path):
    slowed = Slowed(tmp_path, "closing")
    process = slowed.start()
    slowed.arrive(process)  # its first interrupt is its own; now it closes its runs, and takes long
    process.send_signal(signal.SIGINT)  # an echo of the first, as some shells send
    time.sleep(1.5)
    assert process.poll() is None
    code, _, err = stop(process, signal.SIGINT)
    assert code == 130
    way_to_go_on(err)
    assert "two words" in running(tmp_path)
    next_start(tmp_path)
    assert running(tmp_path) == []
    assert statuses(tmp_path)["two words", "KILLED"] == 1


def test_a_ctrl_c_just_when_a_run_is_being_closed_leaves_none_open_for_good(tmp_path):
    process = Slowed(tmp_path, "itself").start()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    way_to_go_on(err)
    assert statuses(tmp_path)["collect", "FINISHED"] == 0
    next_start(tmp_path)
    assert running(tmp_path) == []
