"""`make install` takes what a user's pip would take, by uv or, where that will not do, by pip."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from support.package_index import Index, environment, serve

INSTALL = Path(__file__).parents[1] / ".ci" / "install.py"
LOCK = "torch==9.9\ntoy==1\n"


@dataclass(frozen=True)
class Machine:
    """An environment of its own, and a user without settings."""

    env: Path
    settings: dict[str, str]

    def install(self, *args: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        (self.env / "lock.txt").write_text(LOCK)
        command = [str(self.env / "bin" / "python"), str(INSTALL), "-c", str(self.env / "lock.txt")]
        return subprocess.run(
            [*command, *args, "toy"],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.env,
            env=self.settings | settings,
        )

    @property
    def installed(self) -> dict[str, tuple[str, str]]:
        """Version and installer of what is there, by name."""
        [packages] = self.env.glob("lib/python*/site-packages")
        found = metadata.distributions(path=[str(packages)])
        return {
            one.name: (one.version, (one.read_text("INSTALLER") or "").strip())
            for one in found
            if one.name in ("torch", "toy", "extra")
        }


def a_machine(env: Path, *tools: str) -> Machine:
    environment(env, *tools)
    own = {n: value for n, value in os.environ.items() if not n.startswith(("PIP_", "UV_"))}
    own |= {"UV_CACHE_DIR": str(env / "cache"), "UV_NO_CONFIG": "1", "UV_HTTP_RETRIES": "0"}
    return Machine(env, own | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"})


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    pytest.importorskip("uv", reason="make install had to do without uv")
    return a_machine(tmp_path / "env", "pip", "uv")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index with toy, which needs a torch, and with a torch."""
    with serve(tmp_path / "index") as index:
        index.add("toy-1", {"toy.py": b""}, "Requires-Dist: torch\n")
        index.add("toy-2", {"toy.py": b""}, "Requires-Dist: torch\n")
        index.add("torch-9.9", {"torch.py": b""})
        yield index


def test_the_lock_decides_and_uv_installs_from_pips_index(machine: Machine, index: Index):
    done = machine.install(PIP_INDEX_URL=index.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.installed == {"torch": ("9.9", "uv"), "toy": ("1", "uv")}


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_torch_comes_from_its_own_index_and_stays(
    machine: Machine, index: Index, tmp_path: Path, tool: str
):
    pip = {"PIP_NO_BINARY": "none"} if tool == "pip" else {}
    with serve(tmp_path / "builds") as builds:
        builds.add("torch-9.9+cpu", {"torch.py": b""})
        done = machine.install("--torch-index", builds.url, PIP_INDEX_URL=index.url, **pip)
    assert done.returncode == 0, done.stderr
    assert machine.installed == {"torch": ("9.9+cpu", tool), "toy": ("1", tool)}
    assert not [path for path in index.asked if path.endswith(".whl") and "torch" in path]


def test_a_configuration_file_counts_and_the_best_of_all_indexes_is_taken(
    machine: Machine, index: Index, tmp_path: Path
):
    (tmp_path / "limits.txt").write_text("extra<2\n")
    with serve(tmp_path / "more") as more:
        more.add("toy-0.1", {"toy.py": b""})
        more.add("extra-1", {"extra.py": b""})
        index.add("extra-2", {"extra.py": b""})
        (tmp_path / "pip.conf").write_text(
            f"[global]\nindex-url = http://127.0.0.1:9/\n"
            f"constraint = {tmp_path}/limits.txt\ntimeout = 20\n"
            f"[install]\nindex-url = {index.url}\n"
            f"extra-index-url =\n  {index.url}no/\n  {more.url}\n"
            f"[download]\nno-binary = :all:\n"
        )
        done = machine.install("extra", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.installed == {
        "torch": ("9.9", "uv"),
        "toy": ("1", "uv"),
        "extra": ("1", "uv"),
    }


def test_folders_without_an_index(machine: Machine, index: Index):
    folders = f"{index.folder}/toy {index.folder}/torch"
    done = machine.install(PIP_NO_INDEX="1", PIP_FIND_LINKS=folders, PIP_INDEX_URL=index.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.installed == {"torch": ("9.9", "uv"), "toy": ("1", "uv")}
    assert index.asked == []


def test_a_proxy(machine: Machine, index: Index):
    far = {"PIP_INDEX_URL": "http://index.invalid/", "PIP_TRUSTED_HOST": "index.invalid"}
    done = machine.install(PIP_PROXY=index.url, NO_PROXY="", no_proxy="", **far)
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.installed["toy"] == ("1", "uv")
    assert "http://index.invalid/toy/" in index.asked


def test_a_setting_that_uv_lacks_is_named_and_pip_heeds_it(machine: Machine, index: Index):
    secret = index.url.replace("://", "://user:planted@")
    done = machine.install(PIP_INDEX_URL=secret, PIP_PREFER_BINARY="yes")
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert line == (
        "pip installs, which takes longer: uv has no counterpart of pip's setting prefer-binary"
    )
    assert machine.installed == {"torch": ("9.9", "pip"), "toy": ("1", "pip")}


def test_where_uv_fails_pip_goes_on(machine: Machine, index: Index):
    secret = index.url.replace("://", "://user:planted@")
    done = machine.install(PIP_INDEX_URL=secret, UV_OFFLINE="1")
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert line.startswith("pip installs, which takes longer: uv failed (error: ")
    assert "planted" not in line
    assert machine.installed == {"torch": ("9.9", "pip"), "toy": ("1", "pip")}


def test_without_pip_and_with_an_index_that_has_no_uv(tmp_path: Path, index: Index):
    bare = a_machine(tmp_path / "bare")
    done = bare.install(PIP_INDEX_URL=index.url)
    assert done.returncode == 0, done.stderr
    assert "takes longer: uv cannot be had (" in done.stderr
    assert bare.installed == {"torch": ("9.9", "pip"), "toy": ("1", "pip")}


def test_what_neither_can_install_is_told_by_pip(machine: Machine, index: Index):
    (index.folder / "torch" / "torch-9.9-py3-none-any.whl").unlink()
    done = machine.install(PIP_INDEX_URL=index.url)
    assert done.returncode == 1
    assert "ERROR: Cannot install torch" in done.stderr
    assert machine.installed == {}
