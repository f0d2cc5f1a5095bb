"""What a failed call means, for any status, headers and body that a service may send."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.calls import VARIABLE, config

from llamaduo.base import redact
from llamaduo.service.rejections import SHOWN, broken, from_response, retry_after

SECRET = "loopback-secret-4f1c9a77"
TOLD = config("endpoint", "http://127.0.0.1:1/v1")
STATUSES = st.sampled_from([301, 400, 401, 402, 403, 404, 408, 413, 422, 425, 429, 500, 503, 529])
WORDS = st.text(max_size=40) | st.just(SECRET) | st.sampled_from(["tiny", "flagged", "not found"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "code", "type", "status", "x"]), inner
        )
    ),
    max_leaves=8,
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date"]),
    WORDS | st.floats().map(str) | st.datetimes().map(format_datetime),
)


@given(STATUSES, HEADERS, JSON.map(json.dumps) | WORDS)
def test_any_answer_has_a_meaning_and_gives_no_secret_away(status, headers, body):
    redact.remember(VARIABLE, SECRET)
    found = from_response(TOLD, status, headers, body)
    assert not (found.fatal and found.retry)
    assert found.retry or not found.rate_limited
    assert found.retry_after is None or (found.retry and 0 <= found.retry_after < float("inf"))
    assert found.retry == (status in {408, 425} or status >= 429) or found.fatal
    assert str(status) in str(found)
    assert SECRET not in str(found)
    assert "\n" not in str(found)
    assert len(str(found)) < SHOWN + 300


@given(st.integers(0, 100_000), st.integers(-(10**8), 10**8))
def test_a_date_is_measured_by_the_clock_of_who_sent_it(seconds, skew):
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=skew)
    then = now + timedelta(seconds=seconds)
    headers = {
        "date": format_datetime(now, usegmt=True),
        "retry-after": format_datetime(then, usegmt=True),
    }
    assert retry_after(headers) == seconds


def test_a_date_that_has_gone_by_asks_for_no_wait():
    headers = {
        "date": "Mon, 02 Nov 2026 10:00:00 GMT",
        "retry-after": "Mon, 02 Nov 2026 09:00:00 GMT",
    }
    assert retry_after(headers) == 0


def test_the_delay_that_google_writes_into_the_body_counts():
    body = {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota, check your plan and billing details.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "google.rpc.RetryInfo", "retryDelay": "34.5s"}],
        }
    }
    found = from_response(TOLD, 429, {}, json.dumps([body]))
    assert (found.retry, found.rate_limited, found.retry_after, found.fatal) == (
        True,
        True,
        34.5,
        False,
    )
    assert "check your plan" in str(found)


@pytest.mark.parametrize(
    ("message", "fatal"),
    [
        ("tiny is not a valid model ID", True),
        ("Model tiny does not exist", True),
        ("The word 'tiny' may not stand here", False),
        ("field x not found", False),
    ],
)
def test_a_bad_request_ends_all_only_where_it_names_the_model(message, fatal):
    body = json.dumps({"error": {"message": message}})
    assert from_response(TOLD, 400, {}, body).fatal == fatal


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"detail": [{"loc": ["body"], "msg": "too long"}]}, "too long"),
        ({"error": "overloaded", "error_type": "x"}, "overloaded"),
        ({"object": "error", "message": "no such field"}, "no such field"),
        ({"error": {"message": "a" * 900}}, "aaa…"),
    ],
)
def test_the_words_of_many_servers_are_found(body, says):
    assert says in str(from_response(TOLD, 422, {}, json.dumps(body)))


def test_a_broken_call_is_told_in_one_line():
    assert str(broken("first\n  second")) == "first second"
