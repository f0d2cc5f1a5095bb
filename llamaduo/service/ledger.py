"""The request ledger: every paid answer, every call under way, and what each purse has spent.

One sqlite database for all processes of a machine. It is created whole or not at all, every change
is one transaction, and a transaction is on the disk before what it says is used. So after a crash
at any moment the answers that were paid are there, and the calls that were under way are known.
"""

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from llamaduo.base import disk, sqlite
from llamaduo.base.errors import LabError
from llamaduo.base.liveness import ProcessLock
from llamaduo.records import Bill
from llamaduo.service.protocol import Completion, Failure

NAME = "ledger.db"
VERSION = 1
PATIENCE = 30.0  # seconds to wait for another process to finish its transaction
AT_ONCE = 500  # keys in one query
PAGES = 4000  # of the log before they are moved into the database: 16 MiB

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


@dataclass(frozen=True)
class KeptAnswer:
    """What a request was answered with, whoever asked it: a text, or the cause of a failure.

    `final` says of a failure that asking again cannot help; only such are kept.
    """

    text: str | None
    cause: str | None
    model: str
    finish: Literal["stop", "length"]
    bill: Bill
    final: bool = True

    def outcome(self, request_id: str, *, kept: bool) -> Completion | Failure:
        """The answer to one request; `kept` says that it was paid for before."""
        bill = self.bill.kept() if kept else self.bill
        if self.text is None:
            cause = self.cause or ""
            return Failure(request_id=request_id, cause=cause, final=self.final, bill=bill)
        return Completion(
            request_id=request_id,
            text=self.text,
            model=self.model,
            bill=bill,
            finish=self.finish,
        )


@dataclass(frozen=True)
class PendingCall:
    """A call under way: its key, what it may cost at worst, and when it began (Unix seconds)."""

    key: str
    worst: Decimal
    began: float


@dataclass(frozen=True)
class Purse:
    """Dollars spent under one name, and reserved for the calls that are under way."""

    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    def plus(self, spent: Decimal, reserved: Decimal) -> "Purse":
        """The purse with so much more spent and reserved."""
        return Purse(self.spent + spent, self.reserved + reserved)


class Ledger:
    """A connection to the ledger, for one process that asks for answers.

    Use `opened` or `in_memory`. Threads may share one.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None, owner: str) -> None:
        self.owner = owner
        self.path = path
        self._db = connection
        self._mutex = threading.RLock()

    def look_up(self, keys: Sequence[str]) -> dict[str, KeptAnswer]:
        """The answers that are kept under any of these keys."""
        found: dict[str, KeptAnswer] = {}
        with self._mutex, usable(self.path):
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = self._db.execute(
                    "SELECT key, answer, input_tokens, output_tokens, usd FROM answers "
                    f"WHERE key IN ({marks})",
                    some,
                )
                found |= {row[0]: _answer(*row[1:]) for row in rows}
        return found

    def pending(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that some process has a call under way for."""
        found: set[str] = set()
        with self._mutex, usable(self.path):
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = self._db.execute(f"SELECT key FROM flights WHERE key IN ({marks})", some)
                found |= {key for (key,) in rows}
        return found

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """One transaction: all of it is on the disk when the block is left, or none of it.

        Raises:
            LabError: there is no room on the disk, or the database is damaged or locked.
        """
        with self._mutex, usable(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._db, self.owner)
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def expire(self, owner: str) -> int:
        """Count the calls of a process that died as expired; return their number.

        They may have been paid, so what they cost at worst counts as spent.
        """
        with self.transaction() as transaction:
            return transaction.expire(owner)


