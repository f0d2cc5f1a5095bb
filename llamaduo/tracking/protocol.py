"""The protocols of runs and of the registry.

A run is a node of a tree: a migration, with a child for each stage that it made.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from pydantic import BaseModel

from llamaduo.base.errors import RegistryError, TrialPruned
from llamaduo.base.files import Json
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
        """Record the settings of the run; each key once.

        Nested mappings become dotted keys, values other than strings their JSON, and a text of
        more than `PARAM_LIMIT` characters is cut.
        """

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers. With a step they are points of a series, without it at step 0."""

    def series(self, name: str, points: Sequence[tuple[int, float]]) -> None:
        """Record a whole series of (step, number) pairs."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set labels; a later value replaces an earlier one."""

    def table(self, name: str, rows: Sequence[BaseModel]) -> None:
        """Keep rows as a table under a name such as `verdicts.json`; rows add to those there.

        The columns are the fields of all rows together, None where a row has no such field. No rows
        leave no table.
        """

    def files(self, path: Path, under: str = "") -> None:
        """Keep a copy of a file, or of a folder's content, in the run's folder `under`."""

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
        """Open a run below this one; it ends as those of `Tracker.open` do."""

    def finished(self, run_id: str) -> bool:
        """Return True if a run, of this process or an earlier one, is known and ended FINISHED."""


class Tracker(Protocol):
    """A store of runs by experiment, and a registry of promoted models."""

    def open(
        self,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        *,
        parent: str | None = None,
        again: str | None = None,
    ) -> AbstractContextManager[Run]:
        """Open a run. It ends FINISHED, FAILED by an exception, KILLED by an interrupt.

        `parent` is the run that it lies below, of any process. `again` is a run to go on with,
        where it is still known. Runs that a killed process left RUNNING are closed as KILLED first.

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

        `code` is the file by which the registry's own tools load such a bundle. There is one
        version per fingerprint: promoting it again points the alias at that version.

        Raises:
            RegistryError: the registry cannot take it.
        """

    def champion(self, model: str) -> Path:
        """Return the folder of the bundle that was promoted; nothing may be written there.

        Raises:
            RegistryError: there is no champion, or it cannot be fetched.
        """


def flat(values: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield params as a run keeps them: dotted keys, and text cut to `PARAM_LIMIT`."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            cut = text if len(text) <= PARAM_LIMIT else text[: PARAM_LIMIT - 1] + "…"
            yield prefix + key, cut


def columns(rows: Sequence[BaseModel]) -> dict[str, list[Json]]:
    """Turn rows into columns of JSON values, in the order in which fields first appear."""
    dumped = [row.model_dump(mode="json") for row in rows]
    names = dict.fromkeys(name for row in dumped for name in row)
    return {name: [row.get(name) for row in dumped] for name in names}


def no_champion(model: str, alias: str = ALIAS) -> RegistryError:
    """Return the error for a model without a version under the alias."""
    return RegistryError(
        f"models:/{model}@{alias}: no such champion; run a migration of this task until it "
        "qualifies, or look at tracking.home and tracking.uri if it was promoted elsewhere"
    )


def ending(error: BaseException) -> Status:
    """Return the status of a run that this error ended; one that was stopped has not failed."""
    stopped = isinstance(error, TrialPruned) or not isinstance(error, Exception)
    return "KILLED" if stopped else "FAILED"
