"""`conf/tracking`: where runs are recorded."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from llamaduo.config.base import Config


class MlflowTrackingConfig(Config):
    """`tracking=mlflow`: runs, tables and the registry. `uri` null: a database under `home`."""

    kind: Literal["mlflow"]
    home: Path
    uri: str | None


class MemoryTrackingConfig(Config):
    """`tracking=memory`: nothing outlives the process but the stages under `home`."""

    kind: Literal["memory"]
    home: Path


TrackingConfig: TypeAlias = Annotated[
    MlflowTrackingConfig | MemoryTrackingConfig, Field(discriminator="kind")
]
