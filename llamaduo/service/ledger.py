"""The request ledger: every paid answer, every call in flight, and what each purse has spent.

One sqlite database serves all processes of a machine. It is created complete or not at all. Every
change is one transaction, which is on the disk before its result is used. So after a crash at any
moment the paid answers are there, and the calls that were in flight are known.
"""

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from decimal import Decimal
from pathlib import Path

from llamaduo.base.liveness import ProcessLock
from llamaduo.service import ledger_file
from llamaduo.service.kept_answers import KeptAnswer, PendingCall, Purse, answer_of, row_of
from llamaduo.service.ledger_file import usable

AT_ONCE = 500  # keys in one query


class Ledger:
    """A connection to the ledger, for one process that asks for answers.

    `opened` and `in_memory` make one. Threads may share it.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None, owner: str) -> None:
        self.owner = owner
        self.path = path
        self._db = connection
        self._mutex = threading.RLock()

    def look_up(self, keys: Sequence[str]) -> dict[str, KeptAnswer]:
        """Return the answers that are kept under any of these keys, by key."""
        answers: dict[str, KeptAnswer] = {}
        with self._mutex, usable(self.path):
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = self._db.execute(
                    "SELECT key, answer, input_tokens, output_tokens, usd FROM answers "
                    f"WHERE key IN ({marks})",
                    some,
                )
                answers |= {key: answer_of(row) for key, *row in rows}
        return answers

    def pending(self, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that some process has a call in flight for."""
        pending: set[str] = set()
        with self._mutex, usable(self.path):
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = self._db.execute(f"SELECT key FROM flights WHERE key IN ({marks})", some)
                pending |= {key for (key,) in rows}
        return pending

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Make one transaction: all of it is on the disk when the block is left, or none of it.

        Raises:
            LabError: the disk is full, or the database is damaged or locked.
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
        """Expire the calls in flight of a process that died; return their number.

        They may have been paid for, so their highest cost counts as spent.
        """
        with self.transaction() as transaction:
            return transaction.expire(owner)


class Transaction:
    """The changes and queries that are possible within a transaction."""

    def __init__(self, db: sqlite3.Connection, owner: str) -> None:
        self._db = db
        self._owner = owner

    def keep(self, answers: Iterable[tuple[str, KeptAnswer]]) -> None:
        """Keep answers under their keys."""
        now = time.time()
        self._db.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(key, *row_of(answer), now, self._owner) for key, answer in answers],
        )

    def claimed(self, keys: Sequence[str]) -> set[str]:
        """Return those of a few keys that have an answer or a call in flight."""
        marks = ",".join("?" * len(keys))
        rows = self._db.execute(
            f"SELECT key FROM flights WHERE key IN ({marks}) "
            f"UNION ALL SELECT key FROM answers WHERE key IN ({marks})",
            [*keys, *keys],
        )
        return {key for (key,) in rows}

    def admit(self, service: str, purse: str, calls: Iterable[PendingCall]) -> None:
        """Record calls that are about to be made. This changes no purse: see `set_purse`."""
        self._db.executemany(
            "INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?)",
            [(c.key, service, purse, self._owner, str(c.worst), c.began) for c in calls],
        )

    def finish(self, keys: Iterable[str]) -> None:
        """Record that calls are over."""
        self._db.executemany("DELETE FROM flights WHERE key = ?", [(key,) for key in keys])

    def in_flight(self, service: str) -> dict[str, int]:
        """Return the number of calls to a service that are in flight, by owner."""
        sql = "SELECT owner, count(*) FROM flights WHERE service = ? GROUP BY owner"
        return dict(self._db.execute(sql, (service,)).fetchall())

    def purse(self, name: str) -> Purse:
        """Return a purse; one that nobody has spent from is empty."""
        sql = "SELECT spent, reserved FROM purses WHERE name = ?"
        row = self._db.execute(sql, (name,)).fetchone()
        return Purse() if row is None else Purse(Decimal(row[0]), Decimal(row[1]))

    def set_purse(self, name: str, purse: Purse) -> None:
        """Write a purse."""
        row = (name, str(purse.spent), str(purse.reserved))
        self._db.execute("INSERT OR REPLACE INTO purses VALUES (?, ?, ?)", row)

    def pace(self, service: str) -> str | None:
        """Return the state of a service's `Pace`; None before the first call."""
        sql = "SELECT state FROM paces WHERE service = ?"
        row = self._db.execute(sql, (service,)).fetchone()
        return None if row is None else str(row[0])

    def set_pace(self, service: str, state: str) -> None:
        """Write the state of a service's `Pace`."""
        self._db.execute("INSERT OR REPLACE INTO paces VALUES (?, ?)", (service, state))

    def expire(self, owner: str) -> int:
        """Expire the calls that an owner had in flight; return their number."""
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
    """Open the ledger of a folder, and create it where there is none.

    The `ProcessLock` is the lock file that shows that this process lives. Whoever makes calls holds
    `owner.held(ledger.expire)` meanwhile.

    Raises:
        LabError: it cannot be created, or is damaged.
    """
    path = home.resolve() / ledger_file.NAME
    owner = ProcessLock(path.parent / "owners", str(path))
    with usable(path):
        ledger_file.create(path)
        connection = ledger_file.connect(path)
    with closing(connection):
        yield Ledger(connection, path, owner.id), owner


_shared = threading.Lock()
_memory: list[sqlite3.Connection] = []


def in_memory() -> Ledger:
    """Return a ledger that all of this process shares and that ends with it."""
    with _shared:
        if not _memory:
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            connection.executescript(ledger_file.SCHEMA)
            _memory.append(connection)
    return _InMemory(_memory[0], None, uuid.uuid4().hex)


class _InMemory(Ledger):
    """A ledger in memory. All of them use one connection, so they share one lock."""

    _shared_mutex = threading.RLock()

    def __init__(self, connection: sqlite3.Connection, path: Path | None, owner: str) -> None:
        super().__init__(connection, path, owner)
        self._mutex = self._shared_mutex
