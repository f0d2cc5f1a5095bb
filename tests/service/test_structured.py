"""JSON answers: what is understood, what is asked for again, and what is given up and why."""

import json
import math
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from support.standin import Standin, Wire

from llamaduo.base.errors import BudgetReached, ServiceError
from llamaduo.records import Bill, Message
from llamaduo.service import Completion, Failure, Request
from llamaduo.service.reply_json import objects_in, own_objects, score_of
from llamaduo.service.structured import SHOWN, Parsed, ask_for, form_of

# Objects that have a key, as every answer has.
OBJECTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
)
PROSE = st.text(alphabet=st.characters(exclude_characters='{"'), max_size=30)


class TestObjectsIn:
    @given(st.lists(st.tuples(PROSE, OBJECTS), max_size=4), PROSE, st.booleans())
    def test_every_object_is_found_whatever_stands_around(self, parts, end, plain):
        text = "".join(prose + json.dumps(one, ensure_ascii=plain) for prose, one in parts) + end
        found = objects_in(text)
        assert list(found.objects) == [one for _, one in parts]
        assert found.broken is None

    @given(st.lists(OBJECTS, min_size=1, max_size=5), st.data())
    def test_whole_entries_of_a_list_that_is_cut_off_are_kept(self, entries, data):
        text = '{"contents": [' + ", ".join(json.dumps(entry) for entry in entries)
        ends, at = [], len('{"contents": [')
        for entry in entries:
            at += len(json.dumps(entry))
            ends.append(at)
            at += 2
        cut = data.draw(st.integers(len('{"contents": ['), len(text)))
        found = objects_in(text[:cut])
        whole = [entry for entry, end in zip(entries, ends, strict=True) if end <= cut]
        assert list(found.objects[: len(whole)]) == whole
        assert found.broken is not None

    @pytest.mark.parametrize(
        "text",
        [
            '```json\n{"a": 1}\n```',
            'Here {you} are: {"a": 1} and {so on}.',
            '\ufeff{"a": 1}',
            '[{"a": 1}]',
            '{{"a": 1}}',
            '{\n"a"\t:\r\n1\n}',
        ],
    )
    def test_what_stands_around_an_object_does_not_matter(self, text):
        assert objects_in(text).objects == ({"a": 1},)

    def test_line_breaks_in_strings_are_allowed_as_models_write_them(self):
        assert objects_in('{"a": "one\ntwo\tthree"}').objects == ({"a": "one\ntwo\tthree"},)

    def test_emoji_and_their_escapes_are_the_same(self):
        first, second = objects_in('{"a": "🙂 é"} {"a": "\\ud83d\\ude42 \\u00e9"}').objects
        assert first == second == {"a": "🙂 é"}

    @pytest.mark.parametrize(
        ("text", "broken"),
        [
            ('{"a": 1', "broken at character 7"),
            ('{"a" 1}', "broken at character 5"),
            ('{"a": 1, "a": 2}', "two values for one key"),
            ('{"a": ' + "9" * 5000 + "}", "a number without end"),
            ('{"a": ' + "[" * 100_000, "nested without end"),
            ('{"a": ' * 100_000, "nested without end"),
        ],
    )
    def test_what_is_no_object_says_why(self, text, broken):
        found = objects_in(text)
        assert found.objects == ()
        assert broken in str(found.broken)

    def test_the_same_value_twice_is_one(self):
        assert objects_in('{"a": 1, "a": 1}').objects == ({"a": 1},)

    @given(st.text(alphabet='{}[]":,\\a1 \n\ud800', max_size=200))
    def test_no_text_is_too_odd(self, text):
        for one in objects_in(text).objects:
            assert isinstance(one, dict)

    @pytest.mark.timeout(60)  # a quadratic reader takes hours
    @pytest.mark.parametrize(
        "text",
        [
            "{" * 10_000_000,
            '{"a":' * 2_000_000,
            '{"a" ' * 2_000_000,
            '{"a":' * 900 + "[" + "1," * 5_000_000,
            '{"c":[' + '{"i":"aaaaaaaaaaaaaaaaaaaaaaaaaa","r":"b"},' * 230_000 + '{"i',
            '{"a":"' + "x" * 10_000_000 + '"}',
        ],
        ids=["braces", "nested", "starts", "deep", "cut list", "one string"],
    )
    def test_ten_megabytes_are_read_in_seconds(self, text):
        assert isinstance(objects_in(text).objects, tuple)


