"""`conf/tracking`: where runs are recorded."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from llamaduo.config.base import Config


class MlflowTrackingConfig(Config):
    """`tracking=mlflow`: runs, tables and the registry.

    `uri` null: a database under `home`. `run_name` null: a name that tells the run apart.
    """

    kind: Literal["mlflow"]
    home: Path
    uri: str | None
    run_name: str | None


class MemoryTrackingConfig(Config):
    """`tracking=memory`: nothing outlives the process but the stages under `home`."""

    kind: Literal["memory"]
    home: Path
    run_name: str | None


TrackingConfig: TypeAlias = Annotated[
    MlflowTrackingConfig | MemoryTrackingConfig, Field(discriminator="kind")
]
