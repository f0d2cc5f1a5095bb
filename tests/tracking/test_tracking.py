import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support.experiments import begun

from llamaduo.base.errors import LabError
from llamaduo.champion import MODEL_CODE
from llamaduo.config import MemoryTrackingConfig, MlflowTrackingConfig
from llamaduo.testing.bundle import ask, bundle, text_of
from llamaduo.testing.tracker import Seen, TrackerContract, verdict
from llamaduo.tracking import MemoryTracker, build


def python(code: str, *args: object, **options) -> subprocess.Popen[str]:
    """A new Python process that runs this code."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)


def ends_well(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def statuses(tracker) -> dict[str, str]:
    runs = tracker.client.search_runs(
        [e.experiment_id for e in tracker.client.search_experiments()]
    )
    return {run.info.run_name: run.info.status for run in runs}


def mlflow(home: Path, uri: str | None = None):
    return build(MlflowTrackingConfig(kind="mlflow", home=home, uri=uri, run_name=None))


@pytest.fixture(scope="module")
def blank(tmp_path_factory) -> Path:
    """An MLflow database without runs; making one takes most of a second."""
    home = tmp_path_factory.mktemp("blank")
    _ = mlflow(home).client
    return home / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, blank: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "my runs"  # a path with a space, for once
    home.mkdir()
    shutil.copy(blank, home)
    return home


class TestMemory(TrackerContract):
    @pytest.fixture
    def tracker(self, tmp_path: Path):
        return build(MemoryTrackingConfig(kind="memory", home=tmp_path, run_name=None))

    def look(self, tracker: MemoryTracker, run_id: str) -> Seen:
        logged = tracker.runs[run_id]
        tables = {
            name: (list(columns), [list(row) for row in zip(*columns.values(), strict=True)])
            for name, columns in logged.tables.items()
        }
        return Seen(**{**vars(logged), "tables": tables})


class TestMlflow(TrackerContract):
    @pytest.fixture
    def tracker(self, home: Path):
        return mlflow(home)

    def look(self, tracker, run_id: str) -> Seen:
        client = tracker.client
        run = client.get_run(run_id)
        tags = run.data.tags
        tables, files = {}, {}
        as_tables = [each["path"] for each in json.loads(tags.get("mlflow.loggedArtifacts", "[]"))]
        root = Path(run.info.artifact_uri)
        for file in (path for path in root.rglob("*") if path.is_file()):
            name = file.relative_to(root).as_posix()
            if name in as_tables:
                content = json.loads(file.read_text())
                tables[name] = (content["columns"], content["data"])
            else:
                files[name] = file.read_bytes()
        return Seen(
            experiment=client.get_experiment(run.info.experiment_id).name,
            name=run.info.run_name,
            parent=tags.get("mlflow.parentRunId"),
            status=run.info.status,
            params=run.data.params,
            metrics={
                name: [
                    (point.step, point.value) for point in client.get_metric_history(run_id, name)
                ]
                for name in run.data.metrics
                if not name.startswith("m") or name in ("m", "m1099")
            },
            tags=tags,
            tables=tables,
            files=files,
            datasets=[
                (read.dataset.name, read.tags[0].value, read.dataset.digest)
                for read in run.inputs.dataset_inputs
            ],
        )

    def test_everything_lies_under_home_and_nothing_is_said(self, tracker, home, tmp_path, capfd):
        with tracker.open("e", "r", {}) as run:
            run.table("verdicts.json", [verdict(0)])
            packed = bundle(tmp_path / "bundle")
            tracker.promote(
                run, packed, code=MODEL_CODE, model="llamaduo-t", fingerprint="f", tags={}
            )
        tracker.champion("llamaduo-t")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "my runs"]
        artifacts = Path(tracker.client.get_run(run.id).info.artifact_uri)
        assert artifacts.is_relative_to(home / "artifacts")
        assert capfd.readouterr() == ("", "")

    def test_a_dataset_shows_its_columns_and_size(self, tracker):
        with tracker.open("e", "r", {}) as run:
            run.dataset("d", [{"prompt": "a", "response": "b"}], "train", "/data/d.jsonl", "abc")
        dataset = tracker.client.get_run(run.id).inputs.dataset_inputs[0].dataset
        columns = json.loads(dataset.schema)["mlflow_colspec"]
        assert [(column["name"], column["type"]) for column in columns] == [
            ("prompt", "string"),
            ("response", "string"),
        ]
        assert json.loads(dataset.profile)["num_rows"] == 1
        assert json.loads(dataset.source) == {"uri": "/data/d.jsonl"}

    def test_a_version_leads_back_to_its_run(self, tracker, tmp_path):
        with tracker.open("e", "r", {}) as run:
            packed = bundle(tmp_path / "b")
            tracker.promote(
                run,
                packed,
                code=MODEL_CODE,
                model="llamaduo-t",
                fingerprint="f1",
                tags={"gate": "g"},
            )
        version = tracker.client.get_model_version_by_alias("llamaduo-t", "champion")
        assert version.run_id == run.id
        assert version.tags == {"llamaduo.fingerprint": "f1", "gate": "g"}
        (made,) = tracker.client.get_run(run.id).outputs.model_outputs
        logged = tracker.client.get_logged_model(made.model_id)
        assert (logged.status, logged.artifact_location) == ("READY", version.source)

    def test_any_process_can_read_all_this_through_mlflow(self, tracker, tmp_path):
        with tracker.open("e", "r", {}) as run:
            run.table("verdicts.json", [verdict(0), verdict(1)])
            packed = bundle(tmp_path / "b")
            tracker.promote(
                run, packed, code=MODEL_CODE, model="llamaduo-t", fingerprint="f1", tags={}
            )
        shutil.rmtree(packed)
        code = """
            import json, sys
            import mlflow
            from mlflow.pyfunc.scoring_server import invocations

            mlflow.set_tracking_uri(sys.argv[1])
            mlflow.set_experiment("e")
            print(list(mlflow.load_table("verdicts.json")["k"]))
            champion = mlflow.pyfunc.load_model("models:/llamaduo-t@champion")
            one = json.loads(sys.argv[2])
            print(json.dumps(champion.predict(one)))
            bad = {"messages": [{"role": "bot", "content": "x"}]}
            for body in (one, {"dataframe_records": [one, {"messages": one["messages"]}]}, bad):
                try:
                    served = invocations(json.dumps(body), "application/json", champion, None)
                    print(served.response)
                except mlflow.MlflowException as error:
                    print(error.get_http_status_code(), error.message.replace("\\n", " "))
        """
        request = ask("a b c d e f g", max_tokens=3)
        said = ends_well(python(code, tracker.uri, json.dumps(request))).splitlines()
        table, alone, served, both, bad = said
        assert table == "[0, 1]"
        assert text_of(json.loads(alone)) == text_of(json.loads(served)) == "a b c"
        assert [text_of(each) for each in json.loads(both)["predictions"]] == ["a b c", "a b c d e"]
        assert bad.startswith("400")
        assert "messages.0.role" in bad

    def test_what_a_killed_process_left_running_is_closed(self, tracker, home):
        code = """
            import sys, time
            from pathlib import Path
            from llamaduo.tracking.mlflow import MlflowTracker

            with MlflowTracker(Path(sys.argv[1])).open("one", "top", {}) as run:
                with run.child("below", {}):
                    print("open", flush=True)
                    time.sleep(100)
        """
        other = python(code, home)
        try:
            assert other.stdout.readline() == "open\n"
            with tracker.open("two", "mine", {}):
                assert statuses(tracker) == {
                    "top": "RUNNING",
                    "below": "RUNNING",
                    "mine": "RUNNING",
                }
        finally:
            other.send_signal(signal.SIGKILL)
            other.communicate()
        with mlflow(home).open("two", "next", {}):
            assert statuses(tracker) == {
                "top": "KILLED",
                "below": "KILLED",
                "mine": "FINISHED",
                "next": "RUNNING",
            }
        assert [path.name for path in (home / "owners").iterdir()] == ["guard.lock"]

    def test_a_second_tracker_of_this_process_leaves_the_first_alone(self, tracker, home):
        with tracker.open("e", "one", {}) as one:
            with mlflow(home).open("e", "two", {}):
                assert statuses(tracker) == {"one": "RUNNING", "two": "RUNNING"}
            one.metrics({"m": 1})
        assert statuses(tracker) == {"one": "FINISHED", "two": "FINISHED"}

    def test_another_database_keeps_its_artifacts_under_home(self, home, tmp_path, blank):
        shutil.copy(blank, tmp_path / "team.db")
        tracker = mlflow(home, f"sqlite:///{tmp_path / 'team.db'}")
        with tracker.open("e", "r", {}) as run:
            run.files(Path(__file__))
        artifacts = Path(tracker.client.get_run(run.id).info.artifact_uri)
        assert artifacts.is_relative_to(home / "artifacts")

    def test_an_experiment_deleted_in_mlflow_is_named(self, tracker):
        with tracker.open("gone", "r", {}):
            pass
        tracker.client.delete_experiment(
            tracker.client.get_experiment_by_name("gone").experiment_id
        )
        with (
            pytest.raises(LabError, match=r"'gone' is deleted.*restore"),
            tracker.open("gone", "r", {}),
        ):
            pass


RECORD = """
    import sys
    from pathlib import Path
    from llamaduo.tracking.mlflow import MlflowTracker

    with MlflowTracker(Path(sys.argv[1])).open("e", sys.argv[2], {}) as run:
        with run.child("child", {}) as child:
            child.metrics({"m": 1})