class TestScoreOf:
    @pytest.mark.parametrize(
        ("given", "score"),
        [
            (0, 0.0),
            (100, 100.0),
            (87, 87.0),
            (87.5, 87.5),
            ("87", 87.0),
            (" 87.5 ", 87.5),
            ("85/100", 85.0),
            ("85.5 / 100", 85.5),
            ("0", 0.0),
            (-0.0, 0.0),
        ],
    )
    def test_numbers_of_the_scale_are_scores(self, given, score):
        assert score_of({"s": given}, "s") == score

    @pytest.mark.parametrize(
        ("given", "cause"),
        [
            (110, "s is 110, outside 0 to 100"),
            (-1, "s is -1, outside"),
            (100.01, "outside"),
            (math.nan, "s is NaN, outside"),
            (math.inf, "s is Infinity, outside"),
            (10**300, "outside"),
            ("110", 's is "110", outside'),
            ("-1", "outside"),
            ("110/100", "outside"),
            ("9" * 400, "outside"),
            (None, "s is null, not a number"),
            (True, "s is true, not a number"),
            (False, "s is false, not a number"),
            ("8/10", 's is "8/10", not a number'),
            ("85/1000", "not a number"),
            ("eighty", "not a number"),
            ("85%", "not a number"),
            ("1e1", "not a number"),
            ("٨٧", "not a number"),
            ("NaN", "not a number"),
            ("", "not a number"),
            ("x" * 1000, "not a number"),
            ([87], "s is a list, not a number"),
            ({"score": 87}, "s is an object, not a number"),
        ],
    )
    def test_everything_else_is_none_and_says_why(self, given, cause):
        with pytest.raises(ValueError, match=r"^s is ") as caught:
            score_of({"s": given}, "s")
        assert cause in str(caught.value)
        assert len(str(caught.value)) < 120

    def test_a_missing_score_is_not_zero(self):
        with pytest.raises(ValueError, match="s is missing"):
            score_of({"t": 1}, "s")

    @given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()))
    def test_a_score_is_always_on_the_scale(self, given):
        with suppress(ValueError):
            assert 0 <= score_of({"s": given}, "s") <= 100


class Kind(Enum):
    """Kinds."""

    A = "a"
    B = "b"


class Inner(BaseModel):
    """A docstring for programmers."""

    kind: Kind
    weight: float = Field(ge=0, le=1, description="0 to 1")


class Outer(BaseModel):
    zebra: str = Field(max_length=9, pattern="^x")
    inner: Inner
    apples: list[Inner] = []
    maybe: int | None = None


