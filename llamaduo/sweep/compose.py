"""Compose and check the configurations of a sweep's jobs before the first one starts."""

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

# Configuration keys that decide a trial's score besides its parameters; they must be the same in
# all trials of a study. The gate and the yardsticks decide how far a judge looks, and dedup decides
# which pairs there are.
SCORE_KEYS: dict[str, Any] = {
    **dict.fromkeys(("task", "service", "local", "judge", "hparams", "seed", "objective"), True),
    **dict.fromkeys(("gate", "yardsticks"), True),
    "synthesis": {"dedup"},
}


class Composer:
    """A composer of this sweep's job configurations, as the launcher will compose them."""

    def __init__(self, context: HydraContext, config: DictConfig) -> None:
        self._loader = context.config_loader
        self._config = config

    def config(self, overrides: Sequence[str]) -> DictConfig:
        """Compose the configuration of these overrides."""
        return self._loader.load_sweep_config(self._config, list(overrides))

    def check(
        self,
        space: Space,
        start: Mapping[str, Any],
        composed: DictConfig,
        objectives: Mapping[str, str],
    ) -> None:
        """Validate every option of each choice, and both ends of each range, as a migration.

        `start` are the values of one trial and `composed` is its configuration. One value is
        changed at a time.

        Raises:
            ConfigError: a value is not valid, or an objective cannot be measured with it.
        """
        _refuse_unmeasurable(experiment(composed), objectives)
        groups = composed.hydra.runtime.choices
        for name, param in space.params.items():
            for value in param.corners():
                if value == start[name]:
                    continue
                if name in groups:
                    other = self.config(space.overrides({**start, name: value}))
                else:  # as Hydra does it, in a tenth of the time
                    other = copy.deepcopy(composed)
                    OmegaConf.update(other, name, param.native(value), merge=True)
                _refuse_unmeasurable(experiment(other), objectives)


def experiment(composed: DictConfig) -> Experiment:
    """Validate a composed configuration as a migration.

    Raises:
        ConfigError: it is not the configuration of a migration, or not a valid one.
    """
    try:
        return validated(OmegaConf.masked_copy(composed, list(Experiment.model_fields)), Experiment)
    except ValidationError as error:
        raise ConfigError(message_of(error, Experiment)) from error


def _refuse_unmeasurable(exp: Experiment, objectives: Mapping[str, str]) -> None:
    if "usd" in objectives and rates_of(exp.hardware, exp.local.usd_per_hour).usd_per_hour is None:
        raise ConfigError(
            f"hydra.sweeper.direction: usd cannot be measured for local={exp.local.name}, because "
            f"the price of hardware={exp.hardware.name} is not known; set local.usd_per_hour to "
            "the dollars that an hour of this machine costs, choose it with hardware=…, or use "
            "seconds as objective"
        )


def first_trials(
    settings: Settings, space: Space, config: DictConfig
) -> tuple[dict[str, Any], ...]:
    """Return the trials to begin with, as values of the study's distributions.

    `config` is composed from the overrides that all trials share. It gives the values that a trial
    does not name.

    Raises:
        ConfigError: a trial names a parameter or a value that is not in the space.
    """
    groups = config.hydra.runtime.choices
    trials = []
    for given in settings.first:
        # Parameters with one value on the command line may be named; that value is used.
        if unknown := set(given) - set(space.params) - set(space.fixed):
            raise ConfigError(
                f"hydra.sweeper.first: {min(unknown)} is not a parameter of the space; "
                f"choose from {', '.join(space.params)}"
            )
        trial = {}
        for name, param in space.params.items():
            native = given.get(name, groups.get(name))
            if name not in given and native is None:
                native = OmegaConf.select(config, name)
                native = OmegaConf.to_container(native) if OmegaConf.is_config(native) else native
            value = param.value_of(native)
            # The configuration's own value may be outside the space: then the value is sampled.
            if value is not ABSENT:
                trial[name] = value
            elif name in given:
                raise ConfigError(
                    f"hydra.sweeper.first: {name}={native} is not in the space "
                    f"({param.distribution})"
                )
        trials.append(trial)
    return tuple(trials)


def shared_settings(
    base: Experiment, space: Space, objectives: Mapping[str, str]
) -> dict[str, Any]:
    """Return the settings that must be the same in all trials of a study, by dotted key."""
    keys = SCORE_KEYS | ({"hardware": True} if "usd" in objectives else {})
    settings = _flat(redacted(base.model_dump(mode="json", include=keys)), "")
    return {
        key: value
        for key, value in settings.items()
        if ".runtime." not in key
        and not any(f"{key}.".startswith(f"{param}.") for param in space.params)
    }


def _flat(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{name}.{key}" if name else key)
    return flat
