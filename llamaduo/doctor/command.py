"""`python -m llamaduo.doctor +experiment=…`: what this machine has, and what each choice lacks.

It fetches nothing, asks no network and writes nothing. Of a key it says whether the variable is
set, never its value. The options of service, local and judge are those that lie in `conf/`. Only
`ping=true` makes a call: one of one token to each live service that is chosen.
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
from llamaduo.config import (
    ApiServiceConfig,
    Experiment,
)
from llamaduo.doctor.machine import (
    Devices,
    Machine,
    Memory,
    answer_of,
    ask_torch,
    cores,
    gib,
    memory,
    place,
)
from llamaduo.doctor.needs import (
    GROUPS,
    KEYS,
    LIBRARIES,
    WITH_WEIGHTS,
    Doctor,
    State,
    alternatives,
    first_missing,
    has_key,
    model_of,
    state_of,
    version_of,
)
from llamaduo.service.ping import ping

Row: TypeAlias = tuple[str, str]


# ---------------------------------------------------------------- the page


def examine(doctor: Doctor) -> None:
    """Print the page.

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
    probe = ask_torch()  # seconds of import, while the rest is looked at
    options = list(alternatives(doctor))
    machine = Machine(memory(), answer_of(probe))
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
        silent = (f"{who} did not answer: {said}" for who, said in calls if said.startswith("no: "))
        missing = missing or next(silent, None)
    if missing is None:
        print("\nThe chosen experiment can run on this machine.")
    return {
        **{title.lower(): dict(rows) for title, rows in list(sections.items())[:-1]},
        "choices": choices,
        "calls": dict(calls),
        "missing": missing,
    }


def _choices(
    options: list[tuple[str, str, Experiment | str]], doctor: Doctor, machine: Machine
) -> Iterator[dict[str, Any]]:
    """Yield each option with what it lacks; one that is not valid lacks what the message says."""
    for group, option, exp in options:
        valid = not isinstance(exp, str)
        state = State((exp,)) if isinstance(exp, str) else state_of(group, exp, machine)
        yield {
            "group": group,
            "option": option,
            "chosen": exp is doctor,
            "valid": valid,
            "lacks": state.lacks,
            "note": state.note,
        }


def _choice_row(choice: dict[str, Any]) -> Row:
    mark = " *" if choice["chosen"] else ""
    state = State(choice["lacks"], choice["note"])
    text = str(state) if choice["valid"] else f"not valid: {state.lacks[0]}"
    return f"{choice['group']}={choice['option']}{mark}", text


def _section(title: str, rows: list[Row]) -> str:
    return "\n".join([title, *table(rows, indent=2)])


def _versions() -> Iterator[Row]:
    yield from ((name, version_of(name) or "not installed") for name in LIBRARIES)


def _device_rows(found: Devices) -> Iterator[Row]:
    bf16 = {True: "computes bfloat16", False: "no bfloat16 instructions", None: ""}[found.bf16]
    text = f"{cores():.3g} of {os.cpu_count()} cores usable"
    yield "CPU", ", ".join(filter(None, (platform.machine(), text, bf16)))
    if found.error is not None:
        yield "GPU", f"not known, torch cannot be asked: {found.error}"
    elif not found.gpus:
        build = "this torch is built without CUDA" if found.cuda is None else f"CUDA {found.cuda}"
        yield "GPU", f"none ({build})"
    for index, gpu in enumerate(found.gpus):
        yield f"GPU {index}", f"{gpu.name}, {gib(gpu.free)} free of {gib(gpu.total)}"


def _memory_rows(found: Memory) -> Iterator[Row]:
    rows = {"total": found.total, "available": found.available}
    for name, size in rows.items():
        yield name, "not known" if size is None else gib(size)
    yield "limit", "none by control group" if found.limit is None else gib(found.limit)


def _disk_rows(exp: Experiment) -> Iterator[Row]:
    from huggingface_hub import constants

    yield "runs", str(place(exp.tracking.home))
    yield "weights", str(place(cache_folder()))
    yield "hub's cache", str(place(Path(constants.HF_HUB_CACHE)))


def _weight_rows(found: list[tuple[str, str, Experiment | str]]) -> Iterator[Row]:
    for group, option, exp in found:
        config = getattr(exp, group, None)
        if isinstance(config, WITH_WEIGHTS):
            yield f"{group}={option}", str(model_of(config))


def _key_rows() -> Iterator[Row]:
    for provider, names in KEYS.items():
        there = [name for name in names if has_key(name)]
        yield provider, f"{', '.join(there)} set" if there else f"not set: {' or '.join(names)}"


def _ping_rows(exp: Experiment) -> Iterator[Row]:
    """One row for each service that the chosen experiment asks; the live ones are called."""
    asked = {"service": exp.service}
    asked |= exp.judge.clients()
    for who, config in asked.items():
        said = "not live, so not called"
        if isinstance(config, ApiServiceConfig):
            context = service.ServiceContext.of(exp.tracking.home, exp.prices, exp.budget)
            said = ping(config, context)
        yield f"{who}={config.name}", said


def main() -> None:
    """The entry point of the command line."""
    # Hydra composes every option beside the chosen ones, under a package of its own.
    words = sys.argv[1:]
    for group in GROUPS:
        names = sorted(path.stem for path in (cli.CONF / group).glob("*.yaml"))
        words += [f"+{group}@options.{group}.{name}={name}" for name in names]
    cli.launch("doctor", Doctor, examine, words=words)
