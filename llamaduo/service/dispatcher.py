"""Where calls to a live service are made: each waits for its turn, is sent, and is kept.

A turn is one transaction of the ledger: it keeps the answers that have come in, settles the purse,
and lets as many waiting calls go as limits, pace, purse and the other processes leave room for.
Between turns an event loop runs in the caller's thread. A call's place is free once its answer is
on the disk.
"""

import asyncio
import heapq
import itertools
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial

from llamaduo.base.errors import BudgetReached, LlamaduoError
from llamaduo.base.format import exact_dollars
from llamaduo.base.progress import say
from llamaduo.service.call_results import (
    Call,
    CallCounts,
    CallPolicy,
    CallResult,
    came_in,
    refused,
    settle,
)
from llamaduo.service.ledger import KeptAnswer, Ledger, PendingCall, Purse, Transaction
from llamaduo.service.pace import Pace
from llamaduo.service.protocol import Completion, Failure, Request
from llamaduo.service.transport import Reply, Transport

GATHER = 0.002  # seconds from turn to turn, in which answers gather for one write to the disk
POLL = 0.05  # seconds from look to look at what other processes do
REAP_EVERY = 1.0  # seconds from look to look for other processes that have died
HEARTBEAT = 0.5  # seconds within which a process that waits says that it is there
LONG_WAIT = 30.0  # seconds; a longer wait is told


_DoneCall = tuple[Call, "asyncio.Task[Reply]"]
_Outcomes = list[Completion | Failure]


