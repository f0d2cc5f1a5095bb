"""Scores, estimates and bills as text."""

import math

from llamaduo.base.format import NONE, count, money
from llamaduo.records import Bill
from llamaduo.stats.intervals import Estimate


def score(value: float) -> str:
    """Return a score from 0 to 100."""
    return f"{value:.1f}" if math.isfinite(value) else NONE


def interval(value: Estimate | None, *, sign: bool = False) -> str:
    """Return the bounds of an estimate in brackets; empty where there are none."""
    if value is None or value.low is None or value.high is None:
        return ""
    kind = "+.1f" if sign else ".1f"
    return f"[{value.low:{kind}}, {value.high:{kind}}]"


def estimate(value: Estimate | None, *, sign: bool = False) -> str:
    """Return an estimate with its interval; `sign` is for differences."""
    if value is None:
        return NONE
    middle = f"{value.value:+.1f}" if sign else score(value.value)
    return f"{middle} {interval(value, sign=sign)}".rstrip()


def bill(calls: Bill) -> str:
    """Return the cost of calls: real money, and apart from it simulated dollars."""
    if not calls.calls:
        return "no calls"
    real = f"{money(calls.usd)} spent" if calls.usd is not None else "real cost not known"
    parts = [count(calls.calls, "call"), real]
    if calls.simulated_usd:
        parts.append(f"{money(calls.simulated_usd)} simulated")
    return ", ".join(parts)
