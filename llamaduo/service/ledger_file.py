"""The ledger's database file: its tables, its creation, and one message for each way it fails."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llamaduo.base import disk, sqlite
from llamaduo.base.errors import LabError

NAME = "ledger.db"
VERSION = 1
PATIENCE = 30.0  # seconds to wait for another process to finish its transaction
PAGES = 4000  # of the write-ahead log before they are moved into the database: 16 MiB

# The names are those of the first version, so that every ledger can be read: a row of `flights` is
# a call in flight, a row of `lost` an expired call.
SCHEMA = """
CREATE TABLE answers (
    key TEXT PRIMARY KEY, answer TEXT NOT NULL, input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, usd TEXT, made REAL NOT NULL, owner TEXT NOT NULL
);
CREATE TABLE flights (
    key TEXT PRIMARY KEY, service TEXT NOT NULL, purse TEXT NOT NULL, owner TEXT NOT NULL,
    worst TEXT NOT NULL, began REAL NOT NULL
);
CREATE INDEX flights_by_service ON flights (service, owner);
CREATE TABLE lost (
    key TEXT NOT NULL, service TEXT NOT NULL, purse TEXT NOT NULL, owner TEXT NOT NULL,
    worst TEXT NOT NULL, began REAL NOT NULL
);
CREATE TABLE purses (name TEXT PRIMARY KEY, spent TEXT NOT NULL, reserved TEXT NOT NULL);
CREATE TABLE paces (service TEXT PRIMARY KEY, state TEXT NOT NULL);
"""


@contextmanager
def usable(path: Path | None) -> Iterator[None]:
    """Turn sqlite's errors about the ledger at a path into one message.

    Raises:
        LabError: the disk is full, the folder cannot be written, or the ledger is damaged or stays
            locked.
    """
    try:
        with disk.guarded(path or Path()):
            yield
    except (sqlite3.Error, OSError) as error:
        words = str(error).strip().partition("\n")[0]
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            act = f"another process has held it for {PATIENCE:.0f} s; end that one and try again"
        elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            act = (
                "it is damaged; move it away (answers are then paid for again), or put back a copy"
            )
        else:
            act = "make the folder writable, or name another with tracking.home=…"
        raise LabError(f"{path}: the request ledger cannot be used ({words}): {act}") from error


def create(path: Path) -> None:
    """Put a complete, empty ledger at a path where there is none; other processes may do so too."""
    sqlite.create(path, _write_empty)


def _write_empty(part: Path) -> None:
    with sqlite.without_journal(part) as connection:
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        connection.execute("PRAGMA journal_mode = WAL")


def connect(path: Path) -> sqlite3.Connection:
    """Open the ledger at a path, for all threads of this process.

    Raises:
        LabError: another version of llamaduo wrote it.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=PATIENCE, check_same_thread=False
    )
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise LabError(
                f"{path}: its format is {version}, and this llamaduo reads {VERSION}; move it "
                "away, or name another folder with tracking.home=…"
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection
