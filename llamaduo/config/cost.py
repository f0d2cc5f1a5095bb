"""What a cost decision is made from: frozen records, each figure with its range, date and source.

Money is in US dollars. Unknown is None, never 0. Nothing here computes.
"""

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Terms(BaseModel):
    """Base of all: unknown keys and later changes are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Quantity(Terms):
    """A figure, and the range that it is believed to lie in; without one it is taken as certain.

    A plain number stands for itself. `date` and `source` say since when and by whom.
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
        """The range; the value twice where there is none."""
        low = self.value if self.low is None else self.low
        return low, self.value if self.high is None else self.high

    @property
    def ranged(self) -> bool:
        """Whether it may be something else than its value."""
        low, high = self.bounds
        return low < high

    def times(self, factor: Decimal) -> "Quantity":
        """The figure and its range, each times a factor above 0."""
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


class Volume(Terms):
    """How much is asked: tokens `per` day, or per request with `requests_per_day`.

    None is what a run must say (`run=<id>`) or nobody has said yet.
    """

    per: Literal["day", "request"]
    requests_per_day: Positive | None
    input_tokens: Positive | None
    output_tokens: Positive | None


class Workload(Volume):
    """`workload`: the volume, how it grows, and how it is bought.

    `growth_per_month` is the change from one month to the next, `peak_factor` the busiest time over
    the mean. `cached_share` of the input tokens is known to the service, which then charges its
    cached price; `batch_share` of the requests can wait, and is sold at `batch_discount` off.
    `price_change_per_month` is that of the service's price.
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


class Hardware(Terms):
    """`hardware`: one server of the local side, and how many; amounts in dollars per server.

    Of the prices, `usd` is needed to `buy`, `usd_per_month` to `lease`, `usd_per_hour` for `cloud`.
    A bought server is bought again after `lifetime_months`. `watts` is the mean draw at the wall;
    `electricity_usd_per_month`, where it is known, stands for it and `usd_per_kwh`. Throughput is
    measured at full load: `output_tokens_per_second` holds the reading of the prompts, too, unless
    `input_tokens_per_second` gives that apart. It was measured on requests of `measured_at_tokens`
    (in and out), and `context_tokens` is the longest that can be served. `servers` None: as many as
    keep the busiest time under `utilisation`, at least one.
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


class OneOff(Terms):
    """What is paid once, before the first month; None: not counted, and said so."""

    finetuning_usd: NotNegative | None
    sweeps_usd: NotNegative | None
    synthesis_usd: NotNegative | None
    judging_usd: NotNegative | None
    other_usd: NotNegative | None


class Upkeep(Terms):
    """What the local side takes as it goes on, whatever its hardware; None: not counted.

    `retraining_usd` falls due every `retrain_every_months`, `people_usd_per_month` every month.
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
