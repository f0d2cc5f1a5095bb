"""A live service against a server that fails in every way: no row lost, and no call made in vain.

The whole way of a call is real: ledger, pace, transport and HTTP.
"""

import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.calls import KINDS, VARIABLE, config, request, serving
from support.fails import BY_LITELLM, OUTCOMES, Fails
from support.faulty import FAULTS, KEY, Fault, Faulty, Seen, each, fails

from llamaduo.base.errors import ServiceError
from llamaduo.config import ApiServiceConfig
from llamaduo.records import Price
from llamaduo.service import Completion, Failure, Request, ServiceContext
from llamaduo.service.live import LiveService

PRICE = Price(input_usd=Decimal(1), output_usd=Decimal(2), simulated=False)
ATTEMPTS = 2
FATAL = sorted(name for name, means in OUTCOMES.items() if isinstance(means, Fails) and means.fatal)


@pytest.fixture(scope="module")
def server() -> Iterator[Faulty]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.chdir(tmp_path)


def live(kind: str, url: str, home: Path, **changes: Any) -> LiveService:
    told = config(kind, url, patience=3.0, price=PRICE, **changes)
    runtime = told.runtime.model_copy(update={"attempts": ATTEMPTS, "ledger": True})
    told = ApiServiceConfig.model_validate(told.model_dump() | {"runtime": runtime.model_dump()})
    return LiveService.of(
        told, ServiceContext(home=home, prices={}, purse="test", cap=Decimal(100))
    )


def rows(*texts: str) -> list[Request]:
    return [request(text).model_copy(update={"id": text}) for text in texts]


def outcomes_of(
    service: LiveService, requests: Sequence[Request]
) -> dict[str, Completion | Failure]:
    """The outcome of each row, of which there is just one."""
    found = list(service.complete(requests))
    assert len({one.request_id for one in found}) == len(found)
    return {one.request_id: one for one in found}


def meant(kind: str, fault: str) -> Any:
    return BY_LITELLM.get(fault, OUTCOMES[fault]) if kind == "litellm" else OUTCOMES[fault]


def bearable(kind: str, *, limited: bool) -> list[str]:
    """The faults after which other calls may succeed, by whether they slow those down."""
    means = {name: meant(kind, name) for name in FAULTS}
    return [
        name
        for name, one in means.items()
        if not isinstance(one, Fails) or (not one.fatal and one.rate_limited == limited)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_has_its_outcome_and_only_calls_that_may_succeed_are_repeated(
    kind: str, server: Faulty, tmp_path: Path
) -> None:
    """Every fault at once, each on a row of its own that would be answered when asked again."""
    faults = {f"{kind} row of {name}": name for name in bearable(kind, limited=False)}

    def script(seen: Seen) -> str:
        return faults[seen.text] if seen.before == 0 else "ok"

    server.script = script
    service = live(kind, server.url, tmp_path)
    found = outcomes_of(service, rows(*faults))
    assert found.keys() == faults.keys()
    for text, name in faults.items():
        one, means = found[text], meant(kind, name)
        if not isinstance(means, Fails):
            assert isinstance(one, Completion), name
            assert server.count(text) == 1, name
            continue
        assert server.count(text) == (2 if means.retry else 1), name
        if means.retry:
            assert isinstance(one, Completion), (name, one)
            assert one.text == text.upper()
            assert one.bill.usd is not None
            assert one.bill.usd > 0
        else:
            assert isinstance(one, Failure), name
            assert one.final
            assert means.says in one.cause
            assert (one.bill.calls > 0) == means.paid, name
    before = {text: server.count(text) for text in faults}
    again = outcomes_of(live(kind, server.url, tmp_path), rows(*faults))
    answered = [text for text, one in found.items() if isinstance(one, Completion)]
    assert all(isinstance(again[text], Completion) for text in answered)
    assert {text: server.count(text) for text in answered} == {t: before[t] for t in answered}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["429", "429 after ms", "429 skewed date", "503", "529"])
