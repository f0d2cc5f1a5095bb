"""What a decision says, how sure it is of it, and what it refuses."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cost_cases import DRAWS, a_case, decided

from llamaduo.base.errors import ConfigError
from llamaduo.config import Quantity
from llamaduo.cost.text import break_even_text
from llamaduo.money.decision import decide
from llamaduo.money.spread import Draws
from llamaduo.records import Price

WIDE = {"value": 10_000_000, "low": 4_000_000, "high": 20_000_000}


def test_the_papers_light_case() -> None:
    found = decided(a_case())
    assert found.break_even == Decimal("1.73906").quantize(Decimal("0.000001")) + Decimal(
        "0.000002"
    )
    assert [(one.months, one.amount) for one in found.savings] == [
        (12, 19701),
        (24, 42741),
        (36, 65781),
    ]
    assert (found.service_month, found.local_month) == (1950, 30)
    assert (found.servers_usd, found.one_off) == (2539, 800)
    assert len(found.months) == 25
    assert found.months[2].local_total == 3399


def test_without_ranges_there_is_no_band_and_figures_are_nudged() -> None:
    found = decided(a_case(), draws=DRAWS)
    assert found.break_even_band is None
    assert found.pays_back is None
    assert found.draws == 0
    assert found.nudged
    assert {move.key for move in found.moves} >= {"hardware.usd", "workload.input_tokens"}
    assert not [move for move in found.moves if move.key == "workload.days_per_month"]


def test_bands_hold_the_break_evens_of_the_range() -> None:
    found = decided(a_case(input_tokens=WIDE), draws=DRAWS)
    band = found.break_even_band
    assert band is not None
    ends = [decided(a_case(input_tokens=WIDE[end])).break_even for end in ("high", "low")]
    assert None not in ends
    assert ends[0] < band.low < band.median < band.high < ends[1]
    assert found.pays_back == 1.0
    month = found.months[12]
    assert month.local_band is not None
    assert month.service_band is not None
    assert month.local_band.low == month.local_band.high == month.local_total
    assert month.service_band.low < month.service_total < month.service_band.high


def test_the_same_seed_gives_the_same_bands_and_another_ranges_leave_its_draws_alone() -> None:
    case = a_case(input_tokens=WIDE)
    first, again = decided(case, draws=DRAWS), decided(case, draws=DRAWS)
    assert first == again
    both = a_case(input_tokens=WIDE, usd={"value": 2539, "low": 2539, "high": 2540})
    assert decided(both, draws=DRAWS).months[6].service_band == first.months[6].service_band
    other = decided(case, draws=Draws(2000, 2, 0.9))
    assert other.break_even_band != first.break_even_band


def test_what_moves_the_break_even_most_comes_first() -> None:
    wide = a_case(
        input_tokens=WIDE,
        usd={"value": 2539, "low": 2500, "high": 2600},
        finetuning_usd={"value": 800, "low": 0, "high": 2000},
    )
    found = decided(wide, draws=DRAWS)
    assert not found.nudged
    assert [move.key for move in found.moves] == [
        "workload.input_tokens",
        "one_off.finetuning_usd",
        "hardware.usd",
    ]
    high = decided(a_case(input_tokens=WIDE["high"])).break_even
    assert found.moves[0].at_high == pytest.approx(high)


def test_a_break_even_that_never_comes_is_said_with_both_months() -> None:
    found = decided(a_case(electricity_usd_per_month=5000))
    assert found.break_even is None
    said = break_even_text(found)
    assert said.startswith("never within 120 months")
    assert "$5,000.00" in said
    assert "$1,950.00" in said


def test_one_that_comes_for_some_draws_only_says_so() -> None:
    power = {"value": 1900, "low": 100, "high": 5000}
    found = decided(a_case(electricity_usd_per_month=power), draws=DRAWS)
    assert found.break_even_band is not None
    assert found.break_even_band.high is None
    assert found.pays_back is not None
    assert 0 < found.pays_back < 1


def test_unknown_requests_leave_a_thousand_of_them_unknown() -> None:
    assert decided(a_case()).per_1000 is None
    each = decided(a_case(requests_per_day=10_000)).per_1000
    assert each is not None
    assert each.service == Decimal("6.5")  # 65 dollars a day
    assert each.local == ((3339 + 24 * Decimal(30)) / (24 * 300)).quantize(Decimal("0.000001"))


def test_what_is_not_counted_is_named_and_zero_counts() -> None:
    found = decided(a_case(synthesis_usd=0))
    assert "one_off.synthesis_usd" not in found.uncounted
    assert {"one_off.judging_usd", "upkeep.retraining_usd"} <= set(found.uncounted)


def test_another_currency_divides_all_money_and_nothing_else() -> None:
    case = a_case(input_tokens=WIDE, usd={"value": 2539, "low": 2000, "high": 3000})
    usd = decided(case, draws=DRAWS)
    half = decide(case, months=24, draws=DRAWS, currency="eur", usd_per_unit=Decimal(2))
    assert half.currency == "eur"
    assert half.break_even == usd.break_even
    assert half.months[12].local_total * 2 == usd.months[12].local_total
    assert half.savings[0].amount * 2 == usd.savings[0].amount


def test_a_nominal_price_marks_the_decision() -> None:
    price = Price.model_validate({"input_usd": 5, "output_usd": 15, "simulated": True})
    assert decided(a_case(price)).nominal
    assert not decided(a_case()).nominal


def test_servers_that_cannot_bear_the_load_are_refused_with_the_month() -> None:
    with pytest.raises(ConfigError, match=r"hardware.servers=1: in month 5 .*servers=null"):
        decided(a_case(output_tokens_per_second=20, growth_per_month=Decimal("0.2")))


def test_a_request_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"context_tokens=1024: .* 1100 tokens"):
        decided(
            a_case(
                per="request",
                requests_per_day=10,
                input_tokens=1000,
                output_tokens=100,
                context_tokens=1024,
            )
        )


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"usd": None}, "hardware.usd=…"),
        ({"kind": "lease"}, "hardware.usd_per_month=…"),
        ({"kind": "cloud"}, "hardware.usd_per_hour=…"),
        ({"electricity_usd_per_month": None}, "hardware.watts is not known"),
        ({"servers": None}, "hardware.output_tokens_per_second=…"),
        ({"input_tokens": None}, "workload.input_tokens=…"),
        ({"per": "request"}, "workload.requests_per_day=…"),
    ],
)
def test_a_missing_figure_is_named_with_what_sets_it(
    changes: dict[str, object], names: str
) -> None:
    with pytest.raises(ConfigError) as told:
        decided(a_case(**changes))
    assert names in str(told.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"input_tokens": 0},
        {"output_tokens": -1},
        {"requests_per_day": 0},
        {"utilisation": 1.01},
        {"utilisation": 0},
        {"peak_factor": 0.5},
        {"cached_share": 1.1},
        {"usd": -1},
        {"growth_per_month": -1},
        {"input_tokens": {"value": 5, "low": 6, "high": 7}},
        {"input_tokens": {"value": 5, "low": 0, "high": 7}},
        {"input_tokens": "nan"},
        {"retrain_every_months": 6},
    ],
)
def test_figures_that_cannot_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        a_case(**changes)


@given(
    st.decimals(0, 1000, places=3), st.decimals(0, 1000, places=3), st.decimals(0, 1000, places=3)
)
@settings(deadline=None)
def test_a_quantity_lies_within_its_range_or_is_refused(
    low: Decimal, value: Decimal, high: Decimal
) -> None:
    facts = {"low": low, "value": value, "high": high}
    if low <= value <= high:
        assert Quantity.model_validate(facts).bounds == (low, high)
    else:
        with pytest.raises(ValueError, match="outside its own range"):
            Quantity.model_validate(facts)
