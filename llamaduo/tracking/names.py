"""The names by which runs are told apart in a tracker's list."""

import shlex

from llamaduo.config import Experiment

LONGEST = 200  # characters; MLflow's list cuts far earlier

#: What a name has already, or what makes no other run.
LEFT_OUT = ("experiment", "name", "seed", "local", "tracking", "dry_run", "format")


def run_name(exp: Experiment, command: str) -> str:
    """Name a migration: task, local LLM, what differs from the experiment, and seed.

    `command` is what was typed; its words are the differences. A `name` of the user's own comes
    before the task's, and `tracking.run_name` is taken as it is.
    """
    if exp.tracking.run_name is not None:
        return exp.tracking.run_name
    own = [] if exp.name == exp.task.name else [exp.name]
    parts = [*own, exp.task.name, exp.local.name, " ".join(differences(command))]
    name = " · ".join([*(part for part in parts if part), f"seed {exp.seed}"])
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def differences(command: str) -> list[str]:
    """List the words of a command that change an experiment, in order."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation mark that was cut off
        return []
    changes = (word.lstrip("+~") for word in words if "=" in word or word.startswith("~"))
    return [
        change
        for change in changes
        if change.partition("=")[0].partition(".")[0].partition("@")[0] not in LEFT_OUT
        and not change.startswith("hydra")
    ]
