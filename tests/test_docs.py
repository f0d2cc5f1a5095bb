"""What README and docs show is so: files, modules, links, keys, and every command line."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import test_layers
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from pydantic import BaseModel
from support.experiments import coverage_file, pair
from test_layers import LAYERS

from llamaduo import cli
from llamaduo.config import Experiment
from llamaduo.outcome import Outcome
from llamaduo.sweep.settings import checked_settings

ROOT = Path(__file__).parent.parent
EXTENDING = ROOT / "docs" / "extending.md"
#: CHANGELOG.md tells what was; what extending.md names is there once its examples are.
APART = {ROOT / "CHANGELOG.md", EXTENDING}
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")} - APART)
CONFIGURATIONS = sorted([*cli.CONF.rglob("*.yaml"), *(ROOT / "sweeps").glob("*.yaml")])
#: What `…` at the head of a command line stands for, as README says.
CONTINUED = "python -m llamaduo +experiment=summarize "
#: A hole for the reader to fill.
HOLE = re.compile(r"<[\w ]+>|…")
#: Words of the form `key=value` that are no configuration of ours.
FOREIGN = {"ARGS", "key", "LLAMADUO_CACHE", "OPENAI_API_KEY", "TORCH_INDEX", "finish_reason"}
#: Keys below which a user names things.
MAPPINGS = ("judge.members", "rates")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ---------------------------------------------------------------- reading a document


@dataclass(frozen=True)
class Document:
    """A document's code: lines of its blocks by language, and what stands between backticks."""

    blocks: tuple[tuple[str, str], ...]
    inline: tuple[str, ...]
    prose: str

    @property
    def lines(self) -> Iterator[str]:
        """Every line of a block that may be a command, and every inline code."""
        for language, text in self.blocks:
            if language in ("", "bash", "sh"):
                yield from (line.strip() for line in text.splitlines())
        yield from self.inline


@cache
def document(path: Path) -> Document:
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    prose = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.M | re.S)
    indented = re.findall(r"(?:^|\n)\n((?: {4}.*(?:\n|$))+)", prose)
    blocks += [("", block) for block in indented]
    spans = re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)
    inline = tuple(" ".join(span.replace("\\|", "|").split()) for span in spans)
    return Document(tuple(blocks), inline, prose)


# ---------------------------------------------------------------- command lines


@dataclass(frozen=True)
class Command:
    """A command line of ours: its module, and the words after it."""

    module: str
    words: tuple[str, ...]
    has_holes: bool


def command_of(line: str) -> Command | None:
    if line.startswith("… "):
        line = CONTINUED + line.removeprefix("… ")
    shown = re.fullmatch(r"(?:echo .* \| )?python -m (llamaduo[\w.]*)(?: (.*))?", line)
    if shown is None:
        return None
    # What stands behind two spaces explains the command.
    words = re.split(r"\s{2,}", shown[2] or "")[0]
    filled = HOLE.sub("x", words)
    return Command(shown[1].rstrip("."), tuple(shlex.split(filled)), filled != words)


def commands() -> dict[Command, str]:
    """Every command line that is shown, and where first."""
    shown: dict[Command, str] = {}
    for path in DOCUMENTS:
        for command in filter(None, map(command_of, document(path).lines)):
            shown.setdefault(command, name_of(path))
    for path in CONFIGURATIONS:
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"(?:echo \S+ \| )?python -m llamaduo.*", text):
            if (found := command_of(line.rstrip("."))) is not None:
                shown.setdefault(found, name_of(path))
    return shown


COMMANDS = commands()


