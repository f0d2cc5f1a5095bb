"""A hub model is known by the commit that its revision stood for when it was first used."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from llamaduo.local import revisions, weights
from llamaduo.local.revisions import by_branch, resolve

FIRST, SECOND = "a" * 40, "b" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give the hub's cache, with a branch that can be moved; the hub itself is out of reach."""
    monkeypatch.setenv("LLAMADUO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    revisions._tell_moved.cache_clear()

    def move(commit: str) -> None:
        folder = tmp_path / "hub" / "models--org--toy"
        (folder / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(commit)

    return move


def test_a_branch_is_its_commit_and_a_commit_is_itself(hub):
    hub(FIRST)
    assert resolve("org/toy", "main") == FIRST
    assert resolve("org/toy", SECOND) == SECOND
    assert weights.identity("hub", "org/toy", "main") == {"hub_id": "org/toy", "revision": FIRST}


def test_what_nobody_can_resolve_stays_as_it_is_named(hub):
    assert resolve("org/other", "main") == "main"


def test_a_branch_that_moves_is_told_and_its_first_commit_stays(hub, capfd):
    hub(FIRST)
    resolve("org/toy", "main")
    assert capfd.readouterr().err == ""
    hub(SECOND)
    assert resolve("org/toy", "main") == FIRST
    message = capfd.readouterr().err
    assert message.count("\n") == 1
    assert f"{FIRST[:12]} when it was first used, and is {SECOND[:12]} now" in message
    assert f"local.revision={SECOND}" in message


def test_a_stage_of_before_is_found_by_its_branch(hub):
    hub(FIRST)
    identity = {"local": {"weights": weights.identity("hub", "org/toy", "main")}, "seed": 1}
    assert by_branch(identity) == {
        "local": {"weights": {"hub_id": "org/toy", "revision": "main"}},
        "seed": 1,
    }
    assert by_branch({"local": {"weights": {"hub_id": "x", "sha256": "c"}}}) is None


def test_it_is_not_where_the_branch_is_known_to_have_moved(hub):
    hub(FIRST)
    hub(SECOND)  # the hub's cache has both
    identity = {"weights": weights.identity("hub", "org/toy", "main")}
    assert identity["weights"]["revision"] == SECOND
    assert by_branch(identity) is None
