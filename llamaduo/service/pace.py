"""How fast a service may be asked: by the limits that are known, and by one that has to be found.

Pure: the clock is handed in, in seconds that never go back, and the state is a line of JSON that
processes on one machine hand on to one another.

A known limit is kept by spacing calls evenly a little below it. One that is not known is found.
Calls grow more frequent until the service refuses one; it is then left alone for as long as it
asks, and after that called as often as it had demonstrably accepted calls, that wait included. From
there the rate climbs, slowly at first and then faster, until the next refusal.
"""

import json
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from llamaduo.config import Limits

MARGIN = 0.02  # below a known limit, for what is delayed on the way and arrives closer together
CARRY = 0.015  # seconds' worth of calls that a late turn may make up for at most

START = 100.0  # calls a second with which an unknown limit is first tried
DOUBLES = 0.2  # seconds in which that doubles
SHOWS = 1.0  # seconds over which calls that are accepted show a rate, before any is refused
SLOWEST = 0.01
MOST = 1e5  # calls a second; more are not told from no limit
AT_RISK = 1 / 32  # of the calls still to be made may be under way before any rate has been tried

FIRST_CLIMB = (0.01, 10.0)  # share by which the rate grows in a second, and when that has doubled
CLIMB = (0.0005, 30.0)  # the same once the rate at which the service refuses is known
STEADY = 5.0  # seconds at one rate that show it to be the service's, not what it had saved up
SOON = 1.0  # seconds for the same of calls that a known limit spaces
BELOW = 0.95  # of that rate is what calls go on with
FEW = 0.15  # refusals for each call accepted
STRAY = 0.4  # share of refusals among recent calls up to which they are taken to come by chance
RECENT = 0.96  # weight of all calls before in that share, for each call
RUN = 5.0  # calls for each wait that a service with stray refusals is still asked
RARE = 100  # calls accepted for each refusal

WAIT = 1.0  # seconds to leave a service alone that does not say how long; doubles each time
LONGEST_WAIT = 60.0
FORGOTTEN = 600.0  # seconds without a call after which a rate has to be found anew
ACTIVE = 2.0  # seconds for which a process counts as one of those that share a service
FADES = 0.99  # share of the largest call that is still reckoned with after another one


@dataclass(frozen=True)
class Size:
    """What is known of a call before it is made: bytes to read, and the most tokens to write."""

    read: int
    write: int


@dataclass(frozen=True)
class Tokens:
    """The tokens of a call, as estimated or as counted."""

    read: float
    write: float


@dataclass
class State:
    """What processes hand on: stamps on the machine's clock, seconds, and counts.

    `levels` is, for each known limit, what may be used (below 0: what has to be waited for), and
    `largest` the call to reckon with; `level` and `rate` are the same for the limit that is found.
    Of the recent calls, `share` were refused.
    `accepted` calls were answered from `since` on, `this_run` of them since calls `resumed`,
    `lately` of those from `lately_since` on. After a refusal at `cut_at`, calls wait `until` the
    service wants to be asked again, which by its own words is at `due`.
    """

    at: float
    levels: dict[str, float] = field(default_factory=dict)
    rate: float = START
    level: float = 0.0
    bound: bool = False
    refused: bool = False
    found: bool = False
    steady: bool = False
    hits: int = 0
    pending: bool = False
    cut_at: float = 0.0
    due: float = 0.0
    until: float = 0.0
    resumed: float = 0.0
    streak: int = 0
    climbed: float = 0.0
    since: float = 0.0
    accepted: int = 0
    this_run: int = 0
    lately_since: float = 0.0
    lately: float = 0.0
    share: float = 0.0
    largest: dict[str, float] = field(default_factory=dict)
    read_share: float = 0.5
    write_share: float = 1.0
    active: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Limit:
    """A known limit: so much a second, counted by the service over `window` seconds."""

    name: str
    per_second: float
    window: float

    @property
    def carry(self) -> float:
        within = 0.4 * MARGIN * self.per_second * self.window
        return min(within, CARRY * self.per_second)

    def amount(self, tokens: "Tokens") -> float:
        """What a call takes of it."""
        if self.name.startswith("requests"):
            return 1.0
        return tokens.read if self.name.startswith("input") else tokens.write

    def charge(self, amount: float, largest: float) -> float:
        """What is taken off for a call, so that no window ever holds more than the limit.

        Calls of one size, as requests are, fill a window exactly. Of others, the last in a window
        may be the `largest`, for which the rest has to leave room.
        """
        if self.name.startswith("requests"):
            return amount
        part = min(0.5, largest / (self.per_second * self.window))
        return amount * (1 - MARGIN) / (1 - MARGIN - part)


