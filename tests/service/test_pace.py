"""The pace, tried on simulated servers with a simulated clock."""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llamaduo.config import Limits
from llamaduo.service.pace import Pace
from llamaduo.service.rate_limits import Size, Tokens

GATHER = 0.004  # seconds from turn to turn, as at the dispatcher
SIZE = Size(400, 100)
Accepts = Callable[[float, Tokens], bool]


def limits(**known: float) -> Limits:
    return Limits(**(dict.fromkeys(Limits.model_fields) | {"concurrency": 64} | known))


def bucket(rate: float, most: float) -> Accepts:
    """A server that saves up what is not used."""
    level, at = most, 0.0

    def accepts(now: float, tokens: Tokens) -> bool:
        nonlocal level, at
        level, at = min(most, level + (now - at) * rate), now
        if level < 1:
            return False
        level -= 1
        return True

    return accepts


def window(most: float, seconds: float, of: Callable[[Tokens], float] = lambda _: 1) -> Accepts:
    """A server that counts what it accepted in the last seconds."""
    held: deque[tuple[float, float]] = deque()

    def accepts(now: float, tokens: Tokens) -> bool:
        while held and held[0][0] <= now - seconds:
            held.popleft()
        if sum(amount for _, amount in held) + of(tokens) > most + 1e-6:
            return False
        held.append((now, of(tokens)))
        return True

    return accepts


