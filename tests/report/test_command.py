"""`python -m llamaduo.report` as a user types it: what it says, writes and refuses."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.experiments import FAKES, called, composed
from support.report_facts import Reader

from llamaduo import cli
from llamaduo.base.errors import DataError
from llamaduo.outcome.runs import known, read
from llamaduo.report.command import Report
from llamaduo.report.command import report as act


def report(cwd: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return called("llamaduo.report", cwd, *args, timeout=240, **env)


def configured(*words: str) -> Report:
    """What these words on the command line ask for."""
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        return cli.validated(compose("report", overrides=cli.quoted(words, "runs")), Report)


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("llamaduo: "), done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def place(ended_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to type commands in, with the runs under its `mlruns`."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(ended_runs, folder / "mlruns")
    return folder


def id_of(place: Path, name: str) -> str:
    reports = place / "mlruns" / "reports"
    return next(read(f).run_id for f in known(reports) if read(f).name == name)


def test_runs_side_by_side_with_page_and_figures(place: Path) -> None:
    first = id_of(place, "first")[:6]
    out = said(report(place, f"runs=[{first},less,panel]", "tracking=memory"))
    assert "A  first" in out
    assert "C  panel" in out
    assert "the judges differ" in out
    assert "tuned, similarity: B less A" in out
    assert "synthesis.pairs_per_seed: A 2; B 1; C 2" in out
    line = next(line for line in out.split("\n") if line.startswith("report "))
    page = place / line.split()[-1]
    assert "The figures can not be compared" in Reader(page.read_text(encoding="utf-8")).words
    figures = {path.name for path in (page.parent / "figures").iterdir()}
    assert figures == {"density.svg", "volume.svg", "rounds.svg"}
    for other in known(place / "mlruns" / "reports"):
        assert other.parent.name == "reports"  # a comparison is no run


def test_review_is_written_annotated_and_read_back_into_the_page(place: Path) -> None:
    words = ("runs=panel", "tracking=memory")
    out = said(report(place, *words, "review=mine.jsonl", "by=disagreement", "cases=4"))
    assert "4 cases in mine.jsonl" in out
    path = place / "mine.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    before = path.read_bytes()
    assert "is left as it is" in complaint(report(place, *words, "review=mine.jsonl"))
    assert path.read_bytes() == before
    for place_of, row in enumerate(rows):
        row.update(similarity=20 + 10 * place_of, precision=40)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = said(report(place, *words, "annotated=mine.jsonl", "person=ada"))
    assert "overlap against ada, similarity: Spearman" in out
    (folder,) = [f for f in known(place / "mlruns" / "reports") if read(f).name == "panel"]
    page = Reader((folder / "report.html").read_text(encoding="utf-8")).words
    assert "Judges against people" in page
    assert "judge less person" in page
    assert "ada" in {one.judge for one in read(folder).readings}


def test_table_1_needs_no_run_and_writes_nothing_but_logs(tmp_path: Path) -> None:
    out = said(report(tmp_path, "paper=table1"))
    assert "2 misprints:" in out
    assert "100 · 36 / 41 = 87.80, not 97.80" in out
    assert "= 38.82, more than 36.31" in out
    assert {path.name for path in tmp_path.iterdir()} <= {"mlruns"}
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "runs=[]: name one run or more"),
        (["runs=[first,less]", "review=x.jsonl"], "review=x.jsonl is about the answers of one run"),
        (["review=x.jsonl"], "name it with runs=[…]"),
        (["runs=first", "review=x.jsonl", "annotated=y.jsonl"], "write a file first, read it when"),
        (["paper=table2"], "paper=table2"),
        (["runs=first", "cases=0", "review=x.jsonl"], "cases=0"),
        (["runs=first", "by=luck", "review=x.jsonl"], "by=luck"),
        (["runs=first", "annotated=x.jsonl", "person=a b"], "person=a b"),
        (["runs=first", "annotated=nowhere.jsonl"], "annotated=nowhere.jsonl"),
        (["runs=first", "review=x.jsonl", "by=disagreement"], "has one judge"),
    ],
)
def test_a_mistake_is_one_message_with_the_next_act(
    words: list[str], expected: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises((ValidationError, DataError)) as caught:
        act(configured(*words, "tracking=memory"))
    assert expected in cli.message_of(caught.value, Report)
    assert not (place / "x.jsonl").exists()


def test_an_unknown_run_ends_with_those_that_are_known(place: Path) -> None:
    message = complaint(report(place, "runs=[nobody]", "tracking=memory"))
    assert message.count("\n") == 1
    assert "no run 'nobody' under mlruns/reports; known: " in message
    for name in ("first", "less", "other", "panel"):
        assert f"{name}-{id_of(place, name)[:8]}" in message


def test_help_names_the_commands_and_loads_nothing_heavy(tmp_path: Path) -> None:
    done = report(tmp_path, "--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    for word in ("paper=table1", "review=mine.jsonl", "annotated=mine.jsonl"):
        assert word in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "mlflow", "litellm", "transformers", "matplotlib"}


def test_figures_are_kept_with_mlflow_by_the_run_and_by_the_command(tmp_path: Path) -> None:
    from llamaduo.run import run

    home = tmp_path / "mlruns"
    words = (f"tracking.home={home}", "min_rounds=1", "max_rounds=1", "name=kept")
    exp = composed("+experiment=summarize", *FAKES, "tracking=mlflow", *words)
    outcome = run(exp, command="python -m llamaduo", say=lambda line: None)
    (own,) = (home / "artifacts" / "summarize").glob(f"{outcome.run_id}/artifacts/figures")
    names = {"rounds", "spread", "density", "volume", "cost"}
    assert {path.name for path in own.iterdir()} == {f"{name}.svg" for name in names}
    said(report(tmp_path, "runs=kept", "figures=true"))
    (again,) = (home / "artifacts" / "reports").glob("*/artifacts/figures")
    kinds = ("svg", "pdf", "png")
    assert {path.name for path in again.iterdir()} == {
        f"{n}.{kind}" for n in names for kind in kinds
    }
    for name in names:
        assert (again / f"{name}.svg").read_bytes() == (own / f"{name}.svg").read_bytes()
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        tags = database.execute("select value from tags where key = 'llamaduo.runs'").fetchall()
    assert tags == [(outcome.run_id,)]


@pytest.mark.parametrize(
    ("typed", "read_as"),
    [
        ("runs=[a,b]", "runs=['a','b']"),
        ("runs=a", "runs='a'"),
        ("runs=[4e107733, 00123456]", "runs=['4e107733','00123456']"),
        ("runs=mlruns/reports/x-1", "runs='mlruns/reports/x-1'"),
        ("runs=['a','b']", "runs=['a','b']"),
        ("runs=[]", "runs=[]"),
        ("runs=null", "runs=null"),
        ("name=runs=3", "name=runs=3"),
        ("paper=table1", "paper=table1"),
    ],
)
def test_names_of_runs_are_read_as_text(typed: str, read_as: str) -> None:
    assert cli.quoted([typed, "x=1"], "runs") == [read_as, "x=1"]


def test_one_run_needs_no_brackets() -> None:
    assert configured("runs=4e107733").runs == ("4e107733",)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("0123456789abcdef", min_size=4, max_size=32), min_size=1, max_size=4))
def test_any_ids_survive_hydra(ids: list[str]) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (word,) = cli.quoted([f"runs=[{','.join(ids)}]"], "runs")
    parsed = OverridesParser.create().parse_override(word)
    value = parsed.value()
    assert isinstance(value, list)
    assert [str(one) for one in value] == ids
