"""`conf/tracking`: the place where runs are recorded."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from llamaduo.config.base import Config


class MlflowTrackingConfig(Config):
    """`tracking=mlflow`: runs, tables and the registry.

    Attributes:
        kind: the kind of tracker.
        home: the folder of stages, reports and databases.
        uri: the address of a database or server; null: a database under `home`.
        run_name: the run's name in MLflow; null: one that tells the run apart.
    """

    kind: Literal["mlflow"]
    home: Path
    uri: str | None
    run_name: str | None


class MemoryTrackingConfig(Config):
    """`tracking=memory`: nothing outlives the process but the stages under `home`.

    Attributes:
        kind: the kind of tracker.
        home: the folder of stages and reports.
        run_name: the run's name; null: one that tells the run apart.
    """

    kind: Literal["memory"]
    home: Path
    run_name: str | None


TrackingConfig: TypeAlias = Annotated[
    MlflowTrackingConfig | MemoryTrackingConfig, Field(discriminator="kind")
]