def fixed(most: int, seconds: float) -> Accepts:
    """A server that begins to count anew at each full window."""
    current, count = -1, 0

    def accepts(now: float, tokens: Tokens) -> bool:
        nonlocal current, count
        if int(now // seconds) != current:
            current, count = int(now // seconds), 0
        count += 1
        return count <= most

    return accepts


@dataclass
class Client:
    """A process with rows to ask for."""

    rows: int
    landed: list[tuple[float, Tokens, Tokens, bool]] = field(default_factory=list)
    in_flight: int = 0
    next: Tokens | None = None
    turn: float = 0.0
    last: float = 0.0


@dataclass
class World:
    """A server, the processes that ask it, and the time it takes."""

    accepts: Accepts
    known: Limits
    clients: list[Client]
    after: float | None = 1.0
    latency: float = 0.05
    refusal: float = 0.05
    tokens: Callable[[random.Random], Tokens] = lambda chance: Tokens(100, 50)
    size: Callable[[Tokens], Size] = lambda tokens: Size(int(tokens.read * 4), 100)
    seed: int = 0
    start: float = 5000.0
    refused: int = 0
    done: int = 0
    sent: list[float] = field(default_factory=list)
    rests: list[tuple[float, float]] = field(default_factory=list)
    paces: int = 0
    state: str | None = None

    def run(self) -> float:
        """Seconds until all rows are there."""
        self._chance = random.Random(self.seed)
        self._events: list[tuple[float, int, str, Client, tuple]] = []
        self._number = itertools.count()
        self._left = sum(client.rows for client in self.clients)
        for client in self.clients:
            self._add(self.start, "turn", client)
        now = self.start
        while self.done < self._left:
            now, _, kind, client, facts = heapq.heappop(self._events)
            assert now < self.start + 100_000, "stuck"
            getattr(self, "_" + kind)(now, client, *facts)
        return now - self.start

    def _add(self, at: float, kind: str, client: Client, *facts: object) -> None:
        if kind == "turn":
            client.turn = at
        heapq.heappush(self._events, (at, next(self._number), kind, client, facts))

    def _turn(self, now: float, client: Client) -> None:
        if now < client.turn:
            return  # there is a later one
        pace = Pace(self.known, self.state, now, self._chance)
        for sent, tokens, taken, ok in client.landed:
            client.in_flight -= 1
            if ok:
                pace.accepted(sent, self.size(tokens), taken, tokens)
                self.done += 1
            else:
                pace.refused(sent, self.after)
                client.rows += 1
        client.landed.clear()
        wait = 0.0
        while client.rows and client.in_flight < 64 and not wait:
            tokens = client.next = client.next or self.tokens(self._chance)
            unfinished = client.rows + client.in_flight
            wait = pace.wait(self.size(tokens), in_flight=client.in_flight, unfinished=unfinished)
            if not wait:
                taken, client.next = pace.take(self.size(tokens)), None
                client.rows, client.in_flight = client.rows - 1, client.in_flight + 1
                self.sent.append(now)
                arrives = now + self._chance.uniform(0.0005, 0.003)
                self._add(arrives, "arrive", client, now, tokens, taken)
        self.state, client.last, client.turn = pace.state, now, float("inf")
        if wait:
            self._add(now + wait + self._chance.uniform(0, 0.0015), "turn", client)

    def _arrive(
        self, now: float, client: Client, sent: float, tokens: Tokens, taken: Tokens
    ) -> None:
        ok = self.accepts(now, tokens)
        self.refused += not ok
        back = now + (self.latency if ok else self.refusal)
        self._add(back, "back", client, sent, tokens, taken, ok)

    def _back(
        self, now: float, client: Client, sent: float, tokens: Tokens, taken: Tokens, ok: bool
    ) -> None:
        if not ok and self.after is not None:
            self.rests.append((now + GATHER, now + self.after))
        client.landed.append((sent, tokens, taken, ok))
        at = max(now, client.last + GATHER)
        if at < client.turn:
            self._add(at, "turn", client)


SERVERS = {
    "bucket": lambda: bucket(100, 100),
    "window": lambda: window(100, 1),
    "fixed": lambda: fixed(100, 1),
}


class TestAKnownLimit:
    @pytest.mark.parametrize("name", SERVERS)
    @pytest.mark.parametrize("known", [{"requests_per_second": 100}, {"requests_per_minute": 6000}])
    def test_a_thousand_rows_at_100_a_second(self, name, known):
        world = World(SERVERS[name](), limits(**known), [Client(1000)])
        assert world.run() <= 10.5
        assert world.refused == 0

    @settings(max_examples=40, deadline=None)
    @given(
        per_second=st.floats(0.2, 300),
        span=st.sampled_from([("second", 1.0), ("minute", 60.0)]),
        latency=st.floats(0.001, 3),
        seed=st.integers(0, 99),
    )
    def test_a_server_with_just_that_limit_refuses_nothing(self, per_second, span, latency, seed):
        name, seconds = span
        most = max(1, int(per_second * seconds))
        known = limits(**{f"requests_per_{name}": most})
        rows = min(400, 4 * most + 20)
        world = World(window(most, seconds), known, [Client(rows)], latency=latency, seed=seed)
        took = world.run()
        assert world.refused == 0
        ideal = max(rows - 1, 0) * seconds / most
        assert took <= 1.05 * max(ideal, rows / 64 * latency) + latency + 0.1

    @settings(max_examples=40, deadline=None)
    @given(
        kind=st.sampled_from(["input", "output"]),
        span=st.sampled_from([("second", 1.0), ("minute", 60.0)]),
        calls=st.floats(4, 200),
        mean=st.integers(20, 2000),
        seed=st.integers(0, 99),
    )
    def test_tokens_are_limited_as_well(self, kind, span, calls, mean, seed):
        """A server that counts the tokens which the calls turn out to take.

        While it is being learnt what calls take, what is given back of too high an estimate may
        come when the service has counted it already.
        """
        name, seconds = span
        most = calls * mean * 1.5
        known = limits(**{f"{kind}_tokens_per_{name}": most})
        of = (lambda t: t.read) if kind == "input" else (lambda t: t.write)
        world = World(
            window(most, seconds, of),
            known,
            [Client(150)],
            tokens=lambda chance: Tokens(
                mean * chance.uniform(0.5, 1.5), mean * chance.uniform(0.5, 1.5)
            ),
            size=lambda tokens: Size(int(tokens.read * 4), int(mean * 1.5) + 1),
            seed=seed,
        )
        took = world.run()
        assert world.refused <= (2 if name == "second" else 0)
        assert took <= 3 * 150 * mean * seconds / most + 2 * seconds + 1

    def test_processes_share_it(self):
        clients = [Client(300), Client(300), Client(400)]
        world = World(window(100, 1), limits(requests_per_second=100), clients)
        assert world.run() <= 10.6
        assert world.refused == 0

    def test_one_that_is_too_high_is_corrected_by_what_is_refused(self):
        world = World(window(50, 1), limits(requests_per_second=100), [Client(500)])
        assert world.run() <= 15
        assert world.refused <= 25


class TestAnUnknownLimit:
    @pytest.mark.parametrize("name", SERVERS)
    @pytest.mark.parametrize("refusal", [0.001, 0.05])
    @pytest.mark.parametrize("after", [1.0, None])
    def test_a_thousand_rows_at_100_a_second(self, name, refusal, after):
        for seed in range(5):
            world = World(
                SERVERS[name](),
                limits(),
                [Client(1000)],
                refusal=refusal,
                after=after,
                seed=seed,
            )
            assert world.run() <= 12
            assert world.done == 1000
            assert world.refused < 0.05 * len(world.sent)

    @pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
    @pytest.mark.parametrize("known", [{}, {"requests_per_second": 50}])
    @pytest.mark.parametrize("seed", range(4))
    def test_refusals_by_chance_do_not_bring_calls_to_a_stop(self, share, known, seed):
        """A service that is short of room now and then: a refusal costs a few of its waits."""
        chance = random.Random(seed)
        world = World(
            lambda now, tokens: chance.random() > share, limits(**known), [Client(200)], seed=seed
        )
        took = world.run()
        assert world.refused > 0
        assert took <= 30 + 3 * world.refused

    @settings(max_examples=20, deadline=None)
    @given(
        rate=st.integers(2, 500),
        after=st.floats(0.5, 3) | st.none(),
        latency=st.floats(0.01, 1),
        saves=st.floats(0.2, 5),
        seed=st.integers(0, 99),
    )
    @example(rate=2, after=0.5625, latency=1.0, saves=2.0, seed=0)
    def test_any_limit_is_found_and_no_row_is_lost(self, rate, after, latency, saves, seed):
        rows = 12 * rate + 100
        accepts = bucket(rate, max(1.0, rate * saves))
        world = World(accepts, limits(), [Client(rows)], after=after, latency=latency, seed=seed)
        took = world.run()
        assert world.done == rows
        # The longer a refusal takes to come, the more calls have left meanwhile, and not only once.
        assert world.refused <= 64 * (1 + latency) + 0.15 * rows
        ideal = max(rows / rate, rows / 64 * latency)
        assert took <= 2 * ideal + 30

    def test_a_fast_server_is_not_held_back(self):
        world = World(lambda now, tokens: True, limits(), [Client(4000)])
        assert 4000 / world.run() > 1000

    def test_few_rows_do_not_come_all_at_once(self):
        world = World(lambda now, tokens: True, limits(), [Client(64)])
        world.run()
        assert sum(at < world.start + 0.05 for at in world.sent) < 20

    @pytest.mark.parametrize("after", [0.5, 1.0, 7.0])
    def test_it_leaves_a_service_alone_for_as_long_as_it_asks(self, after):
        world = World(window(30, 1), limits(), [Client(200)], after=after)
        world.run()
        assert world.rests
        for begins, ends in world.rests:
            assert not any(begins < sent < ends for sent in world.sent)

    def test_without_a_header_it_waits_ever_longer(self):
        open_at = 5030.0
        world = World(lambda now, tokens: now > open_at, limits(), [Client(100)], after=None)
        assert 30 <= world.run() <= 100
        assert len(world.sent) < 100 + 64

    def test_a_window_that_reopens_later_than_it_said_is_no_reason_to_crawl(self):
        """Refused again straight after the wait, the rate that was once accepted still counts."""
        world = World(fixed(600, 60), limits(), [Client(1800)], after=20.0, start=6000.0)
        assert world.run() <= 240
        assert world.refused <= 90

    def test_the_rate_found_is_there_for_the_next_process(self):
        accepts = window(100, 1)
        first = World(accepts, limits(), [Client(500)])
        ended = first.start + first.run()
        second = World(accepts, limits(), [Client(300)], start=ended + 5, state=first.state)
        assert second.run() <= 4
        assert second.refused == 0


class TestTheClock:
    @settings(max_examples=50, deadline=None)
    @given(now=st.floats(0, 1e6), known=st.booleans(), refused=st.booleans())
    def test_stamps_from_before_a_restart_of_the_machine_hold_nothing_up(self, now, known, refused):
        told = limits(requests_per_second=10) if known else limits()
        chance = random.Random(0)
        before = Pace(told, None, 2e6, chance)
        taken = before.take(SIZE)
        if refused:
            before.refused(2e6, 500.0)
        else:
            before.accepted(2e6, SIZE, taken, Tokens(100, 50))
        pace = Pace(told, before.state, now, chance)
        assert pace.wait(SIZE, in_flight=0, unfinished=1000) <= 1
        later = Pace(told, pace.state, now + 1.1, chance)
        assert later.wait(SIZE, in_flight=0, unfinished=1000) == 0

    def test_a_long_idle_time_is_not_saved_up(self):
        told, chance = limits(requests_per_second=100), random.Random(0)
        pace = Pace(told, Pace(told, None, 0.0, chance).state, 300.0, chance)
        taken = 0
        while not pace.wait(SIZE, in_flight=0, unfinished=1000):
            pace.take(SIZE)
            taken += 1
        assert taken <= 3

    def test_a_rate_found_long_ago_is_found_anew(self):
        told, chance = limits(), random.Random(0)
        pace = Pace(told, None, 0.0, chance)
        pace.refused(0.0, 1.0)
        slow = Pace(told, pace.state, 2.0, chance)
        slow.take(SIZE)
        assert slow.wait(SIZE, in_flight=0, unfinished=10**6) > 0
        assert (
            Pace(told, slow.state, 10_000.0, chance).wait(SIZE, in_flight=0, unfinished=10**6) == 0
        )


def test_processes_that_use_a_service_are_counted_while_they_do():
    told, chance = limits(), random.Random(0)
    pace = Pace(told, None, 0.0, chance)
    assert pace.shared_by("a", []) == 1
    assert pace.shared_by("b", ["a", "c"]) == 3
    assert Pace(told, pace.state, 60.0, chance).shared_by("a", []) == 1


def test_calls_at_risk_leave_no_debt():
    pace, size = Pace(limits(), None, 0.0, random.Random(1)), Size(400, 100)
    for i in range(4000):  # many rows are unfinished, so that none of these has to wait
        now = i / 1000
        pace = Pace(limits(), pace.state, now, random.Random(1))
        assert pace.wait(size, in_flight=40, unfinished=9000) == 0
        pace.accepted(now, size, pace.take(size), Tokens(100, 50))
    assert pace.wait(size, in_flight=40, unfinished=41) < 0.01
