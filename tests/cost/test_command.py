"""`python -m llamaduo.cost` as a user types it: what it says, writes and refuses."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from support.cost_cases import command, composed

from llamaduo import cli
from llamaduo.base.errors import ConfigError, DataError
from llamaduo.base.terminal import WIDTH
from llamaduo.cost.command import Cost, cases, cost

SCENARIOS = sorted(path.stem for path in (cli.CONF / "scenario").glob("*.yaml"))
HEAVY = {"torch", "mlflow", "litellm", "matplotlib", "transformers", "aiohttp"}


def at(folder: Path, *words: str) -> Cost:
    return composed(f"tracking.home={folder}", *words)


def test_the_papers_table_and_figure_come_out_of_one_command(tmp_path: Path) -> None:
    done = command(tmp_path, "+scenario=paper_table2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in ("3,369", "3,399.00 *", "12.346 months", "1.739 months", "discrepancy 4"):
        assert words in done.stdout
    lines = done.stdout.splitlines()
    assert all(len(line) <= WIDTH for line in lines[:-1])
    folder = tmp_path / "mlruns" / "costs" / "paper_table2"
    assert lines[-1].startswith("picture")
    assert [path.name for path in folder.iterdir()] == ["accumulated.svg"]
    svg = (folder / "accumulated.svg").read_text()
    for words in ("A  1.74", "B  2.22", "C  12.35", "light: service", "heavy: local"):
        assert words in svg
    assert [path.name for path in tmp_path.iterdir()] == ["mlruns"]


def test_the_same_decision_gives_the_same_picture(tmp_path: Path, capsys) -> None:
    for name in ("one", "two"):
        cost(at(tmp_path, "+scenario=light", f"name={name}", "label=x", "draws=200"))
    one, two = (tmp_path / "costs" / name for name in ("one", "two"))
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()
    assert capsys.readouterr().out.count("accumulated.svg") == 2


def test_pdf_and_png_are_made_for_those_who_ask(tmp_path: Path, capsys) -> None:
    cost(at(tmp_path, "+scenario=light", "draws=200", "figures=true"))
    folder = tmp_path / "costs" / "light"
    assert (folder / "accumulated.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "accumulated.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("accumulated.") == 3


def test_without_the_library_nothing_is_printed_or_written(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(ConfigError, match=r"pip install 'llamaduo\[figures\]'"):
        cost(at(tmp_path, "+scenario=light", "draws=200", "figures=true"))
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.iterdir())


def test_csv_has_each_month_of_each_case(tmp_path: Path, capsys) -> None:
    cost(at(tmp_path, "+scenario=paper_table2", "format=csv", "picture=false"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 2 * 25
    row = next(one for one in rows if (one["case"], one["month"]) == ("heavy", "12"))
    assert (row["service_total"], row["local_total"]) == ("117000", "23992")
    assert (row["service_total_low"], row["servers"]) == ("", "8")
    assert not list(tmp_path.iterdir()), "no picture was asked for"


def test_json_has_the_decision_and_the_table(tmp_path: Path, capsys) -> None:
    cost(at(tmp_path, "+scenario=paper_table2", "format=json", "picture=false"))
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["cases"]] == ["light", "heavy"]
    assert found["cases"][0]["savings"][0]["amount"] == "19701"
    assert len(found["table2"]["cells"]) == 22
    assert len(found["table2"]["discrepancies"]) == 4
    cost(at(tmp_path, "+scenario=light", "format=json", "picture=false", "draws=200"))
    assert json.loads(capsys.readouterr().out)["cases"][0]["break_even_band"]["low"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_decides_and_names_its_sources(name: str, tmp_path: Path, capsys) -> None:
    cost(at(tmp_path, f"+scenario={name}", "picture=false", "draws=200"))
    said = capsys.readouterr().out
    assert "break-even" in said
    assert "price " in said
    assert all(len(line) <= WIDTH for line in said.splitlines())


def test_every_figure_of_hardware_and_scenarios_has_its_date_and_source() -> None:
    for name in sorted(path.stem for path in (cli.CONF / "hardware").glob("*.yaml")):
        hardware = composed(f"hardware={name}").hardware
        assert hardware.name == name
        for key in ("usd", "usd_per_month", "usd_per_hour", "watts", "usd_per_kwh"):
            figure = getattr(hardware, key)
            assert figure is None or (figure.date and figure.source), (name, key)
        if (rate := hardware.output_tokens_per_second) is not None:
            assert rate.date
            assert rate.source
    for name in SCENARIOS:
        found = composed(f"+scenario={name}")
        for terms in (found.one_off, found.upkeep):
            for key in type(terms).model_fields:
                figure = getattr(terms, key)
                known = figure is None or isinstance(figure, int) or (figure.date and figure.source)
                assert known, (name, key)


@pytest.mark.parametrize("scenario", ["heavy", "paper_table2"])
def test_hardware_and_workload_of_ones_own_win_over_the_scenario(scenario: str) -> None:
    for group in ("hardware", "workload"):
        for path in sorted((cli.CONF / group).glob("*.yaml")):
            chosen = composed(f"+scenario={scenario}", f"{group}={path.stem}")
            assert getattr(chosen, group) == getattr(composed(f"{group}={path.stem}"), group)
    assert composed(f"+scenario={scenario}", "hardware.usd=77").hardware.usd.value == 77


@pytest.mark.parametrize("words", [["--help"], ["+scenario=light", "picture=false", "draws=200"]])
def test_nothing_heavy_is_imported_where_no_run_is_asked_for(words: list[str], tmp_path) -> None:
    script = (
        f"import sys; sys.argv = ['cost', *{words!r}]\n"
        "from llamaduo.cost.command import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('LOADED', *{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "LOADED" in loaded
    assert not loaded & HEAVY
    assert "break-even" in done.stdout or "python -m llamaduo.cost" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["+scenario=light", "price=openai/gpt-9"],
            r"openai_gpt_9: \{input_usd: IN.*book.yaml|book",
        ),
        (["+scenario=light", "currency=dublones"], r"currency=dublones: .*\+rates.dublones="),
        (["hardware=laptop"], "price: the service's price is not known"),
        (["price=openai_gpt_4o"], "workload.requests_per_day is not known"),
        (["+scenario=light", "hardware=this_machine", "hardware.servers=1"], "usd_per_hour=…"),
        (["+scenario=laptop", "hardware.output_tokens_per_second=null"], "nobody measured"),
    ],
)
def test_what_cannot_be_decided_says_what_to_add(words: list[str], says: str, tmp_path) -> None:
    with pytest.raises(ConfigError, match=says):
        cost(at(tmp_path, *words, "picture=false"))


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("workload.input_tokens=0", "workload.input_tokens=0: 0 is not above 0"),
        ("workload.input_tokens=-5", "-5 is not above 0"),
        ("hardware.utilisation=1.2", "1.2 is not a share up to 1"),
        ("draws=5", "too few for a band"),
        ("months=0", "months=0"),
        ("format=yaml", "format=yaml"),
    ],
)
def test_values_that_cannot_be_are_one_message_each(word: str, says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        composed("+scenario=light", word)
    assert says in cli.message_of(refused.value, Cost)


def test_an_error_ends_with_exit_code_2_and_no_traceback(tmp_path: Path) -> None:
    done = command(tmp_path, "+scenario=light", "workload.output_tokens=0")
    assert done.returncode == 2
    assert done.stderr.startswith("llamaduo: workload.output_tokens=0")
    assert "Traceback" not in done.stderr


def test_a_currency_whose_rate_is_given(tmp_path: Path, capsys) -> None:
    rate = "+rates.eur={value: 2, date: 2026-11-23, source: a test}"
    words = ("+scenario=paper_table2", "currency=eur", rate, "format=csv", "picture=false")
    cost(at(tmp_path, *words, "paper=null"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (rows[12]["currency"], rows[12]["service_total"]) == ("eur", "11700")


def test_an_id_stays_a_word() -> None:
    typed = ["run=4e107733", "run=null", "name=run=3"]
    assert cli.quoted(typed, "run") == ["run='4e107733'", "run=null", "name=run=3"]


def test_a_run_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run=0123abcd: there is no run"):
        cases(at(tmp_path, "run=0123abcd"))


def test_a_reader_that_has_read_enough_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "llamaduo.cost", "+scenario=light", "picture=false", "draws=0"],
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
