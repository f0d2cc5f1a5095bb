"""Rates of a machine: US dollars per hour and watts, as far as its hardware file has them."""

from decimal import Decimal

from llamaduo.config import Hardware
from llamaduo.records import Record


class Rates(Record):
    """US dollars per hour, and the mean power of the working machine; None: not known."""

    usd_per_hour: Decimal | None
    watts: Decimal | None

    def usd(self, seconds: float) -> Decimal | None:
        """Return the US dollars of so many seconds."""
        if self.usd_per_hour is None:
            return None
        return Decimal(repr(seconds)) * self.usd_per_hour / 3600

    def kwh(self, seconds: float) -> float | None:
        """Estimate the energy of so many seconds, from the mean power."""
        return None if self.watts is None else float(self.watts) * seconds / 3_600_000


UNKNOWN = Rates(usd_per_hour=None, watts=None)


def rates_of(hardware: Hardware, usd_per_hour: Decimal | None) -> Rates:
    """Return the rates of one server; `usd_per_hour`, where it is not None, is the user's own."""
    usd = _hourly(hardware) if usd_per_hour is None else usd_per_hour
    watts = hardware.watts
    return Rates(usd_per_hour=usd, watts=None if watts is None else watts.value)


def _hourly(hardware: Hardware) -> Decimal | None:
    """Return rent, or price by lifetime, with power and hosting; None where a part is not known."""
    hours, hosting = hardware.hours_per_month.value, hardware.hosting_usd_per_month.value
    if hardware.kind == "cloud":
        hourly = hardware.usd_per_hour
        return None if hourly is None else hourly.value + hosting / hours
    if hardware.kind == "lease":
        monthly = None if hardware.usd_per_month is None else hardware.usd_per_month.value
    elif hardware.usd is None or hardware.lifetime_months is None:
        return None
    else:
        monthly = hardware.usd.value / hardware.lifetime_months
    power = _power_month(hardware)
    if monthly is None or power is None:
        return None
    return (monthly + power + hosting) / hours


def _power_month(hardware: Hardware) -> Decimal | None:
    if hardware.electricity_usd_per_month is not None:
        return hardware.electricity_usd_per_month.value
    if hardware.watts is None or hardware.usd_per_kwh is None:
        return None
    kwh = hardware.watts.value * hardware.hours_per_month.value / 1000
    return kwh * hardware.usd_per_kwh.value
