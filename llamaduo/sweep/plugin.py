"""The sweeper as Hydra's plugin: light enough for every start, the work is imported when asked."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LazySweeper(Sweeper):
    """Keeps what Hydra hands over until it is told to sweep.

    Its settings come as keywords, and are read from the configuration.
    """

    def __init__(self, **settings: Any) -> None:
        self.config: DictConfig | None = None
        self._parts: tuple[HydraContext, TaskFunction, DictConfig] | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before `sweep`."""
        self.config = config
        self._parts = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Work on the study until it has its trials; see `llamaduo.sweep.sweeper.sweep`."""
        from llamaduo.sweep.sweeper import sweep

        assert self._parts is not None
        return sweep(*self._parts, arguments)
