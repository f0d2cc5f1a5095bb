"""What must hold of the arithmetic whatever the figures are."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cost_cases import a_case

from llamaduo.money.case import Case, choices_of, inputs_of
from llamaduo.money.model import (
    Choices,
    Inputs,
    Series,
    accumulated,
    break_even,
    break_evens,
    dearer_again,
    load,
    need,
    project,
)

MONTHS = 30


def figures(least: float, most: float) -> st.SearchStrategy[Decimal]:
    return st.decimals(str(least), str(most), places=4, allow_nan=False)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Terms of all kinds: growth and decline, any hardware, one-off and recurring costs."""
    kind = draw(st.sampled_from(["buy", "lease", "cloud"]))
    every = draw(st.none() | st.integers(1, 12))
    return {
        "per": "request",
        "requests_per_day": draw(figures(1, 100_000)),
        "input_tokens": draw(figures(1, 5000)),
        "output_tokens": draw(figures(1, 5000)),
        "growth_per_month": draw(figures(-0.2, 0.2)),
        "peak_factor": draw(figures(1, 10)),
        "cached_share": draw(figures(0, 1)),
        "batch_share": draw(figures(0, 1)),
        "batch_discount": draw(figures(0, 1)),
        "price_change_per_month": draw(figures(-0.1, 0.1)),
        "kind": kind,
        "usd": draw(figures(0, 20_000)),
        "usd_per_month": draw(figures(0, 2000)),
        "usd_per_hour": draw(figures(0, 12)),
        "lifetime_months": draw(st.none() | st.integers(1, 40)),
        "electricity_usd_per_month": draw(figures(0, 100)),
        "hosting_usd_per_month": draw(figures(0, 100)),
        "output_tokens_per_second": draw(figures(1, 10_000)),
        "utilisation": draw(figures(0.1, 1)),
        "servers": draw(st.none() | st.integers(1, 10)),
        "finetuning_usd": draw(st.none() | figures(0, 5000)),
        "retrain_every_months": every,
        "retraining_usd": None if every is None else draw(figures(0, 1000)),
        "people_usd_per_month": draw(st.none() | figures(0, 1000)),
    }


def exact(case: Case) -> tuple[Inputs[Decimal], Choices]:
    return inputs_of(case).map(lambda _, figure: figure.value), choices_of(case)


def projected(terms: dict[str, Any], months: int = MONTHS) -> Series[Decimal]:
    return project(*exact(a_case(**terms)), months)


@given(
    cases(), st.sampled_from(["input_tokens", "output_tokens", "requests_per_day"]), figures(1, 9)
)
@settings(max_examples=60, deadline=None)
def test_more_tokens_are_never_cheaper(terms: dict[str, Any], key: str, times: Decimal) -> None:
    less, more = projected(terms), projected({**terms, key: terms[key] * times})
    assert all(a <= b for a, b in zip(less.service, more.service, strict=True))
    assert all(a <= b for a, b in zip(less.running, more.running, strict=True))


@given(cases())
@settings(max_examples=60, deadline=None)
def test_a_longer_horizon_never_lowers_what_has_accumulated(terms: dict[str, Any]) -> None:
    for totals in accumulated(projected(terms)):
        assert all(a <= b for a, b in pairwise(totals))
    longer = accumulated(projected(terms, MONTHS + 12))
    for short, long in zip(accumulated(projected(terms)), longer, strict=True):
        assert long[: len(short)] == short


@given(cases())
@settings(max_examples=60, deadline=None)
def test_arrays_and_decimals_say_the_same(terms: dict[str, Any]) -> None:
    x, choices = exact(a_case(**terms))
    series = project(x, choices, MONTHS)
    drawn = project(x.map(lambda _, value: np.full(3, float(value))), choices, MONTHS)
    for ours, theirs in zip(accumulated(series), accumulated(drawn), strict=True):
        for one, draws in zip(ours, theirs, strict=True):
            assert draws == pytest.approx(float(one), rel=1e-7, abs=1e-6)


