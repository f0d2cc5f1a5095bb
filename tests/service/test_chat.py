"""Answers in the OpenAI chat format, well-formed and not; and schemas that are strict and not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.calls import FORM

from llamaduo.intake.answers import Rejection, Reply, reply
from llamaduo.records import Record
from llamaduo.service.chat import strict

NAMES = ["choices", "message", "content", "refusal", "finish_reason", "usage", "prompt_tokens"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)


def answer(content: Any, usage: Any = None, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}, **choice}], "usage": usage}


@given(JSON)
def test_whatever_comes_is_a_reply_or_a_rejection(said):
    try:
        found = reply(said, "tiny")
    except Rejection:
        return
    assert isinstance(found, Reply)


@given(st.text(st.characters(codec=None)))  # halves of pairs as well
def test_every_text_of_a_reply_can_be_written(text):
    found = reply(json.loads(json.dumps(answer(text))), "tiny").text
    found.encode()
    assert len(found) <= len(text)
    if all(not 0xD800 <= ord(letter) < 0xE000 for letter in text):
        assert found == text


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 0}, (5, 0, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (None, None, 0)),
        ({"prompt_tokens": 5}, (5, None, 0)),
        ({"prompt_tokens": -1, "completion_tokens": "9"}, (None, None, 0)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            (5, 1, 4),
        ),
        (None, (None, None, 0)),
        ([], (None, None, 0)),
    ],
)
def test_tokens_that_nobody_counted_are_unknown(usage, counted):
    found = reply(answer("x", usage), "tiny")
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == counted


def test_a_text_in_parts_is_put_together():
    parts = [{"type": "text", "text": "one "}, {"type": "image"}, {"type": "text", "text": "two"}]
    assert reply(answer(parts), "tiny").text == "one two"


def test_thinking_that_used_up_the_limit_is_a_reply_cut_short():
    found = reply(answer(None, finish_reason="length"), "tiny")
    assert (found.text, found.finish) == ("", "length")


class Inner(Record):
    """A closed object within another."""

    score: float


class Open(Record):
    """An object with a key that may be left out."""

    score: float
    note: str = ""


class Closed(Record):
    """An object with everything required."""

    text: str
    inner: list[Inner]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (FORM.json_schema, True),
        (Closed.model_json_schema(), True),
        (Open.model_json_schema(), False),
        ({"type": "array", "items": {"type": "string"}}, False),
        ({"type": "object", "properties": {}}, False),
        (FORM.json_schema | {"allOf": []}, False),
        (FORM.json_schema | {"properties": {"text": {"type": "string", "minLength": 1}}}, False),
    ],
)
def test_strict_is_what_services_that_enforce_it_would_take(schema, expected):
    assert strict(schema) is expected
