"""The rate limits of a service that the configuration names, and the size of a call in them."""

from dataclasses import dataclass

from llamaduo.config import Limits

MARGIN = 0.02  # below a known limit, for calls that are delayed and arrive closer together
CARRY = 0.015  # seconds' worth of calls that a late transaction may make up for at most


@dataclass(frozen=True)
class Size:
    """The known size of a call before it is made: bytes to read, and most tokens to write."""

    read: int
    write: int


@dataclass(frozen=True)
class Tokens:
    """The tokens of a call, as estimated or as counted."""

    read: float
    write: float


@dataclass(frozen=True)
class RateLimit:
    """A known limit: an amount per second, counted by the service over `window` seconds."""

    name: str
    per_second: float
    window: float

    @property
    def carry(self) -> float:
        """The largest amount that may be saved up."""
        within = 0.4 * MARGIN * self.per_second * self.window
        return min(within, CARRY * self.per_second)

    def amount(self, tokens: Tokens) -> float:
        """Return the amount of the limit that a call uses."""
        if self.name.startswith("requests"):
            return 1.0
        return tokens.read if self.name.startswith("input") else tokens.write

    def charge(self, amount: float, largest: float) -> float:
        """Return what to subtract for a call, so that no window ever holds more than the limit.

        Calls of equal amounts, as requests are, fill a window exactly. Of others, the last one in a
        window may be the `largest`, so the rest must leave room for it.
        """
        if self.name.startswith("requests"):
            return amount
        part = min(0.5, largest / (self.per_second * self.window))
        return amount * (1 - MARGIN) / (1 - MARGIN - part)


def known_limits(limits: Limits) -> tuple[RateLimit, ...]:
    """Return the rate limits that are set."""
    facts = limits.model_dump()
    spans = {"second": 1.0, "minute": 60.0}
    return tuple(
        RateLimit(f"{what}_per_{span}", facts[f"{what}_per_{span}"] / window, window)
        for what in ("requests", "input_tokens", "output_tokens")
        for span, window in spans.items()
        if facts[f"{what}_per_{span}"] is not None
    )
