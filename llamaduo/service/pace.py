"""The pace of calls to a service: below the limits that are known, and near one that is searched.

The functions are pure: the clock is an argument, in seconds that never go back, and the state is a
line of JSON that the processes of a machine hand on to one another.

A known limit is kept by spacing calls evenly a little below it. An unknown one is searched: calls
grow more frequent until the service refuses one. Then no call is made for as long as the service
asks. After that, calls go on at the rate at which the service has demonstrably accepted them, that
wait included. From there the rate climbs, slowly at first and then faster, until the next refusal.
"""

import json
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from llamaduo.config import Limits
from llamaduo.service.rate_limits import MARGIN, Size, Tokens, known_limits

START = 100.0  # calls per second with which the search for an unknown limit begins
DOUBLES = 0.2  # seconds in which that doubles
SHOWS = 1.0  # seconds over which accepted calls show a rate, before any is refused
SLOWEST = 0.01
MOST = 1e5  # calls per second; more cannot be told from no limit
AT_RISK = 1 / 32  # of the unfinished calls may be in flight before any rate has been tried

FIRST_CLIMB = (0.01, 10.0)  # growth of the rate per second, and seconds until that doubles
CLIMB = (0.0005, 30.0)  # the same once the rate at which the service refuses calls is known
STEADY = 5.0  # seconds at one rate that show it to be the service's, not saved-up capacity
SOON = 1.0  # the same in seconds for calls that a known limit spaces
BELOW = 0.95  # share of that rate with which calls go on
FEW = 0.15  # refusals for each call accepted
STRAY = 0.4  # share of refusals among recent calls up to which they count as chance
RECENT = 0.96  # weight that the calls before keep in that share with each call
RUN = 5.0  # calls per wait that are still made to a service that refuses by chance
RARE = 100  # accepted calls per refusal

WAIT = 1.0  # seconds to wait for a service that does not say how long; doubles each time
LONGEST_WAIT = 60.0
FORGOTTEN = 600.0  # seconds without a call after which the search begins again
ACTIVE = 2.0  # seconds for which a process counts as sharing a service
FADES = 0.99  # share of the largest amount that is still assumed after another call


