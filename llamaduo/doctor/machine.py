"""What this machine has: CUDA devices, cores, memory, and room to write."""

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
ROOM = GIB // 2  # free disk that a run wants under mlruns/, and a small model in the cache
PROBE_SECONDS = 120


class Gpu(Config):
    """A CUDA device; memory in bytes."""

    name: str
    total: int
    free: int


class Devices(Config):
    """What torch finds; `error` says why it could not be asked."""

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
    """What the choices are held against."""

    memory: Memory
    devices: Devices


@dataclass(frozen=True)
class Place:
    """A folder that a run writes to, the free bytes on its disk, and what is wrong with it."""

    folder: Path
    free: int | None
    problem: str | None

    def __str__(self) -> str:
        """The folder and its state on one line."""
        free = "free disk not known" if self.free is None else f"{gib(self.free)} free"
        return f"{self.folder}: {free}, {self.problem or 'writable'}"


def gib(size: float) -> str:
    """A size in bytes for people."""
    return f"{size / GIB:.1f} GiB"


def devices() -> Devices:
    """What torch finds in this process."""
    import torch

    gpus = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        gpus.append(Gpu(name=torch.cuda.get_device_name(index), total=total, free=free))
    able = [has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name]
    bf16 = any(able) if able else None
    return Devices(gpus=tuple(gpus), cuda=torch.version.cuda, bf16=bf16, error=None)


def ask_torch() -> "subprocess.Popen[str]":
    """Start looking for devices, in a process that a broken torch or driver may take down."""
    code = "from llamaduo.doctor.machine import devices; print(devices().model_dump_json())"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)


def answer_of(probe: "subprocess.Popen[str]") -> Devices:
    """What the process found, or why it did not."""
    try:
        out, said = probe.communicate(timeout=PROBE_SECONDS)
        return Devices.model_validate_json(out.splitlines()[-1] if out else "")
    except subprocess.TimeoutExpired:
        probe.kill()
        why = f"no answer within {PROBE_SECONDS} s"
    except ValidationError:
        why = said.strip().splitlines()[-1] if said.strip() else f"ended with {probe.returncode}"
    return Devices(gpus=(), cuda=None, bf16=None, error=why)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the control groups that bound this process, innermost first."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        # In a container the path may be the host's; then only the top folder is there.
        base = root / "sys/fs/cgroup" / (controller if names else "")
        inner = base / path.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(base))


def cores(root: Path = Path("/")) -> float:
    """CPU cores that this process may use: its affinity, bounded by its control groups."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    usable = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    for folder in _groups(root, "cpu"):
        v1 = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        share = (_text(folder / "cpu.max") or " ".join(v1)).split()
        if len(share) == 2 and share[0].isdigit() and int(share[0]):
            usable = min(usable, int(share[0]) / int(share[1]))
    return usable


def memory(root: Path = Path("/")) -> Memory:
    """Main memory, and what of it is to be had within the control groups' limits."""
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
        # Cached files count as used, and are given up when memory is asked for.
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


def place(folder: Path, wanted: float = ROOM) -> Place:
    """A folder to write to, or to make, tried with a file that leaves no trace."""
    folder = folder.absolute()
    near = next(path for path in (folder, *folder.parents) if path.exists())
    inner = [path for path in sorted(folder.glob("*")) if path.is_dir()] if near == folder else []
    for path in (near, *inner):
        try:
            with tempfile.TemporaryFile(dir=path) as trial:
                trial.write(b"\0" * 4096)
        except OSError as error:
            return Place(folder, _free(near), f"{path} cannot be written ({error.strerror})")
    free = _free(near)
    full = free is not None and free < wanted
    return Place(folder, free, f"too full: {gib(wanted)} wanted" if full else None)


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
