"""Each heavy library is imported by the files that own it, and by no others."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "llamaduo"
OWNERS = {
    "hydra": {"cli.py", "sweep/"},
    "omegaconf": {"cli.py", "sweep/"},
    "mlflow": {"tracking_mlflow.py", "champion_mlflow.py"},
    "optuna": {"sweep/"},
    "litellm": {"service/litellm.py"},
    "aiohttp": {"service/http.py"},
    "matplotlib": {"report_plots.py", "cost/picture.py", "sweep/pictures.py"},
    "pyarrow": {"table_parquet.py"},
    "trl": {"local/"},
    "peft": {"local/"},
    "bitsandbytes": {"local/"},
    "torch": {"local/", "judge/embedding.py", "weights.py", "machine.py"},
    "transformers": {"local/", "judge/embedding.py", "weights.py", "service/rekey.py"},
}
FILES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_only_owners_import_a_library(path: Path):
    name = path.relative_to(ROOT).as_posix()
    foreign = {
        library
        for library in imports(path) & OWNERS.keys()
        if not any(name == owner or name.startswith(owner) for owner in OWNERS[library])
    }
    assert not foreign


def test_no_relative_imports():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


@pytest.mark.parametrize(
    "module",
    [
        "llamaduo.__main__",
        "llamaduo.ask",
        "llamaduo.config",
        "llamaduo.cost.command",
        "llamaduo.doctor",
        "llamaduo.report",
    ],
)
def test_starting_up_imports_nothing_heavy(module):
    script = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "mlflow", "litellm", "aiohttp", "transformers", "optuna", "trl"}
    assert "matplotlib" not in loaded


def test_nothing_may_report_home_or_ask_the_network_at_import():
    names = ["MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"]
    names.append("LITELLM_LOCAL_MODEL_COST_MAP")
    script = f"import llamaduo, os; print(*(os.environ[k] for k in {names}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["true", "1", "1", "True"]
