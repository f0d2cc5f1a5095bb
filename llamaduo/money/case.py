"""A case, and the inputs of the arithmetic made from it; a missing figure is refused here."""

from dataclasses import dataclass
from decimal import Decimal

from llamaduo.base.errors import ConfigError
from llamaduo.config import Hardware, OneOff, Quantity, Upkeep, Workload
from llamaduo.money.model import Choices, Inputs
from llamaduo.records import Price

#: The configuration key of each input.
KEYS = {
    "requests": "workload.requests_per_day",
    "input_tokens": "workload.input_tokens",
    "output_tokens": "workload.output_tokens",
    "growth": "workload.growth_per_month",
    "peak": "workload.peak_factor",
    "cached": "workload.cached_share",
    "batch": "workload.batch_share",
    "discount": "workload.batch_discount",
    "price_change": "workload.price_change_per_month",
    "days": "workload.days_per_month",
    "input_price": "service price, input",
    "cached_price": "service price, cached input",
    "output_price": "service price, output",
    "server": "hardware.usd",
    "rent": "hardware.usd_per_month",
    "hourly": "hardware.usd_per_hour",
    "hours": "hardware.hours_per_month",
    "watts": "hardware.watts",
    "kwh_price": "hardware.usd_per_kwh",
    "electricity": "hardware.electricity_usd_per_month",
    "hosting": "hardware.hosting_usd_per_month",
    "input_rate": "hardware.input_tokens_per_second",
    "output_rate": "hardware.output_tokens_per_second",
    "utilisation": "hardware.utilisation",
    "finetuning": "one_off.finetuning_usd",
    "sweeps": "one_off.sweeps_usd",
    "synthesis": "one_off.synthesis_usd",
    "judging": "one_off.judging_usd",
    "other": "one_off.other_usd",
    "retraining": "upkeep.retraining_usd",
    "people": "upkeep.people_usd_per_month",
}
MONEY = (
    *("input_price", "cached_price", "output_price", "server", "rent", "hourly", "kwh_price"),
    *("electricity", "hosting", "finetuning", "sweeps", "synthesis", "judging", "other"),
    *("retraining", "people"),
)
#: Inputs that a decision should count; it says so where it does not.
COUNTED = ("finetuning", "sweeps", "synthesis", "judging", "retraining", "people")
_NONE = Quantity(value=Decimal(0))


@dataclass(frozen=True)
class Case:
    """One workload, on one service and on one kind of server."""

    name: str
    workload: Workload
    price: Price
    hardware: Hardware
    one_off: OneOff
    upkeep: Upkeep


def choices_of(case: Case) -> Choices:
    """Return the choices of a case.

    Raises:
        ConfigError: a request is longer than the hardware can serve.
    """
    hardware, upkeep = case.hardware, case.upkeep
    return Choices(
        per_request=case.workload.per == "request",
        servers=hardware.servers,
        lifetime=hardware.lifetime_months if hardware.kind == "buy" else None,
        retrain_every=upkeep.retrain_every_months,
        slowdown=_slowdown(case),
    )


