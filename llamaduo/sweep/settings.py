"""The settings of `hydra.sweeper`: frozen, checked, and without defaults in code."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationError, field_validator

from llamaduo.base.errors import ConfigError
from llamaduo.config import Config, Count

#: Each possible objective with its meaning. All are of round 0 on dev; no trial reads test.
OBJECTIVES = {
    "similarity": "mean similarity, as the gate sees it",
    "precision": "mean precision, as the gate sees it",
    "usd": "dollars of this machine for 1,000 requests of K answers each",
    "seconds": "seconds of this machine for 1,000 requests of K answers each",
}

#: The name of each `objective` of the configuration in those words.
OBJECTIVE_OF = {"dev/similarity_mean": "similarity", "dev/precision_mean": "precision"}

Direction: TypeAlias = Literal["maximize", "minimize"]
DIRECTIONS = ("maximize", "minimize")


class Sampler(Config):
    """The choice of a trial's values: `tpe`, `random`, or `nsga2` for several objectives.

    The values of trial n depend on `seed`, on n, and on the trials that are known when it begins.
    """

    kind: Literal["tpe", "random", "nsga2"]
    seed: Annotated[int, Field(ge=0)]
    startup_trials: Count


class NoPruner(Config):
    """No pruning (`hydra/sweeper/pruner=none`): every trial is trained to its end."""

    kind: Literal["none"]


class MedianPruner(Config):
    """A pruner that ends a trial below the median of earlier trials at the same step.

    It prunes nothing before `startup_trials` are complete, and nothing before step `warmup`.
    """

    kind: Literal["median"]
    startup_trials: Count
    warmup: Annotated[int, Field(ge=0)]


class HalvingPruner(Config):
    """A pruner by successive halving.

    At step `first`, and then at each `factor` times the step before, one trial in `factor` goes on.
    """

    kind: Literal["successive_halving"]
    first: Count
    factor: Annotated[int, Field(ge=2)]


class HyperbandPruner(Config):
    """Successive halving from several first steps at once; `last` is the last step of training."""

    kind: Literal["hyperband"]
    first: Count
    last: Count
    factor: Annotated[int, Field(ge=2)]


Pruner: TypeAlias = Annotated[
    NoPruner | MedianPruner | HalvingPruner | HyperbandPruner, Field(discriminator="kind")
]


class Settings(Config):
    """The settings of a study: its name, storage, objectives and space.

    `direction` is `maximize` or `minimize` for the configuration's own `objective`, or a direction
    for each objective by name. `n_trials` is the size of the study over all its workers, of which
    `n_jobs` are launched at once. The sweep ends when more than `max_failure_rate` of `n_trials`
    have failed. `first` are the trials to begin with; the configuration gives the values that they
    do not name. `give_up` are the numbers of trials whose workers, on other machines, are gone for
    good. `gate_best` takes the best trial through the whole migration at the end. `params` has the
    space in Hydra's override grammar.
    """

    study_name: Annotated[str, Field(min_length=1, pattern=r"^[^\s/]+$")]
    storage: Annotated[str, Field(pattern=r"^[a-z0-9+]+://")]
    direction: Direction | Annotated[dict[str, Direction], Field(min_length=1)]
    n_trials: Count
    n_jobs: Count
    max_failure_rate: Annotated[float, Field(ge=0, le=1)]
    sampler: Sampler
    pruner: Pruner
    first: tuple[dict[str, Any], ...]
    give_up: tuple[Annotated[int, Field(ge=0)], ...]
    gate_best: bool
    params: dict[str, Any] | None

    @field_validator("direction", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        by_name = isinstance(value, dict)
        if by_name and (unknown := set(value) - set(OBJECTIVES)):
            raise ValueError(
                f"no such objective {min(unknown)!r}; choose from {', '.join(OBJECTIVES)}"
            )
        for direction in value.values() if by_name else [value]:
            if direction not in DIRECTIONS:
                raise ValueError(f"{direction!r} is not a direction; use maximize or minimize")
        return value

    def objectives(self, default: str) -> dict[str, Direction]:
        """Return the direction of each objective by name; `default` is the configuration's own."""
        if isinstance(self.direction, dict):
            return dict(self.direction)
        return {default: self.direction}


def checked_settings(raw: dict[str, Any]) -> Settings:
    """Validate the sweeper's configuration.

    Raises:
        ConfigError: with a line for each value that is not valid.
    """
    raw = {key: value for key, value in raw.items() if key != "_target_"}
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        lines = []
        for detail in error.errors(include_url=False):
            path = [str(part) for part in detail["loc"]]
            # The parts between are names of a union's members.
            key = ".".join(["hydra.sweeper", path[0], *path[1:][-1:]])
            value = "" if isinstance(detail["input"], dict) else f"={detail['input']}"
            lines.append(f"{key}{value}: {detail['msg'].removeprefix('Value error, ')}")
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error
    several = isinstance(settings.direction, dict) and len(settings.direction) > 1
    if several and settings.pruner.kind != "none":
        raise ConfigError(
            f"hydra.sweeper.pruner.kind={settings.pruner.kind}: pruning needs one objective, and "
            "this study has several; use hydra/sweeper/pruner=none, or one objective"
        )
    return settings
