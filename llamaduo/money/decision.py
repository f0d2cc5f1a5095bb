"""A cost decision: service and local month by month, when it pays back, and how sure that is."""

from collections.abc import Iterator
from decimal import Decimal

from llamaduo.base.errors import ConfigError
from llamaduo.money.case import COUNTED, KEYS, Case, choices_of, inputs_of
from llamaduo.money.model import (
    Choices,
    Inputs,
    Series,
    accumulated,
    break_even,
    dearer_again,
    load,
    one_off,
    project,
    requests_in,
)
from llamaduo.money.spread import Band, Draws, Move, Spread, sensitivity, spread, tidy
from llamaduo.records import Record

SAVINGS = (12, 24, 36)  # months
SEARCHED = 120  # months in which a break-even is looked for


class Month(Record):
    """The cost of a month on each side, and the total until its end; month 0 is the start."""

    month: int
    service: Decimal
    local: Decimal
    service_total: Decimal
    local_total: Decimal
    service_band: Band | None
    local_band: Band | None
    servers: int


class Saving(Record):
    """The savings of the local side over so many months; below 0: its extra cost."""

    months: int
    amount: Decimal
    band: Band | None


class Per1000(Record):
    """The cost of a thousand requests, with all that is counted, over the months of the series."""

    service: Decimal
    local: Decimal
    service_band: Band | None
    local_band: Band | None


class CostDecision(Record):
    """The result of a case, in `currency`.

    `service_month` and `local_month` are the cost of the first month, without what is paid once:
    `one_off` and `servers_usd`. `break_even` is in months; None: not within `searched` months.
    `dearer_again` is the month after it in which local has cost more again, for example because
    servers are bought again. `pays_back` is the share of draws that break even within the series;
    it and the bands are None where no figure had a range. `moves` has the figures by how far they
    move the break-even, `nudged` by ten percent where none has a range. `per_1000` is None where
    nobody counted requests, `load` (servers kept busy in month 1) where nobody measured a
    throughput. `nominal`: nobody is charged that price.
    """

    name: str
    currency: str
    nominal: bool
    hardware: str
    months: tuple[Month, ...]
    service_month: Decimal
    local_month: Decimal
    one_off: Decimal
    servers_usd: Decimal
    break_even: Decimal | None
    break_even_band: Band | None
    searched: int
    dearer_again: int | None
    pays_back: float | None
    savings: tuple[Saving, ...]
    per_1000: Per1000 | None
    moves: tuple[Move, ...]
    nudged: bool
    load: Decimal | None
    uncounted: tuple[str, ...]
    draws: int
    confidence: float


def decide(
    case: Case, *, months: int, draws: Draws, currency: str, usd_per_unit: Decimal = Decimal(1)
) -> CostDecision:
    """Decide a case, with a series of so many months.

    Raises:
        ConfigError: a figure is missing, or the given servers are too few for the load.
    """
    choices, given = choices_of(case), inputs_of(case, usd_per_unit)
    x = given.map(lambda _, figure: figure.value)
    _refuse_overload(case, x, choices, months)
    series = project(x, choices, max(SEARCHED, months))
    kept = max(months, *SAVINGS)
    drawn = spread(
        given, choices, months=months, kept=kept, searched=len(series.service), draws=draws
    )
    months_to_even, first = break_even(series), one_off(x)
    busy = load(x, choices, 1)
    moves, nudged = sensitivity(given, choices, len(series.service))
    return CostDecision(
        name=case.name,
        currency=currency,
        nominal=case.price.simulated,
        hardware=case.hardware.name,
        months=tuple(_months(series, months, drawn)),
        service_month=tidy(series.service[0]),
        local_month=tidy(series.running[0]),
        one_off=tidy(first),
        servers_usd=tidy(series.once[0] - first),
        break_even=None if months_to_even is None else tidy(months_to_even),
        break_even_band=None if drawn is None else drawn.break_even(),
        searched=len(series.service),
        dearer_again=dearer_again(series),
        pays_back=None if drawn is None else drawn.pays_back(),
        savings=tuple(_savings(series, drawn)),
        per_1000=_per_1000(x, series, months, drawn),
        moves=moves,
        nudged=nudged,
        load=None if busy is None else tidy(busy),
        uncounted=tuple(KEYS[name] for name in COUNTED if getattr(given, name) is None),
        draws=0 if drawn is None else draws.number,
        confidence=draws.confidence,
    )


def _refuse_overload(case: Case, x: Inputs[Decimal], choices: Choices, months: int) -> None:
    for month in range(1, months + 1) if choices.servers is not None else ():
        busy = load(x, choices, month)
        if (
            busy is not None
            and choices.servers is not None
            and busy > choices.servers * x.utilisation
        ):
            raise ConfigError(
                f"hardware.servers={choices.servers}: in month {month} the busiest time needs "
                f"{busy / x.utilisation:.1f} servers at hardware.utilisation="
                f"{case.hardware.utilisation.value}; set hardware.servers=null for as many as the "
                "load needs"
            )


def _months(series: Series[Decimal], months: int, drawn: Spread | None) -> Iterator[Month]:
    service, local = accumulated(series)
    for month in range(months + 1):
        before = month - 1
        yield Month(
            month=month,
            service=tidy(series.service[before]) if month else Decimal(0),
            local=tidy(local[month] - local[before] if month else local[0]),
            service_total=tidy(service[month]),
            local_total=tidy(local[month]),
            service_band=None if drawn is None else drawn.total("service", month),
            local_band=None if drawn is None else drawn.total("local", month),
            servers=int(series.servers[max(before, 0)]),
        )


def _savings(series: Series[Decimal], drawn: Spread | None) -> Iterator[Saving]:
    service, local = accumulated(series)
    for months in SAVINGS:
        yield Saving(
            months=months,
            amount=tidy(service[months] - local[months]),
            band=None if drawn is None else drawn.saving(months),
        )


def _per_1000(
    x: Inputs[Decimal], series: Series[Decimal], months: int, drawn: Spread | None
) -> Per1000 | None:
    if x.requests is None:
        return None
    service, local = accumulated(series)
    requests = requests_in(x, months)
    return Per1000(
        service=tidy(service[months] * 1000 / requests),
        local=tidy(local[months] * 1000 / requests),
        service_band=None if drawn is None else drawn.per_1000("service"),
        local_band=None if drawn is None else drawn.per_1000("local"),
    )
