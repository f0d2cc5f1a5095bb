"""Runs and the registry in MLflow, on a database that is created whole or not at all.

Everything goes through `MlflowClient`: neither the tracking address nor the active run of the
process is touched.
"""

import json
import logging
import os
import platform
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.types.schema import ColSpec, DataType, Schema
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from llamaduo.base import disk
from llamaduo.base.errors import LabError, RegistryError
from llamaduo.base.files import Json
from llamaduo.base.liveness import Owner
from llamaduo.base.redact import redacted
from llamaduo.tracking.mlflow_database import create_database
from llamaduo.tracking.protocol import (
    ALIAS,
    Promotion,
    Run,
    Status,
    columns,
    ending,
    flat,
    no_champion,
)

T = TypeVar("T")

OWNER = "llamaduo.owner"
PARENT = "mlflow.parentRunId"
FINGERPRINT = "llamaduo.fingerprint"
BUNDLE = "artifacts/bundle"
# Enough to answer requests with; the rest of llamaduo's dependencies come with llamaduo.
SERVED_WITH = ("llamaduo", "mlflow", "torch", "transformers", "peft", "bitsandbytes")

# What llamaduo has to say it says itself: no schema steps, addresses of runs, or bars for copying.
logging.getLogger("mlflow").setLevel(logging.WARNING)
# It logs the traceback of an error that it raises as well.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


class MlflowRun:
    """A run that MLflow holds.

    With `buffered`, params, metrics and tags are kept until `flush`: a stage then takes one request
    for all of them, and a request takes longer than many a stage.
    """

    def __init__(
        self, tracker: "MlflowTracker", experiment_id: str, run_id: str, *, buffered: bool
    ) -> None:
        self.id = run_id
        self.experiment_id = experiment_id
        self._tracker = tracker
        self._client = tracker.client
        self._tables: dict[str, list[BaseModel]] = {}
        self._buffered = buffered
        self._params: list[Param] = []
        self._metrics: list[Metric] = []
        self._tags: dict[str, str] = {}

    def params(self, values: Mapping[str, Json]) -> None:
        """See `Run.params`."""
        self._params += [Param(key, text) for key, text in flat(redacted(values))]
        self._sent()

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """See `Run.metrics`."""
        now = int(time.time() * 1000)
        self._metrics += [Metric(name, value, now, step or 0) for name, value in values.items()]
        self._sent()

    def series(self, name: str, points: Sequence[tuple[int, float]]) -> None:
        """See `Run.series`."""
        now = int(time.time() * 1000)
        self._metrics += [Metric(name, value, now, step) for step, value in points]
        self._sent()

    def tags(self, values: Mapping[str, str]) -> None:
        """See `Run.tags`."""
        self._tags |= redacted(values)
        self._sent()

    def _sent(self) -> None:
        if not self._buffered:
            self.flush()

    def flush(self) -> None:
        """Send what is kept, in requests as large as MLflow allows."""
        while self._params or self._metrics or self._tags:
            params, self._params = self._params[:100], self._params[100:]
            metrics, self._metrics = self._metrics[:800], self._metrics[800:]
            tags = [RunTag(key, self._tags.pop(key)) for key in list(self._tags)[:100]]
            self._client.log_batch(self.id, metrics=metrics, params=params, tags=tags)

    def table(self, name: str, rows: Sequence[BaseModel]) -> None:
        """See `Run.table`."""
        if not rows:
            return
        # As `MlflowClient.log_table` does, in a third of its time, and without pandas: that turns
        # a column of integers with a gap into floats.
        whole = self._tables.setdefault(name, [])
        whole.extend(rows)
        held = columns(whole)
        data = redacted([list(row) for row in zip(*held.values(), strict=True)])
        text = json.dumps({"columns": list(held), "data": data}, ensure_ascii=False)
        self._client.log_text(self.id, text, name)
        tables = [{"path": path, "type": "table"} for path in self._tables]
        self.tags({"mlflow.loggedArtifacts": json.dumps(tables)})

    def files(self, path: Path, under: str = "") -> None:
        """See `Run.files`."""
        log = self._client.log_artifact if path.is_file() else self._client.log_artifacts
        log(self.id, str(path), under or None)

    def dataset(
        self,
        name: str,
        rows: Sequence[Mapping[str, str]],
        context: str,
        source: str,
        digest: str,
    ) -> None:
        """See `Run.dataset`."""
        names = dict.fromkeys(column for row in rows for column in row)
        schema = Schema([ColSpec(DataType.string, column) for column in names])
        data = Dataset(
            name=name,
            digest=digest[:36],
            source_type="local",
            source=json.dumps({"uri": source}),
            schema=json.dumps({"mlflow_colspec": schema.to_dict()}),
            profile=json.dumps({"num_rows": len(rows), "num_elements": len(rows) * len(names)}),
        )
        read = DatasetInput(data, [InputTag("mlflow.data.context", context)])
        self._client.log_inputs(self.id, [read])

    def child(self, name: str, tags: Mapping[str, str]) -> AbstractContextManager[Run]:
        """See `Run.child`."""
        tags = {**tags, PARENT: self.id}
        return self._tracker.start(self.experiment_id, name, tags, buffered=True)

    def finished(self, run_id: str) -> bool:
        """See `Run.finished`."""
        try:
            return str(self._client.get_run(run_id).info.status) == "FINISHED"
        except MlflowException:
            return False


