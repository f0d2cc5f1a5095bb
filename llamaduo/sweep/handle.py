"""What a job is told of the sweep that it belongs to, as text for an environment variable.

The sweep sets it in `hydra.job.env_set`, so a job's configuration is that of any other migration.
"""

import os
from typing import Any

from llamaduo.records import Record

#: The environment variable that holds a trial's handle, set in a sweep's jobs and nowhere else.
HANDLE = "LLAMADUO_TRIAL"


class Handle(Record):
    """A job's place in a sweep.

    `study` lives in `storage`, an Optuna URL. `trial` is the trial's id there, None for the job
    that takes the best trial to the gate; `number` the trial's number. `pruner` is the pruner's
    configuration, None where nothing is pruned; `better` says which way the objective gets better.
    `run` is the tracked run of the sweep, None without one.
    """

    study: str
    storage: str
    trial: int | None
    number: int
    pruner: dict[str, Any] | None
    better: str
    run: str | None


def current() -> Handle | None:
    """The handle of this job; None outside of sweeps."""
    text = os.environ.get(HANDLE)
    return None if text is None else Handle.model_validate_json(text)
