"""Admission: the waiting calls that may be made now by limits, pace, purse and other processes."""

import math
import time
from decimal import Decimal

from llamaduo.base.errors import BudgetReached
from llamaduo.base.format import exact_dollars
from llamaduo.service.call_results import Call, CallPolicy
from llamaduo.service.kept_answers import PendingCall, Purse
from llamaduo.service.ledger import Transaction
from llamaduo.service.pace import Pace
from llamaduo.service.waiting_calls import WaitingCalls


class Admission:
    """The calls that one transaction admits, and what keeps the others waiting.

    `calls` are admitted, with their highest cost reserved in the `purse`. The next one has to wait
    for `seconds`; or for places or money that other processes hold (`for_others`); or there is a
    reason to `stop`.
    """

    def __init__(
        self, policy: CallPolicy, transaction: Transaction, pace: Pace, purse: Purse, owner: str
    ) -> None:
        self.calls: list[Call] = []
        self.purse = purse
        self.seconds: float | None = None
        self.for_others = False
        self.stop: BudgetReached | None = None
        self._policy = policy
        self._transaction = transaction
        self._pace = pace
        self._owner = owner

    def admit(self, waiting: WaitingCalls, in_flight: int, now: float) -> None:
        """Take calls from those that wait, and record them as in flight.

        `in_flight` is the number of this process's calls before, `now` is in monotonic seconds.
        """
        waiting.release_due(now)
        candidates = waiting.first(self._places(waiting, in_flight) if waiting.ready else 0)
        claimed: set[str] = set()
        if candidates and self._policy.keeps:
            claimed = self._transaction.claimed([call.key for call in candidates])
        for call in candidates:
            if call.key in claimed:
                waiting.elsewhere[call.key] = waiting.take()
                continue
            if not self._affordable(call, in_flight):
                break
            running = in_flight + len(self.calls)
            unfinished = len(waiting) + running
            seconds = self._pace.wait(call.size, in_flight=running, unfinished=unfinished)
            if seconds:
                self.seconds = seconds
                break
            waiting.take()
            call.sent, call.estimate = now, self._pace.take(call.size)
            self.purse = self.purse.plus(Decimal(0), call.worst)
            self.calls.append(call)
        if self.calls:
            began = time.time()
            keys = [pending_key(call, self._policy, self._owner) for call in self.calls]
            pending = [
                PendingCall(key, call.worst, began)
                for key, call in zip(keys, self.calls, strict=True)
            ]
            self._transaction.admit(self._policy.service, self._policy.purse, pending)

    def _places(self, waiting: WaitingCalls, in_flight: int) -> int:
        """Return how many calls may start by the limit of concurrent ones.

        The processes that use a service share its limit evenly.
        """
        limit = self._policy.limits.concurrency
        by_owner = self._transaction.in_flight(self._policy.service)
        share = math.ceil(limit / self._pace.shared_by(self._owner, by_owner))
        # A delayed call keeps its place: a service in trouble is asked less.
        own = share - in_flight - waiting.delayed
        free = limit - sum(by_owner.values())
        self.for_others = free < own and not in_flight
        return max(0, min(own, free))

    def _affordable(self, call: Call, in_flight: int) -> bool:
        """Return whether the cap allows a call's highest cost; stop where it never will."""
        cap, purse = self._policy.cap, self.purse
        if cap is None or purse.spent + purse.reserved + call.worst <= cap:
            return True
        if purse.spent + call.worst > cap:
            self.stop = BudgetReached(
                f"budget.usd={cap}: purse {self._policy.purse!r} has spent "
                f"{exact_dollars(purse.spent)} and the next call to {self._policy.name} may cost "
                f"{exact_dollars(call.worst)}. All results are kept; raise budget.usd, or name "
                "another budget.purse, and the same command goes on"
            )
        elif not in_flight:
            self.for_others = True
        return False


def pending_key(call: Call, policy: CallPolicy, owner: str) -> str:
    """Return the key of a call in flight; private where its answer will not be kept for others."""
    return call.key if policy.keeps else f"{owner}:{call.key}"
