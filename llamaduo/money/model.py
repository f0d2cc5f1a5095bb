"""The arithmetic of both sides, month by month: pure functions of frozen inputs.

The same formulas take exact decimals, for what is printed, and arrays, for draws by the thousand.
A month's service fee is its tokens at the service's price; the local side pays once before the
first month, then for its servers, which it buys or rents as the load asks for them. docs/cost.md
has the formulas in words.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, Decimal
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
T = TypeVar("T")
U = TypeVar("U")
N = TypeVar("N", Decimal, Array)

DAY = 86_400  # seconds


@dataclass(frozen=True)
class Choices:
    """What is chosen, not uncertain.

    `per_request`: tokens are those of one request, else of a day. `servers` None: as many as the
    load needs. `slowdown` is how far requests longer than those measured lower the throughput.
    """

    per_request: bool
    servers: int | None
    lifetime: int | None
    retrain_every: int | None
    slowdown: Decimal


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """The figures that the formulas take: money in one currency, rates per second, shares of 1.

    Where there is no figure at all: requests that nobody counted, throughput that nobody measured,
    costs that are not counted.
    """

    requests: T | None
    input_tokens: T
    output_tokens: T
    growth: T
    peak: T
    cached: T
    batch: T
    discount: T
    price_change: T
    days: T
    input_price: T
    cached_price: T
    output_price: T
    server: T
    rent: T
    hourly: T
    hours: T
    watts: T
    kwh_price: T
    electricity: T
    hosting: T
    input_rate: T | None
    output_rate: T | None
    utilisation: T
    finetuning: T | None
    sweeps: T | None
    synthesis: T | None
    judging: T | None
    other: T | None
    retraining: T | None
    people: T | None

    def map(self, change: Callable[[str, T], U]) -> "Inputs[U]":
        """Each figure that is there, changed; `change` gets its name and the figure."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            values[name] = None if value is None else change(name, value)
        return Inputs(**values)


ONE_OFF = ("finetuning", "sweeps", "synthesis", "judging", "other")


@dataclass(frozen=True)
class Series(Generic[T]):
    """What each month takes, from the first; `once` falls due at its start, the rest in it."""

    service: tuple[T, ...]
    running: tuple[T, ...]
    once: tuple[T, ...]
    servers: tuple[T, ...]


def project(x: Inputs[N], choices: Choices, months: int) -> Series[N]:
    """Both sides' costs of so many months."""
    none = x.growth * 0
    service: list[N] = []
    running: list[N] = []
    once: list[N] = []
    servers: list[N] = []
    bought: list[N] = []
    alive = none
    for month in range(1, months + 1):
        count = need(x, choices, month)
        if choices.lifetime is not None and month > choices.lifetime:
            alive = alive - bought[month - 1 - choices.lifetime]
        new = _positive(count - alive)
        alive = alive + new
        bought.append(new)
        due = new * x.server
        if month == 1:
            due = due + one_off(x)
        elif (
            choices.retrain_every is not None
            and x.retraining is not None
            and (month - 1) % choices.retrain_every == 0
        ):
            due = due + x.retraining
        service.append(service_fee(x, choices, month))
        running.append(count * server_month(x) + (none if x.people is None else x.people))
        once.append(due)
        servers.append(count)
    return Series(tuple(service), tuple(running), tuple(once), tuple(servers))


def one_off(x: Inputs[N]) -> N:
    """What is paid before the first month, as far as it is counted."""
    whole = x.growth * 0
    for part in (x.finetuning, x.sweeps, x.synthesis, x.judging, x.other):
        if part is not None:
            whole = whole + part
    return whole


def service_fee(x: Inputs[N], choices: Choices, month: int) -> N:
    """What the service charges for a month."""
    tokens_in, tokens_out = daily(x, choices, month)
    mean_in = (1 - x.cached) * x.input_price + x.cached * x.cached_price
    usd = (tokens_in * mean_in + tokens_out * x.output_price) / 1_000_000
    return x.days * usd * (1 + x.price_change) ** (month - 1) * (1 - x.batch * x.discount)


