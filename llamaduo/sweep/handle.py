"""Hand a sweep's trial to the job that runs it, as text in an environment variable.

The sweep sets it in `hydra.job.env_set`, so a job's configuration is that of any other migration.
"""

import os
from typing import Any

from llamaduo.records import Record

#: The environment variable that holds a trial's handle, set in a sweep's jobs and nowhere else.
HANDLE = "LLAMADUO_TRIAL"


class Handle(Record):
    """A job's place in a sweep.

    `study` is stored in `storage`, an Optuna URL. `trial` is the trial's id there, None for the job
    that takes the best trial to the gate; `number` is the trial's number. `pruner` is the pruner's
    configuration, None where nothing is pruned. `better` is the objective's direction. `run` is the
    id of the sweep's tracked run, None without one.
    """

    study: str
    storage: str
    trial: int | None
    number: int
    pruner: dict[str, Any] | None
    better: str
    run: str | None


def current() -> Handle | None:
    """Return the handle of this job; None outside of sweeps."""
    text = os.environ.get(HANDLE)
    return None if text is None else Handle.model_validate_json(text)
