"""`python -m llamaduo +experiment=…`: a migration from its configuration to its report."""

import shlex
import sys

from llamaduo import cli
from llamaduo.config import Experiment


def migrate(exp: Experiment) -> float | None:
    """Run one migration and return its objective, which a sweep maximises."""
    # The stages import numpy and more; `--help` should not wait for them.
    from llamaduo.run import run

    command = shlex.join(["python", "-m", "llamaduo", *sys.argv[1:]])
    return run(exp, command=command).objective


def main() -> None:
    """The entry point of the command line."""
    cli.launch("config", Experiment, migrate)


if __name__ == "__main__":
    main()
