"""Where runs are recorded and models promoted: the protocols, and which tracker is built.

A run is a node of a tree: a migration, with a child for each stage that it made. Only `build`
imports MLflow, and only where it is chosen.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from pydantic import BaseModel

from llamaduo.artifact import Json
from llamaduo.config import MemoryTrackingConfig, TrackingConfig
from llamaduo.errors import RegistryError
from llamaduo.pruning import TrialPruned
from llamaduo.records import Record

ALIAS = "champion"
PARAM_LIMIT = 6000

Status: TypeAlias = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


class Promotion(Record):
    """A version in the registry that an alias now points at; `uri` is what loads it."""

    model: str
    version: str
    uri: str


class Run(Protocol):
    """One node of the tree of runs, open for writing."""

    id: str

    def params(self, values: Mapping[str, Json]) -> None:
        """Record what the run was given; each key once.

        Nested mappings become dotted keys, values other than strings their JSON, and what is longer
        than `PARAM_LIMIT` characters is cut.
        """

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers. With a step they are points of a series, without it at step 0."""

    def series(self, name: str, points: Sequence[tuple[int, float]]) -> None:
        """Record a whole series of (step, number)."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set labels; a later value replaces an earlier one."""

    def table(self, name: str, rows: Sequence[BaseModel]) -> None:
        """Keep rows as a table under a name such as `verdicts.json`; rows add to those there.

        The columns are the fields of all rows together, None where a row has no such field. No rows
        leave no table.
        """

    def files(self, path: Path, under: str = "") -> None:
        """Keep a copy of a file, or of what a folder holds, in the run's folder `under`."""

    def dataset(
        self,
        name: str,
        rows: Sequence[Mapping[str, str]],
        context: str,
        source: str,
        digest: str,
    ) -> None:
        """Record that the run read a dataset: its columns and size, not its rows.

        `context` is its use (train, dev, test), `source` where it came from, `digest` the hash of
        its content, of which the first 36 characters are kept.
        """

    def child(self, name: str, tags: Mapping[str, str]) -> AbstractContextManager["Run"]:
        """A run below this one, closed as `Tracker.open` closes its own."""

    def finished(self, run_id: str) -> bool:
        """Whether a run, of this process or an earlier one, is known and ended FINISHED."""


class Tracker(Protocol):
    """Holds runs by experiment, and the registry of promoted models."""

    def open(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        *,
        parent: str | None = None,
        again: str | None = None,
    ) -> AbstractContextManager[Run]:
        """A new run. It ends FINISHED, FAILED by an exception, KILLED by an interrupt.

        `parent` is the run that it lies below, of whatever process. `again` is a run that is gone
        on with where it is still known. Runs that a killed process left RUNNING are closed as
        KILLED first.

        Raises:
            LabError: the place where runs are kept cannot be used.
        """

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
        """Register a champion's bundle and point the alias at it.

        `code` is the file by which the registry's own tools load such a bundle. There is one version per fingerprint: promoting it again points the alias at that version.

        Raises:
            RegistryError: the registry cannot take it.
        """

    def champion(self, model: str) -> Path:
        """The folder of the bundle that was promoted, to read in.

        Raises:
            RegistryError: there is no champion, or it cannot be fetched.
        """


def build(config: TrackingConfig) -> Tracker:
    """The tracker that the configuration names; nothing is created before the first run."""
    if isinstance(config, MemoryTrackingConfig):
        return MemoryTracker()
    from llamaduo.tracking_mlflow import MlflowTracker

    return MlflowTracker(config.home, config.uri)


