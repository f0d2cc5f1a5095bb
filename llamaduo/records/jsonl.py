"""Rows in and out of JSONL.

A file of records is UTF-8, one JSON object a line, in the order in which the rows were made, so a
file that was being written when its process died is a valid beginning.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Self, TypeVar

from pydantic import BaseModel

from llamaduo.records.identity import left_out
from llamaduo.records.record import Record

R = TypeVar("R", bound=BaseModel)


def write_jsonl(path: Path, rows: Iterable[BaseModel]) -> None:
    """Write rows to a new file, one a line."""
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(row.model_dump_json(exclude_none=True) + "\n")


def read_jsonl(path: Path, kind: type[R]) -> list[R]:
    """Read a whole file of one kind of record."""
    with path.open(encoding="utf-8") as lines:
        return [kind.model_validate_json(line) for line in lines]


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a JSONL text that are not blank, with their numbers from 1.

    Splits at newlines only: JSON strings may hold U+2028 and its kin, at which `splitlines` cuts.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def read_rows(path: Path, *kinds: type[Record]) -> list[Record]:
    """Read a whole file whose rows are of several kinds, told apart by their keys."""
    return _rows(path.read_bytes(), kinds)


def _rows(content: bytes, kinds: tuple[type[Record], ...]) -> list[Record]:
    rows = []
    for _, line in lines_of(content.decode("utf-8")):
        keys = json.loads(line).keys()
        fits = [kind for kind in kinds if keys <= kind.model_fields.keys()]
        rows.append((fits or list(kinds))[0].model_validate_json(line))
    return rows


class RowFile:
    """A JSONL file that long work appends to, row by row; a later start goes on from it.

    `with RowFile(path, Response) as rows: rows.done …; rows.add(row)`. A last line that a kill cut
    short is dropped at the next start.
    """

    def __init__(self, path: Path, *kinds: type[Record]) -> None:
        self.path = path
        self._kinds = kinds
        self.done: list[Record] = []
        self._out: IO[str] | None = None

    def __enter__(self) -> Self:
        """Read what is there, cut off a torn line, and open for appending."""
        if self.path.exists():
            whole = self.path.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]
            self.done = _rows(whole, self._kinds)
            with self.path.open("r+b") as torn:
                torn.truncate(len(whole))
        self._out = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        if self._out is not None:
            self._out.close()

    def add(self, row: Record) -> None:
        """Append one row and hand it to the operating system, so that a kill does not lose it."""
        assert self._out is not None, "RowFile is used as a context manager"
        self._out.write(row.model_dump_json() + "\n")
        self._out.flush()
        self.done.append(row)


def digest(rows: Iterable[BaseModel]) -> str:
    """Return sixteen hex digits of sha256 that stand for the content of rows, in their order."""
    total = hashlib.sha256()
    for row in rows:
        total.update(row.model_dump_json(exclude=left_out(row)).encode() + b"\n")
    return total.hexdigest()[:16]
