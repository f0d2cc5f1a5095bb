"""Keys come from the environment or a `.env` file, and go nowhere else."""

import os
from pathlib import Path

import pytest
from support.calls import config

from llamaduo.base.errors import ServiceError
from llamaduo.base.redact import redacted
from llamaduo.service.keys import key_of, keys_of, value_of

BOTH = ("FIRST_OF_TESTS", "SECOND_OF_TESTS_REGION")


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in BOTH:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_service_that_wants_none_has_none():
    assert key_of(config("endpoint", "http://h/v1", key_env=None)) is None


def test_all_that_are_missing_are_named_at_once(monkeypatch):
    told = config("litellm", None, key_env=BOTH)
    with pytest.raises(ServiceError, match=r"FIRST_OF_TESTS and SECOND_OF_TESTS_REGION not set"):
        keys_of(told)
    monkeypatch.setenv(BOTH[0], "one-of-two")
    with pytest.raises(ServiceError, match=r"service=loopback: SECOND_OF_TESTS_REGION not set"):
        keys_of(told)
    monkeypatch.setenv(BOTH[1], "eu-central-1")
    assert keys_of(told) == {BOTH[0]: "one-of-two", BOTH[1]: "eu-central-1"}
    assert key_of(told) == "one-of-two"


def test_blank_is_not_there_and_space_around_is_no_part_of_a_key(monkeypatch):
    monkeypatch.setenv(BOTH[0], "  ")
    assert value_of(BOTH[0]) is None
    monkeypatch.setenv(BOTH[0], " held-0123456789\n")
    assert value_of(BOTH[0]) == "held-0123456789"


def test_the_environment_wins_over_the_file(monkeypatch):
    Path(".env").write_text(
        f"# keys\nexport {BOTH[0]}='of the $file'\n\n{BOTH[1]}=x", encoding="utf-8"
    )
    assert value_of(BOTH[0]) == "of the $file"
    assert BOTH[0] not in os.environ
    monkeypatch.setenv(BOTH[0], "of the environment")
    assert value_of(BOTH[0]) == "of the environment"


def test_a_key_that_was_found_is_taken_out_of_what_is_written_and_a_place_is_not():
    Path(".env").write_text(f"{BOTH[0]}=planted-4f1c9a77\n{BOTH[1]}=eu-central-1\n")
    for name in BOTH:
        value_of(name)
    assert redacted("planted-4f1c9a77 in eu-central-1") == "$FIRST_OF_TESTS in eu-central-1"
