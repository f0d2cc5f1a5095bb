"""Fill the open terms of a cost decision with what a finished migration has measured.

Tokens per request are those of the service LLM's second answers to test. Throughput is that of the
tuned model on test. One-off costs are those of the migration: its service fees (nominal ones where
the price is nominal), and the time of its stages at the hardware's rate.
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
JUDGING = ("judge", "anchor", "compare")  # names of stages
SYNTHESIS = ("synthesize", "answer")

_ALL_OPEN = OneOff(
    finetuning_usd=None, sweeps_usd=None, synthesis_usd=None, judging_usd=None, other_usd=None
)
_NO_UPKEEP = Upkeep(retrain_every_months=None, retraining_usd=None, people_usd_per_month=None)


@dataclass(frozen=True)
class Measured:
    """The figures that a run has measured; None: it has not.

    Tokens are those of one request, as the service counts them. `seconds` is the time of all stages
    that the result depends on.
    """

    run: str
    input_tokens: Decimal | None
    output_tokens: Decimal | None
    seconds_per_request: Decimal | None
    synthesis_usd: Decimal | None
    judging_usd: Decimal | None
    seconds: float
    usd_per_hour: Decimal | None


def measured_by(outcome: Outcome) -> Measured:
    """Read the measured figures of an outcome."""
    bill = _second_answers(outcome.stages)
    latency = outcome.cost.local_seconds_per_1000
    rate = outcome.config.get("local", {}).get("usd_per_hour")
    return Measured(
        run=outcome.run_id,
        input_tokens=_mean(bill.input_tokens, bill.calls),
        output_tokens=_mean(bill.output_tokens, bill.calls),
        seconds_per_request=None if not latency else Decimal(repr(latency)) / 1000,
        synthesis_usd=_fees(outcome.stages, SYNTHESIS),
        judging_usd=_fees(outcome.stages, JUDGING),
        seconds=outcome.cost.seconds_embodied,
        usd_per_hour=None if rate is None else Decimal(str(rate)),
    )


def fill_workload(workload: Workload, run: Measured) -> Workload:
    """Return the workload with the run's tokens per request where it gives none itself.

    Raises:
        ConfigError: the run has not measured them either.
    """
    tokens = {"input_tokens": workload.input_tokens, "output_tokens": workload.output_tokens}
    if all(figure is not None for figure in tokens.values()) or workload.per == "day":
        return workload
    measured = {"input_tokens": run.input_tokens, "output_tokens": run.output_tokens}
    for key, figure in tokens.items():
        if figure is None and measured[key] is None:
            raise ConfigError(
                f"run={run.run[:8]} has no answers of the service to test, so {key} of a request "
                f"was not measured: set workload.{key}=…"
            )
        if figure is None:
            tokens[key] = Quantity.model_validate({"value": measured[key], "source": _source(run)})
    return workload.model_copy(update=tokens)


def hardware_of_run(hardware: Hardware, outcome: Outcome) -> Hardware:
    """Return the run's own hardware where none with a price is given; given values are kept."""
    prices = (hardware.usd, hardware.usd_per_month, hardware.usd_per_hour)
    of_run = outcome.config.get("hardware")
    if of_run is None or any(price is not None for price in prices):
        return hardware
    given = {
        key: value
        for key, value in hardware
        if value is not None and key not in ("name", "kind", "hosting_usd_per_month")
    }
    return Hardware.model_validate(of_run).model_copy(update=given)


def fill_hardware(hardware: Hardware, run: Measured) -> Hardware:
    """Return the hardware with the run's throughput and price of an hour where it has none.

    Raises:
        ConfigError: the run has not measured a throughput either, and the number of servers is
            not given.
    """
    changes: dict[str, object] = {}
    if hardware.kind == "cloud" and hardware.usd_per_hour is None and run.usd_per_hour is not None:
        changes["usd_per_hour"] = Quantity(value=run.usd_per_hour, source=_source(run))
    if hardware.output_tokens_per_second is None:
        if run.seconds_per_request is not None and run.output_tokens:
            # In the service's tokens, as the workload counts them; the local tokenizer differs.
            rate = run.output_tokens / run.seconds_per_request
            tokens = (run.input_tokens or 0) + run.output_tokens
            changes["output_tokens_per_second"] = Quantity(value=rate, source=_source(run))
            changes["measured_at_tokens"] = max(1, round(tokens))
        elif hardware.servers is None:
            raise ConfigError(
                f"run={run.run[:8]} has no measured throughput of the tuned model on test: set "
                "hardware.output_tokens_per_second=… or hardware.servers=…"
            )
    return hardware.model_copy(update=changes)


def fill_one_off(one_off: OneOff, run: Measured, hardware: Hardware) -> OneOff:
    """Return the one-off costs with the run's own fees and machine time where none are given."""
    rate = rates_of(hardware, run.usd_per_hour)
    measured = {
        "finetuning_usd": rate.usd(run.seconds),
        "synthesis_usd": run.synthesis_usd,
        "judging_usd": run.judging_usd,
    }
    changes = {
        key: Quantity(value=usd, source=_source(run))
        for key, usd in measured.items()
        if usd is not None and getattr(one_off, key) is None
    }
    return one_off.model_copy(update=changes)


def with_decision(
    outcome: Outcome, workload: Workload, hardware: Hardware, price: Price | None
) -> Outcome:
    """Return the outcome with its cost decision, or with the text of what that still needs."""
    try:
        if price is None:
            raise ConfigError("the service's price is not known")
        run = measured_by(outcome)
        machine = fill_hardware(hardware, run)
        case = Case(
            outcome.name,
            fill_workload(workload, run),
            price,
            machine,
            fill_one_off(_ALL_OPEN, run, machine),
            _NO_UPKEEP,
        )
        facts: dict[str, object] = {
            "decision": decide(case, months=MONTHS, draws=DRAWS, currency="usd")
        }
    except ConfigError as missing:
        facts = {"undecided": str(missing)}
    return outcome.model_copy(update={"cost": outcome.cost.model_copy(update=facts)})


def _second_answers(stages: tuple[StageFacts, ...]) -> Bill:
    bills = (s.bill for s in stages if s.name == "answer" and s.split == "test")
    return next(bills, Bill())


def _mean(tokens: int, calls: int) -> Decimal | None:
    return Decimal(tokens) / calls if calls and tokens else None


def _fees(stages: tuple[StageFacts, ...], names: tuple[str, ...]) -> Decimal | None:
    """Sum the fees of stages, each counted once; None where one is not known."""
    bills = {(s.name, s.fingerprint): s.bill for s in stages if s.name in names}
    bill = Bill.total(bills.values())
    return None if bill.usd is None else bill.usd + bill.simulated_usd


def _source(run: Measured) -> str:
    return f"run {run.run[:8]}"
