"""Figures as text: money, durations and counts. An unknown figure is never shown as 0."""

from decimal import ROUND_HALF_UP, Decimal
from math import ceil

#: Stands in a table where there is no figure.
NONE = "–"
#: Stands in a sentence, and for an amount, where the figure is not known.
NOT_KNOWN = "not known"


def money(amount: Decimal | None, currency: str = "usd") -> str:
    """Return an amount with two decimals; below 1, with two significant digits."""
    if amount is None:
        return NOT_KNOWN
    size = abs(amount)
    if size >= 1 or not size:
        text = f"{size:,.2f}" if size else "0"
    else:
        text = f"{size.quantize(Decimal(1).scaleb(size.adjusted() - 1), ROUND_HALF_UP):f}"
    sign = "-" if amount < 0 else ""
    return f"{sign}${text}" if currency == "usd" else f"{sign}{text} {currency}"


def exact_dollars(amount: Decimal) -> str:
    """Return dollars with all their digits, as prices and limits need them."""
    return f"${exact(amount)}"


def exact(value: Decimal) -> str:
    """Return a number with all its digits, without an exponent or zeros that say nothing."""
    whole = value == value.to_integral()
    return f"{value.quantize(Decimal(1)) if whole else value.normalize():f}"


def significant(value: Decimal) -> str:
    """Return a number with at most six significant digits, without an exponent."""
    return f"{Decimal(f'{value:.6g}'):f}"


def duration(seconds: float) -> str:
    """Return a measured time: `0.4 s`, `12 s`, `3 min 05 s` or `2 h 07 min`."""
    if seconds < 9.95:
        return f"{seconds:.1g} s" if 0 < seconds < 0.1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rough_duration(seconds: float) -> str:
    """Return an estimated time, rounded up: `95 s`, `12 min` or `2 h 07 min`."""
    whole = ceil(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = ceil(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def integer(number: int) -> str:
    """Return a number of things that are named elsewhere: `1,234`."""
    return f"{number:,}"


def count(number: int, thing: str) -> str:
    """Return a number of things with their name: `1 call`, `1,234 calls`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def short_count(number: float) -> str:
    """Return an estimated number, rounded up, in at most six characters: `9,999`, `12.3k`."""
    whole = ceil(number)
    if whole < 10_000:
        return f"{whole:,}"
    size, letter = next(
        (size, letter)
        for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k"))
        if whole >= size
    )
    value = whole / size
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}{letter}"