class Transaction:
    """What can be done within a transaction."""

    def __init__(self, db: sqlite3.Connection, owner: str) -> None:
        self._db = db
        self._owner = owner

    def keep(self, answers: Iterable[tuple[str, KeptAnswer]]) -> None:
        """Keep answers under their keys."""
        now = time.time()
        self._db.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(key, *_row(answer), now, self._owner) for key, answer in answers],
        )

    def claimed(self, keys: Sequence[str]) -> set[str]:
        """Those of a few keys that are answered, or that a call is under way for."""
        marks = ",".join("?" * len(keys))
        rows = self._db.execute(
            f"SELECT key FROM flights WHERE key IN ({marks}) "
            f"UNION ALL SELECT key FROM answers WHERE key IN ({marks})",
            [*keys, *keys],
        )
        return {key for (key,) in rows}

    def admit(self, service: str, purse: str, flights: Iterable[PendingCall]) -> None:
        """Calls are about to be made; the purse is another matter."""
        self._db.executemany(
            "INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?)",
            [(one.key, service, purse, self._owner, str(one.worst), one.began) for one in flights],
        )

    def finish(self, keys: Iterable[str]) -> None:
        """Calls are over."""
        self._db.executemany("DELETE FROM flights WHERE key = ?", [(key,) for key in keys])

    def in_flight(self, service: str) -> dict[str, int]:
        """How many calls to a service are under way, by owner."""
        sql = "SELECT owner, count(*) FROM flights WHERE service = ? GROUP BY owner"
        return dict(self._db.execute(sql, (service,)).fetchall())

    def purse(self, name: str) -> Purse:
        """What a purse has spent and reserved."""
        sql = "SELECT spent, reserved FROM purses WHERE name = ?"
        row = self._db.execute(sql, (name,)).fetchone()
        return Purse() if row is None else Purse(Decimal(row[0]), Decimal(row[1]))

    def set_purse(self, name: str, purse: Purse) -> None:
        """Write what a purse has spent and reserved."""
        row = (name, str(purse.spent), str(purse.reserved))
        self._db.execute("INSERT OR REPLACE INTO purses VALUES (?, ?, ?)", row)

    def pace(self, service: str) -> str | None:
        """The state of the pace at which a service is called; None before its first call."""
        sql = "SELECT state FROM paces WHERE service = ?"
        row = self._db.execute(sql, (service,)).fetchone()
        return None if row is None else str(row[0])

    def set_pace(self, service: str, state: str) -> None:
        """Write the state of a pace."""
        self._db.execute("INSERT OR REPLACE INTO paces VALUES (?, ?)", (service, state))

    def expire(self, owner: str) -> int:
        """The calls that an owner had under way are lost; gives their number."""
        rows = self._db.execute(
            "SELECT purse, worst FROM flights WHERE owner = ?", (owner,)
        ).fetchall()
        worst: dict[str, Decimal] = {}
        for purse, usd in rows:
            worst[purse] = worst.get(purse, Decimal(0)) + Decimal(usd)
        for name, usd in worst.items():
            self.set_purse(name, self.purse(name).plus(usd, -usd))
        self._db.execute(
            "INSERT INTO lost SELECT key, service, purse, owner, worst, began FROM flights "
            "WHERE owner = ?",
            (owner,),
        )
        self._db.execute("DELETE FROM flights WHERE owner = ?", (owner,))
        return len(rows)


@contextmanager
def opened(home: Path) -> Iterator[tuple[Ledger, ProcessLock]]:
    """The ledger of a folder, created where there is none, and its owner's sign of life.

    Whoever begins calls holds `owner.held(ledger.expire)` meanwhile.

    Raises:
        LabError: it cannot be created, or is damaged.
    """
    path = home.resolve() / NAME
    owner = ProcessLock(path.parent / "owners", str(path))
    with usable(path):
        sqlite.create(path, _write_empty)
        connection = _connected(path)
    with closing(connection):
        yield Ledger(connection, path, owner.id), owner


_shared = threading.Lock()
_memory: list[sqlite3.Connection] = []


def in_memory() -> Ledger:
    """A ledger that all of this process shares and that ends with it."""
    with _shared:
        if not _memory:
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            connection.executescript(SCHEMA)
            _memory.append(connection)
    return _InMemory(_memory[0], None, uuid.uuid4().hex)


class _InMemory(Ledger):
    """Connections to one database in memory would be one connection: they take turns."""

    _turns = threading.RLock()

    def __init__(self, connection: sqlite3.Connection, path: Path | None, owner: str) -> None:
        super().__init__(connection, path, owner)
        self._mutex = self._turns


@contextmanager
def usable(path: Path | None) -> Iterator[None]:
    """Turn what sqlite says of the ledger at a path into one message.

    Raises:
        LabError: no room, no permission, damaged, or locked for long.
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
            act = "it is damaged; move it away and answers are paid for anew, or put a copy back"
        else:
            act = "make the folder writable, or name another with tracking.home=…"
        raise LabError(f"{path}: the request ledger cannot be used ({words}): {act}") from error


def _write_empty(part: Path) -> None:
    with sqlite.without_journal(part) as connection:
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        connection.execute("PRAGMA journal_mode = WAL")


def _connected(path: Path) -> sqlite3.Connection:
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


def _row(answer: KeptAnswer) -> tuple[str, int, int, str | None]:
    bill = answer.bill
    facts: dict[str, str | int] = {"model": answer.model, "finish": answer.finish}
    facts |= {"cause": answer.cause or ""} if answer.text is None else {"text": answer.text}
    if bill.calls != 1:
        facts["calls"] = bill.calls
    if bill.estimated_calls:
        facts["estimated_calls"] = bill.estimated_calls
    if bill.simulated_usd:
        facts["simulated_usd"] = str(bill.simulated_usd)
    usd = None if bill.usd is None else str(bill.usd)
    return json.dumps(facts, ensure_ascii=False), bill.input_tokens, bill.output_tokens, usd


def _answer(content: str, input_tokens: int, output_tokens: int, usd: str | None) -> KeptAnswer:
    try:
        facts: Mapping[str, str | int] = json.loads(content)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"an answer is not JSON: {error}") from error
    bill = Bill(
        calls=int(facts.get("calls", 1)),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        usd=None if usd is None else Decimal(usd),
        simulated_usd=Decimal(facts.get("simulated_usd", 0)),
        estimated_calls=int(facts.get("estimated_calls", 0)),
    )
    text, cause = facts.get("text"), facts.get("cause")
    return KeptAnswer(
        text=None if text is None else str(text),
        cause=None if cause is None else str(cause),
        model=str(facts["model"]),
        finish="length" if facts["finish"] == "length" else "stop",
        bill=bill,
    )
