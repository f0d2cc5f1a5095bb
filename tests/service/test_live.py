"""A live service against real servers on loopback: nothing paid twice, nothing lost."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.faulty import FAULTS, INPUT_TOKENS, OUTPUT_TOKENS, TORN, Fault, Faulty, Seen, each
from support.live_service import PRICE, config, request, rows, service

from llamaduo.base.errors import BudgetReached, ConfigError, LabError, ServiceError
from llamaduo.records import Bill, Price
from llamaduo.service import Completion, Failure, Form, Request, ServiceContext, call_results, pace
from llamaduo.service.ledger import opened
from llamaduo.service.live import LiveService
from llamaduo.testing.service import ServiceContract

TESTS = Path(__file__).parent.parent
# What a call of `Faulty` costs: 11 tokens read (3 of them at no other price), 7 written.
USD = (INPUT_TOKENS * 1000 + OUTPUT_TOKENS * 10000) / Decimal(1_000_000)


def collect(live: LiveService, requests: list[Request], got: list[Completion | Failure]) -> None:
    """What comes before an error is in `got` as well."""
    for outcome in live.complete(requests):
        got.append(outcome)


def asked(server: Faulty) -> Counter[str]:
    return Counter(seen.text for seen in server.seen)


@pytest.fixture
def server() -> Iterator[Faulty]:
    with Faulty() as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(call_results, "BACKOFF", 0.02)
    monkeypatch.setattr(pace, "WAIT", 0.05)


class TestContract(ServiceContract):
    @pytest.fixture
    def service(self, server, tmp_path):
        return service(server.url, tmp_path)

    @pytest.fixture
    def requests(self):
        return rows(3)


class TestContractWithoutLedger(TestContract):
    @pytest.fixture
    def service(self, server, tmp_path):
        return service(server.url, tmp_path, ledger=False)


def test_answers_and_what_they_cost(server, tmp_path):
    outcomes = {o.request_id: o for o in service(server.url, tmp_path).complete(rows(50))}
    assert {name: o.text for name, o in outcomes.items()} == {r.id: r.id.upper() for r in rows(50)}
    whole = Bill.total(o.bill for o in outcomes.values())
    assert (whole.calls, whole.kept_calls, whole.estimated_calls) == (50, 0, 0)
    assert whole.usd == 50 * USD
    assert whole.input_tokens == 50 * INPUT_TOKENS


class TestNothingIsPaidTwice:
    def test_across_runs(self, server, tmp_path):
        first = list(service(server.url, tmp_path).complete(rows(30)))
        again = service(server.url, tmp_path)
        second = list(again.complete(rows(40)))
        assert set(asked(server).values()) == {1}
        assert len(asked(server)) == 40
        old = {o.request_id: o for o in first}
        kept = [o for o in second if o.bill.kept_calls]
        assert len(kept) == 30
        assert all(o.text == old[o.request_id].text for o in kept)
        assert Bill.total(o.bill for o in second).kept_usd == 30 * USD
        assert (again.counts.kept, again.counts.sent) == (30, 10)

    @pytest.mark.parametrize("ledger", [True, False])
    def test_identical_requests_share_a_call(self, server, tmp_path, ledger):
        same = [request("a", id=str(i)) for i in range(5)] + [request("b", sample=1)]
        outcomes = list(service(server.url, tmp_path, ledger=ledger).complete(same))
        assert sorted(o.request_id for o in outcomes) == ["0", "1", "2", "3", "4", "b"]
        assert asked(server) == {"a": 1, "b": 1}
        assert Bill.total(o.bill for o in outcomes).paid().usd == 2 * USD

    def test_what_differs_is_asked(self, server, tmp_path):
        form = Form(name="form", json_schema={"type": "object"})
        several = [
            request("a", id="1"),
            request("a", id="2", sample=1),
            request("a", id="3", max_tokens=21),
            request("a", id="4", form=form),
        ]
        list(service(server.url, tmp_path).complete(several))
        list(service(server.url, tmp_path, temperature=0.5).complete(several[:1]))
        list(service(server.url, tmp_path, model="other").complete(several[:1]))
        assert len(server.seen) == 6

    def test_speed_is_no_reason_to_ask_again(self, server, tmp_path):
        list(service(server.url, tmp_path).complete(rows(3)))
        slow = service(server.url, tmp_path, concurrency=1, attempts=9, requests_per_second=5)
        list(slow.complete(rows(3)))
        assert len(server.seen) == 3

    def test_a_paid_refusal_is_kept_and_an_unpaid_failure_is_asked_again(self, server, tmp_path):
        server.script = lambda seen: "refusal" if seen.text == "r" else "bad request"
        for _ in range(2):
            live = service(server.url, tmp_path)
            failed = {o.request_id: o for o in live.complete([request("r"), request("b")])}
            assert all(isinstance(o, Failure) and o.final for o in failed.values())
            assert failed["r"].bill.usd == USD
            assert failed["b"].bill == Bill()
        assert asked(server) == {"r": 1, "b": 2}
        assert failed["r"].bill.kept_calls == 1

    def test_answers_are_on_the_disk_before_they_are_yielded(self, server, tmp_path):
        outcomes = service(server.url, tmp_path).complete(rows(20))
        for number, outcome in enumerate(outcomes):
            if number == 5:
                break
            with opened(tmp_path) as (ledger, _):
                kept = ledger.look_up([row["key"] for row in _answers(tmp_path)])
            assert outcome.text in {answer.text for answer in kept.values()}
        outcomes.close()  # type: ignore[attr-defined]

    def test_closed_early_it_keeps_what_came_in_and_lets_go(self, server, tmp_path):
        server.script = lambda seen: FAULTS["ok"] if seen.text < "row 3" else Fault(wait=20)
        live = service(server.url, tmp_path)
        outcomes = live.complete(rows(8))
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
        assert live.counts.expired + len(_answers(tmp_path)) == live.counts.sent
        with opened(tmp_path) as (ledger, _), ledger.transaction() as transaction:
            assert transaction.in_flight(live._policy.service) == {}
            assert transaction.purse("p").reserved == 0
        server.script = lambda seen: "ok"
        assert len(list(service(server.url, tmp_path).complete(rows(8)))) == 8


def _answers(home: Path) -> list[dict[str, Any]]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(home / "ledger.db")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM answers")]


# How a row ends that always meets the fault, and how often it is asked in three attempts.
RETRIED = {"429", "408", "409", "425", "500", "502", "529", "reset", "half a body"}
RETRIED |= {"invalid json", "error in a 200", "hang", "429 after ms", "429 nonsense"}
STOPS = {"429 quota", "wrong model", "wrong path", "expired key", "forbidden", "no money"}
STOPS |= {"low balance", "moved"}
ANSWERED = {"ok", "length", "10 MB", "unicode", "torn unicode", "no usage"}
FINAL = {"refusal", "content filter", "filtered prompt", "flagged", "bad request", "too long"}
FINAL |= {"speaks of rate limits", "unprocessable"}


class TestFaults:
    @pytest.mark.parametrize("fault", sorted(RETRIED))
    def test_what_may_succeed_is_tried_again(self, server, tmp_path, fault):
        def script(seen: Seen) -> Fault | str:
            if seen.text != "odd":
                return "ok"
            if fault == "429 after ms":
                return each(Fault(429, FAULTS["429"].body, {"Retry-After": "0.05"}), "ok")(seen)
            return each(fault, fault, "ok")(seen)

        server.script = script
        live = service(server.url, tmp_path, timeout=0.5 if fault == "hang" else 30.0)
        outcomes = {o.request_id: o for o in live.complete([request("odd"), *rows(5)])}
        assert len(outcomes) == 6
        assert all(isinstance(o, Completion) for o in outcomes.values())
        assert asked(server)["odd"] in (2, 3)

    @pytest.mark.parametrize("fault", ["500", "reset", "invalid json"])
    def test_what_never_succeeds_is_given_up(self, server, tmp_path, fault):
        server.script = lambda seen: fault if seen.text == "odd" else "ok"
        live = service(server.url, tmp_path, attempts=3)
        outcomes = {o.request_id: o for o in live.complete([request("odd"), *rows(5)])}
        odd = outcomes.pop("odd")
        assert isinstance(odd, Failure)
        assert not odd.final
        assert "asked 3 times" in odd.cause
        assert asked(server)["odd"] == 3
        assert all(isinstance(o, Completion) for o in outcomes.values())
        assert live.counts.failures == 1

    @pytest.mark.parametrize("fault", sorted(FINAL))
    def test_what_cannot_succeed_is_asked_once(self, server, tmp_path, fault):
        server.script = lambda seen: fault if seen.text == "odd" else "ok"
        outcomes = {
            o.request_id: o
            for o in service(server.url, tmp_path).complete([request("odd"), *rows(5)])
        }
        odd = outcomes.pop("odd")
        assert isinstance(odd, Failure)
        assert odd.final
        assert asked(server)["odd"] == 1
        assert len(outcomes) == 5
        assert all(isinstance(o, Completion) for o in outcomes.values())

    @pytest.mark.parametrize("fault", sorted(STOPS))
    def test_what_no_call_can_succeed_with_stops_all(self, server, tmp_path, fault):
        server.script = lambda seen: Fault(wait=0.2) if seen.text == "slow" else fault
        live = service(server.url, tmp_path, concurrency=2)
        got = []
        with pytest.raises(ServiceError, match="service=loopback"):
            collect(live, [request("slow"), *rows(500)], got)
        # What was under way is there, and nothing more was sent.
        assert [o.request_id for o in got] == ["slow"]
        assert isinstance(got[0], Completion)
        assert len(server.seen) <= 4

    @pytest.mark.parametrize("fault", sorted(ANSWERED))
    def test_odd_answers_are_answers(self, server, tmp_path, fault):
        server.script = lambda seen: fault
        (outcome,) = service(server.url, tmp_path).complete([request("odd")])
        (kept,) = service(server.url, tmp_path).complete([request("odd")])
        assert isinstance(outcome, Completion)
        assert outcome.text == kept.text
        outcome.text.encode()
        assert outcome.finish == ("length" if fault == "length" else "stop")
        assert outcome.bill.estimated_calls == (fault == "no usage")
        assert outcome.bill.output_tokens > 0
        assert len(server.seen) == 1

    def test_a_torn_character_in_a_cause(self, server, tmp_path):
        server.script = lambda seen: Fault(400, lambda s: {"error": {"message": TORN}})
        (outcome,) = service(server.url, tmp_path).complete([request("odd")])
        assert isinstance(outcome, Failure)
        outcome.cause.encode()

    def test_no_row_is_lost_where_everything_happens(self, server, tmp_path):
        kinds = ["ok", "500", "reset", "half a body", "429", "invalid json", "502", "empty choices"]

        def script(seen: Seen) -> Fault | str:
            kind = kinds[sum(seen.text.encode()) % len(kinds)]
            return each(kind, "ok")(seen)

        server.script = script
        live = service(server.url, tmp_path, attempts=6)
        outcomes = list(live.complete(rows(100)))
        assert sorted(o.request_id for o in outcomes) == sorted(r.id for r in rows(100))
        assert all(isinstance(o, Completion) for o in outcomes)

    def test_a_failure_holds_no_secret(self, server, tmp_path, monkeypatch):
        monkeypatch.setenv("SOME_API_KEY", "zebra-crossing-7")
        server.script = lambda seen: Fault(
            400, lambda s: {"error": {"message": "the key zebra-crossing-7 is odd"}}
        )
        (outcome,) = service(server.url, tmp_path).complete([request("odd")])
        assert isinstance(outcome, Failure)
        assert "zebra" not in outcome.cause
        assert b"zebra" not in (tmp_path / "ledger.db").read_bytes()


class Limited:
    """A script that accepts so many calls in a second, and as many saved up."""

    def __init__(self, rate: float, after: str | None = "1") -> None:
        self.rate, self.level, self.at, self.refused = rate, rate, 0.0, 0
        self.headers = {} if after is None else {"Retry-After": after}

    def __call__(self, seen: Seen) -> Fault:
        now = seen.time
        self.level = min(self.rate, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            self.refused += 1
            return Fault(429, FAULTS["429"].body, self.headers)
        self.level -= 1
        return Fault(wait=0.05)


class TestLimits:
    def test_a_known_limit_is_never_exceeded(self, server, tmp_path):
        server.script = limited = Limited(40)
        live = service(server.url, tmp_path, concurrency=64, requests_per_second=40)
        assert len(list(live.complete(rows(120)))) == 120
        assert limited.refused == live.counts.limited == 0

    def test_an_unknown_limit_is_found(self, server, tmp_path):
        server.script = limited = Limited(60)
        live = service(server.url, tmp_path, concurrency=64)
        outcomes = list(live.complete(rows(300)))
        assert all(isinstance(o, Completion) for o in outcomes)
        assert len(outcomes) == 300
        assert limited.refused == live.counts.limited
        assert limited.refused <= 64

    def test_no_more_at_once_than_may_be(self, server, tmp_path):
        running = most = 0

        def script(seen: Seen) -> Fault:
            nonlocal running, most
            running += 1
            most = max(most, running)

            def body(_: Seen) -> Any:
                nonlocal running
                running -= 1
                return FAULTS["ok"].body(seen)

            return Fault(wait=0.02, body=body)

        server.script = script
        list(service(server.url, tmp_path, concurrency=3).complete(rows(60)))
        assert most == 3

    def test_a_service_in_trouble_is_not_asked_ever_more(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(call_results, "BACKOFF", 1.0)
        server.script = lambda seen: "500"
        outcomes = service(server.url, tmp_path, concurrency=4, attempts=2).complete(rows(40))
        began = time.monotonic()
        next(outcomes)
        assert len([s for s in server.seen if s.time < began + 0.4]) <= 8
        outcomes.close()  # type: ignore[attr-defined]


class TestThePurse:
    def worst(self, live: LiveService) -> Decimal:
        (call,) = live._calls([request("row 00")])
        return call.worst

    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(cap=st.decimals("0", "6", places=3), count=st.integers(1, 40))
    def test_the_cap_is_never_exceeded(self, server, tmp_path, cap, count):
        server.seen.clear()
        home = tmp_path / f"{cap}-{count}-{time.monotonic_ns()}"
        live = service(server.url, home, cap=str(cap))
        got = []
        said = ""
        try:
            collect(live, rows(count), got)
        except BudgetReached as error:
            said = str(error)
        reached = bool(said)
        assert not reached or ("'p'" in said and "raise budget.usd" in said)
        assert len(got) == len(server.seen)
        spent = len(server.seen) * USD
        assert spent <= cap
        worst = self.worst(live)
        assert reached == (len(got) < count)
        # It stops only where the next call might have been one too many.
        assert not reached or spent + worst > cap
        with opened(home) as (ledger, _), ledger.transaction() as transaction:
            assert transaction.purse("p").spent == spent
            assert transaction.purse("p").reserved == 0

    def test_what_was_kept_is_to_be_had_without_money(self, server, tmp_path):
        list(service(server.url, tmp_path).complete(rows(5)))
        live = service(server.url, tmp_path, cap="0")
        assert len(list(live.complete(rows(5)))) == 5
        outcomes = []
        with pytest.raises(BudgetReached):
            outcomes.extend(live.complete(rows(6)))
        assert len(server.seen) == 5

    def test_another_purse_has_its_own_cap(self, server, tmp_path):
        with pytest.raises(BudgetReached):
            list(service(server.url, tmp_path, cap="0.5").complete(rows(50)))
        before = len(server.seen)
        with pytest.raises(BudgetReached):
            list(service(server.url, tmp_path, cap="0.5", purse="q").complete(rows(50)))
        assert len(server.seen) > before

    def test_it_holds_without_the_ledger_and_across_runs(self, server, tmp_path):
        for _ in range(2):
            with pytest.raises(BudgetReached):
                list(service(server.url, tmp_path, cap="1", ledger=False).complete(rows(50)))
        assert len(server.seen) * USD <= 1

    def test_a_nominal_price_costs_nothing(self, server, tmp_path):
        price = PRICE | {"simulated": True}
        live = service(server.url, tmp_path, cap="0", price=price)
        whole = Bill.total(o.bill for o in live.complete(rows(5)))
        assert (whole.usd, whole.simulated_usd) == (0, 5 * USD)

    def test_a_cap_wants_a_price(self, server, tmp_path):
        live = LiveService(
            config(server.url), ServiceContext(tmp_path, {}, "p", Decimal(1)), pytest.fail, None
        )
        with pytest.raises(ConfigError, match=r"service\.price"):
            list(live.complete(rows(1)))
        assert not server.seen

    @pytest.mark.parametrize("fault", ["half a body", "reset", "hang"])
    def test_a_call_that_may_have_been_charged_for_is_taken_for_paid(self, server, tmp_path, fault):
        server.script = lambda seen: each(fault, "ok")(seen)
        live = service(server.url, tmp_path, cap="9", timeout=3.0)
        (outcome,) = live.complete([request("r")])
        assert outcome.bill.usd == USD, "what is known to have been paid"
        with opened(tmp_path) as (ledger, _), ledger.transaction() as transaction:
            assert transaction.purse("p").spent == USD + live._calls([request("r")])[0].worst

    def test_a_service_that_is_not_there_costs_nothing(self, server, tmp_path):
        live = service("http://127.0.0.1:9", tmp_path, cap="9")
        (outcome,) = live.complete([request("r")])
        assert "onnect" in outcome.cause
        with opened(tmp_path) as (ledger, _), ledger.transaction() as transaction:
            assert transaction.purse("p").spent == 0

    def test_paid_attempts_that_failed_are_counted(self, server, tmp_path):
        server.script = lambda seen: each("refusal")(seen)
        (outcome,) = service(server.url, tmp_path).complete([request("r")])
        assert outcome.bill.usd == USD
        with opened(tmp_path) as (ledger, _), ledger.transaction() as transaction:
            assert transaction.purse("p").spent == USD


def test_a_ledger_that_cannot_be_written_to_is_one_message(server, tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"nothing that sqlite knows" * 99)
    with pytest.raises(LabError, match="damaged"):
        list(service(server.url, tmp_path).complete(rows(2)))
    assert not server.seen


def test_the_identity_holds_no_password(server, tmp_path):
    url = server.url.replace("//", "//someone:zebra7@")
    with pytest.raises(ValueError, match="a secret in api_base"):
        config(url)
    live = service(server.url, tmp_path, price={**PRICE, "input_usd": "3"})
    assert live.price == Price(**{**PRICE, "input_usd": Decimal(3)})
    assert "price" not in live.identity
    assert not live.replays


# Processes of their own

CLIENT = """
import json, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
sys.path.insert(0, {tests!r})
from support.live_service import rows, service
from llamaduo.base.errors import BudgetReached
url, home, count, name, told = sys.argv[1:]
live = service(url, Path(home), **json.loads(told))
try:
    for outcome in live.complete(rows(int(count), name)):
        print(outcome.model_dump_json(), flush=True)
