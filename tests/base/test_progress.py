"""What progress looks like: on a real terminal, in a pipe, and while lines are printed."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest
from support.screen import Screen

from llamaduo.base import progress

WORK = """
import sys, time
from llamaduo.base import progress
progress.EVERY = 0.25
{body}
"""
NESTED = """
def weights():
    for _ in progress.bar(range(3), total=3, what="check model.safetensors", unit="blocks"):
        time.sleep(0.15)

def answers():
    weights()
    for i in range(8):
        time.sleep(0.12)
        yield i

progress.say("collect  done")
with progress.titled("infer r0 tuned · dev"):
    for i in progress.bar(answers(), total=10, done=2, what="infer tuned · dev", unit="answers"):
        if i == 4:
            progress.say("a line of the loop")
progress.say("infer  r0  tuned · dev   1.4 s")
"""


def on_terminal(body: str, columns: int = 90, **env: Any) -> str:
    """What a script writes to a terminal, control characters and all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    script = subprocess.Popen(
        [sys.executable, "-c", WORK.format(body=body)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **env},
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    os.close(ours)
    assert script.wait(timeout=30) == 0, shown.decode()
    return shown.decode()


def piped(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WORK.format(body=body)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )


def test_on_a_terminal_bars_nest_under_whole_lines_and_are_gone_at_the_end():
    screen, seen = Screen(), []
    for piece in re.split(r"(?=\r|\x1b)", on_terminal(NESTED)):
        screen.write(piece)
        seen.append(screen.shown)
    assert seen[-1] == [
        "collect  done",
        "a line of the loop",
        "infer  r0  tuned · dev   1.4 s",
    ]
    inner = [s for s in seen if any("2/3 blocks" in line for line in s)]
    assert any(s[1].startswith("infer r0 tuned · dev") for s in inner), inner
    under = [s for s in seen if "a line of the loop" in s and len(s) == 3 and "|" in s[2]]
    assert any(re.search(r"\d/10 answers, \d+\.\d answers/s, \d s left$", s[2]) for s in under)
    said = [line for s in seen for line in s if "line of the loop" in line]
    assert set(said) == {"a line of the loop"}


def test_work_that_an_earlier_start_did_counts_as_done_but_not_as_pace():
    body = """
for i in progress.bar(range(5), total=105, done=100, what="infer x", unit="answers"):
    time.sleep(0.2)
"""
    shown = on_terminal(body)
    assert "100/105 answers" in shown
    rates = [float(rate) for rate in re.findall(r"([\d.]+) answers/s", shown)]
    assert rates
    assert max(rates) < 6


def test_a_narrow_terminal_is_not_overrun():
    Screen(30).write(on_terminal(NESTED, columns=30))


@pytest.mark.parametrize("broken", ["raise ValueError", "raise KeyboardInterrupt"])
def test_a_bar_that_is_broken_off_goes_before_what_is_said_next(broken):
    body = f"""
def work():
    for i in progress.bar(range(9), total=9, what="infer", unit="answers"):
        time.sleep(0.15)
        if i == 3:
            {broken}
try:
    work()
except BaseException as error:
    kept = error.__traceback__
    progress.clear()
    print("said next", file=sys.stderr)
"""
    screen = Screen()
    screen.write(on_terminal(body))
    assert screen.shown == ["said next"]


def test_without_a_terminal_there_are_plain_lines_at_intervals_and_no_control_characters():
    done = piped(NESTED)
    assert "\r" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert 3 <= len(lines) <= 6, lines  # about 1.4 s, a line in 0.25 s or more
    words = re.compile(r"(check model.safetensors|infer r0 tuned · dev)  \d+/(3 blocks|10 answers)")
    assert all(words.match(line) for line in lines), lines
    assert re.search(r"  \d/10 answers, \d+\.\d answers/(s|min), \d s left$", lines[-1])
    assert done.stdout.splitlines()[1] == "a line of the loop"


def test_quick_work_says_nothing_in_a_pipe():
    body = 'list(progress.bar(range(9), total=9, what="infer", unit="answers"))'
    assert piped(body).stderr == ""


@pytest.mark.parametrize("kind", [{"TERM": "dumb"}, {"columns": 0}])
def test_a_terminal_on_which_no_bar_can_be_drawn_gets_plain_lines(kind):
    shown = on_terminal(NESTED, **kind)
    assert "\x1b" not in shown
    assert "\r" not in shown.replace("\r\n", "\n")
    assert "/10 answers" in shown


def test_a_note_stands_beside_the_figures():
    body = """
with progress.titled("finetune r1"), progress.Progress(
    total=6, what="finetune", unit="steps"
) as steps:
    for i in range(6):
        time.sleep(0.15)
        steps.advance()
        steps.note(f"loss {3 - i / 10:.3f}")
"""
    assert re.search(r"\d/6 steps, \d.\d steps/s, \d s left, loss 2\.\d00", on_terminal(body))
    lines = piped(body).stderr.splitlines()
    assert lines
    assert re.fullmatch(r"finetune r1  \d/6 steps, .* left, loss 2\.\d00", lines[-1])


def test_other_work_within_a_stage_keeps_its_own_name(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    with progress.titled("judge r0 tuned · dev"):
        list(progress.bar(range(2), total=2, what="check model.safetensors", unit="blocks"))
    assert capsys.readouterr().err.startswith("check model.safetensors  1/2 blocks")


@pytest.mark.parametrize(
    ("n", "total", "seconds", "words"),
    [
        (40, 80, 3.25, "40/80 answers, 12.3 answers/s, 4 s left"),
        (0, 80, 3.0, "0/80 answers"),
        (2, 80, 60.0, "2/80 answers, 2.0 answers/min, 39 min left"),
        (2, 80, 14400.0, "2/80 answers, 0.5 answers/h, 156 h 00 min left"),
        (1, 80, 20.0, "1/80 answers"),
        (500, 800, 1.0, "500/800 answers, 500 answers/s, 1 s left"),
    ],
)
def test_words(n, total, seconds, words):
    assert progress._words(n, total, "answers", n, seconds) == words
