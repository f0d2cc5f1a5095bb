"""Why a stage was built although one of its kind is there."""

import json
from pathlib import Path

import pytest

from llamaduo.lab import Artifact, Lab, Stage
from llamaduo.tracking import MemoryTracker


@pytest.fixture
def lab(tmp_path: Path):
    with MemoryTracker().open("e", "r", {}) as tracked:
        lines: list[str] = []
        yield Lab(
            tmp_path,
            tracked,
            lines.append,
            command="python -m llamaduo api_key=sk-0123456789abcdef0123",
        )


def stage(system: str = "", **identity) -> Stage[Artifact]:
    return Stage("s", Artifact, identity, lambda home: Artifact(home=home), system=system)


def said(lab: Lab) -> list[str]:
    return [
        line.strip()
        for line in lab.say.__self__  # type: ignore[attr-defined]
        if "not reused" in line
    ]


def test_the_settings_that_differ_are_named_with_both_values(lab):
    lab.run(stage(hparams={"r": 16, "seed": 1}))
    lab.run(stage(hparams={"r": 8, "seed": 1}))
    assert said(lab) == ["s: not reused: hparams.r 16 -> 8"]


def test_the_nearest_one_is_compared_with_and_few_differences_are_named(lab):
    lab.run(stage(a=1, b=1, c=1, d=1, e=1))
    lab.run(stage(a=2, b=2, c=2, d=2, e=2))
    lab.run(stage(a=2, b=2, c=2, d=2, e=3))
    assert said(lab) == [
        "s: not reused: a 1 -> 2, b 1 -> 2, c 1 -> 2 and 2 more",
        "s: not reused: e 2 -> 3",
    ]


def test_what_is_of_another_system_or_round_is_no_reason(lab):
    lab.run(stage(system="base", a=1))
    lab.run(stage(system="tuned", a=2))
    lab.run(stage(system="base", a=3), round=1)
    assert said(lab) == []


def test_what_follows_from_a_stage_that_was_built_is_not_told_again(lab):
    lab.run(stage(pool="0" * 16, seed=1))
    lab.run(stage(pool="1" * 16, seed=1))
    assert said(lab) == []
    lab.run(stage(pool="2" * 16, seed=2))
    assert said(lab) == ["s: not reused: seed 1 -> 2"]


def test_the_record_has_commit_and_command_without_a_secret(lab):
    home = lab.run(stage(a=1)).home
    record = json.loads((home / "record.json").read_text())
    assert "commit" in record
    assert record["command"].startswith("python -m llamaduo api_key=")
    assert "0123456789abcdef" not in record["command"]


def test_a_stage_under_its_former_identity_is_found(lab):
    made = lab.run(stage(revision="main"))
    lab.former = lambda identity: {**identity, "revision": "main"}
    found = lab.run(stage(revision="c" * 40))
    assert found.home == made.home
    assert lab.stage_runs.runs[-1].reused
    assert lab.stage_runs.runs[-1].fingerprint == made.fingerprint
