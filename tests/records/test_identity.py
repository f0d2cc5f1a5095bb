"""Fields can be added to rows and configurations without moving a fingerprint."""

from typing import Any, ClassVar

import pytest

from llamaduo.config import Config
from llamaduo.records import Record, digest


class Message(Record):
    text: str


class Before(Record):
    id: str
    messages: tuple[Message, ...]
    note: str | None = None


class LaterMessage(Record):
    LATER: ClassVar[dict[str, Any]] = {"language": None}

    text: str
    language: str | None = None


class Later(Record):
    LATER: ClassVar[dict[str, Any]] = {"weight": 1.0}
    BESIDE: ClassVar[frozenset[str]] = frozenset({"user", "time"})

    id: str
    messages: tuple[LaterMessage, ...]
    note: str | None = None
    weight: float = 1.0
    user: str | None = None
    time: str | None = None


BEFORE = digest([Before(id="a", messages=(Message(text="b"), Message(text="c")))])


def later(**more: Any) -> Later:
    texts = ({"text": "b"}, {"text": "c"})
    return Later.model_validate({"id": "a", "messages": texts, **more})


def test_a_column_that_says_as_before_is_not_in_the_digest():
    assert digest([later()]) == BEFORE


@pytest.mark.parametrize("more", [{"user": "u"}, {"time": "2026-01-01"}])
def test_what_only_tells_of_a_row_never_is(more):
    assert digest([later(**more)]) == BEFORE


@pytest.mark.parametrize(
    "more", [{"weight": 2.0}, {"messages": ({"text": "b", "language": "de"}, {"text": "c"})}]
)
def test_any_other_value_is(more):
    assert digest([later(**more)]) != BEFORE


def test_an_old_column_without_a_value_stays_in_the_digest():
    """Nulls of columns that were always there count: to leave them out would move digests."""

    class Without(Record):
        id: str
        messages: tuple[Message, ...]

    assert digest([Without(id="a", messages=(Message(text="b"), Message(text="c")))]) != BEFORE


class OldGroup(Config):
    ratio: float


class NewGroup(Config):
    LATER: ClassVar[dict[str, Any]] = {"margin": None}

    ratio: float
    margin: float | None


class NewExperiment(Config):
    gate: NewGroup


class OldExperiment(Config):
    gate: OldGroup


def test_a_key_of_a_configuration_alike():
    old = OldExperiment(gate=OldGroup(ratio=0.5)).identity()
    assert NewExperiment(gate=NewGroup(ratio=0.5, margin=None)).identity() == old
    assert NewExperiment(gate=NewGroup(ratio=0.5, margin=2)).identity() != old
