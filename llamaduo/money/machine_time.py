"""Machine time of stages with its cost and energy, and all of it as metrics of a run."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from llamaduo.money.energy import Energy, Meter, energy, together
from llamaduo.money.rates import Rates
from llamaduo.records import Bill, Record


class MachineTime(Record):
    """Time on a machine in seconds, its cost in US dollars and its energy; None: not known."""

    seconds: float
    compute_usd: Decimal | None
    energy: Energy | None


def measured(metered: Meter, seconds: float, before: float, rates: Rates) -> MachineTime:
    """Return the machine time of work just done, `before` seconds of it in earlier starts."""
    used = energy(metered, seconds, before, rates)
    return MachineTime(seconds=seconds, compute_usd=rates.usd(seconds), energy=used)


def recorded(record: Any, seconds: float, rates: Rates) -> MachineTime:
    """Return the machine time of a stage when it was made, from its record.

    What was not known then is computed at today's rates; its energy is then an estimate.
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
    """Add machine times; an unknown part makes its sum unknown."""
    times = list(parts)
    usd = [part.compute_usd for part in times if part.compute_usd is not None]
    return MachineTime(
        seconds=sum(part.seconds for part in times),
        compute_usd=sum(usd, Decimal(0)) if len(usd) == len(times) else None,
        energy=together([part.energy for part in times]),
    )


def metrics(bill: Bill, used: MachineTime, end: str = "") -> dict[str, float]:
    """Return a bill and machine time as metrics, without what is not known; names get `end`."""
    figures = {
        "seconds": used.seconds,
        "service_usd": None if bill.usd is None else float(bill.usd),
        "service_usd_simulated": float(bill.simulated_usd),
        "compute_usd": None if used.compute_usd is None else float(used.compute_usd),
        "input_tokens": float(bill.input_tokens),
        "output_tokens": float(bill.output_tokens),
    }
    if used.energy is not None:
        figures["energy_kwh"] = used.energy.kwh
        figures["energy_estimated"] = float(not used.energy.measured)
    return {f"cost/{name}{end}": value for name, value in figures.items() if value is not None}
