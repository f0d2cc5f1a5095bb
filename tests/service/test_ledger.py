"""The request ledger: what is kept is there after any crash, and what is damaged is said."""

import multiprocessing
import os
import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llamaduo.base.errors import LabError
from llamaduo.records import Bill
from llamaduo.service import Completion, Failure, ledger_file
from llamaduo.service.kept_answers import KeptAnswer, PendingCall, Purse
from llamaduo.service.ledger import Ledger, in_memory, opened


def answer(text: str = "fine", **bill: object) -> KeptAnswer:
    facts = {"calls": 1, "input_tokens": 3, "output_tokens": 2, "usd": Decimal("0.001")} | bill
    return KeptAnswer(text, None, "tiny", "stop", Bill(**facts))


def pending(*keys: str, worst: str = "0.5") -> list[PendingCall]:
    return [PendingCall(key, Decimal(worst), time.time()) for key in keys]


def keep(ledger: Ledger, **answers: KeptAnswer) -> None:
    with ledger.transaction() as transaction:
        transaction.keep(answers.items())


usd = st.decimals(0, 1000, places=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.text() | st.none(),
    cause=st.text(),
    finish=st.sampled_from(["stop", "length"]),
    bill=st.builds(
        Bill,
        calls=st.integers(1, 9),
        input_tokens=st.integers(0, 2**40),
        output_tokens=st.integers(0, 2**40),
        usd=usd | st.none(),
        simulated_usd=usd,
        estimated_calls=st.integers(0, 9),
    ),
)
def test_what_is_kept_comes_back_as_it_was(text, cause, finish, bill):
    kept = KeptAnswer(text, cause if text is None else None, "tiny", finish, bill)
    ledger = in_memory()
    keep(ledger, k=kept)
    assert ledger.look_up(["k", "other"]) == {"k": kept}


def test_a_kept_answer_says_that_it_was_paid_before():
    outcome = answer().outcome("r", kept=True)
    assert isinstance(outcome, Completion)
    assert (outcome.bill.kept_calls, outcome.bill.kept_usd) == (1, Decimal("0.001"))
    assert outcome.bill.calls == 1
    refused = KeptAnswer(None, "refused", "tiny", "stop", answer().bill).outcome("r", kept=True)
    assert isinstance(refused, Failure)
    assert refused.final
    assert refused.bill.kept_usd == Decimal("0.001")


def test_answers_are_there_for_the_next_process(tmp_path):
    with opened(tmp_path) as (ledger, _):
        keep(ledger, **{f"k{i}": answer(str(i)) for i in range(2000)})
    with opened(tmp_path) as (ledger, _):
        found = ledger.look_up([f"k{i}" for i in range(0, 4000, 2)])
    assert {key: found[key].text for key in found} == {f"k{i}": str(i) for i in range(0, 2000, 2)}


def test_a_transaction_is_kept_whole_or_not_at_all(tmp_path):
    with opened(tmp_path) as (ledger, _):
        with pytest.raises(ZeroDivisionError), ledger.transaction() as transaction:  # noqa: PT012
            transaction.keep([("k", answer())])
            transaction.set_purse("p", Purse(Decimal(1), Decimal(0)))
            transaction.admit("s", "p", pending("f"))
            _ = 1 / 0
        assert not ledger.look_up(["k"])
        assert not ledger.pending(["f"])
        with ledger.transaction() as transaction:
            assert transaction.purse("p") == Purse()


def test_calls_of_the_dead_expire_and_what_they_may_have_spent_stays_spent(tmp_path):
    with opened(tmp_path) as (ledger, owner), owner.held(ledger.expire):
        owner.opened()
        with ledger.transaction() as transaction:
            transaction.admit("s", "p", pending("a", "b"))
            transaction.set_purse("p", Purse(Decimal(3), Decimal(1)))
    expired = []
    with opened(tmp_path) as (ledger, owner):
        with owner.held(lambda dead: expired.append(ledger.expire(dead))):
            assert not ledger.pending(["a", "b"])
            with ledger.transaction() as transaction:
                assert transaction.purse("p") == Purse(Decimal(4), Decimal(0))
        with owner.held(lambda dead: expired.append(ledger.expire(dead))):
            pass
    assert expired == [2]


def test_calls_of_the_living_do_not_expire(tmp_path):
    with opened(tmp_path) as (ledger, owner), owner.held(ledger.expire):
        with ledger.transaction() as transaction:
            transaction.admit("s", "p", pending("a"))
        with opened(tmp_path) as (other, second), second.held(other.expire):
            assert other.pending(["a"]) == {"a"}


