"""Figures as text. Unknown is never 0: what there is no figure for reads `NONE` or "not known"."""

import math
from decimal import ROUND_HALF_UP, Decimal

from llamaduo.records import Bill
from llamaduo.stats.intervals import Estimate

NONE = "–"


def score(value: float) -> str:
    """A score from 0 to 100."""
    return f"{value:.1f}" if math.isfinite(value) else NONE


def interval(found: Estimate | None, *, sign: bool = False) -> str:
    """The bounds of an estimate in brackets; empty where there are none to give."""
    if found is None or found.low is None or found.high is None:
        return ""
    kind = "+.1f" if sign else ".1f"
    return f"[{found.low:{kind}}, {found.high:{kind}}]"


def estimate(found: Estimate | None, *, sign: bool = False) -> str:
    """An estimate with its interval; `sign` is for differences."""
    if found is None:
        return NONE
    value = f"{found.value:+.1f}" if sign else score(found.value)
    return f"{value} {interval(found, sign=sign)}".rstrip()


def usd(amount: Decimal | None) -> str:
    """Dollars, small sums with two significant digits."""
    if amount is None:
        return "not known"
    if amount == 0 or abs(amount) >= 1:
        return f"${amount:,.2f}" if amount else "$0"
    least = Decimal(1).scaleb(amount.adjusted() - 1)
    return f"${amount.quantize(least, ROUND_HALF_UP):f}"


def duration(seconds: float) -> str:
    """A time as a person reads it."""
    if seconds < 9.95:
        return f"{seconds:.1g} s" if 0 < seconds < 0.1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def integer(number: int) -> str:
    """A number of things that are named elsewhere."""
    return f"{number:,}"


def money(bill: Bill) -> str:
    """What calls cost: real money, and apart from it what is only simulated."""
    if not bill.calls:
        return "no calls"
    real = f"{usd(bill.usd)} spent" if bill.usd is not None else "real cost not known"
    parts = [count(bill.calls, "call"), real]
    if bill.simulated_usd:
        parts.append(f"{usd(bill.simulated_usd)} simulated")
    return ", ".join(parts)