class MlflowTracker:
    """Runs and registry in an MLflow database or server.

    `uri` None is a database of its own, `home/mlflow.db`. Where the database is addressed directly,
    artifacts lie under `home/artifacts`; a server keeps them where it is told to.
    """

    def __init__(self, home: Path, uri: str | None = None) -> None:
        self.home = home.resolve()
        self.uri = uri or f"sqlite:///{self.home / 'mlflow.db'}"
        self._owner = Owner(self.home / "owners", self.uri)

    @cached_property
    def client(self) -> MlflowClient:
        """The client of the database, which exists from here on.

        Raises:
            LabError: it cannot be created, reached or read.
        """
        with self._usable():
            self.home.mkdir(parents=True, exist_ok=True)
            path = self.uri.removeprefix("sqlite:///")
            if path != self.uri:
                create_database(Path(path), self.home / "artifacts")
            client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            client.search_experiments(max_results=1)
            return client

    @property
    def _served(self) -> bool:
        """Whether a server stands before the database, and decides where artifacts lie."""
        return not self.uri.startswith(("sqlite:", "postgresql", "mysql", "mssql"))

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            with disk.needed(self.home):
                yield
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise LabError(
                f"tracking.uri={self.uri}: runs cannot be kept there ({_first_line(error)}); "
                "if it is an older database, `mlflow db upgrade <uri>` brings it up to date; if it "
                "is damaged, move it away; or name another with tracking.uri=… or tracking.home=…"
            ) from error

    @contextmanager
    def open(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        *,
        parent: str | None = None,
        again: str | None = None,
    ) -> Iterator[Run]:
        """See `Tracker.open`."""
        client = self.client
        below = {} if parent is None else {PARENT: parent}
        with self._owner.alive(self._close_runs_of):
            with self._usable():
                experiment_id = self._experiment(client, experiment)
            try:
                with self.start(experiment_id, name, {**tags, **below}, again=again) as run:
                    yield run
            except KeyboardInterrupt:
                # It may have come just when a run was being opened or closed.
                self._close_runs_of(self._owner.id)
                raise

    def _experiment(self, client: MlflowClient, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is None:
            place = None if self._served else str(self.home / "artifacts" / name)
            # Another process may be making it as well, and only one can.
            with suppress(MlflowException):
                return client.create_experiment(name, artifact_location=place)
            found = client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise MlflowException(
                f"its experiment {name!r} is deleted: `mlflow experiments restore` or another "
                "task.name"
            )
        return str(found.experiment_id)

    def _close_runs_of(self, owner: str) -> None:
        with self._usable():
            everywhere = [e.experiment_id for e in self.client.search_experiments()]
            left = f"attributes.status = 'RUNNING' and tags.`{OWNER}` = '{owner}'"
            while runs := self.client.search_runs(everywhere, left):
                for run in runs:
                    self.client.set_terminated(run.info.run_id, "KILLED")

    @contextmanager
    def start(
        self,
        experiment_id: str,
        name: str,
        tags: Mapping[str, str],
        *,
        again: str | None = None,
        buffered: bool = False,
    ) -> Iterator[MlflowRun]:
        """Open a run, or `again` one that is known, and close it by the way in which it is left.

        What a buffered one is told is written when it ends.
        """
        self._owner.begins()
        tags = {**tags, OWNER: self._owner.id, "mlflow.source.name": "llamaduo"}
        with self._usable():
            run_id = None if again is None else self._resumed(again)
            if run_id is None:
                made = self.client.create_run(experiment_id, run_name=name, tags=tags)
                run_id = str(made.info.run_id)
        run = MlflowRun(self, experiment_id, run_id, buffered=buffered)
        try:
            with disk.needed(self.home):
                yield run
        except BaseException as error:
            # Whatever becomes of its end: what stopped the run is the error to tell.
            with suppress(Exception):
                self._end(run, ending(error))
            raise
        with self._usable():
            self._end(run, "FINISHED")

    def _resumed(self, run_id: str) -> str | None:
        """A known run, made this owner's and RUNNING; None where it is not known."""
        with suppress(MlflowException):
            self.client.set_tag(run_id, OWNER, self._owner.id)
            self.client.update_run(run_id, status="RUNNING")
            return run_id
        return None

    def _end(self, run: MlflowRun, status: Status) -> None:
        """Close a run. One that cannot be closed stays its owner's, for the next start to close."""
        try:
            run.flush()
        except BaseException as error:
            status = ending(error)
            raise
        finally:
            self.client.set_terminated(run.id, status)
            self._owner.ended()

    def promote(
        self,
        run: Run,
        bundle: Path,
        *,
        code: Path,
        model: str,
        fingerprint: str,
        tags: Mapping[str, str],
        alias: str = ALIAS,
    ) -> Promotion:
        """See `Tracker.promote`."""
        client = self.client
        try:
            with FileLock(self.home / "promote.lock"):
                known = f"name = '{model}' and tags.`{FINGERPRINT}` = '{fingerprint}'"
                versions = client.search_model_versions(known)
                version = (
                    versions[0].version
                    if versions
                    else self._register(
                        run, bundle, code, model, {**tags, FINGERPRINT: fingerprint}
                    )
                )
                client.set_registered_model_alias(model, alias, version)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise RegistryError(
                f"{model}: the registry at {self.uri} did not take it ({_first_line(error)}); "
                "the migration is kept, so the same command tries again"
            ) from error
        return Promotion(model=model, version=str(version), uri=f"models:/{model}@{alias}")

    def _register(
        self, run: Run, bundle: Path, code: Path, model: str, tags: Mapping[str, str]
    ) -> str:
        client = self.client
        with suppress(MlflowException):  # it is there already
            client.create_registered_model(model)
        experiment_id = client.get_run(run.id).info.experiment_id
        logged = client.create_logged_model(experiment_id, model, run.id, tags=dict(tags))
        client.log_outputs(run.id, [LoggedModelOutput(logged.model_id, step=0)])
        with tempfile.TemporaryDirectory(dir=self.home, prefix="model-") as scratch:
            _write_model(
                Path(scratch),
                code,
                Model(
                    artifact_path=logged.artifact_location,
                    model_uuid=logged.model_id,
                    run_id=run.id,
                    model_id=logged.model_id,
                ),
            )
            client.log_model_artifacts(logged.model_id, scratch)
        client.log_model_artifacts(logged.model_id, str(bundle), BUNDLE)
        client.finalize_logged_model(logged.model_id, "READY")
        # A database would look the model's address up in the process's own tracking address.
        by_id = f"models:/{logged.model_id}"
        made = client.create_model_version(
            model,
            source=by_id if self._served else logged.artifact_location,
            run_id=run.id,
            tags=dict(tags),
            model_id=logged.model_id,
        )
        # What the page of a model reads to show the version that it was registered as.
        registered = json.dumps([{"name": model, "version": made.version}])
        client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": registered})
        return str(made.version)

    def champion(self, model: str) -> Path:
        """See `Tracker.champion`."""
        try:
            version = self.client.get_model_version_by_alias(model, ALIAS)
        except MlflowException as error:
            raise no_champion(model) from error
        try:
            place = self.client.get_model_version_download_uri(model, version.version)
            folder = mlflow.artifacts.download_artifacts(place, tracking_uri=self.uri)
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"models:/{model}@{ALIAS}: version {version.version} cannot be loaded "
                f"({_first_line(error)}); promote it again, or point the alias at another version"
            ) from error
        return Path(folder) / BUNDLE


