"""What a stage's machine took, in dollars and energy, and all of it as metrics of a run."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from llamaduo.money.energy import Energy, Meter, energy, together
from llamaduo.money.rates import Rates
from llamaduo.records import Bill, Record


class MachineTime(Record):
    """The time of a machine, its dollars and its energy; None: not known."""

    seconds: float
    compute_usd: Decimal | None
    energy: Energy | None


def measured(metered: Meter, seconds: float, before: float, rates: Rates) -> MachineTime:
    """What work took of so many seconds, `before` of which went by in earlier starts."""
    used = energy(metered, seconds, before, rates)
    return MachineTime(seconds=seconds, compute_usd=rates.usd(seconds), energy=used)


def recorded(record: Any, seconds: float, rates: Rates) -> MachineTime:
    """What a stage took when it was made, by its record.

    What was not known then is taken at the rates that are known now: its energy is an estimate.
    """
    known = MachineTime(seconds=seconds, compute_usd=None, energy=None)
    if record is not None:
        known = MachineTime.model_validate(record)
    compute = rates.usd(seconds) if known.compute_usd is None else known.compute_usd
    used = known.energy
    if used is None and (kwh := rates.kwh(seconds)) is not None:
        used = Energy(kwh=kwh, measured=False, by=f"{rates.watts:f} W")
    return MachineTime(seconds=seconds, compute_usd=compute, energy=used)


def total(parts: Iterable[MachineTime]) -> MachineTime:
    """All of it; a part that is not known leaves the whole unknown."""
    found = list(parts)
    usd = [part.compute_usd for part in found if part.compute_usd is not None]
    return MachineTime(
        seconds=sum(part.seconds for part in found),
        compute_usd=sum(usd, Decimal(0)) if len(usd) == len(found) else None,
        energy=together([part.energy for part in found]),
    )


def metrics(bill: Bill, used: MachineTime, end: str = "") -> dict[str, float]:
    """A bill and a machine's share as metrics, named with `end`; what is not known is left out."""
    found = {
        "seconds": used.seconds,
        "service_usd": None if bill.usd is None else float(bill.usd),
        "service_usd_simulated": float(bill.simulated_usd),
        "compute_usd": None if used.compute_usd is None else float(used.compute_usd),
        "input_tokens": float(bill.input_tokens),
        "output_tokens": float(bill.output_tokens),
    }
    if used.energy is not None:
        found["energy_kwh"] = used.energy.kwh
        found["energy_estimated"] = float(not used.energy.measured)
    return {f"cost/{name}{end}": value for name, value in found.items() if value is not None}
