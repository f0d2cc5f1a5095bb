"""Where Hydra looks for plugins: it takes a sweeper only if it is defined in `hydra_plugins`.

Every start of Hydra imports this, so nothing heavy stands at the top.
"""

from hydra.core.config_store import ConfigStore

from llamaduo.sweep import plugin


class OptunaSweeper(plugin.LazySweeper):
    """`hydra/sweeper=optuna`, the sweeper of `llamaduo.sweep.sweeper`."""


# conf/hydra/sweeper/optuna.yaml adds the values to this; `llamaduo.sweep.settings` checks them.
ConfigStore.instance().store(
    group="hydra/sweeper",
    name="llamaduo",
    node={"_target_": f"{__name__}.{OptunaSweeper.__name__}"},
    provider="llamaduo",
)
