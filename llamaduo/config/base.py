"""The base of every group of `conf/`, and the kinds of numbers in them."""

from typing import Annotated, TypeAlias

from pydantic import Field

from llamaduo.base.files import Json
from llamaduo.records import Record
from llamaduo.records.identity import left_out

Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Score: TypeAlias = Annotated[float, Field(ge=0, le=100)]


class Config(Record):
    """Base of all groups of the configuration; without defaults, so that `conf/` has them all."""

    def identity(self) -> dict[str, Json]:
        """Return the values that decide a result, ready for a fingerprint: all but `runtime`."""
        exclude = {"runtime": True, **left_out(self)}
        facts: dict[str, Json] = self.model_dump(mode="json", exclude=exclude)
        return facts
