"""The stage contract: a name, an identity, and a function that writes files under a path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from llamaduo.base.files import Json, fingerprint
from llamaduo.lab.artifact import Artifact

A = TypeVar("A", bound=Artifact)


def label_of(system: str, split: str) -> str:
    """Return a system and a split in one, as people read them."""
    return " · ".join(part for part in (system, split) if part)


@dataclass(frozen=True)
class Stage(Generic[A]):
    """One step of a migration.

    `identity` holds all that makes the result this result, and nothing of where or how fast it ran.
    `run` writes under the path that it is given and returns the artifact; it may find there what an
    earlier start left behind. `system` and `split` tell which of several runs of the stage this is:
    whose answers, to which prompts.
    """

    name: str
    makes: type[A]
    identity: Mapping[str, Json]
    run: Callable[[Path], A]
    system: str = ""
    split: str = ""

    @property
    def label(self) -> str:
        """The system and the split, as people read them."""
        return label_of(self.system, self.split)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the identity."""
        return fingerprint(self.name, self.identity)
