"""Open the storage of studies: any Optuna storage or a journal file; explain it when one fails.

A `sqlite:///…` file is created whole or not at all. A `journal:///…` file is only appended to.
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

WAIT_SECONDS = 30  # for other writers of a sqlite file; `?timeout=` in its address overrides this

optuna.logging.set_verbosity(optuna.logging.ERROR)


@cache
def open_storage(url: str) -> BaseStorage:
    """Open the storage of an address, or create it; one per process.

    Raises:
        OSError, sqlite3.Error: the address or the file is not that of a storage. The storage's
            library raises more, see `readable_errors`.
    """
    opener = {"sqlite:///": _sqlite, "journal:///": _journal}.get(url[: url.find("/") + 3], _server)
    try:
        return opener(url)
    # A port that is not a number, text in place of a journal, or another program's journal.
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"it is not a storage of studies ({error})") from None


def file_of(url: str) -> Path | None:
    """Return the file that an address names; None where it names a server."""
    for scheme in ("sqlite:///", "journal:///"):
        if url.startswith(scheme):
            return Path(url.removeprefix(scheme).partition("?")[0])
    return None


def absolute(url: str) -> str:
    """Return the address of the same storage for use in any working directory."""
    path = file_of(url)
    if path is None:
        return url
    scheme, rest = url.split(":///", 1)
    return f"{scheme}:///{path.resolve()}{rest.removeprefix(rest.partition('?')[0])}"


def without_access(url: str) -> str:
    """Return an address without its password and options, which do not tell storages apart."""
    return re.sub(r":[^:/@]*@", "@", url.partition("?")[0])


def refuse_for_slurm(url: str) -> None:
    """Refuse a storage that SLURM's jobs cannot use, or not safely.

    They run on other machines, and their arguments are in files until they start.

    Raises:
        ConfigError: the storage is for one machine, or its address has a password.
    """
    if url.startswith("sqlite:"):
        raise ConfigError(
            f"hydra.sweeper.storage={url}: sqlite cannot be shared by machines; use "
            "journal:///<file in a shared folder>, or the address of a database server"
        )
    if redacted(url) != url:
        raise ConfigError(
            f"hydra.sweeper.storage={redacted(url)}: its password would be written to the files of "
            "SLURM's jobs; remove it, and give it to the database's driver, such as by PGPASSWORD"
        )


@contextmanager
def readable_errors(url: str) -> Iterator[None]:
    """Turn the errors of a storage's library into one message.

    Raises:
        ConfigError: the storage cannot be reached, read or written.
    """
    path = file_of(url)
    try:
        with disk.guarded(Path(".") if path is None else path):
            yield
    # Optuna raises RuntimeError for a database of another version. ImportError: the database's
    # driver is not installed.
    except (
        StorageInternalError,
        SQLAlchemyError,
        sqlite3.Error,
        OSError,
        ImportError,
        RuntimeError,
    ) as error:
        cause = str(error.__cause__ or error).strip().partition("\n")[0]
        advice = "make it reachable and writable, or choose another with hydra.sweeper.storage=…"
        if "locked" in cause:
            advice = (
                "another program has locked it; wait for its end, or wait longer with ?timeout=120"
            )
        elif isinstance(error, ImportError):
            advice = "install the Python driver of that database"
        raise ConfigError(redacted(f"hydra.sweeper.storage={url}: {cause}; {advice}")) from error


def _sqlite(url: str) -> BaseStorage:
    path = file_of(url)
    assert path is not None
    sqlite.create(path, lambda part: shutil.copyfile(_empty_database(), part))
    return RDBStorage(url, engine_kwargs={"connect_args": _timeout(url)})


def _empty_database() -> Path:
    """Return an empty database with this Optuna's schema, from the user's cache.

    It is made once, because that takes longer than a trial needs of the storage. In its journal
    mode, readers and a writer do not wait for one another, and a commit is one write.
    """

    def write(part: Path) -> None:
        RDBStorage(f"sqlite:///{part}").engine.dispose()
        with closing(sqlite3.connect(part)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

    empty = cache_folder() / f"optuna-{optuna.__version__}.db"
    sqlite.create(empty, write)
    return empty


def _timeout(url: str) -> dict[str, int]:
    return {} if "timeout=" in url else {"timeout": WAIT_SECONDS}


def _server(url: str) -> BaseStorage:
    # Tests a connection before each use: the server may have closed it.
    return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


def _journal(url: str) -> BaseStorage:
    path = file_of(url)
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > 0:
        # Optuna ignores a last line that it cannot read, and would append to a foreign file.
        with path.open("rb") as file:
            json.loads(file.readline())["op_code"]
    lock = JournalFileOpenLock(str(path))
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