class TestFormOf:
    def test_a_form_is_strict(self):
        schema = form_of(Outer, "outer").json_schema
        inner = {
            "type": "object",
            "properties": {
                "kind": {"type": "string", "enum": ["a", "b"]},
                "weight": {"type": "number", "description": "0 to 1"},
            },
            "required": ["kind", "weight"],
            "additionalProperties": False,
        }
        assert schema == {
            "type": "object",
            "properties": {
                "zebra": {"type": "string"},
                "inner": inner,
                "apples": {"type": "array", "items": inner},
                "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            },
            "required": ["zebra", "inner", "apples", "maybe"],
            "additionalProperties": False,
        }

    def test_the_fields_keep_their_order(self):
        assert [*form_of(Outer, "outer").json_schema["properties"]][:2] == ["zebra", "inner"]

    def test_what_has_no_strict_form_is_refused(self):
        class Open(BaseModel):
            bag: dict[str, Any]

        with pytest.raises(ValueError, match="any keys"):
            form_of(Open, "open")


def request(number: int = 0, text: str = "Write 1 new pair, as JSON.") -> Request:
    message = Message(role="user", content=text)
    return Request(id=f"r{number}", messages=(message,), max_tokens=9, sample=number)


ONE_CALL = Bill(calls=1, input_tokens=3, output_tokens=2, usd=Decimal("0.01"))
FORM = form_of(Inner, "inner")


class Scripted:
    """Says what a table has for each request's id, in turn; keeps what it was asked."""

    name, price, identity = "scripted", None, {"kind": "scripted"}

    def __init__(self, says, replays=False):
        self.says = {key: list(replies) for key, replies in says.items()}
        self.replays = replays
        self.asked = []

    def complete(self, requests):
        for one in requests:
            self.asked.append(one)
            reply = self.says[one.id].pop(0)
            if isinstance(reply, Exception):
                raise reply
            if isinstance(reply, Failure):
                yield reply.model_copy(update={"request_id": one.id})
            else:
                text, finish = reply if isinstance(reply, tuple) else (reply, "stop")
                yield Completion(
                    request_id=one.id, text=text, model="m", bill=ONE_CALL, finish=finish
                )


DOWN = Failure(request_id="", cause="timeout", final=False)
NEVER = Failure(request_id="", cause="no answer on file", final=True)


def number(asked: Request, reply: Completion) -> float:
    (one,) = own_objects(asked, reply).objects or ({},)
    return score_of(one, "n")


GOOD = '{"n": 7}'


class TestAskFor:
    def test_replies_are_given_on_as_they_come(self):
        service = Scripted({"r0": [GOOD], "r1": ["no"], "r2": ['{"n": 8}']})
        outcomes = ask_for(service, [request(i) for i in range(3)], number)
        first = next(outcomes)
        assert isinstance(first, Parsed)
        assert (first.value, first.repaired) == (7.0, False)
        assert len(service.asked) == 1

    def test_one_request_to_mend_shows_the_reply_and_says_what_is_wrong(self):
        service = Scripted({"r0": ['{"n": 110}', GOOD]})
        first = request().model_copy(update={"form": FORM, "purpose": "judge"})
        (outcome,) = ask_for(service, [first], number)
        assert isinstance(outcome, Parsed)
        assert (outcome.value, outcome.repaired) == (7.0, True)
        assert outcome.completion.text == GOOD
        _, second = service.asked
        assert [m.role for m in second.messages] == ["user", "assistant", "user"]
        assert second.messages[0] == first.messages[0]
        assert second.messages[1].content == '{"n": 110}'
        assert "n is 110, outside 0 to 100" in second.messages[2].content
        assert (second.purpose, second.form, second.sample) == ("repair", FORM, first.sample)
        assert second.key != first.key

    def test_the_bills_of_both_calls_add_up(self):
        for replies in (["no", GOOD], ["no", "no"]):
            (outcome,) = ask_for(Scripted({"r0": replies}), [request()], number)
            bill = outcome.completion.bill if isinstance(outcome, Parsed) else outcome.bill
            assert bill == ONE_CALL + ONE_CALL

    def test_a_second_unusable_reply_is_the_end_and_both_causes_are_said(self):
        service = Scripted({"r0": ['{"n": 110}', '{"n": -5}', GOOD]})
        (outcome,) = ask_for(service, [request()], number)
        assert isinstance(outcome, Failure)
        assert outcome.final
        assert "n is 110" in outcome.cause
        assert "n is -5" in outcome.cause
        assert len(service.asked) == 2

    def test_a_mend_that_fails_for_now_leaves_the_row_to_a_later_start(self):
        (outcome,) = ask_for(Scripted({"r0": ["no", DOWN]}), [request()], number)
        assert isinstance(outcome, Failure)
        assert not outcome.final
        assert "n is missing" in outcome.cause
        assert "timeout" in outcome.cause
        assert outcome.bill == ONE_CALL

    def test_a_mend_that_no_recording_has_leaves_the_first_cause(self):
        service = Scripted({"r0": ["no", NEVER]}, replays=True)
        (outcome,) = ask_for(service, [request()], number)
        assert isinstance(outcome, Failure)
        assert (outcome.cause, outcome.final) == ("n is missing", True)

    def test_a_failed_call_is_not_mended(self):
        service = Scripted({"r0": [DOWN], "r1": [NEVER]})
        causes = [o.cause for o in ask_for(service, [request(0), request(1)], number)]
        assert causes == ["timeout", "no answer on file"]
        assert len(service.asked) == 2

    def test_each_row_has_one_outcome_whatever_the_others_have(self):
        says = {"r0": [GOOD], "r1": ["no", "no"], "r2": [DOWN], "r3": ["no", GOOD], "r4": [GOOD]}
        outcomes = list(ask_for(Scripted(says), [request(i) for i in range(5)], number))
        ids = [o.completion.request_id if isinstance(o, Parsed) else o.request_id for o in outcomes]
        assert sorted(ids) == sorted(says)

    def test_a_reply_that_is_cut_off_is_asked_for_again_shorter(self):
        service = Scripted({"r0": [('{"n', "length"), GOOD]})
        (outcome,) = ask_for(service, [request()], number)
        assert isinstance(outcome, Parsed)
        assert "shorter than before" in service.asked[1].messages[2].content

    def test_an_odd_reply_can_be_shown_again(self):
        huge = "no 🙂\n" * 2_000_000
        service = Scripted({"r0": ["", GOOD], "r1": ["\ud800", GOOD], "r2": [huge, GOOD]})
        outcomes = list(ask_for(service, [request(i) for i in range(3)], number))
        assert all(isinstance(outcome, Parsed) for outcome in outcomes)
        for mend in service.asked[3:]:
            mend.model_dump_json()
            assert 0 < len(mend.messages[1].content) <= SHOWN

    @pytest.mark.parametrize("while_mending", [False, True])
    def test_what_ends_the_service_is_told_after_the_rows_that_are_open(self, while_mending):
        end = BudgetReached("spent")
        says = {"r0": ["no", end], "r1": ["no"], "r2": [GOOD if while_mending else end]}
        outcomes = ask_for(Scripted(says), [request(i) for i in range(3)], number)
        if while_mending:
            assert isinstance(next(outcomes), Parsed)
        for id in ("r0", "r1"):
            failure = next(outcomes)
            assert isinstance(failure, Failure)
            assert (failure.request_id, failure.final, failure.bill) == (id, False, ONE_CALL)
        with pytest.raises(ServiceError, match="spent"):
            next(outcomes)

    def test_nothing_asked_nothing_said(self):
        assert list(ask_for(Scripted({}), [], number)) == []

    @pytest.mark.parametrize("mischief", ["fence", "prose", "cut", "broken", "empty", "words"])
    def test_over_the_wire(self, mischief):
        asked = request(text='Write 2 new pairs as {"contents": [...]} please, of these words.')
        with Standin(mischief=mischief) as server:
            (outcome,) = ask_for(Wire(server.url), [asked], _contents)
        assert isinstance(outcome, Parsed)
        assert outcome.value >= 1
        # Of what is cut or broken the whole objects are kept, and that is an answer to _contents.
        calls = 2 if mischief in ("empty", "words") else 1
        assert (len(server.calls), outcome.completion.bill.calls) == (calls, calls)


def _contents(asked: Request, reply: Completion) -> int:
    found = own_objects(asked, reply).objects
    if not found:
        raise ValueError("nothing")
    return len(found)


def test_a_completion_never_holds_what_no_file_can():
    made = Completion(request_id="a", text="a \ud800 b", model="m", bill=Bill())
    assert made.text == "a \ufffd b"
    assert Completion.model_validate_json(made.model_dump_json()) == made
