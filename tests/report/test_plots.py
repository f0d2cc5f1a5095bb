"""The figures as files: what is on them, that they say the same twice, and what is left out."""

import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from support.report_facts import OUTCOME, a_round, but

from llamaduo.outcome import Outcome, PromptScores, Reading
from llamaduo.outcome.runs import Named, known, read
from llamaduo.report import plots, series

NAMES = {f"{name}.{kind}" for name in ("density", "volume", "rounds") for kind in ("pdf", "png")}


def a_reading(judge: str, split: str, pool: int, mean: float, round: int | None) -> Reading:
    prompts = tuple(
        PromptScores(prompt_id=f"p{i}", similarity=(mean - i, mean + i), precision=(mean, mean))
        for i in range(5)
    )
    scores = a_round(0, mean).scores
    facts = {"judge": judge, "system": "tuned", "split": split, "round": round, "pool": pool}
    return Reading.model_validate({**facts, "scores": scores, "prompts": prompts})


def with_readings(*judges: str, pools: tuple[int, ...] = (40, 80)) -> Outcome:
    dev = [a_reading(j, "dev", pool, 50.0 + n, n) for j in judges for n, pool in enumerate(pools)]
    test = [a_reading(j, "test", pools[-1], 48.0, None) for j in judges]
    return but(readings=(*dev, *test))


def test_real_runs_are_drawn_as_pdf_and_png(ended_runs: Path, tmp_path: Path) -> None:
    runs = [
        Named("ABCD"[n], read(folder)) for n, folder in enumerate(known(ended_runs / "reports"))
    ]
    assert len(runs) == 4
    written = plots.write(runs, tmp_path / "figures")
    assert {path.name for path in written} == NAMES
    for path in written:
        start = path.read_bytes()[:8]
        assert start.startswith(b"%PDF" if path.suffix == ".pdf" else b"\x89PNG")
        assert path.stat().st_size > 5000


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    runs = [Named("", with_readings("one", "two"))]
    first = plots.write(runs, tmp_path / "first")
    again = plots.write(runs, tmp_path / "again")
    for a, b in zip(first, again, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name


def test_fonts_are_in_the_pdf_as_outlines_that_keep_their_text(tmp_path: Path) -> None:
    plots.write([Named("", with_readings("one"))], tmp_path)
    content = (tmp_path / "rounds.pdf").read_bytes()
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.S)
    plain = b"".join(_inflated(one) for one in streams) + content
    assert b"/FontFile2" in content  # TrueType, embedded
    assert b"/ToUnicode" in content
    assert b"CreationDate" not in plain


def _inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return stream


def test_each_judge_has_a_column_and_each_volume_a_curve() -> None:
    runs = [Named("", with_readings("strict", "lenient", pools=(10, 20, 40)))]
    figure = plots.densities(runs)
    assert figure is not None
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["judge strict", "judge lenient"]
    assert [len(axes.get_lines()) for axes in figure.axes] == [3, 3, 3, 3]
    (legend,) = figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["10 pairs", "20 pairs", "40 pairs"]
    dashes = {line.get_linestyle() for line in legend.get_lines()}
    colours = {str(line.get_color()) for line in legend.get_lines()}
    assert len(colours) == 3
    assert len(dashes) > 1


def test_points_stand_at_their_volume_with_their_interval() -> None:
    figure = plots.volumes([Named("", with_readings("one", pools=(10, 160)))])
    assert figure is not None
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in figure.axes[2].get_xticklabels()] == ["10", "160"]
    line = axes.containers[0]
    assert list(line[0].get_xdata()) == [10, 160]
    assert list(line[0].get_ydata()) == [50.0, 51.0]
    (bars,) = line[2]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[46, 54], [47, 55]]


def test_judges_of_one_run_and_runs_of_one_judge_look_different() -> None:
    for runs in (
        [Named("", with_readings("one", "two"))],
        [Named("A", with_readings("one")), Named("B", with_readings("one"))],
    ):
        found = series.series(runs)
        assert len({(line.colour, line.dash) for line in found}) == 2
        assert len({line.words for line in found}) == 2


def test_what_is_not_known_is_not_drawn(tmp_path: Path) -> None:
    nothing = but(readings=(), systems=(), rounds=())
    assert plots.write([Named("", nothing)], tmp_path / "figures") == []
    assert not (tmp_path / "figures").exists()
    unjudged = a_reading("one", "dev", 10, 50.0, 0).model_copy(
        update={"scores": None, "prompts": ()}
    )
    assert plots.write([Named("", but(readings=(unjudged,)))], tmp_path) == []


def test_an_outcome_of_before_readings_were_kept_is_drawn_from_test(tmp_path: Path) -> None:
    names = {path.name for path in plots.write([Named("", OUTCOME)], tmp_path)}
    assert names == {name for name in NAMES if not name.startswith("rounds")}


def test_no_window_system_and_no_configuration_is_needed(tmp_path: Path) -> None:
    script = (
        "from llamaduo.report import plots as report_plots; import sys, matplotlib;"
        "print('matplotlib.pyplot' in sys.modules, matplotlib.get_configdir())"
    )
    env = {"PATH": "/usr/bin:/bin", "LLAMADUO_CACHE": str(tmp_path), "DISPLAY": ""}
    env["PYTHONPATH"] = str(Path(plots.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=env,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == ["False", str(tmp_path / "matplotlib")]


@pytest.mark.parametrize("mean", [0.0, 100.0])
def test_scores_at_the_bounds_can_be_drawn(mean: float, tmp_path: Path) -> None:
    prompts = (PromptScores(prompt_id="p", similarity=(mean,) * 4, precision=(mean,) * 4),)
    reading = a_reading("one", "dev", 10, 50.0, 0).model_copy(update={"prompts": prompts})
    names = {p.name for p in plots.write([Named("", but(readings=(reading,)))], tmp_path)}
    assert names == NAMES
