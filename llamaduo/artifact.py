"""What a stage makes: files in a folder of their own, and the few facts others need of them."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from llamaduo.cost import Bill

if TYPE_CHECKING:
    from llamaduo.tracking import Run

Json: TypeAlias = "bool | int | float | str | list[Json] | Mapping[str, Json] | None"


def fingerprint(name: str, identity: Mapping[str, Json]) -> str:
    """Sixteen hex digits that stand for all that makes a result this result.

    Raises:
        ValueError: NaN or infinity, which have no one spelling in JSON.
        TypeError: a key that is not a string, or a value that JSON does not have.
    """
    _refuse_odd_keys(identity)
    text = json.dumps({name: identity}, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refuse_odd_keys(value: Json) -> None:
    # json.dumps would turn 1, True and None into strings, and so let two identities meet.
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"identity key {key!r}: keys are strings")
            _refuse_odd_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_odd_keys(inner)


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that no reader and no crash ever sees half of it."""
    part = path.with_name(path.name + ".tmp")
    with part.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)


def settle(folder: Path) -> None:
    """Have the disk keep the files in a folder, before another file says that they are whole."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


class Artifact(BaseModel):
    """Base of what stages return: a frozen summary of the files under `home`.

    Paths in an artifact are relative to `home`, so a folder can be moved. `metrics` are logged
    under the stage's name; `bill` is what the service LLM took to make it. `unfinished` counts the
    rows that failed for a cause that may pass: a later start makes the stage again, from the rows
    that it has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(exclude=True)
    metrics: Mapping[str, float] = Field(default_factory=dict)
    bill: Bill = Bill()
    unfinished: int = 0

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the stage that made this, as its folder is named."""
        return self.home.name.removesuffix(".part").rpartition("-")[2]

    def publish(self, run: "Run") -> None:
        """Log what people will want to look at to the tracked run that made this."""

    def save(self) -> None:
        """Write `artifact.json` under `home`; its presence means that the artifact is whole."""
        write_atomically(self.home / "artifact.json", self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, home: Path) -> Self:
        """The artifact that was saved under `home`."""
        facts = json.loads((home / "artifact.json").read_text(encoding="utf-8"))
        return cls.model_validate({**facts, "home": home})