"""


def test_four_first_starts_at_once_all_succeed(tmp_path):
    home = tmp_path / "mlruns"
    script = tmp_path / "record.py"
    script.write_text(textwrap.dedent(RECORD))
    starts = [begun(str(script), tmp_path, str(home), f"start {i}") for i in range(4)]
    for start in starts:
        _, err = start.communicate(timeout=120)
        assert start.returncode == 0, err
    assert statuses(mlflow(home)) == {f"start {i}": "FINISHED" for i in range(4)} | {
        "child": "FINISHED"
    }
    assert len(mlflow(home).client.search_runs(["1"])) == 8
    assert not list(home.glob("*.part"))


def test_a_kill_while_the_database_is_created_leaves_nothing_in_the_way(tmp_path):
    home = tmp_path / "mlruns"
    code = """
        import os, signal, sys, threading
        from pathlib import Path
        os.environ["LLAMADUO_CACHE"] = sys.argv[1] + "-cache"
        from llamaduo.tracking.mlflow import MlflowTracker

        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        MlflowTracker(Path(sys.argv[1])).client
        print("too fast to be killed")
        threading.Event().wait()
    """
    out, _ = python(code, home).communicate(timeout=120)
    assert out == ""
    assert not (home / "mlflow.db").exists()
    (home / "mlflow.db.part").write_bytes(b"half a database")
    with mlflow(home).open("e", "next", {}):
        pass
    assert statuses(mlflow(home)) == {"next": "FINISHED"}


def test_an_empty_file_is_no_obstacle(tmp_path):
    (tmp_path / "mlflow.db").touch()
    with mlflow(tmp_path).open("e", "r", {}):
        pass
    assert statuses(mlflow(tmp_path)) == {"r": "FINISHED"}


def test_a_file_that_is_no_database_is_refused_at_once_and_kept(tmp_path):
    (tmp_path / "mlflow.db").write_text("somebody's notes about sqlite")
    start = time.monotonic()
    with pytest.raises(LabError, match=r"mlflow\.db is not a database.*move it away"):
        _ = mlflow(tmp_path).client
    assert time.monotonic() - start < 5
    assert (tmp_path / "mlflow.db").read_text() == "somebody's notes about sqlite"


@pytest.mark.parametrize("uri", ["file:./mlruns", "sqlite:////proc/none/mlflow.db"])
def test_an_address_that_cannot_be_used_is_named(tmp_path, uri):
    with pytest.raises(LabError, match=f"tracking.uri={uri}.*tracking.home"):
        _ = mlflow(tmp_path, uri).client


def test_the_protocols_and_memory_come_without_mlflow(tmp_path):
    packed = bundle(tmp_path / "b")
    code = """
        import sys
        from pathlib import Path
        from llamaduo.champion import MODEL_CODE, Answerer
        from llamaduo.tracking import MemoryTracker

        tracker = MemoryTracker()
        with tracker.open("e", "r", {}) as run:
            tracker.promote(
                run, Path(sys.argv[1]), code=MODEL_CODE, model="m", fingerprint="f", tags={}
            )
        Answerer(tracker.champion("m"))({"messages": [{"role": "user", "content": "a"}]})
        print({"mlflow", "torch", "transformers", "pandas"} & set(sys.modules))
    """
    assert ends_well(python(code, packed)) == "set()\n"


def test_mlflow_is_told_not_to_report_home(tmp_path):
    code = """
        import llamaduo.tracking.mlflow
        from mlflow.telemetry import get_telemetry_client
        print(get_telemetry_client())
    """
    environment = {key: value for key, value in os.environ.items() if "TELEMETRY" not in key}
    assert ends_well(python(code, env=environment)) == "None\n"
