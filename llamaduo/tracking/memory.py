"""Runs and versions in memory, for trying the loop and for tests."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from llamaduo.base.files import Json
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


@dataclass
class Logged:
    """Everything that one run recorded."""

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
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        root = path.parent if path.is_file() else path
        for file in files:
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
    """A tracker that keeps everything in `runs` and `versions`, and ends with its process.

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
        """Go on with a run, which ends as the block does."""
        run = MemoryRun(self, self.runs[run_id], run_id)
        run.logged.status = "RUNNING"
        with _closing(run.logged):
            yield run

    @contextmanager
    def start(self, logged: Logged) -> Iterator[Run]:
        """Open a run, which ends as the block does."""
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
        known = [promoted for promoted, _ in versions]
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
