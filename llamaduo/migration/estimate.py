"""What a plan is made of: estimates of calls, tokens, money and time, by stage and by service."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil
from typing import Literal

from llamaduo.config import Limits
from llamaduo.records import Price

Who = Literal["service", "judge.client", ""]
State = Literal["reused", "new", "not known before"]
#: Dollars, low, expected and high.
Money = tuple[Decimal, Decimal, Decimal]


@dataclass(frozen=True)
class Amount:
    """A low, an expected and a high estimate of one thing."""

    low: float = 0
    expected: float = 0
    high: float = 0

    def __add__(self, other: "Amount") -> "Amount":
        """Both together."""
        low, expected = self.low + other.low, self.expected + other.expected
        return Amount(low, expected, self.high + other.high)

    def times(self, factor: float, high: float | None = None) -> "Amount":
        """So many of it; `high` of it in the high estimate."""
        most = factor if high is None else high
        return Amount(self.low * factor, self.expected * factor, self.high * most)

    def each(self) -> tuple[float, float, float]:
        """All three."""
        return self.low, self.expected, self.high


@dataclass(frozen=True)
class Step:
    """One stage: whom it asks, and how much. `kept` calls are answered by the ledger already.

    `state` says whether the stage is stored. `needed` is False for a step that only comes where the
    loop goes on beyond `min_rounds`.
    """

    stage: str
    label: str = ""
    round: int | None = None
    who: Who = ""
    calls: Amount = Amount()
    read: Amount = Amount()
    written: Amount = Amount()
    kept: int = 0
    state: State = "not known before"
    needed: bool = True

    def counted(self) -> "Step":
        """Count the step: a stored stage asks nothing, one that may not come nothing if low."""
        if self.state == "reused":
            return replace(self, calls=Amount(), read=Amount(), written=Amount())
        if self.needed:
            return self
        calls, read, written = (
            replace(amount, low=0) for amount in (self.calls, self.read, self.written)
        )
        return replace(self, calls=calls, read=read, written=written)


@dataclass(frozen=True)
class Client:
    """A service that is asked, its price and who says so; `problem`: why it has none."""

    who: Who
    name: str
    model: str
    price: Price | None
    source: str
    problem: str | None
    limits: Limits | None

    def usd(self, step: Step) -> Money | None:
        """Return the dollars of a step; None where the price is not known."""
        if self.price is None:
            return None
        low, expected, high = (
            self.price.of(ceil(read), ceil(written))
            for read, written in zip(step.read.each(), step.written.each(), strict=True)
        )
        return low, expected, high

    def seconds(self, step: Step) -> tuple[Amount, str] | None:
        """Return how long the limits make it take, and which one does; None: none is set."""
        if self.limits is None:
            return None
        amounts = {"requests": step.calls, "input_tokens": step.read, "output_tokens": step.written}
        bounds = []
        for what, amount in amounts.items():
            for unit, length in (("second", 1), ("minute", 60)):
                name = f"{what}_per_{unit}"
                rate: float | None = getattr(self.limits, name)
                if rate is not None:
                    bounds.append((amount.times(length / rate), f"{name}={rate:g}"))
        return max(bounds, key=lambda bound: bound[0].expected, default=None)


@dataclass(frozen=True)
class Purse:
    """What a budget is, and what has been spent of it and reserved already."""

    name: str
    cap: Decimal | None
    spent: Decimal
    reserved: Decimal


@dataclass(frozen=True)
class Plan:
    """All steps of a migration in their order, the services that they ask, and the budget."""

    name: str
    steps: tuple[Step, ...]
    clients: tuple[Client, ...]
    purse: Purse
    rounds: tuple[int, int]
    rows: Mapping[str, int]

    def total(self, who: Who) -> Step:
        """Add up all that one service is asked."""
        whole = Step("total", who=who)
        for step in (step.counted() for step in self.steps if step.who == who):
            whole = replace(
                whole,
                calls=whole.calls + step.calls,
                read=whole.read + step.read,
                written=whole.written + step.written,
                kept=whole.kept + step.kept,
            )
        return whole

    def usd(self) -> Money | None:
        """Real dollars of everything; None where a price is not known."""
        low = expected = high = Decimal(0)
        for client in self.clients:
            if client.price is not None and client.price.simulated:
                continue
            found = client.usd(self.total(client.who))
            if found is None:
                return None
            low, expected, high = low + found[0], expected + found[1], high + found[2]
        return low, expected, high
