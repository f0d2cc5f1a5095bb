"""Refuse to continue a stored study with another space, other objectives or other settings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from llamaduo.base.errors import ConfigError
from llamaduo.sweep.space import Space

SPACE, SHARED = "llamaduo.space", "llamaduo.facts"  # attributes of a stored study


@dataclass(frozen=True)
class StudyTerms:
    """The terms that all trials of a study share.

    `objectives` are the directions by name. `shared` are the other settings that decide a trial's
    value, by dotted key.
    """

    name: str
    objectives: Mapping[str, str]
    space: Space
    shared: Mapping[str, Any]

    def check(self, stored: optuna.Study) -> None:
        """Compare these terms with those that a stored study was begun with.

        Raises:
            ConfigError: they differ; with both values of the first that does.
        """
        directions = [direction.name.lower() for direction in stored.directions]
        objectives = dict(zip(stored.metric_names or [], directions, strict=False))
        # The order counts: the values of a trial are stored in it.
        if list(objectives.items()) != list(self.objectives.items()):
            now, then = _objectives_text(self.objectives), _objectives_text(objectives)
            raise self.refusal("hydra.sweeper.direction", now, then)
        space_then, space_now = json.loads(stored.user_attrs[SPACE]), self.space.described()
        for name in [*space_now, *space_then]:
            if space_then.get(name) != space_now.get(name):
                now, then = (_param_text(space.get(name)) for space in (space_now, space_then))
                raise self.refusal(f"hydra.sweeper.params.{name}", now, then)
        shared_then = json.loads(stored.user_attrs[SHARED])
        for name, value in self.shared.items():
            if name in shared_then and shared_then[name] != json.loads(json.dumps(value)):
                raise self.refusal(name, str(value), str(shared_then[name]))

    def refusal(self, key: str, now: str, then: str) -> ConfigError:
        """Return the error for a key whose value differs from that of the stored study."""
        return ConfigError(
            f"{key}={now}: the study {self.name!r} was made with {then}; use that, or begin "
            "another with hydra.sweeper.study_name=…"
        )


def _param_text(described: str | None) -> str:
    if described is None:
        return "no such parameter"
    return str(optuna.distributions.json_to_distribution(described))


def _objectives_text(objectives: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {way}" for name, way in objectives.items()) + "}"
