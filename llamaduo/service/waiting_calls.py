"""The calls of a dispatcher that are not in flight: ready, delayed, or made by another process."""

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Sequence

from llamaduo.service.call_results import Call


class WaitingCalls:
    """Calls that are ready, in order; that are delayed; or whose request another process has asked.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self.elsewhere: dict[str, Call] = {}
        self._ready: deque[Call] = deque()
        self._delayed: list[tuple[float, int, Call]] = []
        self._number = itertools.count()  # decides between calls that are due at the same time

    def __len__(self) -> int:
        """Return the number of all of them."""
        return len(self._ready) + len(self._delayed) + len(self.elsewhere)

    @property
    def ready(self) -> int:
        """The number of calls that may be made now."""
        return len(self._ready)

    @property
    def delayed(self) -> int:
        """The number of calls that wait for their next attempt."""
        return len(self._delayed)

    @property
    def next_due(self) -> float | None:
        """When the first delayed call is due; None where there is none."""
        return self._delayed[0][0] if self._delayed else None

    def add(self, calls: Iterable[Call]) -> None:
        """Add calls behind those that are ready."""
        self._ready.extend(calls)

    def add_first(self, call: Call) -> None:
        """Add a call before those that are ready."""
        self._ready.appendleft(call)

    def delay(self, call: Call, due: float) -> None:
        """Add a call that is ready at a time to come."""
        heapq.heappush(self._delayed, (due, next(self._number), call))

    def release_due(self, now: float) -> None:
        """Put the delayed calls that are due before those that are ready."""
        while self._delayed and self._delayed[0][0] <= now:
            self.add_first(heapq.heappop(self._delayed)[2])

    def first(self, count: int) -> Sequence[Call]:
        """Return up to so many of the calls that are ready, without taking them."""
        return [self._ready[i] for i in range(min(count, len(self._ready)))]

    def take(self) -> Call:
        """Take the first call that is ready."""
        return self._ready.popleft()
