"""The database of MLflow, created whole or not at all."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from llamaduo.base.cache import cache_folder

# MLflow keeps one engine for the address of the database in memory.
_IN_MEMORY = threading.Lock()


def create_database(path: Path, artifacts: Path) -> None:
    """Put a whole MLflow database at a path where there is none, whoever else is doing the same.

    It is a copy of a pristine one in the user's cache, renamed when it is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        if path.exists() and path.stat().st_size > 0:
            with path.open("rb") as file:
                # MLflow would try for minutes to open anything else.
                if file.read(16) != b"SQLite format 3\x00":
                    raise OSError(f"{path} is not a database")
            return
        part = _fresh(path)
        shutil.copyfile(_pristine(), part)
        with closing(_unjournaled(part)) as made, made:
            made.execute("UPDATE experiments SET artifact_location = ?", (f"{artifacts}/0",))
        part.replace(path)


def _pristine() -> Path:
    """An empty database of this MLflow's schema, made once: that takes longer than all else does.

    It is made in memory, where the many steps of the schema need no disk.
    """
    kept = cache_folder() / f"mlflow-{mlflow.__version__}.db"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(kept.with_name(kept.name + ".lock")), _IN_MEMORY:
            part = _fresh(kept)
            store = SqlAlchemyStore("sqlite:///:memory:", "")  # type: ignore[no-untyped-call]
            raw = store.engine.raw_connection()
            with closing(raw), closing(_unjournaled(part)) as file:
                connection: Any = raw.driver_connection
                connection.backup(file)
            store.engine.dispose()
            part.replace(kept)
    return kept


def _fresh(path: Path) -> Path:
    """Where a database that shall be at `path` is made: nothing is there of an earlier attempt."""
    part = path.with_name(path.name + ".part")
    for left in (part, part.with_name(part.name + "-journal")):
        left.unlink(missing_ok=True)
    return part


def _unjournaled(part: Path) -> sqlite3.Connection:
    """A connection without a journal, which a kill would leave behind for the next attempt."""
    made = sqlite3.connect(part)
    made.execute("PRAGMA journal_mode = OFF")
    return made
