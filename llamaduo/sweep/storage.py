"""Where studies live: any Optuna storage, or a journal file, and what is said when one fails.

`sqlite:///…` is created whole or not at all, `journal:///…` is a file that is only appended to.
"""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import SQLAlchemyError

from llamaduo.base import disk, sqlite
from llamaduo.base.cache import cache_folder
from llamaduo.base.errors import ConfigError
from llamaduo.base.redact import redacted

PATIENCE = 30  # seconds that a writer waits for others; `?timeout=` of a sqlite address overrides

optuna.logging.set_verbosity(optuna.logging.ERROR)


@cache
def reach(url: str) -> BaseStorage:
    """The storage of an address, made where there is none; one per process.

    Raises:
        OSError, sqlite3.Error: the address or the file is no storage's; and what its library
            raises.
    """
    made = {"sqlite:///": _sqlite, "journal:///": _journal}.get(url[: url.find("/") + 3], _server)
    try:
        return made(url)
    # Of a port that is no number, of text in place of a journal, and of another program's journal.
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"it is no storage of studies ({error})") from None


def file_of(url: str) -> Path | None:
    """The file that an address names; None where it names a server."""
    for scheme in ("sqlite:///", "journal:///"):
        if url.startswith(scheme):
            return Path(url.removeprefix(scheme).partition("?")[0])
    return None


def absolute(url: str) -> str:
    """The same storage, also from another working directory."""
    path = file_of(url)
    if path is None:
        return url
    scheme, rest = url.split(":///", 1)
    return f"{scheme}:///{path.resolve()}{rest.removeprefix(rest.partition('?')[0])}"


def place(url: str) -> str:
    """What an address names, without how it is to be reached: password and options."""
    return re.sub(r":[^:/@]*@", "@", url.partition("?")[0])


@contextmanager
def usable(url: str) -> Iterator[None]:
    """Turn what a storage's library raises into one message.

    Raises:
        ConfigError: the storage cannot be reached, read or written.
    """
    path = file_of(url)
    try:
        with disk.guarded(Path(".") if path is None else path):
            yield
    # RuntimeError is Optuna's for a database of another version, ImportError that of a driver that
    # is not installed.
    except (
        StorageInternalError,
        SQLAlchemyError,
        sqlite3.Error,
        OSError,
        ImportError,
        RuntimeError,
    ) as error:
        why = str(error.__cause__ or error).strip().partition("\n")[0]
        advice = "make it reachable and writable, or name another with hydra.sweeper.storage=…"
        if "locked" in why:
            advice = "another program holds it; let it end, or wait longer with ?timeout=120"
        elif isinstance(error, ImportError):
            advice = "install the driver of that database"
        raise ConfigError(redacted(f"hydra.sweeper.storage={url}: {why}; {advice}")) from error


def _sqlite(url: str) -> BaseStorage:
    path = file_of(url)
    assert path is not None
    sqlite.create(path, lambda part: shutil.copyfile(_pristine(), part))
    return RDBStorage(url, engine_kwargs={"connect_args": _patience(url)})


def _pristine() -> Path:
    """Return an empty database of this Optuna's schema from the user's cache.

    It is made once, which takes longer than a trial's share of the work. Its readers and a writer
    do not wait for one another, and a commit is one write.
    """

    def write(part: Path) -> None:
        RDBStorage(f"sqlite:///{part}").engine.dispose()
        with closing(sqlite3.connect(part)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

    kept = cache_folder() / f"optuna-{optuna.__version__}.db"
    sqlite.create(kept, write)
    return kept


def _patience(url: str) -> dict[str, int]:
    return {} if "timeout=" in url else {"timeout": PATIENCE}


def _server(url: str) -> BaseStorage:
    # Asks whether a connection still lives before it is used: a server may have dropped it.
    return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


def _journal(url: str) -> BaseStorage:
    path = file_of(url)
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > 0:
        # Optuna forgives a last line that it cannot read, and would write below it.
        with path.open("rb") as file:
            json.loads(file.readline())["op_code"]
    lock = JournalFileOpenLock(str(path))
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
