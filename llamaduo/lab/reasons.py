"""Why a stage was built although one of its kind is there: what differs between the two."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from llamaduo.base.files import Json
from llamaduo.lab.stage import A, Stage

MOST = 3  # differences that one line names
LONGEST = 40  # characters of a value
DIGEST = re.compile(r"[0-9a-f]{16}")
MISSING = "nothing"


def not_reused(stages: Path, stage: Stage[A], round: int | None, *, followed: bool) -> str | None:
    """Say what differs from the nearest finished stage of the same kind, system, split and round.

    None where there is none. `followed` says that an earlier stage of this run was built anew: what
    follows from that alone, the digests of what it made, is then no news.
    """
    own = dict(_flat(stage.identity))
    nearest: list[str] | None = None
    for record in _records(stages, stage, round):
        other = dict(_flat(record))
        differing = sorted(key for key in {*own, *other} if own.get(key) != other.get(key))
        if nearest is None or len(differing) < len(nearest):
            nearest, theirs = differing, other
    if nearest is None:
        return None
    news = [
        f"{key} {_shown(theirs.get(key))} -> {_shown(own.get(key))}"
        for key in nearest
        if not (followed and _is_digest(theirs.get(key)) and _is_digest(own.get(key)))
    ]
    if not news:
        return None
    more = f" and {len(news) - MOST} more" if len(news) > MOST else ""
    return f"not reused: {', '.join(news[:MOST])}{more}"


def _records(stages: Path, stage: Stage[A], round: int | None) -> Iterator[Mapping[str, Json]]:
    """Read the identities of finished stages of the same kind, the newest first."""
    folders = [path for path in stages.glob(f"{stage.name}-*/record.json")]
    for path in sorted(folders, key=lambda path: -path.stat().st_mtime):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # another run's, or broken: no reason to stop
        # A record of version 0.1.0 does not say whose it is: it is compared where none is needed.
        place = record.get("system", ""), record.get("split", ""), record.get("round")
        if place == (stage.system, stage.split, round):
            yield record["identity"]


def _flat(value: Json, prefix: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        # Through JSON, as what is compared with comes from a file.
        yield prefix, json.loads(json.dumps(value))


def _is_digest(value: Json) -> bool:
    return value is None or (isinstance(value, str) and DIGEST.fullmatch(value) is not None)


def _shown(value: Json) -> str:
    if value is None:
        return MISSING
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
