"""Files written whole and kept by the disk, and fingerprints of what decides a result."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | Mapping[str, Json] | None"


def fingerprint(name: str, identity: Mapping[str, Json]) -> str:
    """Return sixteen hex digits that stand for everything that decides a result.

    Raises:
        ValueError: NaN or infinity, which have no one spelling in JSON.
        TypeError: a key that is not a string, or a value that JSON does not have.
    """
    _refuse_odd_keys(identity)
    text = json.dumps({name: identity}, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refuse_odd_keys(value: Json) -> None:
    # json.dumps would turn 1, True and None into strings, and so let two identities meet.
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"identity key {key!r}: keys are strings")
            _refuse_odd_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_odd_keys(inner)


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that no reader ever sees half of it, and no crash leaves half."""
    part = path.with_name(path.name + ".tmp")
    with part.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)


def settle(folder: Path) -> None:
    """Flush the files of a folder to the disk, before another file says that they are whole."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
