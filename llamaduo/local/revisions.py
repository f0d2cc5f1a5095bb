"""The commit that a revision on the model hub stands for: resolved once, and kept.

A branch moves, and with it what a word such as `main` means. So the identity of a hub model has
the commit. What a revision stood for when it was first used stays in `revisions.json` of the user's
cache; a branch that has moved since is told, and `local.revision=<commit>` takes the new one.
"""

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from filelock import FileLock

from llamaduo.base.cache import cache_folder
from llamaduo.base.files import Json, write_atomically

COMMIT = re.compile(r"[0-9a-f]{40}")
NAME = "revisions.json"
TIMEOUT = 10.0  # seconds that the hub may take to answer


def resolve(hub_id: str, revision: str) -> str:
    """Return the commit that a revision stands for: as kept, as the hub's cache has it, or asked.

    The revision itself where none of them can say.
    """
    if COMMIT.fullmatch(revision):
        return revision
    here = _in_hub_cache(hub_id, revision)
    kept = _kept().get(f"{hub_id}@{revision}")
    if kept is not None:
        if here is not None and here != kept["commit"]:
            _tell_moved(hub_id, revision, str(kept["commit"]), here)
        return str(kept["commit"])
    commit = here or _asked(hub_id, revision)
    if commit is None:
        return revision
    _keep(hub_id, revision, commit)
    return commit


def by_branch(identity: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """Return the identity by which version 0.1.0 knew a stage on a hub model: by its branch.

    None where no hub model is in it, and where something says that the branch has moved since a
    stage may have been built: then what it stood for is not known.
    """
    named = _named(identity)
    return named if isinstance(named, Mapping) and named != identity else None


def _named(value: Json) -> Json:
    if isinstance(value, Mapping):
        if value.keys() == {"hub_id", "revision"}:
            return {**value, "revision": _branch_of(str(value["hub_id"]), str(value["revision"]))}
        return {key: _named(inner) for key, inner in value.items()}
    return [_named(inner) for inner in value] if isinstance(value, list) else value


def _branch_of(hub_id: str, commit: str) -> str:
    """Return the revision of a commit, unless it is known to have moved; else the commit."""
    for name, kept in _kept().items():
        model, _, revision = name.rpartition("@")
        if model == hub_id and kept["commit"] == commit and not kept["moved"]:
            return revision
    return commit


def _file() -> Path:
    return cache_folder() / NAME


def _kept() -> dict[str, dict[str, Json]]:
    try:
        kept: dict[str, dict[str, Json]] = json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return kept


def _keep(hub_id: str, revision: str, commit: str) -> None:
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(file.name + ".lock")):
        entry: dict[str, Json] = {
            "commit": commit,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            # Another commit in the hub's cache was once what the branch stood for.
            "moved": bool(_snapshots(hub_id) - {commit}),
        }
        text = json.dumps({**_kept(), f"{hub_id}@{revision}": entry}, indent=1, sort_keys=True)
        write_atomically(file, text + "\n")


def _hub_folder(hub_id: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"


def _in_hub_cache(hub_id: str, revision: str) -> str | None:
    try:
        commit = (_hub_folder(hub_id) / "refs" / revision).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return commit if COMMIT.fullmatch(commit) else None


def _snapshots(hub_id: str) -> set[str]:
    return {path.name for path in (_hub_folder(hub_id) / "snapshots").glob("*")}


def _asked(hub_id: str, revision: str) -> str | None:
    import httpx
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return None
    try:
        return HfApi().model_info(hub_id, revision=revision, timeout=TIMEOUT).sha
    except (
        OSError,
        ValueError,
        httpx.HTTPError,
    ):  # no network, no such model: whoever fetches it says so
        return None


@cache
def _tell_moved(hub_id: str, revision: str, kept: str, here: str) -> None:
    print(
        f"llamaduo: {hub_id}: {revision} was {kept[:12]} when it was first used, and is "
        f"{here[:12]} now. The first stays in use; local.revision={here} takes the new one",
        file=sys.stderr,
        flush=True,
    )
