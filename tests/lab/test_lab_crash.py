"""What the lab and the tracker make of accidents, each on its own."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.starts import KILL_IN_TRANSACTION

from llamaduo.base import disk
from llamaduo.base.errors import LabError
from llamaduo.config import MlflowTrackingConfig
from llamaduo.lab import Artifact, Lab, Stage
from llamaduo.tracking import MemoryTracker, build


@pytest.fixture
def lab(tmp_path):
    with MemoryTracker().open("e", "run", {}) as run:
        yield Lab(tmp_path, run, say=lambda line: None)


def test_seconds_include_those_of_starts_that_were_stopped(lab):
    def run(home: Path) -> Artifact:
        first = not (home / "rows").exists()
        time.sleep(0.2)
        (home / "rows").touch()
        if first:
            time.sleep(0.2)  # after the last that was written: nobody can know of it
            raise InterruptedError
        return Artifact(home=home)

    stage = Stage("s", Artifact, {}, run)
    with pytest.raises(InterruptedError):
        lab.run(stage)
    lab.run(stage)
    # What a file system says of a time may be a tick old.
    assert 0.38 <= lab.stage_runs.runs[0].seconds < 0.6


def test_a_clock_that_cannot_be_read_is_started_anew(lab):
    stage = Stage("s", Artifact, {}, lambda home: Artifact(home=home))
    part = lab.home / "stages" / f"s-{stage.fingerprint}.part"
    part.mkdir(parents=True)
    (part / "clock.json").write_text('{"before": 3')
    lab.run(stage)
    assert lab.stage_runs.runs[0].seconds < 1


def test_a_stage_without_its_record_is_named(lab):
    stage = Stage("s", Artifact, {}, lambda home: Artifact(home=home))
    home = lab.run(stage).home
    (home / "record.json").unlink()
    with pytest.raises(LabError, match=r"record\.json.*move the folder away"):
        lab.run(stage)


def test_a_lack_of_room_is_known_by_what_libraries_make_of_it():
    rust = "Error while serializing: I/O error: No space left on device (os error 28)"
    assert disk.full_message(Exception(rust)) is not None
    copying = OSError(28, "No space left on device", "from", None, "to")
    try:
        raise RuntimeError("something else") from copying
    except RuntimeError as error:
        said = disk.full_message(error)
    assert said == (
        "to: no room left (No space left on device). Free some space, and the same command goes on "
        "from here"
    )


def test_an_unrelated_error_is_not_taken_for_a_lack_of_room(tmp_path):
    for error in (RuntimeError("no"), OSError(13, "Permission denied"), sqlite3.Error("odd")):
        assert disk.full_message(error, tmp_path) is None
    with pytest.raises(ZeroDivisionError), disk.guarded(tmp_path):
        _ = 1 / 0


def test_a_journal_of_a_killed_attempt_is_not_played_on_the_next(tmp_path, monkeypatch):
    """As an older llamaduo, or another MLflow, can have left one."""
    monkeypatch.setenv("LLAMADUO_CACHE", str(tmp_path / "cache"))
    config = MlflowTrackingConfig(kind="mlflow", home=tmp_path / "first", uri=None, run_name=None)
    _ = build(config).client  # type: ignore[attr-defined]
    home = tmp_path / "mlruns"
    home.mkdir()
    part = home / "mlflow.db.part"
    shutil.copy(tmp_path / "first" / "mlflow.db", part)
    done = subprocess.run([sys.executable, "-c", KILL_IN_TRANSACTION, part])
    assert done.returncode == -signal.SIGKILL
    assert part.with_name("mlflow.db.part-journal").stat().st_size
    tracker = build(MlflowTrackingConfig(kind="mlflow", home=home, uri=None, run_name=None))
    with tracker.open("e", "r", {}) as run:
        run.params({"a": "b"})
    with sqlite3.connect(home / "mlflow.db") as made:
        assert made.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = [row for (row,) in made.execute("SELECT name FROM sqlite_master")]
    made.close()
    assert not [name for name in found if name.startswith("odd")]
    assert not list(home.glob("*.part*"))


def test_a_run_is_known_to_be_finished_by_another_process(tmp_path):
    config = MlflowTrackingConfig(kind="mlflow", home=tmp_path, uri=None, run_name=None)
    with build(config).open("e", "one", {}) as one, one.child("c", {}) as child:
        assert not one.finished(child.id)
    with build(config).open("e", "two", {}) as two:
        assert two.finished(child.id)
        assert not two.finished("0" * 32)
