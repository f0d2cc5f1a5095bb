"""`format=json`: one document on standard output, with the fields that docs/json.md lists."""

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from support.cost_cases import composed as cost_of
from support.experiments import FAKES, called

from llamaduo import __main__ as main
from llamaduo import ask as asking
from llamaduo import cli, tracking
from llamaduo.base import stdout
from llamaduo.champion import MODEL_CODE
from llamaduo.config import Experiment
from llamaduo.cost.command import cost
from llamaduo.report.command import Report, report
from llamaduo.testing.bundle import bundle
from llamaduo.tracking import MemoryTracker

Document = dict[str, Any]
#: Objects that docs/json.md explains once, at its head.
FIGURES = ({"value", "low", "high"}, {"low", "expected", "high"})
DOCUMENT = Path(__file__).parent.parent / "docs" / "json.md"


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str]) -> Callable[[], Document]:
    """What standard output has: one document, and nothing else."""

    def read() -> Document:
        return json.loads(capfd.readouterr().out)

    return read


def report_of(*words: str) -> Report:
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        return cli.validated(compose("report", overrides=[*words, "format=json"]), Report)


# ---------------------------------------------------------------- the fields


@cache
def documented(section: str) -> frozenset[str]:
    text = DOCUMENT.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", text, re.M)
    return frozenset(name for cell in cells for name in re.findall(r"`([\w.\[\]]+)`", cell))


def paths(value: Any, at: str = "") -> Iterator[str]:
    """Every path of a document, down to what is a figure."""
    if isinstance(value, dict) and value and set(value) not in FIGURES:
        for key, inner in value.items():
            yield from paths(inner, f"{at}.{key}" if at else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from paths(inner, f"{at}[]")
    else:
        yield at


def check(document: Document, section: str, *, without: frozenset[str] = frozenset()) -> None:
    """Hold a document against the fields of a section, either way."""
    names = documented(section)
    shown = set(paths(document))

    def below(path: str, name: str) -> bool:
        return path == name or path.startswith((f"{name}.", f"{name}["))

    assert [path for path in shown if not any(below(path, name) for name in names)] == []
    there = {name for name in names if any(below(path, name.rstrip("[]")) for path in shown)}
    assert names - there - without == set()


def test_a_plan(fake_experiment: Callable[..., Experiment], printed) -> None:
    assert main.migrate(fake_experiment("format=json", "dry_run=true")) is None
    document = printed()
    check(document, "The plan (`dry_run=true`)")
    assert document["steps"][0]["stage"] == "collect"
    assert document["usd"] == {"low": "0", "expected": "0", "high": "0"}
    sums = document["clients"][0]["calls"]["expected"]
    assert sums == sum(step["calls"]["expected"] for step in document["steps"] if step["asks"])


def test_runs_side_by_side(ended_runs: Path, printed) -> None:
    home = (f"tracking.home={ended_runs}", "tracking=memory", "figures=false")
    report(report_of("runs=[first,less]", *home))
    document = printed()
    check(document, "Reports")
    assert [run["label"] for run in document["runs"]] == ["A", "B"]
    assert document["obstacles"] == []
    keys = [setting["key"] for setting in document["settings"]]
    assert "synthesis.pairs_per_seed" in keys
    assert "format" not in keys
    assert Path(document["page"]).is_file()


def test_the_papers_table_and_a_review(ended_runs: Path, tmp_path: Path, printed) -> None:
    report(report_of("paper=table1"))
    paper = printed()["paper"]
    assert len(paper["p_match"]) == 24
    assert len(paper["misprints"]) == 2
    home = (f"tracking.home={ended_runs}", "tracking=memory")
    report(report_of("runs=[panel]", f"review={tmp_path / 'mine.jsonl'}", "by=disagreement", *home))
    assert printed()["cases"] == len((tmp_path / "mine.jsonl").read_text().splitlines())


def test_a_cost_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("format=json", "picture=false", "draws=200", f"tracking.home={tmp_path}")
    cost(cost_of("+scenario=light", *words))
    document = json.loads(capsys.readouterr().out)
    check(document, "The cost decision", without=frozenset({"table2"}))


def test_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Callable[[], Document]
) -> None:
    tracker = MemoryTracker()
    with tracker.open("summarize", "run", {}) as run:
        tracker.promote(
            run,
            bundle(tmp_path / "bundle", words=3),
            code=MODEL_CODE,
            model="llamaduo-summarize",
            fingerprint="f",
            tags={},
        )
    monkeypatch.setattr(tracking, "build", lambda config: tracker)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a b c d e f")))
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        words = ["task=summarize", "tracking=memory", "format=json"]
        asking.ask(cli.validated(compose("ask", overrides=words), asking.Ask))
    document = printed()
    check(document, "An answer of the champion")
    assert document["answer"] == "a b c"


# ---------------------------------------------------------------- as it is typed


def test_the_doctor_says_what_lacks_and_then_complains(tmp_path: Path) -> None:
    words = ("+experiment=summarize", "service=gpt_4o", "format=json")
    done = called("llamaduo.doctor", tmp_path, *words, OPENAI_API_KEY="")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    check(document, "The doctor")
    assert "OPENAI_API_KEY" in document["missing"]
    chosen = next(c for c in document["choices"] if c["option"] == "gpt_4o")
    assert chosen["chosen"]
    assert document["missing"] == f"service=gpt_4o needs {chosen['lacks'][0]}"


def test_a_migration_prints_its_outcome_and_nothing_else(tmp_path: Path) -> None:
    words = ("+experiment=summarize", *FAKES, "tracking=memory", "gate.ratio=0.1", "format=json")
    done = called("llamaduo", tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "finetune" in done.stderr
    document = json.loads(done.stdout)
    check(document, "The main command")
    assert document["result"] == "qualified"
    assert {system["role"] for system in document["systems"]} >= {"tuned", "base", "service"}
    kept = json.loads((tmp_path / document["outcome"]).read_text(encoding="utf-8"))
    assert kept["run_id"] == document["run"]
    assert "format" not in kept["config"]
    assert (tmp_path / document["report"]).is_file()


def test_a_sweep_refuses_it(tmp_path: Path) -> None:
    words = ("-m", "+experiment=summarize", *FAKES, "seed=1,2", "format=json")
    done = called("llamaduo", tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "format=json: a sweep has no single result" in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_others_print_goes_to_standard_error_and_secrets_are_taken_out(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-1f2e3d4c5b6a")
    with stdout.reserved() as show:
        print("noise")
        show({"text": "key sk-planted-1f2e3d4c5b6a, ü", "wide": float("inf")})
    print("after")
    out, err = capfd.readouterr()
    document, _, rest = out.rpartition("}")
    assert json.loads(document + "}")["wide"] is None
    assert "planted" not in out
    assert "ü" in out
    assert (rest.strip(), err.strip()) == ("after", "noise")