def _known(limits: Limits) -> tuple[_Limit, ...]:
    facts = limits.model_dump()
    spans = {"second": 1.0, "minute": 60.0}
    return tuple(
        _Limit(f"{what}_per_{span}", facts[f"{what}_per_{span}"] / window, window)
        for what in ("requests", "input_tokens", "output_tokens")
        for span, window in spans.items()
        if facts[f"{what}_per_{span}"] is not None
    )


class Pace:
    """When the next call to a service may be made; made anew from its state for each turn.

    `kept` is the `state` of an earlier one, None at first. A state from before a restart of the
    machine, whose clock then begins anew, is taken for one of now.
    """

    def __init__(self, limits: Limits, kept: str | None, now: float, chance: random.Random) -> None:
        self._known = _known(limits)
        self._chance = chance
        self._now = now
        self._is = state = State(now) if kept is None else State(**json.loads(kept))
        if state.at > now:
            state.at = state.cut_at = state.since = state.lately_since = state.resumed = now
            state.until = min(state.until, now)
            state.active = {}
        if kept is None or now - state.at > max(FORGOTTEN, state.until - state.at):
            self._is = State(
                now,
                levels=state.levels,
                largest=state.largest,
                since=now,
                lately_since=now,
                resumed=now,
                read_share=state.read_share,
                write_share=state.write_share,
            )
        self._advance(now - state.at)

    @property
    def state(self) -> str:
        """What the next one goes on from."""
        return json.dumps(vars(self._is), separators=(",", ":"))

    def shared_by(self, process: str, in_flight: Iterable[str]) -> int:
        """Return how many processes use the service now: this one and those in `in_flight`."""
        active = {name: at for name, at in self._is.active.items() if 0 <= self._now - at < ACTIVE}
        self._is.active = active | {process: self._now}
        return len(self._is.active.keys() | set(in_flight))

    def expected(self, size: Size) -> Tokens:
        """The tokens that a call will take, by what calls have taken so far."""
        return Tokens(size.read * self._is.read_share, size.write * self._is.write_share)

    def wait(self, size: Size, *, in_flight: int, ahead: int) -> float:
        """Seconds until the next call, of this size, may be made; 0: now.

        `in_flight` calls are under way, and `ahead` are still to be made or under way.
        """
        state = self._is
        self._make_room(self.expected(size))
        state.bound = False
        if state.until > self._now:
            return state.until - self._now
        waits = [
            -level / (limit.per_second * (1 - MARGIN))
            for limit in self._known
            if (level := state.levels[limit.name]) < 0
        ]
        free = not state.refused and in_flight < ahead * AT_RISK
        if self._finds and not free and state.level < 0:
            state.bound = True
            waits.append(-state.level / state.rate)
        return max(waits, default=0.0)

    def take(self, size: Size) -> Tokens:
        """Count a call as made; gives what it was counted as."""
        tokens, largest = self.expected(size), self._is.largest
        self._make_room(tokens)
        for limit in self._known:
            amount = limit.amount(tokens)
            self._is.levels[limit.name] -= limit.charge(amount, largest[limit.name])
            largest[limit.name] = max(amount, FADES * largest[limit.name])
        self._is.level -= 1
        return tokens

    def accepted(self, sent: float, size: Size, taken: Tokens, counted: Tokens) -> None:
        """The service answered a call that was made at `sent`; `counted` is what it really took."""
        state = self._is
        for limit in self._known:
            more = limit.amount(counted) - limit.amount(taken)
            state.levels[limit.name] -= limit.charge(more, state.largest[limit.name])
        if size.read:
            state.read_share = _learnt(state.read_share, counted.read / size.read)
        state.write_share = _learnt(state.write_share, counted.write / size.write)
        self.passed(sent)

    def passed(self, sent: float) -> None:
        """A call made at `sent` failed, and not because it was too much."""
        state = self._is
        state.accepted += 1
        state.this_run += 1
        state.lately += 1
        state.share *= RECENT
        if not state.refused:
            seen = min(MOST, state.this_run / max(SHOWS, self._now - state.resumed))
            if seen > state.rate:
                # Calls at risk did not wait for the level, and need not be made up for.
                state.rate, state.level = seen, max(state.level, -1.0)
        if sent >= state.cut_at and not state.pending:
            state.streak = 0

    def refused(self, sent: float, after: float | None) -> None:
        """The service said of a call made at `sent` that it is too much, for `after` seconds."""
        state = self._is
        # Calls that were on their way already when the first was refused say nothing new.
        news = not state.pending and (sent > state.cut_at or not state.refused)
        state.hits += 1
        state.share += (1 - RECENT) * (1 - state.share)
        if news:
            state.streak += 1
        if after is None:
            after = min(LONGEST_WAIT, WAIT * 2.0 ** min(state.streak - 1, 10))
        wait = after * self._chance.uniform(1.0, 1.05) + self._chance.uniform(0.0, 0.02)
        state.until = max(state.until, self._now + wait)
        if news:
            state.pending = state.refused = True
            state.cut_at = self._now
            state.due = max(sent, state.resumed) + after

    def _make_room(self, tokens: Tokens) -> None:
        """Have a call that is larger than those before it wait for longer."""
        for limit in self._known:
            amount, largest = limit.amount(tokens), self._is.largest.get(limit.name)
            if largest is None or amount > largest:
                self._is.levels[limit.name] -= amount - (amount if largest is None else largest)
                self._is.largest[limit.name] = amount

    @property
    def _finds(self) -> bool:
        """Whether there is an unknown limit to find, or one that the service has shown."""
        return self._is.refused or not self._known

    def _advance(self, seconds: float) -> None:
        state = self._is
        for limit in self._known:
            level = state.levels.get(limit.name, limit.carry)
            level += seconds * limit.per_second * (1 - MARGIN)
            state.levels[limit.name] = min(level, limit.carry)
        if state.pending and self._now >= state.until:
            self._cut()
        elif not state.pending:
            if state.bound:
                self._climb(seconds)
            state.level += seconds * state.rate
            state.level = min(state.level, max(1.0, 0.02 * state.rate))
            if self._now - state.lately_since > 2 * STEADY:
                state.lately_since = (state.lately_since + self._now) / 2
                state.lately /= 2
        state.at = self._now

    def _climb(self, seconds: float) -> None:
        state = self._is
        if not state.refused:
            state.rate = min(MOST, state.rate * 2 ** (min(seconds, DOUBLES) / DOUBLES))
            return
        seconds = min(seconds, 1.0)
        share, doubled = CLIMB if state.steady else FIRST_CLIMB
        state.climbed += seconds
        grown = share * (1 + (state.climbed / doubled) ** 2) * seconds
        state.rate = min(MOST, state.rate * math.exp(grown))

    def _cut(self) -> None:
        """Set the rate by what was accepted, once all that was under way has come back."""
        state = self._is
        whole = state.accepted / max(state.due - state.since, 0.01) or math.inf
        this = state.this_run / max(state.due - state.resumed, 0.01)
        lately = state.lately / max(state.due - state.lately_since, 0.01)
        # A run cut short may say that the wait before it was too short, not that the rate is low.
        rate = max(this, lately, min(whole, state.rate / 2))
        run = state.cut_at - state.resumed
        # Calls that a known limit has spaced show the same in less time. And few refusals among
        # many spaced calls are no sign of a rate much too high.
        state.steady = run >= (SOON if self._known else STEADY)
        if state.steady or (state.found and state.hits <= FEW * state.this_run):
            rate = max(rate, BELOW * state.lately / max(state.cut_at - state.lately_since, 0.01))
        if state.share < STRAY:
            # Refusals that most calls before and after escape are not for the rate alone, or only
            # a little: slower calls would be refused as often, and take the longer.
            least = RUN / max(state.due - state.cut_at, 0.01)
            if state.found:
                least = max(least, state.rate * (1 - state.share))
            rate = max(rate, min(state.rate, least))
        state.rate = max(SLOWEST, min(rate, MOST))
        state.level = state.climbed = 0.0
        # One refusal by chance does not make a known limit any lower.
        state.refused = not self._known or RARE * state.hits > state.this_run
        state.pending, state.found, state.hits = False, True, 0
        if run >= state.due - state.cut_at:
            state.since, state.accepted = state.resumed, state.this_run
        state.resumed = state.lately_since = self._now
        state.this_run, state.lately = 0, 0.0


def _learnt(share: float, seen: float) -> float:
    """Up at once and down by and by: too little asked for is what a service refuses."""
    return max(seen, share + 0.05 * (seen - share))
