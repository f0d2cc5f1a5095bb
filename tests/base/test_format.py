"""Money, durations and counts as text."""

from decimal import Decimal

import pytest

from llamaduo.base import format


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "not known"),
        ("0", "$0"),
        ("0.00", "$0"),
        ("12.5", "$12.50"),
        ("1234567.891", "$1,234,567.89"),
        ("0.5", "$0.50"),
        ("0.04349", "$0.043"),
        ("0.0000115", "$0.000012"),
        ("0.999", "$1.00"),
        ("-3.2", "-$3.20"),
        ("-0.0125", "-$0.013"),
    ],
)
def test_money_has_cents_or_two_significant_digits(amount: str | None, text: str):
    assert format.money(None if amount is None else Decimal(amount)) == text


def test_money_in_another_currency_has_its_name_behind():
    assert format.money(Decimal("-1250.5"), "eur") == "-1,250.50 eur"


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0.2", "$0.2"), ("10.00", "$10"), ("1E+2", "$100"), ("0.000011", "$0.000011"), ("0", "$0")],
)
def test_a_price_keeps_all_its_digits(amount: str, text: str):
    assert format.exact_dollars(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("value", "text"), [("1234567.8", "1234570"), ("0.12345678", "0.123457"), ("8", "8")]
)
def test_six_significant_digits(value: str, text: str):
    assert format.significant(Decimal(value)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.004, "0.004 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
    ],
)
def test_measured_times(seconds: float, text: str):
    assert format.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (99, "99 s"), (99.5, "2 min"), (5940, "99 min"), (7601, "2 h 07 min")],
)
def test_estimated_times_are_rounded_up(seconds: float, text: str):
    assert format.rough_duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.1, "1"), (9999, "9,999"), (10_000, "10.0k"), (123_456, "123k"), (2_500_000, "2.50M")],
)
def test_short_counts(number: float, text: str):
    assert format.short_count(number) == text


def test_counts():
    assert format.count(1, "call") == "1 call"
    assert format.count(0, "call") == "0 calls"
    assert format.count(1200, "call") == "1,200 calls"
    assert format.integer(1200) == "1,200"