@dataclass
class State:
    """The state that processes hand on: times on the machine's clock in seconds, and counts.

    For each known limit, `levels` is the amount that may be used (below 0: that has to be waited
    for), and `largest` the largest amount of a call to expect. `level` and `rate` (calls per
    second) are the same for the limit that is searched. Of the recent calls, `share` were refused.
    `accepted` calls were answered from `since` on, `this_run` of them since calls `resumed`,
    `lately` of those from `lately_since` on. After a refusal at `cut_at`, calls wait `until`;
    the service itself asked for a wait until `due`.

    The names are keys in the ledgers of earlier versions: they stay.
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


class Pace:
    """Decides when the next call to a service may be made.

    Each transaction makes one from `kept`, the `state` of the one before; None: there is none. A
    state from before a restart of the machine, with which its clock starts anew, counts as current.
    """

    def __init__(self, limits: Limits, kept: str | None, now: float, chance: random.Random) -> None:
        self._known = known_limits(limits)
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
        """The state for the next one, as JSON."""
        return json.dumps(vars(self._is), separators=(",", ":"))

    def shared_by(self, process: str, in_flight: Iterable[str]) -> int:
        """Return the number of processes that use the service now.

        These are this one, those that own calls `in_flight`, and those seen within `ACTIVE` s.
        """
        active = {name: at for name, at in self._is.active.items() if 0 <= self._now - at < ACTIVE}
        self._is.active = active | {process: self._now}
        return len(self._is.active.keys() | set(in_flight))

    def expected(self, size: Size) -> Tokens:
        """Estimate the tokens of a call from those of the calls before."""
        return Tokens(size.read * self._is.read_share, size.write * self._is.write_share)

    def wait(self, size: Size, *, in_flight: int, unfinished: int) -> float:
        """Return the seconds until the next call, of this size, may be made; 0: now.

        `unfinished` is the number of calls that are in flight or still to be made.
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
        free = not state.refused and in_flight < unfinished * AT_RISK
        if self._searches and not free and state.level < 0:
            state.bound = True
            waits.append(-state.level / state.rate)
        return max(waits, default=0.0)

    def take(self, size: Size) -> Tokens:
        """Count a call as made; return the estimate it was counted with."""
        tokens, largest = self.expected(size), self._is.largest
        self._make_room(tokens)
        for limit in self._known:
            amount = limit.amount(tokens)
            self._is.levels[limit.name] -= limit.charge(amount, largest[limit.name])
            largest[limit.name] = max(amount, FADES * largest[limit.name])
        self._is.level -= 1
        return tokens

    def accepted(self, sent: float, size: Size, estimate: Tokens, counted: Tokens) -> None:
        """Record an answer to a call made at `sent`, which really took the tokens `counted`."""
        state = self._is
        for limit in self._known:
            more = limit.amount(counted) - limit.amount(estimate)
            state.levels[limit.name] -= limit.charge(more, state.largest[limit.name])
        if size.read:
            state.read_share = _learnt(state.read_share, counted.read / size.read)
        state.write_share = _learnt(state.write_share, counted.write / size.write)
        self.passed(sent)

    def passed(self, sent: float) -> None:
        """Record that a call made at `sent` was not refused, whether or not it succeeded."""
        state = self._is
        state.accepted += 1
        state.this_run += 1
        state.lately += 1
        state.share *= RECENT
        if not state.refused:
            seen = min(MOST, state.this_run / max(SHOWS, self._now - state.resumed))
            if seen > state.rate:
                # Calls at risk did not wait for the level, so later ones need not wait for them.
                state.rate, state.level = seen, max(state.level, -1.0)
        if sent >= state.cut_at and not state.pending:
            state.streak = 0

    def refused(self, sent: float, after: float | None) -> None:
        """Record that a rate limit refused a call made at `sent`.

        `after` is the number of seconds that the service asks to wait; None: it does not say.
        """
        state = self._is
        # Calls that were in flight when the first one was refused say nothing new.
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
        """Make a call that is larger than all before it wait for longer."""
        for limit in self._known:
            amount, largest = limit.amount(tokens), self._is.largest.get(limit.name)
            if largest is None or amount > largest:
                self._is.levels[limit.name] -= amount - (amount if largest is None else largest)
                self._is.largest[limit.name] = amount

    @property
    def _searches(self) -> bool:
        """True where no limit is known, or the service has shown another one."""
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
        """Set the rate to what was accepted, once all calls in flight have come back."""
        state = self._is
        whole = state.accepted / max(state.due - state.since, 0.01) or math.inf
        this = state.this_run / max(state.due - state.resumed, 0.01)
        lately = state.lately / max(state.due - state.lately_since, 0.01)
        # A run that ended soon may show that the wait before was too short, not that the rate is
        # low.
        rate = max(this, lately, min(whole, state.rate / 2))
        run = state.cut_at - state.resumed
        # Calls that a known limit spaces show the same in less time. And a few refusals among many
        # spaced calls do not show a rate that is much too high.
        state.steady = run >= (SOON if self._known else STEADY)
        if state.steady or (state.found and state.hits <= FEW * state.this_run):
            rate = max(rate, BELOW * state.lately / max(state.cut_at - state.lately_since, 0.01))
        if state.share < STRAY:
            # When most calls before and after were accepted, the rate is not the reason, or hardly:
            # slower calls would be refused as often, and take longer.
            least = RUN / max(state.due - state.cut_at, 0.01)
            if state.found:
                least = max(least, state.rate * (1 - state.share))
            rate = max(rate, min(state.rate, least))
        state.rate = max(SLOWEST, min(rate, MOST))
        state.level = state.climbed = 0.0
        # One refusal by chance does not make a known limit lower.
        state.refused = not self._known or RARE * state.hits > state.this_run
        state.pending, state.found, state.hits = False, True, 0
        if run >= state.due - state.cut_at:
            state.since, state.accepted = state.resumed, state.this_run
        state.resumed = state.lately_since = self._now
        state.this_run, state.lately = 0, 0.0


def _learnt(share: float, seen: float) -> float:
    """Return a share that rises at once and falls slowly: an estimate too low leads to refusals."""
    return max(seen, share + 0.05 * (seen - share))
