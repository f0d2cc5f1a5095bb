"""What a finished migration has measured, put where the terms of a decision leave it open.

Tokens per request are those that the service LLM's second answers to test took, throughput is that
of the tuned model on test, and what falls due once is what the migration took: its service fees,
nominal ones where the price is nominal, and the time of its stages at the hardware's rate.
"""

from dataclasses import dataclass
from decimal import Decimal

from llamaduo.base.errors import ConfigError
from llamaduo.config import Hardware, OneOff, Quantity, Upkeep, Workload
from llamaduo.money.case import Case
from llamaduo.money.decision import decide
from llamaduo.money.rates import rates_of
from llamaduo.money.spread import Draws
from llamaduo.outcome import Outcome, StageFacts
from llamaduo.records import Bill, Price

MONTHS = 24
DRAWS = Draws(10_000, 1, 0.9)
JUDGING = ("judge", "anchor", "compare")
SYNTHESIS = ("synthesize", "answer")


_OPEN = OneOff(
    finetuning_usd=None, sweeps_usd=None, synthesis_usd=None, judging_usd=None, other_usd=None
)
_NONE = Upkeep(retrain_every_months=None, retraining_usd=None, people_usd_per_month=None)


@dataclass(frozen=True)
class Measured:
    """What a run knows; None: it does not. Tokens are of one request, in the service's counting."""

    run: str
    input_tokens: Decimal | None
    output_tokens: Decimal | None
    seconds_per_request: Decimal | None
    synthesis_usd: Decimal | None
    judging_usd: Decimal | None
    seconds: float
    usd_per_hour: Decimal | None


def measured(outcome: Outcome) -> Measured:
    """What an outcome has measured."""
    bill = _answers(outcome.stages)
    latency = outcome.cost.local_seconds_per_1000
    rate = outcome.config.get("local", {}).get("usd_per_hour")
    return Measured(
        run=outcome.run_id,
        input_tokens=_each(bill.input_tokens, bill.calls),
        output_tokens=_each(bill.output_tokens, bill.calls),
        seconds_per_request=None if not latency else Decimal(repr(latency)) / 1000,
        synthesis_usd=_fees(outcome.stages, SYNTHESIS),
        judging_usd=_fees(outcome.stages, JUDGING),
        seconds=outcome.cost.seconds_embodied,
        usd_per_hour=None if rate is None else Decimal(str(rate)),
    )


def workload(asked: Workload, found: Measured) -> Workload:
    """The workload with the run's tokens per request where it says none itself.

    Raises:
        ConfigError: the run has not measured them either.
    """
    given = {"input_tokens": asked.input_tokens, "output_tokens": asked.output_tokens}
    if all(figure is not None for figure in given.values()) or asked.per == "day":
        return asked
    known = {"input_tokens": found.input_tokens, "output_tokens": found.output_tokens}
    for key, figure in given.items():
        if figure is None and known[key] is None:
            raise ConfigError(
                f"run={found.run[:8]} has no answers of the service to test, so {key} of a request "
                f"was not measured: set workload.{key}=…"
            )
        if figure is None:
            given[key] = Quantity.model_validate({"value": known[key], "source": _source(found)})
    return asked.model_copy(update=given)


def configured(asked: Hardware, outcome: Outcome) -> Hardware:
    """The hardware that the run was configured with, where no price is given: what is, stays."""
    prices = (asked.usd, asked.usd_per_month, asked.usd_per_hour)
    own = outcome.config.get("hardware")
    if own is None or any(price is not None for price in prices):
        return asked
    kept = {
        key: value
        for key, value in asked
        if value is not None and key not in ("name", "kind", "hosting_usd_per_month")
    }
    return Hardware.model_validate(own).model_copy(update=kept)


def hardware(asked: Hardware, found: Measured) -> Hardware:
    """The hardware with the run's throughput, where it has none itself and no fixed servers.

    Also with what the run says that an hour of its machine costs, where that is not known.

    Raises:
        ConfigError: the run has not measured a throughput either.
    """
    changes: dict[str, object] = {}
    if asked.kind == "cloud" and asked.usd_per_hour is None and found.usd_per_hour is not None:
        changes["usd_per_hour"] = Quantity(value=found.usd_per_hour, source=_source(found))
    if asked.output_tokens_per_second is None:
        if found.seconds_per_request is not None and found.output_tokens:
            # The service's tokens, as the workload counts them, though another tokenizer's ran.
            rate = found.output_tokens / found.seconds_per_request
            tokens = (found.input_tokens or 0) + found.output_tokens
            changes["output_tokens_per_second"] = Quantity(value=rate, source=_source(found))
            changes["measured_at_tokens"] = max(1, round(tokens))
        elif asked.servers is None:
            raise ConfigError(
                f"run={found.run[:8]} has no measured throughput of the tuned model on test: set "
                "hardware.output_tokens_per_second=… or hardware.servers=…"
            )
    return asked.model_copy(update=changes)


def one_off(asked: OneOff, found: Measured, on: Hardware) -> OneOff:
    """What falls due once, with the run's own fees and time where nothing else is said."""
    rate = rates_of(on, found.usd_per_hour)
    known = {
        "finetuning_usd": rate.usd(found.seconds),
        "synthesis_usd": found.synthesis_usd,
        "judging_usd": found.judging_usd,
    }
    changes = {
        key: Quantity(value=usd, source=_source(found))
        for key, usd in known.items()
        if usd is not None and getattr(asked, key) is None
    }
    return asked.model_copy(update=changes)


def decided(outcome: Outcome, work: Workload, on: Hardware, price: Price | None) -> Outcome:
    """The outcome with the cost decision of a workload on some hardware, or what it still lacks."""
    try:
        if price is None:
            raise ConfigError("the service's price is not known")
        found = measured(outcome)
        machine = hardware(on, found)
        case = Case(
            outcome.name,
            workload(work, found),
            price,
            machine,
            one_off(_OPEN, found, machine),
            _NONE,
        )
        made = decide(case, months=MONTHS, draws=DRAWS, currency="usd")
    except ConfigError as missing:
        lacks = outcome.cost.model_copy(update={"undecided": str(missing)})
        return outcome.model_copy(update={"cost": lacks})
    return outcome.model_copy(update={"cost": outcome.cost.model_copy(update={"decision": made})})


def _answers(stages: tuple[StageFacts, ...]) -> Bill:
    found = (s.bill for s in stages if s.name == "answer" and s.split == "test")
    return next(found, Bill())


def _each(tokens: int, calls: int) -> Decimal | None:
    return Decimal(tokens) / calls if calls and tokens else None


def _fees(stages: tuple[StageFacts, ...], names: tuple[str, ...]) -> Decimal | None:
    """Fees of stages, each counted once; None where one is not known."""
    once = {(s.name, s.fingerprint): s.bill for s in stages if s.name in names}
    bill = Bill.total(once.values())
    return None if bill.usd is None else bill.usd + bill.simulated_usd


def _source(found: Measured) -> str:
    return f"run {found.run[:8]}"
