"""The stage contract, and the lab that runs each stage once."""

from llamaduo.lab.artifact import (
    Artifact,
)
from llamaduo.lab.lab import (
    LIBRARIES,
    Lab,
    Visit,
    versions,
)
from llamaduo.lab.stage import (
    Stage,
)

__all__ = ["LIBRARIES", "Artifact", "Lab", "Stage", "Visit", "versions"]
