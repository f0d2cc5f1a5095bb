"""Look at this machine: CUDA devices, cores, memory, and folders that a run writes to."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from llamaduo.config import Config

GIB = 2**30
DISK_NEEDED = GIB // 2  # free bytes for a run under mlruns/, or for a small model in the cache
PROBE_SECONDS = 120


class Gpu(Config):
    """A CUDA device; memory in bytes."""

    name: str
    total: int
    free: int


class Devices(Config):
    """The devices that torch reports; `error` says why torch could not be asked."""

    gpus: tuple[Gpu, ...]
    cuda: str | None
    bf16: bool | None
    error: str | None


@dataclass(frozen=True)
class Memory:
    """Bytes of main memory; `limit` is the control group's. None: not known, or no limit."""

    total: int | None
    available: int | None
    limit: int | None


@dataclass(frozen=True)
class Machine:
    """The memory and devices that the choices are compared with."""

    memory: Memory
    devices: Devices


@dataclass(frozen=True)
class OutputFolder:
    """A folder that a run writes to, the free bytes on its disk, and the problem with it if any."""

    folder: Path
    free: int | None
    problem: str | None

    def __str__(self) -> str:
        """Return the folder and its state on one line."""
        free = "free disk not known" if self.free is None else f"{gib(self.free)} free"
        return f"{self.folder}: {free}, {self.problem or 'writable'}"


def gib(size: float) -> str:
    """Return a size in bytes as text in GiB."""
    return f"{size / GIB:.1f} GiB"


def devices() -> Devices:
    """Return the devices that torch reports in this process."""
    import torch

    gpus = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        gpus.append(Gpu(name=torch.cuda.get_device_name(index), total=total, free=free))
    bf16_flags = [has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name]
    bf16 = any(bf16_flags) if bf16_flags else None
    return Devices(gpus=tuple(gpus), cuda=torch.version.cuda, bf16=bf16, error=None)


def start_probe() -> "subprocess.Popen[str]":
    """Start a process that looks for devices: a broken torch or driver can crash only that one."""
    code = "from llamaduo.doctor.machine import devices; print(devices().model_dump_json())"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)


def probed_devices(probe: "subprocess.Popen[str]") -> Devices:
    """Wait for the probe and return the devices that it reports, or why it reports none."""
    try:
        output, errors = probe.communicate(timeout=PROBE_SECONDS)
        return Devices.model_validate_json(output.splitlines()[-1] if output else "")
    except subprocess.TimeoutExpired:
        probe.kill()
        cause = f"no answer within {PROBE_SECONDS} s"
    except ValidationError:
        lines = errors.strip().splitlines()
        cause = lines[-1] if lines else f"its process ended with exit code {probe.returncode}"
    return Devices(gpus=(), cuda=None, bf16=None, error=cause)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that limit this process, innermost first."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        # In a container the path may be the host's; then only the top folder is there.
        base = root / "sys/fs/cgroup" / (controller if names else "")
        inner = base / path.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(base))


def cores(root: Path = Path("/")) -> float:
    """Count the CPU cores that this process may use, by its affinity and its control groups."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    usable = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    for folder in _groups(root, "cpu"):
        v1 = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        share = (_text(folder / "cpu.max") or " ".join(v1)).split()
        if len(share) == 2 and share[0].isdigit() and int(share[0]):
            usable = min(usable, int(share[0]) / int(share[1]))
    return usable


def memory(root: Path = Path("/")) -> Memory:
    """Return the main memory, and how much of it is available within the control groups' limits."""
    info = _fields(root / "proc/meminfo")
    total, available = (info[k] * 1024 if k in info else None for k in ("MemTotal", "MemAvailable"))
    if total is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = None
    for folder in _groups(root, "memory"):
        bound = _text(folder / "memory.max") or _text(folder / "memory.limit_in_bytes")
        if not bound.isdigit() or int(bound) >= 2**60:  # `max`; or version 1's largest number
            continue
        used = _text(folder / "memory.current") or _text(folder / "memory.usage_in_bytes") or "0"
        stat = _fields(folder / "memory.stat")
        # Cached files count as used, but the system frees them when memory is asked for.
        cached = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        limit = min(int(bound), limit or int(bound))
        left = max(0, int(bound) - int(used) + cached)
        available = min(left, left if available is None else available)
    return Memory(total, available, limit)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _fields(path: Path) -> dict[str, int]:
    rows = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def output_folder(folder: Path, needed: float = DISK_NEEDED) -> OutputFolder:
    """Check a folder to write to, or to create, with a temporary file that leaves no trace."""
    folder = folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    inner = sorted(path for path in folder.glob("*") if path.is_dir())
    for path in (existing, *inner):
        try:
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"\0" * 4096)
        except OSError as error:
            return OutputFolder(
                folder, _free(existing), f"{path} cannot be written ({error.strerror})"
            )
    free = _free(existing)
    full = free is not None and free < needed
    return OutputFolder(folder, free, f"too full: {gib(needed)} are needed" if full else None)


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