def test_a_row_that_was_too_much_is_asked_again_when_the_service_said(
    kind: str, fault: str, server: Faulty, tmp_path: Path
) -> None:
    server.script = each(fault, "ok")
    text = f"{kind} too much {fault}"
    (found,) = outcomes_of(live(kind, server.url, tmp_path), rows(text)).values()
    assert isinstance(found, Completion)
    assert found.bill.calls == 1
    first, second = (seen.time for seen in server.seen if seen.text == text)
    means = meant(kind, fault)
    assert second - first >= (means.retry_after or 0)
    assert server.count(text) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FATAL)
def test_what_no_call_can_get_past_ends_the_work_with_its_cause(
    kind: str, fault: str, server: Faulty, tmp_path: Path
) -> None:
    if not meant(kind, fault).fatal:
        pytest.skip("litellm goes on from here")
    server.script = lambda seen: fault
    texts = [f"{kind} {fault} {number}" for number in range(12)]
    with pytest.raises(ServiceError, match="service=loopback") as told:
        list(live(kind, server.url, tmp_path).complete(rows(*texts)))
    assert meant(kind, fault).says in str(told.value)
    assert KEY not in str(told.value)
    asked = [server.count(text) for text in texts]
    assert max(asked) == 1
    assert sum(asked) <= 4, "more than were under way at once"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["500", "reset", "invalid json", "empty choices"])
def test_a_row_that_fails_each_time_is_given_up_and_the_others_are_not(
    kind: str, fault: str, server: Faulty, tmp_path: Path
) -> None:
    bad = f"{kind} always {fault}"
    server.script = lambda seen: fault if seen.text == bad else "ok"
    texts = [f"{kind} {fault} beside {number}" for number in range(6)]
    found = outcomes_of(live(kind, server.url, tmp_path), rows(*texts[:3], bad, *texts[3:]))
    assert isinstance(found[bad], Failure)
    assert not found[bad].final, "asked another day, it may be answered"
    assert server.count(bad) == ATTEMPTS
    assert all(isinstance(found[text], Completion) for text in texts)
    assert all(server.count(text) == 1 for text in texts)


# litellm drops connections that an hour has gone by for; then it opens new ones.
@pytest.mark.parametrize(
    ("kind", "jump"),
    [("endpoint", -6e5), ("endpoint", 6e5), ("litellm", -6e5), ("litellm", 3e3)],
)
def test_a_clock_that_jumps_delays_nothing_and_loses_nothing(
    kind: str, jump: float, server: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, offset = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset[0])
    asked = each("429 date", "500", "ok")
    texts = [f"{kind} {jump} {number}" for number in range(4)]

    def script(seen: Seen) -> Fault | str:
        offset[0] = jump if seen.before % 2 == 0 else 0.0
        return asked(seen) if seen.text == texts[0] else "ok"

    server.script = script
    service = live(kind, server.url, tmp_path)
    began = time.monotonic()
    found = outcomes_of(service, rows(*texts[1:]))
    assert all(isinstance(one, Completion) for one in found.values())
    found = outcomes_of(live(kind, server.url, tmp_path), rows(*texts))
    assert isinstance(found[texts[0]], Failure), "two attempts, both refused"
    assert all(isinstance(found[text], Completion) for text in texts[1:])
    assert time.monotonic() - began < 60
    assert all(server.count(text) == 1 for text in texts[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_service_says_of_a_key_is_told_without_it(
    kind: str, server: Faulty, tmp_path: Path
) -> None:
    echo = fails(f"The request with 'Authorization: Bearer {KEY}' was not understood")
    server.script = lambda seen: Fault(400, echo)
    (found,) = outcomes_of(live(kind, server.url, tmp_path), rows(f"{kind} echo")).values()
    assert isinstance(found, Failure)
    assert "was not understood" in found.cause
    assert KEY not in found.cause
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not any(KEY.encode() in content for content in kept)
