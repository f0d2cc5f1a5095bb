"""A database file of sqlite that is made whole or not at all."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

HEADER = b"SQLite format 3\x00"
#: What may lie beside a database, by what is added to its name.
ENDINGS = ("", "-wal", "-shm", "-journal")


def create(path: Path, write: Callable[[Path], object]) -> None:
    """Put a database at a path where there is none, whoever else is doing the same.

    `write` makes it under another name. It gets its own name when the disk holds all of it. What
    an earlier attempt left, and the log of a database that someone took away, are deleted first.

    Raises:
        sqlite3.DatabaseError: a file that is no database lies there.
    """
    if _exists(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        if _exists(path):
            return
        part = path.with_name(path.name + ".part")
        for stem in (part, path):
            for ending in ENDINGS:
                stem.with_name(stem.name + ending).unlink(missing_ok=True)
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)


def _exists(path: Path) -> bool:
    # sqlite makes an empty file of a name that it is asked for: there is nothing in it to keep.
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:
            # Libraries would try for minutes to open it.
            error = sqlite3.DatabaseError(f"{path} is not a database")
            error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
            raise error
    return True


@contextmanager
def without_journal(part: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that is being made; a kill leaves no journal beside it."""
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        yield connection
