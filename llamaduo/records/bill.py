"""Prices and bills of a service LLM. Unknown is None, never 0; money is Decimal, in US dollars."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Self

from pydantic import Field

from llamaduo.records.record import Record


class Price(Record):
    """US dollars per million tokens.

    A `simulated` price is nominal: its amounts are shown, and never counted as money spent.
    `cached_input_usd` is for input tokens that the service has read before; None: as all others.
    """

    input_usd: Decimal = Field(ge=0)
    output_usd: Decimal = Field(ge=0)
    cached_input_usd: Decimal | None = Field(default=None, ge=0)
    simulated: bool

    def of(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Decimal:
        """Return the dollars for one call; `input_tokens` include the `cached_tokens`."""
        cached = self.input_usd if self.cached_input_usd is None else self.cached_input_usd
        fresh = (input_tokens - cached_tokens) * self.input_usd
        return (fresh + cached_tokens * cached + output_tokens * self.output_usd) / 1_000_000


class Bill(Record):
    """A number of calls to a service LLM, and their cost.

    `usd` is real money and None when the price of any call is not known; `simulated_usd` is what
    calls at a nominal price would have cost. `kept_calls` and `kept_usd` are the part of them that
    the request ledger answered, paid when they were first made. `estimated_calls` had no usage in
    the reply: their tokens are estimated from the length of the texts.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal | None = Decimal(0)
    simulated_usd: Decimal = Decimal(0)
    kept_calls: int = 0
    kept_usd: Decimal = Decimal(0)
    estimated_calls: int = 0

    @classmethod
    def call(
        cls,
        input_tokens: int,
        output_tokens: int,
        price: Price | None,
        cached_tokens: int = 0,
    ) -> Self:
        """Return the bill of one call; `input_tokens` include the `cached_tokens`."""
        cost = None if price is None else price.of(input_tokens, output_tokens, cached_tokens)
        simulated = price is not None and price.simulated
        return cls(
            calls=1,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            usd=Decimal(0) if simulated else cost,
            simulated_usd=cost if simulated and cost is not None else Decimal(0),
        )

    def paid(self) -> "Bill":
        """Return the calls and dollars that were not paid before; tokens stay as they are."""
        return self.model_copy(
            update={
                "calls": self.calls - self.kept_calls,
                "usd": None if self.usd is None else self.usd - self.kept_usd,
                "kept_calls": 0,
                "kept_usd": Decimal(0),
            }
        )

    def kept(self) -> "Bill":
        """Return the same calls, as paid before."""
        return self.model_copy(
            update={"kept_calls": self.calls, "kept_usd": self.usd or Decimal(0)}
        )

    def __add__(self, other: "Bill") -> "Bill":
        """Return both bills as one; an unknown cost stays unknown."""
        known = self.usd is not None and other.usd is not None
        return Bill(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            usd=self.usd + other.usd if known else None,  # type: ignore[operator]  # both known
            simulated_usd=self.simulated_usd + other.simulated_usd,
            kept_calls=self.kept_calls + other.kept_calls,
            kept_usd=self.kept_usd + other.kept_usd,
            estimated_calls=self.estimated_calls + other.estimated_calls,
        )

    @classmethod
    def total(cls, bills: Iterable["Bill"]) -> "Bill":
        """Return all bills as one."""
        whole = Bill()
        for bill in bills:
            whole = whole + bill
        return whole
