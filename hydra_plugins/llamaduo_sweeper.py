"""The sweeper as Hydra's plugin; Hydra takes only a class that is defined in `hydra_plugins`.

Every start of Hydra imports this file, so it imports nothing heavy at its top.
"""

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """`hydra/sweeper=optuna`: keeps what Hydra hands over until it is told to sweep.

    Its settings come as keywords, but `llamaduo.sweep.sweeper` reads them from the configuration.
    """

    def __init__(self, **settings: Any) -> None:
        self.config: DictConfig | None = None
        self._parts: tuple[HydraContext, TaskFunction, DictConfig] | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what `sweep` needs; Hydra calls this first."""
        self.config = config
        self._parts = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Work on the study until it has its trials; see `llamaduo.sweep.sweeper.sweep`."""
        from llamaduo.sweep.sweeper import sweep

        assert self._parts is not None
        return sweep(*self._parts, arguments)


# conf/hydra/sweeper/optuna.yaml adds the values to this; `llamaduo.sweep.settings` checks them.
ConfigStore.instance().store(
    group="hydra/sweeper",
    name="llamaduo",
    node={"_target_": f"{__name__}.{OptunaSweeper.__name__}"},
    provider="llamaduo",
)