class Dispatcher:
    """Makes calls, and yields what comes of them.

    `reap` buries the processes that died. Whatever way `outcomes` is left, `close` has to follow.
    """

    def __init__(
        self,
        policy: CallPolicy,
        ledger: Ledger,
        connect: Callable[[], Transport],
        counts: CallCounts,
        reap: Callable[[], None],
    ) -> None:
        self._policy = policy
        self._ledger = ledger
        self._counts = counts
        self._reap = reap
        self._chance = random.Random()
        self._queue: deque[Call] = deque()
        self._later: list[tuple[float, int, Call]] = []
        self._elsewhere: dict[str, Call] = {}
        self._in_flight: dict[str, tuple[Call, asyncio.Task[Reply]]] = {}
        self._done: list[_DoneCall] = []
        self._stop: LlamaduoError | None = None
        self._others = False  # whether it is for other processes that calls wait
        self._last_transaction = self._polled_at = self._reaped_at = self._heartbeat_at = 0.0
        self._reported_until = 0.0
        self._number = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._loop = asyncio.new_event_loop()
        try:
            self._transport = self._loop.run_until_complete(_within(connect))
        except BaseException:
            self._loop.close()
            raise

    def outcomes(self, calls: Iterable[Call]) -> Iterator[Completion | Failure]:
        """One outcome for each request of the calls, on the disk before it is yielded.

        Raises:
            ServiceError: no call to the service can succeed.
            BudgetReached: the next call might exceed the cap.
            LabError: the ledger cannot be used.
        """
        self._queue.extend(calls)
        while self._in_flight or (self._stop is None and self._ahead):
            found = [] if self._stop else self._found_elsewhere()
            outcomes, wait = self._transact()
            if found or outcomes:
                # What was let go is on its way before anyone takes time over what came in.
                self._loop.call_soon(self._loop.stop)
                self._loop.run_forever()
                yield from found
                yield from outcomes
            self._rest(wait)
        if self._stop is not None:
            raise self._stop

    @property
    def _ahead(self) -> int:
        waiting = len(self._queue) + len(self._later) + len(self._elsewhere)
        return waiting + len(self._in_flight)

    def _rest(self, wait: float | None) -> None:
        """Let the loop run until there is something to do."""
        if not self._in_flight and not (self._stop is None and self._ahead):
            return
        if wait is not None:
            self._wake(self._loop.time() + wait)
        if self._done:
            self._wake(self._last_transaction + GATHER)
        self._loop.run_forever()
        self._unset_timer()

    def _wake(self, at: float) -> None:
        if self._timer is None or self._timer.when() > at:
            self._unset_timer()
            self._timer = self._loop.call_at(at, self._loop.stop)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_done(self, call: Call, task: "asyncio.Task[Reply]") -> None:
        self._done.append((call, task))
        if not self._closing:
            self._wake(self._last_transaction + GATHER)

    def _transact(self) -> tuple[_Outcomes, float | None]:
        """One transaction; gives the outcomes, and the seconds after which to look again."""
        policy, done = self._policy, self._done[:]
        with self._ledger.transaction() as transaction:
            now = time.monotonic()
            pace = Pace(policy.limits, transaction.pace(policy.service), now, self._chance)
            purse = before = transaction.purse(policy.purse)
            outcomes, purse = self._settle_all(transaction, pace, purse, done)
            admitted: list[Call] = []
            wait = None
            if self._stop is None:
                admitted, purse, wait = self._admit(transaction, pace, purse, now)
            if purse != before:
                transaction.set_purse(policy.purse, purse)
            if done or admitted or now - self._heartbeat_at > HEARTBEAT:
                self._heartbeat_at = now
                transaction.set_pace(policy.service, pace.state)
        del self._done[: len(done)]
        self._last_transaction = time.monotonic()
        self._send(admitted)
        if wait is not None and wait >= LONG_WAIT and now > self._reported_until:
            self._reported_until = now + wait
            say(f"{policy.name}: rate-limited; waiting {wait:.0f} s")
        if self._later:
            due = max(0.0, self._later[0][0] - time.monotonic())
            wait = due if wait is None else min(wait, due)
        if self._others or self._elsewhere:
            wait = POLL if wait is None else min(wait, POLL)
        return outcomes, wait

    def _send(self, admitted: Sequence[Call]) -> None:
        for call in admitted:
            call.tried += 1
            self._counts.sent += 1
            task = self._loop.create_task(_sent(self._transport, call.requests[0]))
            task.add_done_callback(partial(self._on_done, call))
            self._in_flight[call.key] = call, task

    # What comes in

    def _settle_all(
        self, transaction: Transaction, pace: Pace, purse: Purse, done: Sequence[_DoneCall]
    ) -> tuple[_Outcomes, Purse]:
        if not done:
            return [], purse
        outcomes: _Outcomes = []
        kept: list[tuple[str, KeptAnswer]] = []
        spent = reserved = Decimal(0)
        for call, task in done:
            self._in_flight.pop(call.key, None)
            came = settle(call, task, self._policy, pace, self._chance)
            self._counts.limited += refused(task)
            spent += call.worst if came.unsure else came.bill.usd or 0
            reserved -= call.worst
            if came.again is not None:
                self._try_again(call, came)
            elif came.answer is None:
                self._stop = self._stop or came.stop
            else:
                if self._policy.keeps and came.answer.final and came.answer.bill.calls:
                    kept.append((call.key, came.answer))
                outcomes += self._outcomes(call, came.answer)
        transaction.finish(self._mark(call) for call, _ in done)
        if kept:
            transaction.keep(kept)
        return outcomes, purse.plus(spent, reserved)

    def _try_again(self, call: Call, came: CallResult) -> None:
        self._counts.retried += 1
        call.bill += came.bill
        if came.again:
            due = time.monotonic() + came.again
            heapq.heappush(self._later, (due, next(self._number), call))
        else:
            self._queue.appendleft(call)

    def _outcomes(self, call: Call, answer: KeptAnswer) -> _Outcomes:
        if answer.text is None:
            self._counts.failures += len(call.requests)
        self._counts.kept += len(call.requests) - 1
        return [
            answer.outcome(request.id, kept=number > 0)
            for number, request in enumerate(call.requests)
        ]

    # What goes out

    def _admit(
        self, transaction: Transaction, pace: Pace, purse: Purse, now: float
    ) -> tuple[list[Call], Purse, float | None]:
        """The calls that may go now; and seconds to the next, where time is what it waits for."""
        while self._later and self._later[0][0] <= now:
            self._queue.appendleft(heapq.heappop(self._later)[2])
        admitted: list[Call] = []
        wait = None
        self._others = False
        room = self._room(transaction, pace) if self._queue else 0
        some = [self._queue[i] for i in range(min(room, len(self._queue)))]
        taken = (
            transaction.claimed([call.key for call in some])
            if some and self._policy.keeps
            else set()
        )
        for call in some:
            if call.key in taken:
                self._elsewhere[call.key] = self._queue.popleft()
                continue
            if not self._affordable(transaction, purse, call):
                break
            in_flight = len(self._in_flight) + len(admitted)
            if seconds := pace.wait(
                call.size, in_flight=in_flight, ahead=self._ahead + len(admitted)
            ):
                wait = seconds
                break
            self._queue.popleft()
            call.sent, call.taken = now, pace.take(call.size)
            purse = purse.plus(Decimal(0), call.worst)
            admitted.append(call)
        if admitted:
            began = time.time()
            flights = [PendingCall(self._mark(call), call.worst, began) for call in admitted]
            transaction.admit(self._policy.service, self._policy.purse, flights)
        return admitted, purse, wait

    def _room(self, transaction: Transaction, pace: Pace) -> int:
        """Calls that may begin by the limit of those at once, which processes share evenly."""
        limit = self._policy.limits.concurrency
        in_flight = transaction.in_flight(self._policy.service)
        share = math.ceil(limit / pace.shared_by(self._ledger.owner, in_flight))
        # A row that waits to be asked again keeps its place: a service in trouble is asked less.
        own = share - len(self._in_flight) - len(self._later)
        free = limit - sum(in_flight.values())
        self._others = free < own and not self._in_flight
        return max(0, min(own, free))

    def _affordable(self, transaction: Transaction, purse: Purse, call: Call) -> bool:
        cap = self._policy.cap
        if cap is None or purse.spent + purse.reserved + call.worst <= cap:
            return True
        if purse.spent + call.worst > cap:
            self._stop = BudgetReached(
                f"budget.usd={cap}: purse {self._policy.purse!r} has spent "
                f"{exact_dollars(purse.spent)} and the next call to {self._policy.name} may cost "
                f"{exact_dollars(call.worst)}. All results are kept; raise budget.usd, or name "
                "another budget.purse, and the same command goes on"
            )
        elif not self._in_flight:
            self._others = True
        return False

    # What other processes do

    def _found_elsewhere(self) -> _Outcomes:
        """The outcomes of requests that another process has asked meanwhile."""
        now = time.monotonic()
        if (self._others or self._elsewhere) and now - self._reaped_at > REAP_EVERY:
            self._reaped_at = now
            self._reap()
        if not self._elsewhere or now - self._polled_at < POLL:
            return []
        self._polled_at = now
        keys = list(self._elsewhere)
        under_way = self._ledger.pending(keys)
        answers = self._ledger.look_up(keys)
        found: _Outcomes = []
        for key in keys:
            if key in answers:
                call = self._elsewhere.pop(key)
                self._counts.kept += len(call.requests)
                found += [answers[key].outcome(r.id, kept=True) for r in call.requests]
            elif key not in under_way:
                self._queue.appendleft(self._elsewhere.pop(key))
        return found

    def _mark(self, call: Call) -> str:
        """The key of a flight: a call whose answer is not kept concerns nobody else."""
        return call.key if self._policy.keeps else f"{self._ledger.owner}:{call.key}"

    def close(self) -> None:
        """Break off what is under way, which then counts as lost, and let go of connections.

        Answers that have come in are kept.

        Raises:
            LabError: the ledger cannot be used.
        """
        self._closing = True
        self._unset_timer()
        try:
            self._loop.run_until_complete(self._break_off())
        finally:
            self._loop.close()
        if done := [(call, task) for call, task in self._done if came_in(task)]:
            policy = self._policy
            with self._ledger.transaction() as transaction:
                pace = Pace(
                    policy.limits, transaction.pace(policy.service), time.monotonic(), self._chance
                )
                before = transaction.purse(policy.purse)
                _, purse = self._settle_all(transaction, pace, before, done)
                transaction.set_purse(policy.purse, purse)
                transaction.set_pace(policy.service, pace.state)
        if self._in_flight:
            self._counts.expired += self._ledger.expire(self._ledger.owner)

    async def _break_off(self) -> None:
        tasks = [task for _, task in self._in_flight.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.close()


async def _within(connect: Callable[[], Transport]) -> Transport:
    return connect()


async def _sent(transport: Transport, request: Request) -> Reply:
    return await transport.send(request)
