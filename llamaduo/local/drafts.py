"""Answers in the making, on disk every few seconds, so that a kill loses little of a batch."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from llamaduo.base.files import write_atomically
from llamaduo.local.sampling import Answer

SECONDS = 1.0  # between two writings; one takes about a millisecond

Key = tuple[str, int]


class Drafts:
    """What has been said so far of answers that are not finished, by prompt id and k.

    The file is worthless once all answers are finished: `remove` it then. Without a path nothing is
    kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept = time.monotonic()
        self._found: dict[Key, list[int]] = {}
        if path is not None and path.exists():
            rows = json.loads(path.read_text(encoding="utf-8"))
            self._found = {(prompt_id, k): tokens for prompt_id, k, tokens in rows}

    def of(self, key: Key) -> list[int]:
        """The tokens that an earlier start had said of an answer."""
        return self._found.get(key, [])

    def keep(self, answers: Iterable[tuple[Key, Answer]]) -> None:
        """Write the unfinished ones of these answers, if the last time is long enough ago."""
        if self._path is None or time.monotonic() - self._kept < SECONDS:
            return
        rows = [(*key, answer.tokens) for key, answer in answers if not answer.finish]
        write_atomically(self._path, json.dumps(rows) + "\n")
        self._kept = time.monotonic()

    def remove(self) -> None:
        """Take the file away."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
