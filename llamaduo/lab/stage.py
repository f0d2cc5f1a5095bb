"""The stage contract: a name, an identity, and a function that writes files under a path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from llamaduo.base.files import Json, fingerprint
from llamaduo.lab.artifact import Artifact

A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class Stage(Generic[A]):
    """One step of a migration.

    `identity` holds all that makes the result this result, and nothing of where or how fast it ran.
    `run` writes under the path that it is given and returns the artifact; it may find there what an
    earlier start left behind. `label` tells people which of several runs of the stage this is.
    """

    name: str
    makes: type[A]
    identity: Mapping[str, Json]
    run: Callable[[Path], A]
    label: str = ""

    @property
    def fingerprint(self) -> str:
        """What the identity comes down to."""
        return fingerprint(self.name, self.identity)
