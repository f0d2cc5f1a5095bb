"""Runs and the registry in MLflow, on a database that is created whole or not at all.

Everything goes through `MlflowClient`: neither the tracking address nor the active run of the
process is touched.
"""

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from llamaduo.base import disk
from llamaduo.base.errors import LabError
from llamaduo.base.liveness import ProcessLock
from llamaduo.tracking.mlflow_database import create_database
from llamaduo.tracking.mlflow_models import MlflowModels, first_line
from llamaduo.tracking.mlflow_run import PARENT, MlflowRun
from llamaduo.tracking.protocol import ALIAS, Promotion, Run, Status, ending

OWNER = "llamaduo.owner"

# It logs the traceback of an error that it raises as well. Its import sets levels, so this follows.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


class MlflowTracker:
    """Runs and registry in an MLflow database or server.

    `uri` None is a database of its own, `home/mlflow.db`. Where the database is addressed directly,
    artifacts lie under `home/artifacts`; a server keeps them where it is told to.
    """

    def __init__(self, home: Path, uri: str | None = None) -> None:
        self.home = home.resolve()
        self.uri = uri or f"sqlite:///{self.home / 'mlflow.db'}"
        self._process = ProcessLock(self.home / "owners", self.uri)

    @cached_property
    def client(self) -> MlflowClient:
        """The client of the database, which is created here if there is none.

        Raises:
            LabError: the database cannot be created, reached or read.
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
        """True if a server stands before the database, and decides where artifacts lie."""
        return not self.uri.startswith(("sqlite:", "postgresql", "mysql", "mssql"))

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            with disk.guarded(self.home):
                yield
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise LabError(
                f"tracking.uri={self.uri}: runs cannot be kept there ({first_line(error)}); "
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
        with self._process.held(self._close_runs_of):
            with self._usable():
                experiment_id = self._experiment(client, experiment)
            try:
                with self.start(experiment_id, name, {**tags, **below}, again=again) as run:
                    yield run
            except KeyboardInterrupt:
                # It may have come just when a run was being opened or closed.
                self._close_runs_of(self._process.id)
                raise

    def _experiment(self, client: MlflowClient, name: str) -> str:
        known = client.get_experiment_by_name(name)
        if known is None:
            place = None if self._served else str(self.home / "artifacts" / name)
            # Another process may be making it as well, and only one can.
            with suppress(MlflowException):
                return client.create_experiment(name, artifact_location=place)
            known = client.get_experiment_by_name(name)
        if known is None or known.lifecycle_stage != "active":
            raise MlflowException(
                f"its experiment {name!r} is deleted: `mlflow experiments restore` or another "
                "task.name"
            )
        return str(known.experiment_id)

    def _close_runs_of(self, owner: str) -> None:
        with self._usable():
            everywhere = [e.experiment_id for e in self.client.search_experiments()]
            open_ones = f"attributes.status = 'RUNNING' and tags.`{OWNER}` = '{owner}'"
            while runs := self.client.search_runs(everywhere, open_ones):
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
        """Open a run, or `again` one that is known; it ends as the block does.

        A `buffered` run is written when it ends.
        """
        self._process.opened()
        tags = {**tags, OWNER: self._process.id, "mlflow.source.name": "llamaduo"}
        with self._usable():
            run_id = None if again is None else self._resumed(again)
            if run_id is None:
                created = self.client.create_run(experiment_id, run_name=name, tags=tags)
                run_id = str(created.info.run_id)

        def open_child(name: str, tags: Mapping[str, str]) -> AbstractContextManager[Run]:
            return self.start(experiment_id, name, tags, buffered=True)

        run = MlflowRun(self.client, run_id, open_child, buffered=buffered)
        try:
            with disk.guarded(self.home):
                yield run
        except BaseException as error:
            # An error of closing it is dropped: the one that stopped the run is reported.
            with suppress(Exception):
                self._end(run, ending(error))
            raise
        with self._usable():
            self._end(run, "FINISHED")

    def _resumed(self, run_id: str) -> str | None:
        """Make a known run RUNNING and this process's, and return its id; None if it is unknown."""
        with suppress(MlflowException):
            self.client.set_tag(run_id, OWNER, self._process.id)
            self.client.update_run(run_id, status="RUNNING")
            return run_id
        return None

    def _end(self, run: MlflowRun, status: Status) -> None:
        """Close a run; one that cannot be closed stays this process's, and the next closes it."""
        try:
            run.flush()
        except BaseException as error:
            status = ending(error)
            raise
        finally:
            self.client.set_terminated(run.id, status)
            self._process.closed()

    @cached_property
    def _models(self) -> MlflowModels:
        return MlflowModels(self.client, self.uri, self.home, served=self._served)

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
        return self._models.promote(
            run, bundle, code=code, model=model, fingerprint=fingerprint, tags=tags, alias=alias
        )

    def champion(self, model: str) -> Path:
        """See `Tracker.champion`."""
        return self._models.champion(model)
