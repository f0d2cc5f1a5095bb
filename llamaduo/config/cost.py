"""`conf/workload`, `conf/hardware` and `conf/cost.yaml`: the figures of a cost decision.

Each figure has its range, date and source. Money is in US dollars. Unknown is None, never 0.
"""

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from llamaduo.records import Record


class Quantity(Record):
    """A figure, and the range that it is believed to lie in; a plain number stands for itself.

    Attributes:
        value: the figure.
        low: the least that it may be; None: `value`.
        high: the most that it may be; None: `value`.
        date: the day since which it holds, or on which it was read.
        source: the place where it was read.
    """

    value: Decimal
    low: Decimal | None = None
    high: Decimal | None = None
    date: datetime.date | None = None
    source: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _number(cls, given: Any) -> Any:
        return given if isinstance(given, dict | Quantity) else {"value": given}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for bound in self.bounds:
            if not bound.is_finite():
                raise ValueError(f"{bound} is no figure")
        low, high = self.bounds
        if not low <= self.value <= high:
            raise ValueError(
                f"{self.value} lies outside its own range, {low} to {high}; set low and high, too"
            )
        return self

    @property
    def bounds(self) -> tuple[Decimal, Decimal]:
        """The least and the greatest value; the value twice where there is no range."""
        low = self.value if self.low is None else self.low
        return low, self.value if self.high is None else self.high

    @property
    def ranged(self) -> bool:
        """True if the figure has a range."""
        low, high = self.bounds
        return low < high

    def times(self, factor: Decimal) -> "Quantity":
        """Return the figure and its range, each times a factor above 0."""
        low, high = self.bounds
        changes = {"value": self.value * factor, "low": low * factor, "high": high * factor}
        return self.model_copy(update=changes)


def _within(least: Decimal, most: Decimal | None, words: str) -> Callable[[Quantity], Quantity]:
    def check(given: Quantity) -> Quantity:
        low, high = given.bounds
        if low < least or (most is not None and high > most):
            raise ValueError(f"{low if low < least else high} is not {words}")
        return given

    return check


def _above(given: Quantity) -> Quantity:
    if given.bounds[0] <= 0:
        raise ValueError(f"{given.bounds[0]} is not above 0; use a figure above 0")
    return given


_ZERO, _ONE = Decimal(0), Decimal(1)
Positive: TypeAlias = Annotated[Quantity, AfterValidator(_above)]
NotNegative: TypeAlias = Annotated[Quantity, AfterValidator(_within(_ZERO, None, "0 or more"))]
Part: TypeAlias = Annotated[Quantity, AfterValidator(_within(_ZERO, _ONE, "a share from 0 to 1"))]
Ceiling: TypeAlias = Annotated[
    Quantity,
    AfterValidator(_above),
    AfterValidator(_within(_ZERO, _ONE, "a share up to 1: no machine is more than busy")),
]
Change: TypeAlias = Annotated[
    Quantity, AfterValidator(_within(Decimal("-0.99"), None, "a change above -0.99 a month"))
]


class Volume(Record):
    """The volume of requests. None: not known, unless a run has measured it (`run=<id>`).

    Attributes:
        per: the unit of the tokens: a day, or a request.
        requests_per_day: the requests of a day.
        input_tokens: the input tokens of a unit.
        output_tokens: the output tokens of a unit.
    """

    per: Literal["day", "request"]
    requests_per_day: Positive | None
    input_tokens: Positive | None
    output_tokens: Positive | None


class Workload(Volume):
    """`workload`: the volume, its growth, and its terms at the service.

    Attributes:
        growth_per_month: the change of the volume from one month to the next.
        peak_factor: the busiest time over the mean.
        cached_share: the share of the input tokens at the service's cached price.
        batch_share: the share of the requests that can wait for a discount.
        batch_discount: the discount of those.
        price_change_per_month: the change of the service's price from one month to the next.
        days_per_month: the days of a month.
    """

    growth_per_month: Change
    peak_factor: Annotated[
        Quantity, AfterValidator(_within(_ONE, None, "1 or more: a peak is no less than the mean"))
    ]
    cached_share: Part
    batch_share: Part
    batch_discount: Part
    price_change_per_month: Change
    days_per_month: Positive


class Hardware(Record):
    """`hardware`: one server of the local side, and how many; amounts in dollars per server.

    Attributes:
        name: the name of this choice.
        kind: the way to pay: `buy` (usd), `lease` (usd_per_month) or `cloud` (usd_per_hour).
        usd: the price of a server.
        usd_per_month: the lease of a month.
        usd_per_hour: the price of an hour.
        lifetime_months: the months after which a server is bought again; None: never.
        watts: the mean draw at the wall.
        usd_per_kwh: the price of electricity.
        electricity_usd_per_month: a known bill, in place of `watts` and `usd_per_kwh`.
        hosting_usd_per_month: the price of a place for it.
        hours_per_month: the hours that it runs.
        input_tokens_per_second: the input tokens at full load; None: the reading of prompts is
            within `output_tokens_per_second`.
        output_tokens_per_second: the output tokens at full load; None: as a run has measured.
        measured_at_tokens: the tokens, in and out, of the requests of that measurement.
        context_tokens: the tokens, in and out, of the longest request that can be served.
        utilisation: the most of a server at the busiest time; beyond it requests queue up.
        servers: the servers; None: as many as that needs, at least one.
    """

    name: str
    kind: Literal["buy", "lease", "cloud"]
    usd: NotNegative | None
    usd_per_month: NotNegative | None
    usd_per_hour: NotNegative | None
    lifetime_months: Annotated[int, Field(ge=1)] | None
    watts: NotNegative | None
    usd_per_kwh: NotNegative | None
    electricity_usd_per_month: NotNegative | None
    hosting_usd_per_month: NotNegative
    hours_per_month: Positive
    input_tokens_per_second: Positive | None
    output_tokens_per_second: Positive | None
    measured_at_tokens: Annotated[int, Field(ge=1)] | None
    context_tokens: Annotated[int, Field(ge=1)] | None
    utilisation: Ceiling
    servers: Annotated[int, Field(ge=1)] | None


class OneOff(Record):
    """The costs before the first month; None: not counted, which the decision tells.

    Attributes:
        finetuning_usd: the dollars for fine-tuning.
        sweeps_usd: the dollars for sweeps.
        synthesis_usd: the dollars for synthesis.
        judging_usd: the dollars for judging.
        other_usd: any other dollars.
    """

    finetuning_usd: NotNegative | None
    sweeps_usd: NotNegative | None
    synthesis_usd: NotNegative | None
    judging_usd: NotNegative | None
    other_usd: NotNegative | None


class Upkeep(Record):
    """The running costs of the local side, whatever its hardware; None: not counted.

    Attributes:
        retrain_every_months: the months from one retraining to the next.
        retraining_usd: the dollars for a retraining.
        people_usd_per_month: the dollars for people in a month.
    """

    retrain_every_months: Annotated[int, Field(ge=1)] | None
    retraining_usd: NotNegative | None
    people_usd_per_month: NotNegative | None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.retrain_every_months is None) != (self.retraining_usd is None):
            raise ValueError(
                "set both upkeep.retrain_every_months and upkeep.retraining_usd, or neither"
            )
        return self
