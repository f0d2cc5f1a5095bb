"""A folder in which llamaduo was started, and what can be seen in it afterwards."""

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.starts import At, Start

TIMES = {"made", "seconds", "seconds_spent", "seconds_embodied", "local_seconds_per_1000"}
# Energy, its price and the cost decision follow from times.
TIMES |= {"taken", "taken_spent", "taken_embodied", "local_usd_per_1000"}
OF_THIS_START = {"run_id", "home", "command", "spent", "reused"}


@dataclass(frozen=True)
class Folder:
    """A folder to start llamaduo in, and what can be seen in it afterwards."""

    path: Path
    args: tuple[str, ...]

    @property
    def home(self) -> Path:
        return self.path / "mlruns"

    def start(self, log: str, at: At | None = None, **env: str) -> Start:
        self.path.mkdir(exist_ok=True)
        return Start(str(self.path), f"{self.path}.{log}", self.args, at, env)

    def stages(self) -> list[str]:
        """Names of finished stages; and of everything that is none."""
        found = (self.home / "stages").iterdir()
        return sorted(path.name for path in found if path.name != "locks")

    def part(self, stage: str) -> Path:
        (part,) = (self.home / "stages").glob(f"{stage}-*.part")
        return part

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.home / "mlflow.db")) as database:
            return database.execute(sql).fetchall()

    def parents(self) -> list[str]:
        """How each start ended, first to last."""
        return [
            row[0]
            for row in self.query(
                "SELECT status FROM runs r WHERE NOT EXISTS (SELECT 1 FROM tags t WHERE "
                "t.run_uuid = r.run_uuid AND t.key = 'mlflow.parentRunId') ORDER BY start_time"
            )
        ]

    def children(self) -> list[tuple[str, str]]:
        """Stage and fingerprint of each run of a stage, with its status."""
        return self.query(
            "SELECT s.value || '-' || f.value, r.status FROM runs r "
            "JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = 'llamaduo.stage' "
            "JOIN tags f ON f.run_uuid = r.run_uuid AND f.key = 'llamaduo.fingerprint'"
        )

    def metrics(self) -> dict[str, float]:
        """Metrics of finished stages, but for times; of starts of the same stage, one."""
        rows = self.query(
            "SELECT s.value || '-' || f.value || ' ' || m.key || ' ' || m.step, m.value "
            "FROM runs r JOIN metrics m ON m.run_uuid = r.run_uuid "
            "JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = 'llamaduo.stage' "
            "JOIN tags f ON f.run_uuid = r.run_uuid AND f.key = 'llamaduo.fingerprint' "
            "WHERE r.status = 'FINISHED' AND m.key NOT LIKE '%second%' "
            "AND m.key NOT LIKE 'cost/energy%' AND m.key NOT LIKE 'cost/compute%'"
        )
        return dict(rows)

    def outcome(self) -> dict[str, Any]:
        """The leaves of the last outcome by their paths, but for what is of one start and clock."""
        found = (self.home / "reports").glob("*/outcome.json")
        last = max(found, key=lambda path: path.stat().st_mtime_ns)
        return dict(_leaves(json.loads(last.read_text()), ""))

    def versions(self) -> list[tuple[str, str]]:
        """Registered versions, and the one that the alias names."""
        return self.query(
            "SELECT v.version, a.alias FROM model_versions v LEFT JOIN registered_model_aliases a "
            "ON a.name = v.name AND a.version = v.version"
        )


@dataclass(frozen=True)
class Near:
    """Equals a mapping of the same keys whose figures differ by `rel` of their size at most."""

    values: dict[str, Any]
    rel: float

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, dict)
            and other.keys() == self.values.keys()
            and all(self._near(other[key], value) for key, value in self.values.items())
        )

    def _near(self, a: Any, b: Any) -> bool:
        if isinstance(a, float) and isinstance(b, float):
            return math.isclose(a, b, rel_tol=self.rel)
        return bool(a == b)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key not in TIMES | OF_THIS_START and f"{path}/{key}" != "/cost/decision":
                yield from _leaves(each, f"{path}/{key}")
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from _leaves(each, f"{path}/{i}")
    else:
        yield path, value
