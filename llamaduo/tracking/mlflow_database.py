"""The database of MLflow, made whole or not at all."""

import shutil
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from llamaduo.base import sqlite
from llamaduo.base.cache import cache_folder

# MLflow keeps one engine for the address of the database in memory.
_IN_MEMORY = threading.Lock()


def create_database(path: Path, artifacts: Path) -> None:
    """Put an MLflow database at a path where there is none: a copy of the one in the cache.

    Artifacts of the default experiment lie under `artifacts`.

    Raises:
        sqlite3.DatabaseError: a file that is no database lies there.
    """

    def write(part: Path) -> None:
        shutil.copyfile(_pristine(), part)
        with sqlite.without_journal(part) as connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", (f"{artifacts}/0",))

    sqlite.create(path, write)


def _pristine() -> Path:
    """Return an empty database of this MLflow's schema from the user's cache.

    It is made once, which takes longer than all else does; in memory, where the many steps of the
    schema need no disk.
    """

    def write(part: Path) -> None:
        with _IN_MEMORY:
            store = SqlAlchemyStore("sqlite:///:memory:", "")  # type: ignore[no-untyped-call]
            raw = store.engine.raw_connection()
            with closing(raw), sqlite.without_journal(part) as file:
                connection: Any = raw.driver_connection
                connection.backup(file)
            store.engine.dispose()

    kept = cache_folder() / f"mlflow-{mlflow.__version__}.db"
    sqlite.create(kept, write)
    return kept