def inputs_of(case: Case, usd_per_unit: Decimal = Decimal(1)) -> Inputs[Quantity]:
    """Return the figures of a case, with money in a currency whose unit costs so many US dollars.

    Raises:
        ConfigError: a figure that every decision needs is missing.
    """
    work, hardware, price = case.workload, case.hardware, case.price
    one_off, upkeep = case.one_off, case.upkeep
    cached = price.input_usd if price.cached_input_usd is None else price.cached_input_usd
    requests = work.requests_per_day
    if work.per == "request":
        requests = _known(requests, "workload.requests_per_day", "how many on a day")
    known = hardware.electricity_usd_per_month
    inputs = Inputs(
        requests=requests,
        input_tokens=_known(work.input_tokens, "workload.input_tokens", "or name run=<id>"),
        output_tokens=_known(work.output_tokens, "workload.output_tokens", "or name run=<id>"),
        growth=work.growth_per_month,
        peak=work.peak_factor,
        cached=work.cached_share,
        batch=work.batch_share,
        discount=work.batch_discount,
        price_change=work.price_change_per_month,
        days=work.days_per_month,
        input_price=Quantity(value=price.input_usd),
        cached_price=Quantity(value=cached),
        output_price=Quantity(value=price.output_usd),
        server=_price(hardware, "buy"),
        rent=_price(hardware, "lease"),
        hourly=_price(hardware, "cloud"),
        hours=hardware.hours_per_month,
        watts=_power(hardware, hardware.watts, "watts") if known is None else _NONE,
        kwh_price=_power(hardware, hardware.usd_per_kwh, "usd_per_kwh"),
        electricity=_NONE if known is None else known,
        hosting=hardware.hosting_usd_per_month,
        input_rate=hardware.input_tokens_per_second,
        output_rate=hardware.output_tokens_per_second,
        utilisation=hardware.utilisation,
        finetuning=one_off.finetuning_usd,
        sweeps=one_off.sweeps_usd,
        synthesis=one_off.synthesis_usd,
        judging=one_off.judging_usd,
        other=one_off.other_usd,
        retraining=upkeep.retraining_usd,
        people=upkeep.people_usd_per_month,
    )
    if hardware.servers is None and hardware.output_tokens_per_second is None:
        raise ConfigError(
            f"hardware={hardware.name}: nobody measured the throughput of a server, so the "
            "number of servers is not known; name a run that measured it (run=<id>), or set "
            "hardware.output_tokens_per_second=… or hardware.servers=…"
        )
    return inputs.map(lambda k, v: v.times(1 / usd_per_unit) if k in MONEY else v)


def _known(figure: Quantity | None, key: str, how: str) -> Quantity:
    if figure is None:
        raise ConfigError(f"{key} is not known: set {key}=… ({how})")
    return figure


def _price(hardware: Hardware, kind: str) -> Quantity:
    if kind != hardware.kind:
        return _NONE
    key = {"buy": "usd", "lease": "usd_per_month", "cloud": "usd_per_hour"}[kind]
    if (price := getattr(hardware, key)) is None:
        raise ConfigError(
            f"hardware={hardware.name}: the price of a server is not known. Set hardware.{key}=…, "
            f"or add to conf/hardware/{hardware.name}.yaml: "
            f"{key}: {{value: FIGURE, date: YYYY-MM-DD, source: WHERE}}"
        )
    assert isinstance(price, Quantity)
    return price


def _power(hardware: Hardware, figure: Quantity | None, key: str) -> Quantity:
    """Return a figure of power; 0 in a cloud, where the rent includes it."""
    if hardware.kind == "cloud" or hardware.electricity_usd_per_month is not None:
        return _NONE
    if figure is None:
        raise ConfigError(
            f"hardware={hardware.name}: hardware.{key} is not known; set it (0 where it is in "
            "another price), or hardware.electricity_usd_per_month=… for both"
        )
    return figure


def tokens_per_request(work: Workload) -> Decimal | None:
    """Return the mean tokens of a request, in and out; None where nobody counted requests."""
    if work.input_tokens is None or work.output_tokens is None:
        return None
    both = work.input_tokens.value + work.output_tokens.value
    if work.per == "request":
        return both
    return None if work.requests_per_day is None else both / work.requests_per_day.value


def _slowdown(case: Case) -> Decimal:
    """Return how many times longer requests are than those measured, at least 1.

    The memory for keys and values limits how many requests run at once, and longer prompts take
    longer to read. So throughput is assumed to fall as requests grow. It is not assumed to rise.
    """
    tokens, hardware = tokens_per_request(case.workload), case.hardware
    if tokens is None:
        return Decimal(1)
    if hardware.context_tokens is not None and tokens > hardware.context_tokens:
        raise ConfigError(
            f"hardware.context_tokens={hardware.context_tokens}: a request of the workload has "
            f"{tokens:.0f} tokens, in and out, on the mean; use hardware with room for them, or "
            "shorter requests"
        )
    if hardware.measured_at_tokens is None:
        return Decimal(1)
    return max(Decimal(1), tokens / hardware.measured_at_tokens)