def daily(x: Inputs[N], choices: Choices, month: int) -> tuple[N, N]:
    """Tokens in and out on a day of a month."""
    times = (1 + x.growth) ** (month - 1)
    if choices.per_request and x.requests is not None:
        times = times * x.requests
    return times * x.input_tokens, times * x.output_tokens


def requests_in(x: Inputs[N], months: int) -> N:
    """Requests of so many months; 0 where nobody counted them."""
    whole = x.growth * 0
    for month in range(months):
        if x.requests is not None:
            whole = whole + x.requests * x.days * (1 + x.growth) ** month
    return whole


def load(x: Inputs[N], choices: Choices, month: int) -> N | None:
    """Servers that the busiest time keeps busy; None where nobody measured a throughput."""
    if x.output_rate is None:
        return None
    tokens_in, tokens_out = daily(x, choices, month)
    busy = tokens_out / x.output_rate
    if x.input_rate is not None:
        busy = busy + tokens_in / x.input_rate
    if isinstance(busy, Decimal):
        return x.peak * busy * choices.slowdown / DAY
    return x.peak * busy * float(choices.slowdown) / DAY


def need(x: Inputs[N], choices: Choices, month: int) -> N:
    """Servers in a month: those given, else as many as the load needs, at least one."""
    if choices.servers is not None:
        return x.growth * 0 + choices.servers
    busy = load(x, choices, month)
    if busy is None:
        raise AssertionError("a plan has its servers or its throughput")
    return _whole(busy / x.utilisation)


def server_month(x: Inputs[N]) -> N:
    """What a server takes in a month, once it is there."""
    power = x.watts * x.hours / 1000 * x.kwh_price
    return x.rent + x.hourly * x.hours + power + x.electricity + x.hosting


def accumulated(series: Series[N]) -> tuple[list[N], list[N]]:
    """Service and local at the end of each month; first, at the start, what is due at once."""
    service, local = [series.service[0] * 0], [series.once[0]]
    for month, fee in enumerate(series.service):
        due = series.once[month] if month else series.once[0] * 0
        service.append(service[-1] + fee)
        local.append(local[-1] + due + series.running[month])
    return service, local


def _gaps(series: Series[N]) -> list[tuple[N, N]]:
    """How far local is above service in each month: at its start, what is due paid; at its end."""
    service, local = accumulated(series)
    found = []
    for month, due in enumerate(series.once):
        paid = local[month] + (due if month else due * 0)
        found.append((paid - service[month], local[month + 1] - service[month + 1]))
    return found


def break_even(series: Series[Decimal]) -> Decimal | None:
    """Months until local has cost no more than the service, for the first time; None: never.

    Within a month both sides' costs run evenly.
    """
    for month, (start, end) in enumerate(_gaps(series)):
        if start <= 0:
            return Decimal(month)
        if end <= 0:
            return month + start / (start - end)
    return None


def break_evens(series: Series[Array]) -> Array:
    """`break_even` of every draw; infinity where it never comes."""
    gaps = _gaps(series)
    found = np.full(np.broadcast_shapes(*(np.shape(end) for _, end in gaps)), np.inf)
    for month, (start, end) in enumerate(gaps):
        fall = np.where(end < start, start - end, 1.0)
        at = np.where(start <= 0, month, np.where(end <= 0, month + start / fall, np.inf))
        found = np.where(np.isinf(found), at, found)
    return found


def dearer_again(series: Series[Decimal]) -> int | None:
    """The first month in which local, once paid back, has cost more than the service again."""
    back = False
    for month, (start, end) in enumerate(_gaps(series), start=1):
        if back and (start > 0 or end > 0):
            return month
        back = back or end <= 0
    return None


def _whole(count: N) -> N:
    if isinstance(count, Decimal):
        return max(Decimal(1), count.to_integral_value(ROUND_CEILING))
    # A hair above a whole number is the rounding of floats, not another server.
    return np.maximum(1.0, np.ceil(count - 1e-9))


def _positive(count: N) -> N:
    if isinstance(count, Decimal):
        return max(Decimal(0), count)
    return np.maximum(0.0, count)
