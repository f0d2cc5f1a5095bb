"""The stage contract, and the lab that runs each stage once."""

from llamaduo.lab.artifact import Artifact
from llamaduo.lab.lab import LIBRARIES, Lab, versions
from llamaduo.lab.runs import StageRun, StageRuns
from llamaduo.lab.stage import Stage, label_of

__all__ = [
    "LIBRARIES",
    "Artifact",
    "Lab",
    "Stage",
    "StageRun",
    "StageRuns",
    "label_of",
    "versions",
]
