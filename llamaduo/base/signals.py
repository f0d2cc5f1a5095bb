"""Ctrl-C and `kill`: open work is closed, and one message tells how to go on.

Exit code 130 for SIGINT, 143 for SIGTERM. This imports nothing heavy, so that it can handle a
signal during the imports as well.
"""

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

PATIENCE = 1.0  # seconds in which a second signal is taken for an echo of the first

_handling = False


class Interrupted(KeyboardInterrupt):
    """The request to stop that a signal makes; code with something open closes it and re-raises."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def command() -> str:
    """Return the command that started this process, quoted for a shell."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = "llamaduo" if spec is None else spec.name.removesuffix(".__main__")
    script = spec is None and Path(sys.argv[0]).name == "llamaduo"
    start = ["llamaduo"] if script else ["python", "-m", module]
    return shlex.join([*start, *sys.argv[1:]])


@contextmanager
def handled(*, resumes: bool = False) -> Iterator[None]:
    """End the process with one message when a signal asks for it; within another, do nothing.

    With `resumes` the message says that the same command goes on from what is finished. The first
    signal unwinds the stack. A later one, while that takes long, ends the process at once, as
    `kill -9` would; the next start then closes what was left open.
    """
    global _handling
    if _handling or threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _Handler(resumes)
    # A signal that the parent wants ignored, as `nohup` and a shell's `&` do, stays ignored.
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler.interrupt) for number in numbers}
    _handling = True
    try:
        yield
    except KeyboardInterrupt as stop:
        # The handlers stay: what Python does on its way out may take a while, too.
        sys.exit(handler.report(stop))
    except BaseException:
        _handling = _restored(before)
        raise
    _handling = _restored(before)


def _restored(before: Mapping[signal.Signals, Any]) -> bool:
    for number, former in before.items():
        signal.signal(number, former)
    return False


class _Handler:
    def __init__(self, resumes: bool) -> None:
        self._message = "interrupted"
        if resumes:
            self._message += f"; what is finished is kept. To go on:\n  {command()}"
        self._first: float | None = None
        self._reported = False

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Unwind the stack at the first signal, end the process at a later one."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
            raise Interrupted(number)
        if now - self._first >= PATIENCE:
            if not self._reported:
                os.write(2, f"\nllamaduo: {self._message}\n".encode())
            os._exit(128 + number)

    def report(self, stop: KeyboardInterrupt) -> int:
        """Print what happened; return the exit code."""
        from llamaduo.base import progress

        progress.clear()
        self._reported = True
        print(f"llamaduo: {self._message}", file=sys.stderr, flush=True)
        return 128 + (stop.number if isinstance(stop, Interrupted) else signal.SIGINT)
