"""Unfinished answers, written to disk every second, so that a kill loses little of a batch."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from llamaduo.base.files import write_atomically
from llamaduo.local.sampling import Answer

SECONDS = 1.0  # between two writes; one takes about a millisecond

Key = tuple[str, int]


class Drafts:
    """The tokens so far of unfinished answers, by prompt id and k, in a file.

    Once all answers are finished, the file has no use: `remove` it then. Without a path nothing is
    written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written = time.monotonic()
        self._earlier: dict[Key, list[int]] = {}
        if path is not None and path.exists():
            rows = json.loads(path.read_text(encoding="utf-8"))
            self._earlier = {(prompt_id, k): tokens for prompt_id, k, tokens in rows}

    def of(self, key: Key) -> list[int]:
        """Return the tokens of an answer that an earlier start has sampled."""
        return self._earlier.get(key, [])

    def keep(self, answers: Iterable[tuple[Key, Answer]]) -> None:
        """Write the unfinished ones of these answers, unless the last write was a moment ago."""
        if self._path is None or time.monotonic() - self._written < SECONDS:
            return
        rows = [(*key, answer.tokens) for key, answer in answers if not answer.finish]
        write_atomically(self._path, json.dumps(rows) + "\n")
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
