"""The one base of rows, values and configuration."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of every row and value: it cannot change, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
