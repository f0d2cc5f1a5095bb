"""Build Optuna's sampler and pruner from their configurations."""

from typing import Any

from optuna import pruners, samplers
from pydantic import TypeAdapter

from llamaduo.sweep import settings
from llamaduo.sweep.settings import Pruner, Sampler

_PRUNER: TypeAdapter[Pruner] = TypeAdapter(Pruner)


def pruner(raw: dict[str, Any]) -> pruners.BasePruner:
    """Return the pruner of a configuration."""
    config = _PRUNER.validate_python(raw)
    if isinstance(config, settings.MedianPruner):
        return pruners.MedianPruner(config.startup_trials, config.warmup)
    if isinstance(config, settings.HalvingPruner):
        return pruners.SuccessiveHalvingPruner(config.first, config.factor)
    if isinstance(config, settings.HyperbandPruner):
        return pruners.HyperbandPruner(config.first, config.last, config.factor)
    return pruners.NopPruner()


def sampler(config: Sampler, number: int) -> samplers.BaseSampler:
    """Return the sampler for the trial of this number.

    Each trial has its own seed. With one seed, workers on a study would draw the same values, and a
    study that was stopped would continue differently from one that was not.
    """
    seed = (config.seed + 7919 * number) % 2**32
    if config.kind == "random":
        return samplers.RandomSampler(seed)
    if config.kind == "nsga2":
        return samplers.NSGAIISampler(seed=seed, population_size=config.startup_trials)
    # The constant liar keeps workers from trying values that another worker is running.
    return samplers.TPESampler(
        n_startup_trials=config.startup_trials, constant_liar=True, seed=seed
    )
