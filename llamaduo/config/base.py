"""The base of all groups of the configuration, and the kinds of numbers in them."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from llamaduo.base.files import Json
from llamaduo.records.identity import left_out

Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Score: TypeAlias = Annotated[float, Field(ge=0, le=100)]


class Config(BaseModel):
    """Base of all groups: unknown keys and later changes are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def identity(self) -> dict[str, Json]:
        """The values that decide a result, ready for a fingerprint: all but `runtime`."""
        exclude = {"runtime": True, **left_out(self)}
        facts: dict[str, Json] = self.model_dump(mode="json", exclude=exclude)
        return facts
