"""From words to the configurations of a sweep's jobs, before any job is started."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from llamaduo.base.errors import ConfigError
from llamaduo.base.redact import redacted
from llamaduo.cli import message_of, validated
from llamaduo.config import Experiment
from llamaduo.money.rates import rates_of
from llamaduo.sweep.settings import Settings
from llamaduo.sweep.space import ABSENT, Space

# What decides a trial's score besides its parameters; a study is of one such setting. The gate and
# the yardsticks decide how far a judge looks, and dedup what is among the pairs.
DECIDES: dict[str, Any] = {
    **dict.fromkeys(("task", "service", "local", "judge", "hparams", "seed", "objective"), True),
    **dict.fromkeys(("gate", "yardsticks"), True),
    "synthesis": {"dedup"},
}


class Composer:
    """Configurations of this sweep's jobs, as the launcher will compose them."""

    def __init__(self, context: HydraContext, config: DictConfig) -> None:
        self._loader = context.config_loader
        self._config = config

    def config(self, words: Sequence[str]) -> DictConfig:
        """The composed configuration of these words."""
        return self._loader.load_sweep_config(self._config, list(words))

    def check(
        self,
        space: Space,
        start: Mapping[str, Any],
        composed: DictConfig,
        objectives: Mapping[str, str],
    ) -> None:
        """Look at every option of each choice, and at both ends of each range, as a migration.

        `start` are the values of some trial and `composed` what they make; one of them is changed
        at a time.

        Raises:
            ConfigError: one is refused, or has no value for an objective.
        """
        _measurable(experiment(composed), objectives)
        groups = composed.hydra.runtime.choices
        for name, param in space.params.items():
            for value in param.corners():
                if value == start[name]:
                    continue
                if name in groups:
                    other = self.config(space.words({**start, name: value}))
                else:  # as Hydra would, in a tenth of the time
                    other = copy.deepcopy(composed)
                    OmegaConf.update(other, name, param.native(value), merge=True)
                _measurable(experiment(other), objectives)


def experiment(composed: DictConfig) -> Experiment:
    """A composed configuration as a migration.

    Raises:
        ConfigError: it is not a migration's, or not a valid one.
    """
    try:
        return validated(OmegaConf.masked_copy(composed, list(Experiment.model_fields)), Experiment)
    except ValidationError as error:
        raise ConfigError(message_of(error, Experiment)) from error


def _measurable(exp: Experiment, objectives: Mapping[str, str]) -> None:
    if "usd" in objectives and rates_of(exp.hardware, exp.local.usd_per_hour).usd_per_hour is None:
        raise ConfigError(
            f"hydra.sweeper.direction: usd is not known for local={exp.local.name} on "
            f"hardware={exp.hardware.name}; set local.usd_per_hour to what an hour of this machine "
            "costs, or name it with hardware=…, or take seconds"
        )


def first(wanted: Settings, space: Space, config: DictConfig) -> tuple[dict[str, Any], ...]:
    """The trials to begin with, in the study's own values; the rest is as in `config`.

    `config` is what the words make that all trials share.

    Raises:
        ConfigError: one names a parameter or a value that the space has not.
    """
    groups = config.hydra.runtime.choices
    found = []
    for given in wanted.first:
        # A word that pins a parameter goes before what a sweep's file says of it.
        if unknown := set(given) - set(space.params) - set(space.fixed):
            raise ConfigError(
                f"hydra.sweeper.first: {min(unknown)} is no parameter of the space; "
                f"it has {', '.join(space.params)}"
            )
        chosen = {}
        for name, param in space.params.items():
            native = given.get(name, groups.get(name))
            if name not in given and native is None:
                native = OmegaConf.select(config, name)
                native = OmegaConf.to_container(native) if OmegaConf.is_config(native) else native
            value = param.given(native)
            # A value of the configuration's own may lie outside the space: then one is sampled.
            if value is not ABSENT:
                chosen[name] = value
            elif name in given:
                raise ConfigError(
                    f"hydra.sweeper.first: {name}={native} is not in the space "
                    f"({param.distribution})"
                )
        found.append(chosen)
    return tuple(found)


def facts(base: Experiment, space: Space, objectives: Mapping[str, str]) -> dict[str, Any]:
    """What must be the same in all trials of a study, by dotted key."""
    decide = DECIDES | ({"hardware": True} if "usd" in objectives else {})
    found = _flat(redacted(base.model_dump(mode="json", include=decide)), "")
    return {
        key: value
        for key, value in found.items()
        if ".runtime." not in key
        and not any(f"{key}.".startswith(f"{one}.") for one in space.params)
    }


def _flat(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{name}.{key}" if name else key)
    return found
