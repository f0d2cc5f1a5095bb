"""What a run does not do: speak to the network, write where it should not, keep a secret."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.experiments import FAKES, called
from support.toy_service import Reply, pairs, serving

from llamaduo import cli
from llamaduo.base.shipped import DATA
from llamaduo.local import weights

# Python runs this at its start, in children too. An audit hook sees every address that Python code
# connects to or looks up, every file that it opens for writing, and every import.
GUARD = """
import json, os, sys

log = os.open(os.environ["GUARD_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
telemetry = ("MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")
reporters = ("mlflow", "huggingface_hub", "transformers", "datasets", "trl", "litellm")
lookups = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
loopback = ("", "127.0.0.1", "::1", "localhost", "0.0.0.0", None)

def text(value):
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else str(value)

def note(kind, value):
    os.write(log, (json.dumps([kind, text(value)]) + "\\n").encode())

def hook(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if isinstance(address, tuple) and address[0] not in loopback:
            note("network", address)
            raise ConnectionRefusedError("this test allows no network")
    elif event in lookups and args[0] not in loopback:
        note("network", args[0])
        raise OSError("this test allows no network")
    elif event == "open" and not isinstance(args[0], int):
        if args[2] is not None and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            note("write", os.path.abspath(text(args[0])))
    elif event == "os.mkdir":
        note("write", os.path.abspath(text(args[0])))
    elif event == "subprocess.Popen":
        note("child", args[0])
    elif event == "import" and args[0] in reporters:
        if not all(os.environ.get(name) for name in telemetry):
            note("unset", args[0])

sys.addaudithook(hook)
"""
SECRETS = {
    "OPENAI_API_KEY": "sk-planted-4f1c9a7702e1",
    "ANTHROPIC_API_KEY": "sk-ant-planted-77aa01c3",
    "HF_TOKEN": "hf_plantedXq81LmZo22",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+9c3E8e1d",
    "AZURE_CLIENT_SECRET": "planted~azure~51c0",
    "MLFLOW_TRACKING_TOKEN": "planted-mlflow-0b6e44",
    "MLFLOW_TRACKING_PASSWORD": "planted-pass-61fe",
    "GITHUB_TOKEN": "ghp_planted09ab88",
    "DATABASE_URL": "postgresql://user:planted-db-83cc@db.invalid/prices",
    "PIP_EXTRA_INDEX_URL": "https://user:planted-pip-e95d@index.invalid/simple",
}


@dataclass(frozen=True)
class Watched:
    """A finished command, the folder that was its whole world, and what the guard saw."""

    root: Path
    code: int
    said: str
    events: tuple[tuple[str, str], ...]

    def saw(self, kind: str) -> list[str]:
        return [value for seen, value in self.events if seen == kind]

    def files(self) -> list[Path]:
        """Everything that appeared, but for the guard's own."""
        found = [path.relative_to(self.root) for path in sorted(self.root.rglob("*"))]
        return [p for p in found if p.parts[0] != "guard" and p.parts not in (("at",), ("tmp",))]


def watched(root: Path, *command: str, stdin: str = "") -> Watched:
    """Run Python in a home of its own, with secrets in its environment and a guard at its side."""
    guard = root / "guard"
    guard.mkdir(exist_ok=True)
    (guard / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    (root / "at").mkdir(exist_ok=True)
    (root / "tmp").mkdir(exist_ok=True)
    places = {name: str(root / f"xdg-{name}") for name in ("config", "data", "state", "runtime")}
    path = os.pathsep.join([str(guard), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "GUARD_LOG": str(guard / "log"),
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "XDG_CACHE_HOME": str(root / "cache"),
        "XDG_CONFIG_HOME": places["config"],
        "XDG_DATA_HOME": places["data"],
        "XDG_STATE_HOME": places["state"],
        "XDG_RUNTIME_DIR": places["runtime"],
        # Tests that run side by side get one core each.
        **{k: v for k, v in os.environ.items() if k == "OMP_NUM_THREADS"},
        **SECRETS,
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=root / "at",
        env=env,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
    lines = (guard / "log").read_text(encoding="utf-8").splitlines()
    return Watched(root, done.returncode, done.stdout, tuple(tuple(json.loads(x)) for x in lines))


@pytest.fixture(scope="module")
def on_fakes(tmp_path_factory):
    root = tmp_path_factory.mktemp("fakes")
    return watched(root, "-m", "llamaduo", "+experiment=summarize", *FAKES)


def test_the_guard_sees_what_it_should(tmp_path):
    script = """
import pathlib, socket, subprocess, sys, urllib.request
child = "import socket; socket.create_connection(('192.0.2.1', 80))"
for attempt in (
    lambda: urllib.request.urlopen("http://example.invalid/"),
    lambda: socket.create_connection(("192.0.2.7", 80), timeout=1),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.8", 53)),
):
    try:
        attempt()
    except OSError:
        pass
subprocess.run([sys.executable, "-c", child], stderr=subprocess.DEVNULL)
pathlib.Path("left.txt").write_text("x")
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname())
try:
    import mlflow
except ImportError:
    pass
"""
    seen = watched(tmp_path, "-W", "ignore", "-c", script)
    places = ["example.invalid", "192.0.2.7", "192.0.2.8", "192.0.2.1"]
    network = seen.saw("network")
    assert all(any(place in said for said in network) for place in places), network
    assert len(network) == len(places)
    assert Path("at/left.txt") in seen.files()
    assert str(tmp_path / "at" / "left.txt") in seen.saw("write")
    assert seen.saw("unset") == ["mlflow"]


def check_silence(seen: Watched, *cached: str) -> None:
    assert seen.code == 0, seen.said
    assert seen.saw("network") == []
    assert seen.saw("unset") == []
    appeared = {path.parts[:2] for path in seen.files()}
    assert appeared == {("at", "mlruns"), ("cache",), ("cache", "llamaduo")}
    kept = {path.name for path in (seen.root / "cache" / "llamaduo").iterdir()}
    assert all(name.startswith(("mlflow-", *cached)) for name in kept), kept
    outside = {p for p in seen.saw("write") if not Path(p).is_relative_to(seen.root)}
    assert {p for p in outside if not p.startswith(("/dev/", "/proc/"))} == set()


def check_secrets(seen: Watched) -> None:
    secrets = {name: value.encode() for name, value in SECRETS.items()}
    # The password of an address by itself, too.
    for name in ("DATABASE_URL", "PIP_EXTRA_INDEX_URL"):
        secrets[f"password in {name}"] = secrets[name].partition(b"user:")[2].partition(b"@")[0]
    files = [path for path in seen.root.rglob("*") if path.is_file()]
    assert len(files) > 100
    for path in files:
        content = path.read_bytes()
        assert not [name for name, value in secrets.items() if value in content], path
    assert not [name for name, value in secrets.items() if value.decode() in seen.said]


def test_on_fakes_nothing_reaches_the_network_or_leaves_mlruns_and_the_cache(on_fakes):
    check_silence(on_fakes)


def test_secrets_of_the_environment_are_in_no_file_and_no_output(on_fakes):
    assert (on_fakes.root / "at" / "mlruns" / "mlflow.db").exists()
    check_secrets(on_fakes)


def test_on_fakes_no_other_program_is_started(on_fakes):
    # `uname -p` is how Python's own `platform` finds a processor's name; git says the commit that
    # each stage's record has.
    assert set(on_fakes.saw("child")) <= {"uname", "git"}


PLANTED = "planted4f1c9a77"


@pytest.mark.parametrize(
    ("word", "named"),
    [
        (f"+service.api_key={PLANTED}", "service.api_key"),
        (f"++service.extra.headers.Authorization={PLANTED}", "service.extra.headers.Authorization"),
        (f"service.api_base=https://me:{PLANTED}@host.invalid/v1", "service.api_base"),
        (f"tracking.uri=postgresql://me:{PLANTED}@db.invalid/x", "tracking.uri"),
        (f"service.model=sk-{PLANTED}-0001", "service.model"),
        (f"+note='Bearer {PLANTED}'", "note"),
        (f"+note={SECRETS['HF_TOKEN']}", "note"),
        (f"sk-{PLANTED}-0001", "sk-***"),
    ],
)
def test_a_secret_on_the_command_line_is_refused_before_anything_is_written(tmp_path, word, named):
    at = tmp_path / "at"
    at.mkdir()
    homes = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "LLAMADUO_CACHE")}
    words = ("+experiment=summarize", *FAKES, word)
    done = called("llamaduo", at, *words, fresh=False, **homes, **SECRETS)
    assert done.returncode == 2, done.stderr
    assert f"llamaduo: {named}: a secret on the command line" in done.stderr
    assert PLANTED not in done.stdout + done.stderr
    assert SECRETS["HF_TOKEN"] not in done.stdout + done.stderr
    assert list(tmp_path.rglob("*")) == [at]


def test_a_secret_in_a_configuration_file_is_nowhere_else(tmp_path):
    shutil.copytree(cli.CONF, tmp_path / "conf")
    own = tmp_path / "conf" / "service" / "own.yaml"
    text = (cli.CONF / "service" / "endpoint.yaml").read_text(encoding="utf-8")
    text = text.replace("api_base: ???", f"api_base: https://me:{PLANTED}@host.invalid/v1")
    own.write_text(text.replace("extra: {}", f"extra: {{token: {PLANTED}}}"), encoding="utf-8")
    script = (
        "import sys, pathlib\nfrom llamaduo import cli\ncli.CONF = pathlib.Path(sys.argv.pop(1))\n"
        "from llamaduo.__main__ import main\nmain()"
    )
    words = ["+experiment=summarize", *FAKES, "service=own"]
    seen = watched(tmp_path, "-c", script, str(tmp_path / "conf"), *words)
    assert seen.code == 2, seen.said
    assert "a secret in api_base: https://me:***@host.invalid/v1" in seen.said
    saved = [path for path in seen.files() if path.parts[:3] == ("at", "mlruns", "hydra")]
    assert [path for path in saved if path.name == "config.yaml"]
    for path in saved:
        if (seen.root / path).is_file():
            assert PLANTED.encode() not in (seen.root / path).read_bytes(), path


def test_a_value_may_name_the_variable_that_holds_it(tmp_path):
    """The way out that the refusal shows: the variable's name is kept, and not what it holds."""
    seen = watched(
        tmp_path,
        *("-m", "llamaduo", "+experiment=summarize", *FAKES),
        *("tracking=memory", "task.topic=${oc.env:OPENAI_API_KEY}"),
    )
    assert seen.code == 0, seen.said
    files = [path for path in (tmp_path / "at").rglob("*") if path.is_file()]
    kept = [path for path in files if b"oc.env:OPENAI_API_KEY" in path.read_bytes()]
    assert {path.name for path in kept} >= {"config.yaml", "overrides.yaml"}
    hydra = [path for path in files if "hydra" in path.parts]
    secret = SECRETS["OPENAI_API_KEY"].encode()
    assert not [path for path in hydra if secret in path.read_bytes()]


def test_the_key_of_a_service_reaches_the_service_and_no_file(tmp_path):
    """Also where the service repeats it in what it says, which goes into files and reports."""
    key = f"{PLANTED}-of-no-known-shape"
    (tmp_path / "at").mkdir()
    (tmp_path / "at" / ".env").write_text(f"TOY_SERVICE=x\nTOY_ACCESS={key}\n")

    def answer(asked: dict[str, Any]) -> Reply:
        if len(asked["messages"][-1]["content"]) % 3 == 0:
            said = f"{key} may not ask this; sk-{PLANTED}-0002 might"
            return 400, {"error": {"message": said}, "headers": {"Authorization": f"Bearer {key}"}}
        return pairs(asked)

    with serving() as toy:
        toy.answer = answer
        words = ["-m", "llamaduo", "+experiment=summarize", *FAKES[1:], *toy.words()]
        seen = watched(tmp_path, *words, "service.key_env=TOY_ACCESS", "gate=paper_absolute")
        assert set(toy.shown) == {f"Bearer {key}"}
    assert seen.code == 0, seen.said
    assert seen.saw("network") == []
    assert PLANTED not in seen.said
    home = tmp_path / "at" / "mlruns"
    assert {path.name for path in home.iterdir()} >= {"ledger.db", "mlflow.db", "stages", "reports"}
    found = [path for path in home.rglob("*") if path.is_file()]
    assert b"$TOY_ACCESS may not ask this; sk-*** might" in b"".join(p.read_bytes() for p in found)
    assert not [path for path in found if PLANTED.encode() in path.read_bytes()]


@pytest.mark.slow
def test_with_the_real_small_models_it_is_as_silent_once_the_weights_are_there(tmp_path):
    models = {
        "SmolLM2-135M-Instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    }
    cache = tmp_path / "cache" / "llamaduo"
    cache.mkdir(parents=True)
    for hub_id in models.values():
        there = weights.fetch("auto", hub_id, "main").path
        (cache / there.name).symlink_to(there)
    shipped = (DATA / "summarize" / "coverage.jsonl").read_text(encoding="utf-8")
    few = tmp_path / "guard" / "few.jsonl"
    few.parent.mkdir()
    few.write_text("".join(shipped.splitlines(keepends=True)[:16]), encoding="utf-8")
    tiny = [f"task.coverage={few}", "task.max_new_tokens=12", "local.sampling.k=1"]
    tiny += ["hparams.epochs=0.5", "gate=paper_absolute", "gate.threshold=0"]
    seen = watched(tmp_path, "-m", "llamaduo", "+experiment=summarize", *tiny)
    check_silence(seen, "torch", *models)
    check_secrets(seen)
    assert "champion       models:/" in seen.said

    asked = watched(tmp_path, "-m", "llamaduo.ask", "task=summarize", stdin="Say a word.")
    check_silence(asked, "torch", *models)
    check_secrets(asked)
