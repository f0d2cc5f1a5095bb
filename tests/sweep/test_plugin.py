"""Hydra finds the sweeper where llamaduo is, wherever that is."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.studies import ROOT


def plugins(folder: Path, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "llamaduo", "--info", "plugins"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        timeout=60,
        check=True,
    )
    return done.stdout.partition("Sweeper:")[2].partition("Profiling")[0]


def test_it_is_found_in_the_tree_itself_from_anywhere(tmp_path):
    assert "OptunaSweeper" in plugins(tmp_path, ROOT)


def test_looking_for_plugins_imports_nothing_heavy():
    script = (
        "import sys; from hydra.core.plugins import Plugins; Plugins.instance(); "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=True,
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"optuna", "torch", "mlflow", "sqlalchemy", "ray", "submitit", "pydantic"}


@pytest.mark.network
def test_a_built_wheel_holds_the_sweeper_and_its_choices(tmp_path):
    """Built as a user's pip builds it, unpacked, and asked from another folder."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, timeout=240)
    [wheel] = tmp_path.glob("llamaduo-*.whl")
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(unpacked)
    assert (unpacked / "hydra_plugins" / "llamaduo_sweeper.py").is_file()
    for sweep in (ROOT / "sweeps").glob("*.yaml"):
        assert (unpacked / "llamaduo" / "conf" / "sweeps" / sweep.name).is_file()
    assert "OptunaSweeper" in plugins(tmp_path, unpacked)