@given(cases())
@settings(max_examples=60, deadline=None)
def test_at_the_break_even_both_have_cost_the_same(terms: dict[str, Any]) -> None:
    series = projected(terms)
    found = break_even(series)
    service, local = accumulated(series)
    if found is None:
        assert all(a > b for a, b in zip(local[1:], service[1:], strict=True))
        return
    month, part = int(found), found - int(found)
    assert all(
        a > b for a, b in zip(local[1 : month + 1], service[1 : month + 1], strict=True)
    ) or (part == 0)
    if part:
        paid = local[month] + (series.once[month] if month else 0)
        there = paid + part * series.running[month]
        assert there == pytest.approx(service[month] + part * series.service[month])


@given(cases())
@settings(max_examples=60, deadline=None)
def test_break_evens_of_draws_are_those_of_each(terms: dict[str, Any]) -> None:
    x, choices = exact(a_case(**terms))
    one = break_even(project(x, choices, MONTHS))
    many = break_evens(project(x.map(lambda _, v: np.full(2, float(v))), choices, MONTHS))
    assert many == pytest.approx(np.inf if one is None else float(one), rel=1e-5, abs=1e-5)


@given(cases(), st.integers(1, MONTHS))
@settings(max_examples=60, deadline=None)
def test_servers_are_as_many_as_needed_and_no_more(terms: dict[str, Any], month: int) -> None:
    x, choices = exact(a_case(**{**terms, "servers": None}))
    count, busy = need(x, choices, month), load(x, choices, month)
    assert busy is not None
    assert count * x.utilisation >= busy
    assert count == 1 or (count - 1) * x.utilisation < busy


def test_a_bought_server_is_bought_again_after_its_lifetime() -> None:
    series = projected({"lifetime_months": 6, "finetuning_usd": 0}, 13)
    assert [int(due) for due in series.once] == [2539, 0, 0, 0, 0, 0] * 2 + [2539]


def test_growth_buys_servers_when_they_are_needed_and_keeps_them() -> None:
    grown = {"growth_per_month": Decimal("0.5"), "output_tokens_per_second": 20, "servers": None}
    series = projected({**grown, "finetuning_usd": 0, "utilisation": Decimal("0.7")}, 6)
    assert [int(count) for count in series.servers] == [1, 2, 2, 3, 5, 7]
    assert [int(due) // 2539 for due in series.once] == [1, 1, 0, 1, 2, 2]


def test_retraining_falls_due_at_its_months() -> None:
    series = projected({"retrain_every_months": 3, "retraining_usd": 100, "usd": 0}, 8)
    assert [int(due) for due in series.once] == [800, 0, 0, 100, 0, 0, 100, 0]


def test_cached_and_batched_tokens_cost_what_they_are_sold_at() -> None:
    price = {"input_usd": 5, "output_usd": 15, "cached_input_usd": 1, "simulated": False}
    from llamaduo.records import Price

    terms = {"cached_share": Decimal("0.5"), "batch_share": Decimal("0.4")}
    case = a_case(Price.model_validate(price), **terms, batch_discount=Decimal("0.5"))
    fee = project(*exact(case), 1).service[0]
    assert fee == 30 * (10 * Decimal(3) + 15) * Decimal("0.8")


def test_local_that_is_dearer_again_after_it_paid_back_is_told() -> None:
    """Servers that wear out sooner than they pay for themselves a second time."""
    terms = {"lifetime_months": 4, "usd": 7000, "finetuning_usd": 0, "growth_per_month": 0}
    series = projected(terms)
    assert break_even(series) == Decimal(7000) / 1920
    assert dearer_again(series) == 5
    assert dearer_again(projected({**terms, "lifetime_months": None})) is None


def test_longer_requests_than_measured_take_more_servers() -> None:
    terms = {
        "per": "request",
        "requests_per_day": 100_000,
        "input_tokens": 900,
        "output_tokens": 100,
        "output_tokens_per_second": 200,
        "servers": None,
    }
    as_measured = projected({**terms, "measured_at_tokens": 1000}, 1).servers[0]
    longer = projected({**terms, "measured_at_tokens": 250}, 1).servers[0]
    shorter = projected({**terms, "measured_at_tokens": 4000}, 1).servers[0]
    assert (as_measured, longer, shorter) == (1, 3, 1)
