"""Dispatch of calls to a live service: each is admitted, sent, and settled in the ledger.

One transaction of the ledger keeps the answers that have come in, updates the purse, and admits as
many waiting calls as limits, pace, purse and the other processes allow. Between transactions an
event loop runs in the caller's thread. A call's place is free once its answer is on the disk.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial

from llamaduo.base.errors import LlamaduoError
from llamaduo.base.progress import say
from llamaduo.intake.answers import Reply
from llamaduo.records import Bill
from llamaduo.service.admission import Admission, pending_key
from llamaduo.service.call_results import (
    Call,
    CallCounts,
    CallPolicy,
    completed,
    rate_limited,
    settle,
)
from llamaduo.service.kept_answers import KeptAnswer, Purse
from llamaduo.service.ledger import Ledger, Transaction
from llamaduo.service.pace import Pace
from llamaduo.service.protocol import Completion, Failure, Request
from llamaduo.service.transport import Transport
from llamaduo.service.waiting_calls import WaitingCalls

GATHER = 0.002  # seconds between transactions, in which answers gather for one write to the disk
POLL = 0.05  # seconds between looks at the answers of other processes
REAP_EVERY = 1.0  # seconds between searches for other processes that have died
HEARTBEAT = 0.5  # seconds within which a waiting process shows in the pace that it is there
LONG_WAIT = 30.0  # seconds; a wait that is as long is told


_Attempt = tuple[Call, "asyncio.Task[Reply]"]
_Outcomes = list[Completion | Failure]


class Dispatcher:
    """Makes calls and yields their outcomes.

    `reap` expires the calls of processes that died. However `outcomes` ends, `close` must follow.
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
        self._waiting = WaitingCalls()
        self._in_flight: dict[str, _Attempt] = {}
        self._finished: list[_Attempt] = []
        self._stop: LlamaduoError | None = None
        self._waits_for_others = False  # for places or money that other processes hold
        self._last_transaction = self._polled = self._reaped = self._heartbeat = 0.0
        self._told_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._loop = asyncio.new_event_loop()
        try:
            self._transport = self._loop.run_until_complete(_within(connect))
        except BaseException:
            self._loop.close()
            raise

    def outcomes(self, calls: Iterable[Call]) -> Iterator[Completion | Failure]:
        """Yield one outcome for each request of the calls; it is on the disk by then.

        Raises:
            ServiceError: no call to the service can succeed.
            BudgetReached: the next call might exceed the cap.
            LabError: the ledger cannot be used.
        """
        self._waiting.add(calls)
        while not self._is_over:
            others = [] if self._stop else self._outcomes_of_others()
            outcomes, wait = self._transact()
            if others or outcomes:
                # Admitted calls are on their way before the caller takes time over outcomes.
                self._loop.call_soon(self._loop.stop)
                self._loop.run_forever()
                yield from others
                yield from outcomes
            self._rest(wait)
        if self._stop is not None:
            raise self._stop

    @property
    def _is_over(self) -> bool:
        return not self._in_flight and (self._stop is not None or not self._waiting)

    @property
    def _unfinished(self) -> int:
        return len(self._waiting) + len(self._in_flight)

    def _rest(self, wait: float | None) -> None:
        """Let the loop run until there is something to do."""
        if self._is_over:
            return
        if wait is not None:
            self._wake(self._loop.time() + wait)
        if self._finished:
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

    def _on_finished(self, call: Call, task: "asyncio.Task[Reply]") -> None:
        self._finished.append((call, task))
        if not self._closing:
            self._wake(self._last_transaction + GATHER)

    def _transact(self) -> tuple[_Outcomes, float | None]:
        """Make one transaction; return the outcomes, and the seconds to the next one."""
        policy, finished = self._policy, self._finished[:]
        with self._ledger.transaction() as transaction:
            now = time.monotonic()
            pace = Pace(policy.limits, transaction.pace(policy.service), now, self._chance)
            purse = before = transaction.purse(policy.purse)
            outcomes, purse = self._settle_all(transaction, pace, purse, finished)
            admission = Admission(policy, transaction, pace, purse, self._ledger.owner)
            if self._stop is None:
                admission.admit(self._waiting, len(self._in_flight), now)
                self._stop = admission.stop
            if admission.purse != before:
                transaction.set_purse(policy.purse, admission.purse)
            if finished or admission.calls or now - self._heartbeat > HEARTBEAT:
                self._heartbeat = now
                transaction.set_pace(policy.service, pace.state)
        del self._finished[: len(finished)]
        self._last_transaction = time.monotonic()
        self._send(admission.calls)
        wait = admission.seconds
        self._tell_long_wait(wait, now)
        if (due := self._waiting.next_due) is not None:
            seconds = max(0.0, due - time.monotonic())
            wait = seconds if wait is None else min(wait, seconds)
        self._waits_for_others = admission.for_others
        if self._waits_for_others or self._waiting.elsewhere:
            wait = POLL if wait is None else min(wait, POLL)
        return outcomes, wait

    def _tell_long_wait(self, wait: float | None, now: float) -> None:
        if wait is not None and wait >= LONG_WAIT and now > self._told_until:
            self._told_until = now + wait
            say(f"{self._policy.name}: rate-limited; waiting {wait:.0f} s")

    def _send(self, admitted: Sequence[Call]) -> None:
        for call in admitted:
            call.attempts += 1
            self._counts.sent += 1
            task = self._loop.create_task(_sent(self._transport, call.requests[0]))
            task.add_done_callback(partial(self._on_finished, call))
            self._in_flight[call.key] = call, task

    # Finished calls

    def _settle_all(
        self, transaction: Transaction, pace: Pace, purse: Purse, finished: Sequence[_Attempt]
    ) -> tuple[_Outcomes, Purse]:
        if not finished:
            return [], purse
        outcomes: _Outcomes = []
        kept: list[tuple[str, KeptAnswer]] = []
        spent = reserved = Decimal(0)
        for call, task in finished:
            self._in_flight.pop(call.key, None)
            result = settle(call, task, self._policy, pace, self._chance)
            self._counts.limited += rate_limited(task)
            spent += call.worst if result.maybe_charged else result.bill.usd or 0
            reserved -= call.worst
            if result.retry_after is not None:
                self._retry(call, result.bill, result.retry_after)
            elif result.answer is None:
                self._stop = self._stop or result.stop
            else:
                if self._policy.keeps and result.answer.final and result.answer.bill.calls:
                    kept.append((call.key, result.answer))
                outcomes += self._outcomes_of(call, result.answer)
        keys = [pending_key(call, self._policy, self._ledger.owner) for call, _ in finished]
        transaction.finish(keys)
        if kept:
            transaction.keep(kept)
        return outcomes, purse.plus(spent, reserved)

    def _retry(self, call: Call, bill: Bill, seconds: float) -> None:
        self._counts.retried += 1
        call.bill += bill
        if seconds:
            self._waiting.delay(call, time.monotonic() + seconds)
        else:
            self._waiting.add_first(call)

    def _outcomes_of(self, call: Call, answer: KeptAnswer) -> _Outcomes:
        """Return the outcomes of a call's requests; the first alone has paid for it."""
        if answer.text is None:
            self._counts.failures += len(call.requests)
        self._counts.kept += len(call.requests) - 1
        return [
            answer.outcome(request.id, kept=number > 0)
            for number, request in enumerate(call.requests)
        ]

    # Other processes

    def _outcomes_of_others(self) -> _Outcomes:
        """Return the outcomes of requests that another process has asked meanwhile."""
        now, elsewhere = time.monotonic(), self._waiting.elsewhere
        if (self._waits_for_others or elsewhere) and now - self._reaped > REAP_EVERY:
            self._reaped = now
            self._reap()
        if not elsewhere or now - self._polled < POLL:
            return []
        self._polled = now
        keys = list(elsewhere)
        pending = self._ledger.pending(keys)
        answers = self._ledger.look_up(keys)
        outcomes: _Outcomes = []
        for key in keys:
            if key in answers:
                call = elsewhere.pop(key)
                self._counts.kept += len(call.requests)
                outcomes += [answers[key].outcome(r.id, kept=True) for r in call.requests]
            elif key not in pending:
                self._waiting.add_first(elsewhere.pop(key))
        return outcomes

    def close(self) -> None:
        """Cancel the calls in flight, which then count as expired, and close connections.

        Answers that have come in are kept.

        Raises:
            LabError: the ledger cannot be used.
        """
        self._closing = True
        self._unset_timer()
        try:
            self._loop.run_until_complete(self._cancel())
        finally:
            self._loop.close()
        if finished := [(call, task) for call, task in self._finished if completed(task)]:
            policy, now = self._policy, time.monotonic()
            with self._ledger.transaction() as transaction:
                pace = Pace(policy.limits, transaction.pace(policy.service), now, self._chance)
                before = transaction.purse(policy.purse)
                _, purse = self._settle_all(transaction, pace, before, finished)
                transaction.set_purse(policy.purse, purse)
                transaction.set_pace(policy.service, pace.state)
        if self._in_flight:
            self._counts.expired += self._ledger.expire(self._ledger.owner)

    async def _cancel(self) -> None:
        tasks = [task for _, task in self._in_flight.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.close()


async def _within(connect: Callable[[], Transport]) -> Transport:
    return connect()


async def _sent(transport: Transport, request: Request) -> Reply:
    return await transport.send(request)
