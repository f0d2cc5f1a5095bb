"""The base of all rows and values: frozen, and closed to unknown keys."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen row; unknown keys are refused, not dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")
