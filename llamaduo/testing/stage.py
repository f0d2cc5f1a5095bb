"""The contract of stages; a stage's test class inherits from `StageContract`."""

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llamaduo.lab import Artifact, Lab, Stage
from llamaduo.tracking import MemoryTracker


class StageContract:
    """Inherit, and give the method `stage`, which makes the same stage at each call."""

    def stage(self) -> Stage[Any]:
        """Make the stage under test, with small inputs."""
        raise NotImplementedError

    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        """Give a lab in an empty folder, on behalf of a run in memory."""
        with MemoryTracker().open("contract", "run", {}) as run:
            yield Lab(tmp_path / "lab", run, say=lambda line: None)

    def test_the_same_inputs_have_the_same_fingerprint(self) -> None:
        assert self.stage().fingerprint == self.stage().fingerprint

    def test_identity_is_plain_json(self) -> None:
        stage = self.stage()
        json.dumps(stage.identity, allow_nan=False)
        assert stage.name.isidentifier()

    def test_it_is_built_once_and_found_after_that(self, lab: Lab) -> None:
        built = lab.run(self.stage())

        def refuse(home: Path) -> Artifact:
            raise AssertionError("a finished stage was built again")

        assert lab.run(replace(self.stage(), run=refuse)) == built

    def test_its_artifact_is_whole_and_can_be_moved(self, lab: Lab, tmp_path: Path) -> None:
        built = lab.run(self.stage())
        shutil.move(built.home, tmp_path / "elsewhere")
        moved = type(built).load(tmp_path / "elsewhere")
        assert moved.model_dump() == built.model_dump()

    def test_its_metrics_are_numbers(self, lab: Lab) -> None:
        assert all(math.isfinite(value) for value in lab.run(self.stage()).metrics.values())
