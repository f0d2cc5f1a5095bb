"""Energy: measured by the meters of the hardware, else estimated from watts and time.

GPUs count their own energy (NVML, from Volta on), and so do CPUs of Intel and AMD (RAPL, where
Linux lets the user read it). A meter counts everything that runs on its device, and nothing else:
neither disks nor fans nor the losses of a power supply.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from llamaduo.money.rates import Rates
from llamaduo.records import Record

RAPL = Path("/sys/class/powercap")
EVERY = 30.0  # seconds between readings; at full load a CPU's counter wraps within minutes
JOULES = 3_600_000  # in a kWh


class Energy(Record):
    """Energy in kWh, measured by the meters that `by` names, or estimated from what it names."""

    kwh: float
    measured: bool
    by: str

    def __str__(self) -> str:
        """Say whether it was measured, and by what."""
        return f"{'measured' if self.measured else 'estimated'}: {self.by}"


@dataclass
class Counter:
    """One meter: `read` gives joules; they wrap to 0 at `span`, or never where that is None."""

    name: str
    read: Callable[[], float]
    span: float | None


class Meter:
    """Adds up its counters from entry to exit; `joules` is None where one could not be read."""

    def __init__(self, counters: list[Counter]) -> None:
        self._counters = counters
        self._totals = [0.0] * len(counters)
        self._last: list[float] = []
        self._broken = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._watch = threading.Thread(target=self._keep_reading, daemon=True)

    def __enter__(self) -> Self:
        """Read the counters for the first time."""
        try:
            self._last = [counter.read() for counter in self._counters]
        except Exception:
            self._broken = True  # a driver's error must not stop the work
        if any(counter.span is not None for counter in self._counters) and not self._broken:
            self._watch.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Read the counters for the last time."""
        self._ended.set()
        self._add()

    def _keep_reading(self) -> None:
        while not self._ended.wait(EVERY):
            self._add()

    def _add(self) -> None:
        with self._lock:
            if self._broken:
                return
            try:
                now = [counter.read() for counter in self._counters]
            except Exception:
                self._broken = True
                return
            for place, counter in enumerate(self._counters):
                joules = now[place] - self._last[place]
                if joules < 0 and counter.span is not None:
                    joules += counter.span
                self._totals[place] += max(0.0, joules)
            self._last = now

    @property
    def joules(self) -> float | None:
        """The total; None where there is no counter, or one could not be read."""
        return None if self._broken or not self._counters else sum(self._totals)

    @property
    def by(self) -> str:
        """The names of the counted devices."""
        return ", ".join(counter.name for counter in self._counters)


def meter(root: Path = RAPL) -> Meter:
    """Return a meter with all counters of this machine that this process may read."""
    return Meter([*_gpus(), *_cpus(root)])


def energy(metered: Meter, seconds: float, before: float, rates: Rates) -> Energy | None:
    """Return the energy of work that took so many seconds, `before` of them in earlier starts.

    Those were not metered: their power is estimated to be that of the rest. None where there are
    neither meters nor watts.
    """
    joules = metered.joules
    if joules is None:
        kwh = rates.kwh(seconds)
        return None if kwh is None else Energy(kwh=kwh, measured=False, by=f"{rates.watts:f} W")
    now = seconds - before
    if before and now > 0:
        joules *= seconds / now
    return Energy(kwh=joules / JOULES, measured=not before, by=metered.by)


def together(parts: list[Energy | None]) -> Energy | None:
    """Add energies: the sum is estimated where a part is, and None where one is not known."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    by = ", ".join(dict.fromkeys(part.by for part in known)) or "nothing was made"
    total = sum(part.kwh for part in known)
    return Energy(kwh=total, measured=all(part.measured for part in known), by=by)


def _cpus(root: Path) -> Iterator[Counter]:
    """Yield a counter for each CPU package, which counts all parts of the package."""
    for folder in sorted(root.glob("*-rapl:*")):
        if folder.name.count(":") > 1:
            continue
        with suppress(OSError, ValueError):
            path = folder / "energy_uj"
            span = int((folder / "max_energy_range_uj").read_text()) / 1e6
            int(path.read_text())  # with most distributions only root may

            def read(path: Path = path) -> float:
                return int(path.read_text()) / 1e6

            yield Counter(f"CPU {(folder / 'name').read_text().strip()}", read, span)


def _gpus() -> Iterator[Counter]:
    """Yield a counter for each NVIDIA GPU that CUDA shows to this process."""
    try:
        import pynvml
    except ImportError:
        return
    try:
        pynvml.nvmlInit()
        for handle in _handles(pynvml):
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)

            def read(handle: Any = handle) -> float:
                return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000

            yield Counter(f"GPU {pynvml.nvmlDeviceGetName(handle)}", read, None)
    except pynvml.NVMLError:
        return


def _handles(pynvml: Any) -> Iterator[Any]:
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        for index in range(pynvml.nvmlDeviceGetCount()):
            yield pynvml.nvmlDeviceGetHandleByIndex(index)
        return
    for word in filter(None, (word.strip() for word in shown.split(","))):
        if word.isdigit():
            yield pynvml.nvmlDeviceGetHandleByIndex(int(word))
        else:
            yield pynvml.nvmlDeviceGetHandleByUUID(word)
