"""The layers hold: what imports what, and which files own which library."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "llamaduo"

#: The one order. A file imports from its own layer and from layers before it, nothing else.
LAYERS = (
    # ground: what any program needs
    "base",
    "records",
    "config",
    "cli",
    # tools
    "tracking",
    "stats",
    "gate",
    "money",
    "charts",
    # what comes in
    "intake",
    # the models
    "service",
    "local",
    "judge",
    "champion",
    # the work
    "lab",
    "stages",
    "migration",
    # what is said of it
    "outcome",
    "cost",
    "report",
    # the commands
    "sweep",
    "run",
    "ask",
    "doctor",
    "data",
    "__main__",
    "testing",
)

OWNERS = {
    "hydra": {"cli.py", "sweep/"},
    "omegaconf": {"cli.py", "sweep/"},
    "mlflow": {"tracking/mlflow", "champion/mlflow_model.py"},
    "optuna": {"sweep/"},
    "litellm": {"service/litellm.py"},
    "aiohttp": {"service/http.py"},
    "vl_convert": {"charts/svg.py"},
    "pyarrow": {"stats/parquet.py"},
    "trl": {"local/"},
    "peft": {"local/"},
    "bitsandbytes": {"local/"},
    "torch": {"local/", "judge/embedding.py", "doctor/machine.py"},
    "transformers": {"local/", "judge/embedding.py", "data/rekey.py"},
}
FILES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layer_of(name: str) -> str:
    """The layer of a file; each package's `__main__.py` is a command."""
    return "__main__" if name.endswith("__main__.py") else name.partition("/")[0].split(".")[0]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, lazily, for types or by name as well."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if _file_of(inner) else node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"from (llamaduo[\w.]*) import", node.value)  # code in a string


def _file_of(module: str) -> str | None:
    """The file of one of our modules, relative to the package; None where there is none."""
    if not module.startswith("llamaduo."):
        return None
    path = ROOT.joinpath(*module.split(".")[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return name_of(file)
    return None


def arrows() -> dict[str, set[str]]:
    """What each file imports of ours."""
    return {
        name_of(path): {file for file in map(_file_of, modules(path)) if file is not None}
        - {name_of(path)}
        for path in FILES
    }


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of files that import one another, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return found


#: Files over 300 lines, and why each is one.
LONG = {
    "stages/collect.py": "one pass over a file of a user's: each check needs what the reader knows",
    "local/weights.py": "where weights may lie, in the order in which they are looked for",
    "migration/plan.py": "walks the loop once, as the loop does",
}


def test_a_file_is_short_and_a_package_is_no_heap():
    lines = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {name for name, count in lines.items() if count > 300} == LONG.keys()
    sizes = Counter[str]()
    for name, count in lines.items():
        sizes[layer_of(name)] += count
    assert max(sizes.values()) <= 3500


def test_every_file_has_a_layer():
    assert {layer_of(name_of(path)) for path in FILES} - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("name", [name_of(path) for path in FILES])
def test_a_file_imports_from_its_own_layer_and_those_before(name: str):
    if name == "__init__.py":
        assert arrows()[name] == {"base/cache.py"}
        return
    own = LAYERS.index(layer_of(name))
    assert [other for other in arrows()[name] if LAYERS.index(layer_of(other)) > own] == []


def test_no_files_import_one_another():
    assert cycles(arrows()) == []


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
        "llamaduo.doctor.command",
        "llamaduo.report.command",
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
