"""Runs that are recorded, and models that are promoted, in memory or in MLflow."""

from llamaduo.config import MemoryTrackingConfig, TrackingConfig
from llamaduo.tracking.memory import Logged, MemoryRun, MemoryTracker
from llamaduo.tracking.protocol import (
    ALIAS,
    PARAM_LIMIT,
    Promotion,
    Run,
    Status,
    Tracker,
    columns,
    ending,
    flat,
    no_champion,
)

__all__ = [
    "ALIAS",
    "PARAM_LIMIT",
    "Logged",
    "MemoryRun",
    "MemoryTracker",
    "Promotion",
    "Run",
    "Status",
    "Tracker",
    "build",
    "columns",
    "ending",
    "flat",
    "no_champion",
]


def build(config: TrackingConfig) -> Tracker:
    """Return the tracker that is configured; it creates nothing before the first run."""
    if isinstance(config, MemoryTrackingConfig):
        return MemoryTracker()
    from llamaduo.tracking.mlflow import MlflowTracker

    return MlflowTracker(config.home, config.uri)
