"""Makes a start of llamaduo come to a place in its work, say so, and stay there."""

import os
import signal
import time
from pathlib import Path
from typing import Any

# Python runs this at its start: the place is the import of Hydra.
AT_IMPORT = """
import importlib.abc, os, pathlib, sys, time

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "hydra":
            pathlib.Path(os.environ["MARK"]).touch()
            time.sleep(60)

sys.meta_path.insert(0, Finder())
"""


class Place:
    """A place in the work; the file `mark` says that it was reached."""

    def __init__(self, name: str, mark: Path) -> None:
        self.name, self.mark = name, mark

    def reached(self, name: str) -> None:
        """Stay here, if this is the place."""
        if self.name == name:
            self.mark.touch()
            time.sleep(60)

    def slow_after(self, rows: int, owner: Any, name: str) -> None:
        """Stay after so many rows of a method that yields them."""
        fast = getattr(owner, name)

        def slow(*args: Any, **kwargs: Any) -> Any:
            for number, row in enumerate(fast(*args, **kwargs)):
                if number == rows:
                    self.reached(name)
                yield row

        setattr(owner, name, slow)


def prepare(detail: dict[str, str]) -> None:
    """Slow the fakes and MLflow down at the `place`."""
    from mlflow import MlflowClient

    from llamaduo.judge.fake import FakeJudge
    from llamaduo.local.fake import FakeLocal

    place = Place(detail["place"], Path(detail["mark"]))
    place.slow_after(5, FakeLocal, "generate")
    place.slow_after(9, FakeJudge, "assess")
    fast_train, fast_end = FakeLocal.train, MlflowClient.set_terminated

    def train(*args: Any, **kwargs: Any) -> Any:
        place.reached("train")
        if place.name == "closing":
            os.kill(os.getpid(), signal.SIGINT)
        return fast_train(*args, **kwargs)

    def set_terminated(self: Any, run_id: str, status: Any = None, **kwargs: Any) -> Any:
        if place.name == "itself" and self.get_run(run_id).info.run_name == "collect":
            place.name = ""
            os.kill(os.getpid(), signal.SIGINT)
        if status == "KILLED":
            place.reached("closing")
        return fast_end(self, run_id, status, **kwargs)

    FakeLocal.train = train  # type: ignore[method-assign]
    MlflowClient.set_terminated = set_terminated  # type: ignore[method-assign, assignment]