def flat(values: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Params as a run keeps them: dotted keys, and text cut to `PARAM_LIMIT`."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            cut = text if len(text) <= PARAM_LIMIT else text[: PARAM_LIMIT - 1] + "…"
            yield prefix + key, cut


def columns(rows: Sequence[BaseModel]) -> dict[str, list[Json]]:
    """Rows turned into columns of JSON values, in the order in which fields first appear."""
    dumped = [row.model_dump(mode="json") for row in rows]
    names = dict.fromkeys(name for row in dumped for name in row)
    return {name: [row.get(name) for row in dumped] for name in names}


def no_champion(model: str, alias: str = ALIAS) -> RegistryError:
    """What to say when a model has no version under the alias."""
    return RegistryError(
        f"models:/{model}@{alias}: no such champion; run a migration of this task until it "
        "qualifies, or look at tracking.home and tracking.uri if it was promoted elsewhere"
    )


def ending(error: BaseException) -> Status:
    """How a run ends that was left by this error: whoever stops a run has not failed it."""
    stopped = isinstance(error, TrialPruned) or not isinstance(error, Exception)
    return "KILLED" if stopped else "FAILED"


@dataclass
class Logged:
    """What one run recorded, for whoever wants to look."""

    experiment: str
    name: str
    parent: str | None
    status: Status = "RUNNING"
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    tables: dict[str, dict[str, list[Json]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    datasets: list[tuple[str, str, str]] = field(default_factory=list)


@contextmanager
def _closing(logged: Logged) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        logged.status = ending(error)
        raise
    logged.status = "FINISHED"


class MemoryRun:
    """A run of a `MemoryTracker`."""

    def __init__(self, tracker: "MemoryTracker", logged: Logged, run_id: str | None = None) -> None:
        self.id = run_id or uuid.uuid4().hex
        self.logged = logged
        self._tracker = tracker
        tracker.runs[self.id] = logged

    def params(self, values: Mapping[str, Json]) -> None:
        """See `Run.params`."""
        self.logged.params.update(flat(values))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """See `Run.metrics`."""
        for name, value in values.items():
            self.logged.metrics.setdefault(name, []).append((step or 0, value))

    def series(self, name: str, points: Sequence[tuple[int, float]]) -> None:
        """See `Run.series`."""
        self.logged.metrics.setdefault(name, []).extend(points)

    def tags(self, values: Mapping[str, str]) -> None:
        """See `Run.tags`."""
        self.logged.tags.update(values)

    def table(self, name: str, rows: Sequence[BaseModel]) -> None:
        """See `Run.table`."""
        new = columns(rows)
        if not new:
            return
        old = self.logged.tables.get(name, {})
        before = len(next(iter(old.values()), []))
        self.logged.tables[name] = {
            key: old.get(key, [None] * before) + new.get(key, [None] * len(rows))
            for key in {**old, **new}
        }

    def files(self, path: Path, under: str = "") -> None:
        """See `Run.files`."""
        found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        root = path.parent if path.is_file() else path
        for file in found:
            self.logged.files[(Path(under) / file.relative_to(root)).as_posix()] = file.read_bytes()

    def dataset(
        self,
        name: str,
        rows: Sequence[Mapping[str, str]],
        context: str,
        source: str,
        digest: str,
    ) -> None:
        """See `Run.dataset`."""
        self.logged.datasets.append((name, context, digest[:36]))

    def child(self, name: str, tags: Mapping[str, str]) -> AbstractContextManager[Run]:
        """See `Run.child`."""
        return self._tracker.start(
            Logged(self.logged.experiment, name, parent=self.id, tags=dict(tags))
        )

    def finished(self, run_id: str) -> bool:
        """See `Run.finished`."""
        known = self._tracker.runs.get(run_id)
        return known is not None and known.status == "FINISHED"


class MemoryTracker:
    """Keeps everything in `runs` and `versions`, for trying the loop and for tests.

    A promoted bundle is not copied: it is answered from where it lies.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Logged] = {}
        self.versions: dict[str, list[tuple[str, Path]]] = {}
        self.aliases: dict[str, dict[str, int]] = {}

    def open(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        *,
        parent: str | None = None,
        again: str | None = None,
    ) -> AbstractContextManager[Run]:
        """See `Tracker.open`; nothing here outlives a killed process."""
        if again in self.runs:
            return self.resume(again)
        return self.start(Logged(experiment, name, parent=parent, tags=dict(tags)))

    @contextmanager
    def resume(self, run_id: str) -> Iterator[Run]:
        """Go on with a run, and close it by the way in which it is left."""
        run = MemoryRun(self, self.runs[run_id], run_id)
        run.logged.status = "RUNNING"
        with _closing(run.logged):
            yield run

    @contextmanager
    def start(self, logged: Logged) -> Iterator[Run]:
        """Open a run, and close it by the way in which it is left."""
        with _closing(logged):
            yield MemoryRun(self, logged)

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
        versions = self.versions.setdefault(model, [])
        known = [made for made, _ in versions]
        if fingerprint not in known:
            versions.append((fingerprint, bundle))
            known.append(fingerprint)
        index = known.index(fingerprint)
        self.aliases.setdefault(model, {})[alias] = index
        return Promotion(model=model, version=str(index + 1), uri=f"models:/{model}@{alias}")

    def champion(self, model: str) -> Path:
        """See `Tracker.champion`."""
        if ALIAS not in self.aliases.get(model, {}):
            raise no_champion(model)
        return self.versions[model][self.aliases[model][ALIAS]][1]