def _add(home: Path, start: "multiprocessing.synchronize.Event", name: str) -> None:
    start.wait()
    for i in range(20):
        with opened(home) as (ledger, _):
            keep(ledger, **{f"{name}{i}": answer()})
            with ledger.transaction() as transaction:
                transaction.set_purse("p", transaction.purse("p").plus(Decimal(1), Decimal(0)))


def test_several_first_starts_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    processes = [context.Process(target=_add, args=(tmp_path, start, n)) for n in "abcd"]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with opened(tmp_path) as (ledger, _):
        assert len(ledger.look_up([f"{n}{i}" for n in "abcd" for i in range(20)])) == 80
        with ledger.transaction() as transaction:
            assert transaction.purse("p").spent == 80


KILLED_WHILE_CREATED = """
import os, signal, sys
from pathlib import Path
from llamaduo.service.kept_answers import KeptAnswer, PendingCall, Purse
from llamaduo.service.ledger import opened
def hook(event, args):
    if event == sys.argv[2] and ".part" in str(args[0]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
with opened(Path(sys.argv[1])):
    pass
"""


@pytest.mark.parametrize("event", ["sqlite3.connect", "os.rename"])
def test_a_kill_while_it_is_created_leaves_nothing_half_made(tmp_path, event):
    script = [sys.executable, "-c", KILLED_WHILE_CREATED, str(tmp_path), event]
    assert subprocess.run(script, check=False, timeout=60).returncode == -9
    with opened(tmp_path) as (ledger, _):
        keep(ledger, k=answer())
        assert ledger.look_up(["k"])


def test_the_log_of_a_ledger_that_was_taken_away_does_not_come_back(tmp_path):
    with opened(tmp_path) as (ledger, _):
        keep(ledger, old=answer())
        # As a kill would leave it: the answer is in the log alone.
        log = (tmp_path / "ledger.db-wal").read_bytes()
    (tmp_path / "ledger.db").unlink()
    (tmp_path / "ledger.db-wal").write_bytes(log)
    with opened(tmp_path) as (ledger, _):
        assert not ledger.look_up(["old"])
        keep(ledger, new=answer())
    with opened(tmp_path) as (ledger, _):
        assert set(ledger.look_up(["old", "new"])) == {"new"}


class TestOneMessage:
    def test_damaged(self, tmp_path):
        (tmp_path / "ledger.db").write_bytes(b"no database at all" * 100)
        with pytest.raises(LabError, match=r"ledger\.db.*damaged; move it away"):  # noqa: SIM117
            with opened(tmp_path):
                pass

    def test_damaged_within(self, tmp_path):
        with opened(tmp_path) as (ledger, _):
            keep(ledger, **{f"k{i}": answer("x" * 500) for i in range(500)})
        path = tmp_path / "ledger.db"
        whole = path.read_bytes()
        path.write_bytes(whole[:8192] + os.urandom(len(whole) - 8192))
        with pytest.raises(LabError, match=r"ledger\.db.*damaged"), opened(tmp_path) as (ledger, _):
            ledger.look_up([f"k{i}" for i in range(500)])

    def test_of_another_version(self, tmp_path):
        with opened(tmp_path):
            pass
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as made:
            made.execute("PRAGMA user_version = 9")
        with pytest.raises(LabError, match="its format is 9"), opened(tmp_path):
            pass

    def test_locked(self, tmp_path, monkeypatch):
        monkeypatch.setattr(ledger_file, "PATIENCE", 0.1)
        with opened(tmp_path) as (ledger, _):
            with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(LabError, match=r"another process has held it"):
                    keep(ledger, k=answer())
                other.execute("ROLLBACK")
            keep(ledger, k=answer())
            assert ledger.look_up(["k"])

    def test_no_room(self, tmp_path):
        """A limit of the process stands for the disk's."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        with opened(tmp_path) as (ledger, _):
            keep(ledger, k=answer())
            size = (tmp_path / "ledger.db-wal").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10_000, before[1]))
            try:
                with pytest.raises(LabError, match=r"ledger\.db"):
                    keep(ledger, big=answer("x" * 1_000_000), small=answer())
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert set(ledger.look_up(["k", "big", "small"])) == {"k"}
            keep(ledger, small=answer())
        with opened(tmp_path) as (ledger, _):
            assert set(ledger.look_up(["k", "big", "small"])) == {"k", "small"}

    def test_no_folder_to_write_in(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(LabError, match=r"tracking\.home"):  # noqa: SIM117
            with opened(tmp_path / "file" / "home"):
                pass
