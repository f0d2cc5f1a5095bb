"""The keys of services: from the environment or a `.env` file, and from nowhere else."""

import os
from collections.abc import Mapping
from pathlib import Path

from llamaduo.base import redact
from llamaduo.base.errors import ServiceError
from llamaduo.config import ApiServiceConfig

FILE = ".env"  # in the working directory

# Endings of the names of variables that tell where a service is, and hold no secret.
PLACES = ("BASE", "LOCATION", "PROJECT", "REGION", "REGION_NAME", "VERSION")


def names_of(config: ApiServiceConfig) -> tuple[str, ...]:
    """Return the names of the environment variables that the service needs."""
    if config.key_env is None:
        return ()
    return (config.key_env,) if isinstance(config.key_env, str) else config.key_env


def value_of(name: str) -> str | None:
    """Return a variable's value, from the environment or else from `.env`; None: in neither.

    A blank value counts as missing. From then on the value is removed from everything that is
    written. It is not put into the environment, which other programs would inherit.
    """
    value = os.environ.get(name, "").strip() or _file().get(name, "").strip()
    if not value:
        return None
    if not name.endswith(PLACES):
        redact.remember(name, value)
    return value


def keys_of(config: ApiServiceConfig) -> dict[str, str]:
    """Return the variables that the service needs, with their values.

    Raises:
        ServiceError: one of them is not set; the message names it.
    """
    keys = {name: value_of(name) for name in names_of(config)}
    missing = [name for name, value in keys.items() if value is None]
    if missing:
        raise ServiceError(
            f"service={config.name}: {' and '.join(missing)} not set: export it, or write "
            f"{missing[0]}=… into {Path(FILE).absolute()}"
        )
    return {name: value for name, value in keys.items() if value is not None}


def key_of(config: ApiServiceConfig) -> str | None:
    """Return the service's key, the first of its variables; None where it needs none.

    Raises:
        ServiceError: a variable is not set; the message names it.
    """
    return next(iter(keys_of(config).values()), None)


def _file() -> Mapping[str, str]:
    if not Path(FILE).is_file():
        return {}
    from dotenv import dotenv_values

    # As written: a key may hold a dollar sign.
    variables = dotenv_values(FILE, interpolate=False, encoding="utf-8")
    return {name: value for name, value in variables.items() if value is not None}