@pytest.mark.parametrize(
    "command", COMMANDS, ids=[f"{COMMANDS[c]}: {c.module} {' '.join(c.words)}" for c in COMMANDS]
)
def test_a_command_line_composes_and_is_valid(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [word for word in command.words if not word.startswith("-")]
    config, schema, given = launched(command.module, words, monkeypatch)
    plain, swept = [], "-m" in command.words
    overrides = OverridesParser.create().parse_overrides(given)
    for override in overrides:
        if override.is_sweep_override():
            assert swept, f"{override.input_line}: a sweep without -m"
            first = next(iter(override.sweep_string_iterator()), None)
            if first is not None:
                plain.append(f"{override.get_key_element()}={first}")
        else:
            plain.append(override.input_line)
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        composed = compose(config, overrides=plain, return_hydra_config=True)
    if swept and "optuna" in composed.hydra.runtime.choices["hydra/sweeper"]:
        sweeper = OmegaConf.to_container(composed.hydra.sweeper, resolve=True)
        assert checked_settings(sweeper).params
    if not command.has_holes:
        facts = OmegaConf.masked_copy(composed, list(schema.model_fields))
        cli.validated(facts, schema)


def launched(
    module: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, type[BaseModel], list[str]]:
    """What a command launches for these words: primary configuration, schema, and words."""
    started: list[tuple[str, type[BaseModel], list[str]]] = []

    def launch(name: str, schema: type[BaseModel], *rest: object, **others: object) -> None:
        # doctor adds every option of three groups, which its own tests compose.
        own = [word for word in sys.argv[1:] if "@options." not in word]
        started.append((name, Experiment if name == "doctor" else schema, own))

    package = import_module(module)
    entry = import_module(f"{module}.__main__") if hasattr(package, "__path__") else package
    monkeypatch.setattr(sys, "argv", [module, *words])
    monkeypatch.setattr(cli, "launch", launch)
    entry.main()
    return started[0]


# ---------------------------------------------------------------- keys between backticks


@cache
def known_keys() -> frozenset[str]:
    from llamaduo.ask import Ask
    from llamaduo.cost.command import Cost
    from llamaduo.doctor.needs import Doctor
    from llamaduo.report.command import Report

    schemas = (Experiment, Ask, Cost, Doctor, Report)
    return frozenset(key for schema in schemas for key in cli.keys(schema))


def is_known(word: str) -> bool:
    """Whether `key=value` names a key of ours, and an option where the key is a group."""
    key, _, value = word.lstrip("+~").partition("=")
    group = key.partition("@")[0]
    if key.startswith("hydra"):
        return _hydra_knows(key, value)
    if (cli.CONF / group).is_dir():
        plain = re.fullmatch(r"\w+", value)
        return not plain or (cli.CONF / group / f"{value}.yaml").is_file()
    return key in known_keys() or any(key.startswith(f"{mapping}.") for mapping in MAPPINGS)


def _hydra_knows(key: str, value: str) -> bool:
    if "/" in key:
        shipped = (cli.CONF / key / f"{value}.yaml").is_file()
        return shipped or not re.fullmatch(r"\w+", value) or value in ("joblib", "ray", "basic")
    own = OmegaConf.load(cli.CONF / "hydra" / "sweeper" / "optuna.yaml")
    parts = key.split(".")
    return parts[:2] != ["hydra", "sweeper"] or len(parts) < 3 or parts[2] in own


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_key_that_is_shown_is_there(path: Path) -> None:
    unknown = []
    for code in document(path).inline:
        for word in code.split():
            shown = re.fullmatch(r"['\"]?([+~]?[a-zA-Z_][\w./@]*)=(.*)", word)
            if shown is None or shown[1] in FOREIGN or shown[1].startswith("llamaduo."):
                continue
            if not is_known(f"{shown[1]}={shown[2]}"):
                unknown.append(word)
    assert unknown == []


# ---------------------------------------------------------------- files, modules, links


FOLDERS = ("llamaduo", "conf", "sweeps", "tests", "docs", "benchmarks", "hydra_plugins", ".ci")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_file_and_module_that_is_named_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    files = re.findall(rf"(?<![\w/.])((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*)", text)
    missing = [name for name in files if not (ROOT / name.rstrip(".")).exists()]
    modules = re.findall(r"(?<![\w/.])llamaduo(?:\.\w+)+", text)
    assert missing + [name for name in modules if not _is_there(name)] == []


def _is_there(name: str) -> bool:
    """Whether a dotted name is a module, a name in one, or a tag that the code writes."""
    parts = name.split(".")[1:]
    if parts[0] not in LAYERS:
        return name in _source() or f'"{parts[-1]}"' in _source()
    for size in range(len(parts), 0, -1):
        base = ROOT.joinpath("llamaduo", *parts[:size])
        module = next(
            (m for m in (base.with_suffix(".py"), base / "__init__.py") if m.is_file()), None
        )
        if module is not None:
            rest = parts[size:]
            return not rest or rest[0] in _names_in(module)
    return False


@cache
def _source() -> str:
    return "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "llamaduo").rglob("*.py"))


def _names_in(module: Path) -> set[str]:
    names = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("path", [*DOCUMENTS, EXTENDING], ids=name_of)
def test_every_link_inside_leads_somewhere(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        other = (path.parent / file) if file else path
        if not other.exists() or (anchor and anchor not in _anchors(other)):
            broken.append(target)
    assert broken == []


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_index_lists_every_document() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    others = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert others == set(re.findall(r"\]\((\w[\w-]*\.md)\)", index))


# ---------------------------------------------------------------- the layers, and versions


def test_readme_lists_the_packages_in_the_order_of_the_layers() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where things are")[1]
    listed = re.findall(r"^  (\w+)(?:/|\.py)", text.split("```")[1], re.M)
    assert tuple(listed) == LAYERS


def test_contributing_has_a_sentence_for_each_layer_in_their_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Layers")[1]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text.split("\n## ")[0], re.M)
    assert tuple(name for name, _ in rows) == LAYERS


def test_the_hooks_use_the_ruff_that_make_test_uses() -> None:
    hooks = OmegaConf.load(ROOT / ".pre-commit-config.yaml")
    (rev,) = (repo.rev for repo in hooks.repos if repo.repo.endswith("ruff-pre-commit"))
    pinned = re.search(r"^ruff==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert pinned is not None
    assert rev == f"v{pinned[1]}"


# ---------------------------------------------------------------- extending.md


@dataclass(frozen=True)
class Example:
    """A block of extending.md: the section it is in, the file it belongs to, and its text."""

    section: str
    file: str
    language: str
    text: str


@cache
def examples() -> tuple[Example, ...]:
    shown, section, file = [], "", ""
    text = EXTENDING.read_text(encoding="utf-8")
    for title, name, language, block in re.findall(
        r"^## ([^\n]*)$|^`([\w./]+)`$|^```(\w+)\n(.*?)^```$", text, re.M | re.S
    ):
        section, file = title or section, name or file
        if language:
            shown.append(Example(section, file, language, block))
    return tuple(shown)


def lay_out(example: Example, root: Path) -> None:
    """Write a file of extending.md, or change one that is there."""
    path = root / example.file
    if example.language != "diff":
        assert not path.exists()
        path.write_text(example.text, encoding="utf-8")
        return
    lines = example.text.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{example.file} has not just once:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_a_judge_touches_its_package_its_configuration_and_its_options_alone() -> None:
    files = {example.file for example in examples() if example.section == "A judge"}
    code = {file for file in files if not file.startswith("tests/")}
    assert {str(Path(file).parent) for file in code} == {
        "llamaduo/judge",
        "llamaduo/config",
        "conf/judge",
    }
    assert [file for file in code if file.startswith("llamaduo/config/")] == [
        "llamaduo/config/judge.py"
    ]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the examples of extending.md."""
    root = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("llamaduo", "conf", "sweeps", "hydra_plugins"):
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored, symlinks=True)
    shutil.copytree(ROOT / "tests" / "support", root / "tests" / "support", ignore=ignored)
    for file in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / file, root / file)
    for example in examples():
        (root / example.file).parent.mkdir(exist_ok=True)
        lay_out(example, root)
    return root


def run_in(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=200,
        stdin=subprocess.DEVNULL,
    )


def test_the_examples_keep_their_contracts(extended: Path) -> None:
    tests = [example.file for example in examples() if example.file.startswith("tests/")]
    done = run_in(extended, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout[-4000:]
    assert len(tests) >= 4


def test_the_examples_keep_the_layers(extended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_layers, "ROOT", extended / "llamaduo")
    monkeypatch.setattr(test_layers, "FILES", sorted((extended / "llamaduo").rglob("*.py")))
    imported = test_layers.arrows()
    for name in {example.file for example in examples() if example.file.startswith("llamaduo/")}:
        own = LAYERS.index(test_layers.layer_of(inner := name.removeprefix("llamaduo/")))
        assert all(LAYERS.index(test_layers.layer_of(other)) <= own for other in imported[inner])
    assert test_layers.cycles(imported) == []


def test_the_examples_are_formatted_and_pass_the_linter(extended: Path) -> None:
    files = [example.file for example in examples() if example.file.endswith(".py")]
    for words in (("check",), ("format", "--check")):
        done = run_in(extended, "-m", "ruff", *words, "--no-cache", *files)
        assert done.returncode == 0, done.stdout


def test_the_examples_run_together(extended: Path) -> None:
    [line] = [
        line
        for line in document(EXTENDING).blocks[-1][1].splitlines()
        if line.startswith("python -m llamaduo ")
    ]
    pairs = [pair(number) for number in range(24)]
    rows = [{"text": one.prompt.user, "headline": one.response} for one in pairs]
    coverage_file(extended / "headlines.jsonl", rows)
    done = run_in(extended, *shlex.split(line)[1:], "tracking=memory")
    assert done.returncode == 0, done.stderr
    [kept] = (extended / "mlruns" / "reports").glob("headlines-*/outcome.json")
    outcome = Outcome.model_validate_json(kept.read_text(encoding="utf-8"))
    chosen = (outcome.service, outcome.local, outcome.judge)
    assert chosen == ("longest", "loud", "rouge 1")
    assert outcome.system("tuned").scores is not None
