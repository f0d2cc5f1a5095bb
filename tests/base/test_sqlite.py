"""A database file of sqlite is made whole or not at all."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from llamaduo.base import sqlite


def write(part: Path) -> None:
    with sqlite.without_journal(part) as connection:
        connection.execute("CREATE TABLE things (name TEXT)")


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]


def test_it_is_made_once_however_many_ask(tmp_path: Path):
    path = tmp_path / "new" / "things.db"
    written: list[Path] = []

    def counted(part: Path) -> None:
        written.append(part)
        write(part)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: sqlite.create(path, counted), range(8)))
    assert len(written) == 1
    assert tables(path) == ["things"]
    assert not list(path.parent.glob("*.part*"))


def test_an_error_leaves_no_database(tmp_path: Path):
    path = tmp_path / "things.db"

    def half(part: Path) -> None:
        write(part)
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        sqlite.create(path, half)
    assert not path.exists()
    sqlite.create(path, write)
    assert tables(path) == ["things"]


@pytest.mark.parametrize("event", ["sqlite3.connect", "os.rename"])
def test_a_kill_leaves_no_database_and_the_next_start_makes_it(tmp_path: Path, event: str):
    path = tmp_path / "things.db"
    code = f"""
import os, signal, sys
from pathlib import Path
from llamaduo.base import sqlite
def hook(event, args):
    if event == {event!r}:
        os.kill(os.getpid(), signal.SIGKILL)
def write(part):
    with sqlite.without_journal(part) as connection:
        connection.execute("CREATE TABLE half (name TEXT)")
sys.addaudithook(hook)
sqlite.create(Path({str(path)!r}), write)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert killed.returncode == -9
    assert not path.exists()
    sqlite.create(path, write)
    assert tables(path) == ["things"]
    assert not list(tmp_path.glob("*.part*"))


def test_a_log_without_its_database_is_not_played_on_the_new_one(tmp_path: Path):
    path = tmp_path / "things.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE old (name TEXT)")
        log = path.with_name("things.db-wal").read_bytes()
    path.unlink()
    path.with_name("things.db-wal").write_bytes(log)
    sqlite.create(path, write)
    assert tables(path) == ["things"]


def test_a_file_of_somebody_else_is_refused_and_kept(tmp_path: Path):
    path = tmp_path / "things.db"
    path.write_text("notes of mine")
    with pytest.raises(sqlite3.DatabaseError, match=r"things\.db is not a database"):
        sqlite.create(path, write)
    assert path.read_text() == "notes of mine"