def _write_model(folder: Path, code: Path, model: Model) -> None:
    """Write what makes a folder a model from code, but for its bundle.

    The same files as `mlflow.pyfunc.save_model` writes. That first reads the file names of every
    installed distribution, for half a second, and copies the bundle once more.
    """
    shutil.copyfile(code, folder / code.name)
    pinned = []
    for name in SERVED_WITH:
        with suppress(metadata.PackageNotFoundError):
            # Without the mark of a build ("+cpu"), which no index knows.
            pinned.append(f"{name}=={metadata.version(name).partition('+')[0]}")
    python = platform.python_version()
    environment = {
        "conda.yaml": {
            "channels": ["conda-forge"],
            "dependencies": [f"python={python}", "pip", {"pip": pinned}],
        },
        "python_env.yaml": {"python": python, "dependencies": ["-r requirements.txt"]},
    }
    for name, content in environment.items():  # JSON is YAML
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "requirements.txt").write_text("\n".join(pinned) + "\n", encoding="utf-8")
    mlflow.pyfunc.add_to_model(
        model,
        loader_module="mlflow.pyfunc.loaders.code_model",
        model_code_path=code.name,
        artifacts={"bundle": {"path": BUNDLE, "uri": BUNDLE}},
        conda_env="conda.yaml",
        python_env="python_env.yaml",
    )
    model.save(str(folder / "MLmodel"))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
