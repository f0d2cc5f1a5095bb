"""`hydra.sweeper` as the code sees it: frozen, checked, and without a default of its own."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationError, field_validator

from llamaduo.base.errors import ConfigError
from llamaduo.config import Config, Count

#: Each measure with what it is. All are of round 0 on dev; no trial reads test.
KNOWN = {
    "similarity": "mean similarity, as the gate sees it",
    "precision": "mean precision, as the gate sees it",
    "usd": "dollars of this machine for 1,000 requests of K answers each",
    "seconds": "seconds of this machine for 1,000 requests of K answers each",
}

#: The configuration's `objective` in the same words.
OWN = {"dev/similarity_mean": "similarity", "dev/precision_mean": "precision"}

Way: TypeAlias = Literal["maximize", "minimize"]
WAYS = ("maximize", "minimize")


class Sampler(Config):
    """How a trial's values are chosen: `tpe`, `random`, or `nsga2` for several objectives.

    Trial n's draw depends on `seed` and n, and on the trials that are known when it begins.
    """

    kind: Literal["tpe", "random", "nsga2"]
    seed: Annotated[int, Field(ge=0)]
    startup_trials: Count


class NoPruner(Config):
    """`hydra/sweeper/pruner=none`: every trial is trained to its end."""

    kind: Literal["none"]


class MedianPruner(Config):
    """Ends a trial that is below the median of the trials before it at the same step.

    Not before `startup_trials` have come to their end, and not before step `warmup`.
    """

    kind: Literal["median"]
    startup_trials: Count
    warmup: Annotated[int, Field(ge=0)]


class HalvingPruner(Config):
    """At step `first`, and at each `factor` times the last, one trial in `factor` may go on."""

    kind: Literal["successive_halving"]
    first: Count
    factor: Annotated[int, Field(ge=2)]


class HyperbandPruner(Config):
    """Successive halving from several first steps at once; `last` is a whole training's."""

    kind: Literal["hyperband"]
    first: Count
    last: Count
    factor: Annotated[int, Field(ge=2)]


Pruner: TypeAlias = Annotated[
    NoPruner | MedianPruner | HalvingPruner | HyperbandPruner, Field(discriminator="kind")
]


class Settings(Config):
    """A study: its name, where it lives, what it looks for and in which space.

    `direction` is `maximize` or `minimize`, for the configuration's own `objective`, or a direction
    for each objective by name. `n_trials` is the size of the study, whoever runs it; `n_jobs` are
    launched at once. The study ends when more than `max_failure_rate` of `n_trials` have failed.
    `first` are the trials to begin with: what each does not name is as the configuration has it.
    `give_up` are the numbers of trials whose workers, on other machines, are gone for good.
    `gate_best` takes the best trial through the whole migration in the end. `params` has the space
    in Hydra's override grammar.
    """

    study_name: Annotated[str, Field(min_length=1, pattern=r"^[^\s/]+$")]
    storage: Annotated[str, Field(pattern=r"^[a-z0-9+]+://")]
    direction: Way | Annotated[dict[str, Way], Field(min_length=1)]
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
        named = isinstance(value, dict)
        if named and (unknown := set(value) - set(KNOWN)):
            raise ValueError(f"no such objective {min(unknown)!r}; choose from {', '.join(KNOWN)}")
        if wrong := [way for way in (value.values() if named else [value]) if way not in WAYS]:
            raise ValueError(f"{wrong[0]!r} is no direction; use maximize or minimize")
        return value

    def objectives(self, own: str) -> dict[str, Way]:
        """The direction of each objective by name; `own` is the configuration's."""
        if isinstance(self.direction, dict):
            return dict(self.direction)
        return {own: self.direction}


def settings(raw: dict[str, Any]) -> Settings:
    """The sweeper's configuration, checked.

    Raises:
        ConfigError: with a line for each value that cannot be used.
    """
    raw = {key: value for key, value in raw.items() if key != "_target_"}
    try:
        found = Settings.model_validate(raw)
    except ValidationError as error:
        lines = []
        for one in error.errors(include_url=False):
            path = [str(part) for part in one["loc"]]
            # In the middle stands the name of a union's member.
            where = ".".join(["hydra.sweeper", path[0], *path[1:][-1:]])
            value = "" if isinstance(one["input"], dict) else f"={one['input']}"
            lines.append(f"{where}{value}: {one['msg'].removeprefix('Value error, ')}")
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error
    several = isinstance(found.direction, dict) and len(found.direction) > 1
    if several and found.pruner.kind != "none":
        raise ConfigError(
            f"hydra.sweeper.pruner.kind={found.pruner.kind}: several objectives cannot be pruned "
            "by one score; use hydra/sweeper/pruner=none, or one objective"
        )
    return found
