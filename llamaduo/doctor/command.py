"""`python -m llamaduo.doctor`: print what this machine has, and what each choice still needs.

It downloads nothing, connects to nothing and writes nothing. Of a key it prints only if its
variable is set, never the value. Only `ping=true` makes calls: one of one token to each live
service that is chosen.
"""

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from llamaduo import cli, service
from llamaduo.base import stdout
from llamaduo.base.cache import cache_folder
from llamaduo.base.errors import ConfigError
from llamaduo.base.terminal import table
from llamaduo.config import ApiServiceConfig, Experiment
from llamaduo.doctor.machine import (
    Devices,
    Machine,
    Memory,
    cores,
    gib,
    memory,
    output_folder,
    probed_devices,
    start_probe,
)
from llamaduo.doctor.needs import (
    GROUPS,
    KEYS,
    LIBRARIES,
    WITH_WEIGHTS,
    Alternative,
    Doctor,
    Readiness,
    alternatives,
    first_missing,
    has_key,
    model_of,
    readiness,
    version_of,
)
from llamaduo.service.ping import ping

Row: TypeAlias = tuple[str, str]
NO_ANSWER = "no: "  # how the result of a ping begins that failed


# ---------------------------------------------------------------- the page


def examine(doctor: Doctor) -> None:
    """Print the page on this machine and the choices.

    Raises:
        ConfigError: the chosen experiment cannot run here, or a service that was called did not
            answer.
    """
    if doctor.format == "text":
        missing = _look(doctor)["missing"]
    else:
        with stdout.reserved() as show:
            facts = _look(doctor)
            show(facts)
            missing = facts["missing"]
    if missing is not None:
        raise ConfigError(missing)


def _look(doctor: Doctor) -> dict[str, Any]:
    """Look at everything and print it; return the same as data."""
    probe = start_probe()  # torch takes seconds to import; the rest is done meanwhile
    options = list(alternatives(doctor))
    machine = Machine(memory(), probed_devices(probe))
    choices = list(_choices(options, doctor, machine))
    sections = {
        "Versions": [("python", platform.python_version()), *_versions()],
        "Devices": list(_device_rows(machine.devices)),
        "Memory": list(_memory_rows(machine.memory)),
        "Disk": list(_disk_rows(doctor)),
        "Weights": list(_weight_rows(options)),
        "Keys": list(_key_rows()),
        "Choices (* is chosen)": [_choice_row(choice) for choice in choices],
    }
    print("\n\n".join(_section(title, rows) for title, rows in sections.items()), flush=True)
    missing = first_missing(doctor, machine)
    calls: list[Row] = []
    if doctor.ping:
        calls = list(_ping_rows(doctor))
        print("\n" + _section("Calls", calls), flush=True)
        failures = (
            f"{name} did not answer: {result.removeprefix(NO_ANSWER)}"
            for name, result in calls
            if result.startswith(NO_ANSWER)
        )
        missing = missing or next(failures, None)
    if missing is None:
        print("\nThe chosen experiment can run on this machine.")
    return {
        **{title.lower(): dict(rows) for title, rows in list(sections.items())[:-1]},
        "choices": choices,
        "calls": dict(calls),
        "missing": missing,
    }


def _choices(
    options: list[Alternative], doctor: Doctor, machine: Machine
) -> Iterator[dict[str, Any]]:
    """Yield each option with its needs; one that is not valid needs what its message says."""
    for group, option, exp in options:
        valid = not isinstance(exp, str)
        state = Readiness((exp,)) if isinstance(exp, str) else readiness(group, exp, machine)
        yield {
            "group": group,
            "option": option,
            "chosen": exp is doctor,
            "valid": valid,
            "lacks": state.missing,
            "note": state.note,
        }


def _choice_row(choice: dict[str, Any]) -> Row:
    mark = " *" if choice["chosen"] else ""
    state = Readiness(choice["lacks"], choice["note"])
    text = str(state) if choice["valid"] else f"not valid: {state.missing[0]}"
    return f"{choice['group']}={choice['option']}{mark}", text


def _section(title: str, rows: list[Row]) -> str:
    return "\n".join([title, *table(rows, indent=2)])


def _versions() -> Iterator[Row]:
    yield from ((name, version_of(name) or "not installed") for name in LIBRARIES)


def _device_rows(devices: Devices) -> Iterator[Row]:
    bf16 = {True: "bfloat16 instructions", False: "no bfloat16 instructions", None: ""}[
        devices.bf16
    ]
    text = f"{cores():.3g} of {os.cpu_count()} cores usable"
    yield "CPU", ", ".join(filter(None, (platform.machine(), text, bf16)))
    if devices.error is not None:
        yield "GPU", f"not known: torch does not work ({devices.error})"
    elif not devices.gpus:
        cuda = devices.cuda
        build = "this torch is built without CUDA" if cuda is None else f"CUDA {cuda}"
        yield "GPU", f"none ({build})"
    for index, gpu in enumerate(devices.gpus):
        yield f"GPU {index}", f"{gpu.name}, {gib(gpu.free)} free of {gib(gpu.total)}"


def _memory_rows(memory: Memory) -> Iterator[Row]:
    rows = {"total": memory.total, "available": memory.available}
    for name, size in rows.items():
        yield name, "not known" if size is None else gib(size)
    no_limit = "no control group sets one"
    yield "limit", no_limit if memory.limit is None else gib(memory.limit)


def _disk_rows(exp: Experiment) -> Iterator[Row]:
    from huggingface_hub import constants

    yield "runs", str(output_folder(exp.tracking.home))
    yield "weights", str(output_folder(cache_folder()))
    yield "hub's cache", str(output_folder(Path(constants.HF_HUB_CACHE)))


def _weight_rows(options: list[Alternative]) -> Iterator[Row]:
    for group, option, exp in options:
        config = getattr(exp, group, None)
        if isinstance(config, WITH_WEIGHTS):
            yield f"{group}={option}", str(model_of(config))


def _key_rows() -> Iterator[Row]:
    for provider, names in KEYS.items():
        present = [name for name in names if has_key(name)]
        yield provider, f"{', '.join(present)} set" if present else f"not set: {' or '.join(names)}"


def _ping_rows(exp: Experiment) -> Iterator[Row]:
    """Yield a row for each service that the chosen experiment asks; call the live ones."""
    for role, config in {"service": exp.service, **exp.judge.clients()}.items():
        result = "not live, so not called"
        if isinstance(config, ApiServiceConfig):
            context = service.ServiceContext.of(exp.tracking.home, exp.prices, exp.budget)
            result = ping(config, context)
        yield f"{role}={config.name}", result


def main() -> None:
    """Run the command line."""
    # Hydra composes every option beside the chosen ones, each under `options`.
    words = sys.argv[1:]
    for group in GROUPS:
        names = sorted(path.stem for path in (cli.CONF / group).glob("*.yaml"))
        words += [f"+{group}@options.{group}.{name}={name}" for name in names]
    cli.launch("doctor", Doctor, examine, words=words)
