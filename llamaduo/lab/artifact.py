"""An artifact: what a stage makes, as files in a folder and the few facts others need of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field

from llamaduo.records import Bill, Record

if TYPE_CHECKING:
    from llamaduo.tracking import Run
from llamaduo.base.files import write_atomically


class Artifact(Record):
    """Base of what stages return: a frozen summary of the files under `home`.

    Paths in an artifact are relative to `home`, so a folder can be moved. `metrics` are logged
    under the stage's name; `bill` is what the service LLM took to make it. `unfinished` counts the
    rows that failed for a cause that may pass: a later start makes the stage again, from the rows
    that it has.
    """

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
        """Load the artifact that was saved under `home`."""
        facts = json.loads((home / "artifact.json").read_text(encoding="utf-8"))
        return cls.model_validate({**facts, "home": home})
