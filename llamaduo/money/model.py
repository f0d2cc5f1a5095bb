"""The arithmetic of both sides, month by month: pure functions of frozen inputs.

The same formulas take exact decimals, for what is printed, and arrays, for thousands of draws.
A month's service fee is its tokens at the service's price. The local side pays once before the
first month, then for the servers that it buys or rents as the load needs them. docs/cost.md has
the formulas in words.
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
    """The inputs that are chosen, not uncertain.

    `per_request`: tokens are those of one request, else of a day. `servers` None: as many as the
    load needs. `lifetime` of a server and `retrain_every` are in months; None: never. The
    throughput is divided by `slowdown` where requests are longer than those measured.
    """

    per_request: bool
    servers: int | None
    lifetime: int | None
    retrain_every: int | None
    slowdown: Decimal


@dataclass(frozen=True)
class Inputs(Generic[T]):
    """The figures of the formulas: money in one currency, rates per second, shares of 1.

    None: requests that nobody counted, throughput that nobody measured, costs that are not counted.
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
        """Return the inputs with each figure that is not None changed by `change(name, figure)`."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            values[name] = None if value is None else change(name, value)
        return Inputs(**values)


@dataclass(frozen=True)
class Series(Generic[T]):
    """The cost of each month, from the first; `once` is paid at its start, the rest during it."""

    service: tuple[T, ...]
    running: tuple[T, ...]
    once: tuple[T, ...]
    servers: tuple[T, ...]


def project(x: Inputs[N], choices: Choices, months: int) -> Series[N]:
    """Compute both sides' costs of so many months."""
    none = x.growth * 0
    service: list[N] = []
    running: list[N] = []
    once: list[N] = []
    servers: list[N] = []
    bought: list[N] = []
    running_servers = none
    for month in range(1, months + 1):
        count = need(x, choices, month)
        if choices.lifetime is not None and month > choices.lifetime:
            running_servers = running_servers - bought[month - 1 - choices.lifetime]
        new = _positive(count - running_servers)
        running_servers = running_servers + new
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
    """Return what is paid before the first month, as far as it is counted."""
    whole = x.growth * 0
    for part in (x.finetuning, x.sweeps, x.synthesis, x.judging, x.other):
        if part is not None:
            whole = whole + part
    return whole


def service_fee(x: Inputs[N], choices: Choices, month: int) -> N:
    """Return the fee of the service for a month."""
    tokens_in, tokens_out = daily(x, choices, month)
    mean_in = (1 - x.cached) * x.input_price + x.cached * x.cached_price
    usd = (tokens_in * mean_in + tokens_out * x.output_price) / 1_000_000
    return x.days * usd * (1 + x.price_change) ** (month - 1) * (1 - x.batch * x.discount)


def daily(x: Inputs[N], choices: Choices, month: int) -> tuple[N, N]:
    """Return the tokens in and out on a day of a month."""
    times = (1 + x.growth) ** (month - 1)
    if choices.per_request and x.requests is not None:
        times = times * x.requests
    return times * x.input_tokens, times * x.output_tokens


def requests_in(x: Inputs[N], months: int) -> N:
    """Return the number of requests in so many months; 0 where nobody counted them."""
    whole = x.growth * 0
    for month in range(months):
        if x.requests is not None:
            whole = whole + x.requests * x.days * (1 + x.growth) ** month
    return whole


def load(x: Inputs[N], choices: Choices, month: int) -> N | None:
    """Return the servers that the busiest time keeps busy; None without a measured throughput."""
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
    """Return the servers in a month: those given, else as many as the load needs, at least one."""
    if choices.servers is not None:
        return x.growth * 0 + choices.servers
    busy = load(x, choices, month)
    if busy is None:
        raise AssertionError("there must be a number of servers or a throughput")
    return _whole(busy / x.utilisation)


def server_month(x: Inputs[N]) -> N:
    """Return the monthly cost of a server, without its purchase."""
    power = x.watts * x.hours / 1000 * x.kwh_price
    return x.rent + x.hourly * x.hours + power + x.electricity + x.hosting


def accumulated(series: Series[N]) -> tuple[list[N], list[N]]:
    """Return the totals of service and local: at the start, and at the end of each month."""
    service, local = [series.service[0] * 0], [series.once[0]]
    for month, fee in enumerate(series.service):
        due = series.once[month] if month else series.once[0] * 0
        service.append(service[-1] + fee)
        local.append(local[-1] + due + series.running[month])
    return service, local


def _gaps(series: Series[N]) -> list[tuple[N, N]]:
    """Return by how much local is above service in each month, at its start and at its end.

    What is due at the start has been paid by then.
    """
    service, local = accumulated(series)
    gaps = []
    for month, due in enumerate(series.once):
        paid = local[month] + (due if month else due * 0)
        gaps.append((paid - service[month], local[month + 1] - service[month + 1]))
    return gaps


def break_even(series: Series[Decimal]) -> Decimal | None:
    """Return the months until local has cost no more than the service for the first time.

    None: never. Within a month both sides' costs are spread evenly.
    """
    for month, (start, end) in enumerate(_gaps(series)):
        if start <= 0:
            return Decimal(month)
        if end <= 0:
            return month + start / (start - end)
    return None


def break_evens(series: Series[Array]) -> Array:
    """Return the `break_even` of every draw; infinity where there is none."""
    gaps = _gaps(series)
    months = np.full(np.broadcast_shapes(*(np.shape(end) for _, end in gaps)), np.inf)
    for month, (start, end) in enumerate(gaps):
        fall = np.where(end < start, start - end, 1.0)
        at = np.where(start <= 0, month, np.where(end <= 0, month + start / fall, np.inf))
        months = np.where(np.isinf(months), at, months)
    return months


def dearer_again(series: Series[Decimal]) -> int | None:
    """Return the first month in which local, once paid back, has again cost more; None: never."""
    back = False
    for month, (start, end) in enumerate(_gaps(series), start=1):
        if back and (start > 0 or end > 0):
            return month
        back = back or end <= 0
    return None


def _whole(count: N) -> N:
    if isinstance(count, Decimal):
        return max(Decimal(1), count.to_integral_value(ROUND_CEILING))
    # A tiny excess over a whole number is rounding, not another server.
    return np.maximum(1.0, np.ceil(count - 1e-9))


def _positive(count: N) -> N:
    if isinstance(count, Decimal):
        return max(Decimal(0), count)
    return np.maximum(0.0, count)
