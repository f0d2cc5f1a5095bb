"""Progress of long work: done and total, pace, and the time that is left.

On a terminal it is a bar, which goes when the work is done; elsewhere a plain line now and then,
without `\\r` or escape codes. Both go to standard error and have the same words.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self, TypeVar

from tqdm import tqdm

from llamaduo.base.format import rough_duration

T = TypeVar("T")

EVERY = 30.0  # seconds from the start, and from line to line, where there is no terminal

_title: ContextVar[str] = ContextVar("title", default="")
_open: list["Progress"] = []


class _Bar(tqdm):  # type: ignore[type-arg]  # generic in its types, not when it runs
    """A bar of tqdm's with the words of `_words` beside it."""

    note = ""

    @property
    def format_dict(self) -> dict[str, Any]:
        """The names that the bar's format may use."""
        facts = dict(super().format_dict)
        fresh = facts["n"] - facts["initial"]
        words = _words(facts["n"], facts["total"], facts["unit"], fresh, facts["elapsed"])
        return facts | {"words": words + self.note}


class Progress:
    """The progress of work of `total` units, `done` of which an earlier start has done.

    `what` names the work. Within a stage, a `what` that begins with the stage's name gives way to
    the stage's title. `unit` is the plural of what is counted.
    """

    def __init__(self, *, total: int, what: str, unit: str, done: int = 0) -> None:
        title = _title.get()
        if title and title.split()[0] == what.split()[0]:
            what = title
        self._what, self._unit, self._total = what, unit, total
        self._before, self._done, self._note = done, done, ""
        self._start = self._printed = time.monotonic()
        self._bar = _bar(what, unit, total, done) if total - done > 1 and _terminal() else None
        _open.append(self)

    def __enter__(self) -> Self:
        """Return this; the end of the block closes it."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Take the bar away."""
        self.close()

    def advance(self, count: int = 1) -> None:
        """Count more units as done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._printed >= EVERY and self._done < self._total:
            self._printed = now
            fresh = self._done - self._before
            words = _words(self._done, self._total, self._unit, fresh, now - self._start)
            print(f"{self._what}  {words}{self._note}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Show a text, such as the loss, beside the progress from now on."""
        self._note = f", {text}"
        if self._bar is not None:
            self._bar.note = self._note

    def close(self) -> None:
        """Take the bar away; done twice, it does nothing."""
        if self in _open:
            _open.remove(self)
        if self._bar is not None:
            self._bar.close()


def bar(rows: Iterable[T], *, total: int, what: str, unit: str, done: int = 0) -> Iterator[T]:
    """Yield rows as they come, and count each when the next is asked for; see `Progress`.

    `total` counts all rows, with the `done` ones that an earlier start has done.
    """
    with Progress(total=total, what=what, unit=unit, done=done) as progress:
        for row in rows:
            yield row
            progress.advance()


@contextmanager
def titled(title: str) -> Iterator[None]:
    """Set the title of the stage that runs in the block, its name first: `infer r0 tuned · dev`."""
    token = _title.set(title)
    try:
        yield
    finally:
        _title.reset(token)


def say(line: str) -> None:
    """Print a line at once, also into a pipe, and above the bars if there are any."""
    if not _open:  # tqdm's lock costs more than the line
        print(line, flush=True)
        return
    with tqdm.external_write_mode():
        print(line, flush=True)


def clear() -> None:
    """Take all bars away, such as those of work that was broken off."""
    for progress in reversed(_open[:]):
        progress.close()


def _terminal() -> bool:
    """Return True if standard error is a terminal that a bar can be drawn on."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return False
    # A terminal without a size, as in some containers, would show nothing at all.
    return min(os.get_terminal_size(sys.stderr.fileno())) > 0


def _bar(what: str, unit: str, total: int, done: int) -> _Bar:
    return _Bar(
        desc=what,
        unit=unit,
        total=total,
        initial=done,
        bar_format="{desc}  |{bar}| {words}",
        leave=False,
        dynamic_ncols=True,
        miniters=1,  # else it guesses, and is late where the pace changes
    )


def _words(n: int, total: int, unit: str, fresh: int, seconds: float) -> str:
    """Return `40/80 answers, 12.3 answers/s, 4 s left`; without the pace while it is not known."""
    words = f"{n}/{total} {unit}"
    if fresh < 2 or seconds <= 0:  # the first waits for models to load: it has no pace
        return words
    pace = fresh / seconds
    rate, per = next(
        (pace * scale, per)
        for scale, per in ((1, "s"), (60, "min"), (3600, "h"))
        if pace * scale >= 1 or per == "h"
    )
    shown = f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"
    return f"{words}, {shown} {unit}/{per}, {rough_duration((total - n) / pace)} left"