except BudgetReached:
    pass
print(json.dumps(vars(live.counts)), file=sys.stderr, flush=True)
"""


@dataclass
class Process:
    """A client of its own; what it yields goes to a file, so that it waits for no reader."""

    process: subprocess.Popen
    out: Path

    def kill(self, number: int = signal.SIGKILL) -> str:
        """End it, and give what it said on its standard error."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=60)[1]

    def yielded(self) -> list[dict[str, Any]]:
        """Its outcomes so far, without one that was being written."""
        lines = self.out.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def ended(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Wait for its end; gives the outcomes, and the counts."""
        _, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        return self.yielded(), json.loads(err.splitlines()[-1])


@pytest.fixture
def start(server, tmp_path) -> Iterator[Callable[..., Process]]:
    """Starts clients that ask for `count` rows; none outlives the test."""
    running: list[Process] = []

    def begin(count: int, name: str = "row", **told: Any) -> Process:
        script = CLIENT.format(tests=str(TESTS))
        args = [server.url, str(tmp_path), str(count), name, json.dumps(told)]
        out = tmp_path / f"out{len(running)}"
        with out.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", script, *args],
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
            )
        running.append(Process(process, out))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.kill()


def until(server: Faulty, count: int) -> None:
    """Wait for so many calls."""
    deadline = time.monotonic() + 60
    while len(server.seen) < count and time.monotonic() < deadline:
        time.sleep(0.002)
    assert len(server.seen) >= count


def test_two_processes_keep_one_limit(server, start, tmp_path):
    server.script = limited = Limited(50)
    told = {"concurrency": 64, "requests_per_second": 50}
    both = [start(100, name, **told) for name in "ab"]
    assert all(len(process.ended()[0]) == 100 for process in both)
    assert limited.refused == 0


def test_two_processes_ask_for_the_same_only_once(server, start, tmp_path):
    server.script = lambda seen: Fault(wait=0.05)
    both = [start(150) for _ in range(2)]
    for process in both:
        assert len(process.ended()[0]) == 150
    assert set(asked(server).values()) == {1}


def test_two_processes_share_the_places_evenly(server, start, tmp_path):
    server.script = lambda seen: Fault(wait=0.05)
    first = start(4000, "a", concurrency=8)
    until(server, 20)
    second = start(80, "b", concurrency=8)
    assert len(second.ended()[0]) == 80
    assert first.process.poll() is None
    times = [seen.time for seen in server.seen if seen.text.startswith("b")]
    rivals = [s for s in server.seen if s.text.startswith("a") and times[0] < s.time < times[-1]]
    assert len(rivals) <= 3 * 80


def test_two_processes_spend_from_one_purse(server, start, tmp_path):
    server.script = lambda seen: Fault(wait=0.02)
    both = [start(200, name, cap="3") for name in "ab"]
    got = sum(len(process.ended()[0]) for process in both)
    assert got == len(server.seen)
    assert got * USD <= 3
    assert (got + 2) * USD + Decimal("0.5") > 3


@pytest.mark.parametrize("seed", range(4))
def test_after_a_kill_no_more_is_paid_again_than_was_under_way(server, start, tmp_path, seed):
    server.script = lambda seen: Fault(wait=0.03)
    process = start(300, concurrency=16)
    until(server, 40 + 50 * seed)
    process.kill()
    live = service(server.url, tmp_path, concurrency=16)
    outcomes = list(live.complete(rows(300)))
    assert sorted(o.request_id for o in outcomes) == sorted(r.id for r in rows(300))
    twice = sum(count - 1 for count in asked(server).values())
    assert twice <= live.counts.expired <= 16
    assert len(server.seen) == 300 + twice
    # What had been yielded was on the disk.
    yielded = {row["request_id"] for row in process.yielded()}
    kept = {o.request_id for o in outcomes if o.bill.kept_calls}
    assert yielded <= kept
    with opened(tmp_path) as (ledger, _), ledger.transaction() as transaction:
        purse = transaction.purse("p")
        assert purse.reserved == 0
        assert purse.spent >= 300 * USD


def test_the_next_start_says_once_what_was_lost(server, start, tmp_path, capsys):
    server.script = lambda seen: "hang"
    process = start(3)
    until(server, 3)
    process.kill()
    server.script = lambda seen: "ok"
    list(service(server.url, tmp_path).complete(rows(3)))
    assert "3 calls were in flight when a run died" in capsys.readouterr().out
    list(service(server.url, tmp_path).complete(rows(4)))
    assert "in flight" not in capsys.readouterr().out


def test_a_request_of_a_process_that_died_is_not_waited_for(server, start, tmp_path):
    """The other process dies while this one waits for its answer."""
    server.script = lambda seen: each("hang", "ok")(seen)
    process = start(1)
    until(server, 1)
    waiting = start(1)
    time.sleep(2.0)
    assert len(server.seen) == 1
    process.kill()
    assert len(waiting.ended()[0]) == 1
    assert asked(server) == {"row 0": 2}


def test_ctrl_c_keeps_what_came_in_and_frees_the_rest(server, start, tmp_path):
    server.script = lambda seen: Fault(wait=0.05)
    process = start(500, concurrency=8)
    until(server, 40)
    err = process.kill(signal.SIGINT)
    assert "KeyboardInterrupt" in err
    assert "never retrieved" not in err
    assert "Unclosed" not in err
    live = service(server.url, tmp_path)
    assert len(list(live.complete(rows(500)))) == 500
    assert live.counts.expired == 0
    assert sum(count - 1 for count in asked(server).values()) <= 8
