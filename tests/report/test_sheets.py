"""The charts of a report by sheet: what is on them and left out; page and file have one drawing."""

from pathlib import Path
from typing import Any

import pytest
from support.report_facts import OUTCOME, a_round, but

from llamaduo.charts import svg
from llamaduo.charts.shapes import Chart
from llamaduo.outcome import Outcome, PromptScores, Reading
from llamaduo.outcome.runs import Named, known, read
from llamaduo.report import series, sheets
from llamaduo.report.page import write_page

ALL = {"rounds", "spread", "density", "volume"}


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


def names(drawn: dict[str, list[Chart]]) -> set[str]:
    """Return the sheets that have something on them, each of which can be drawn."""
    return {name for name, charts in drawn.items() if charts and svg.sheet(charts)}


def test_real_runs_are_drawn_by_themselves_and_together(ended_runs: Path) -> None:
    folders = known(ended_runs / "reports")
    runs = [Named("ABCD"[n], read(folder)) for n, folder in enumerate(folders)]
    assert len(runs) == 4
    assert names(sheets.of_runs(runs)) == {"density", "volume", "rounds"}
    for run in runs:
        assert names(sheets.of_run(run.outcome)) == ALL | {"cost"}


def test_page_and_file_have_one_drawing_of_each_chart(ended_runs: Path, tmp_path: Path) -> None:
    outcome = read(known(ended_runs / "reports")[0])
    drawing: Any = svg.environment().get_template("chart.svg.j2").module
    page = write_page(outcome, tmp_path).read_text(encoding="utf-8")
    for charts in sheets.of_run(outcome).values():
        for chart in charts:
            drawn = drawing.drawing(chart)
            assert len(drawn) > 500
            assert page.count(drawn) == 1
            assert svg.sheet(charts).count(drawn) == 1


def test_each_judge_has_charts_and_each_volume_a_curve_of_its_own_look() -> None:
    outcome = with_readings("strict", "lenient", pools=(10, 20, 40))
    charts = sheets.of_run(outcome)["density"]
    assert [chart.title for chart in charts] == [
        f"{metric} on dev, judge {judge}"
        for judge in ("strict", "lenient")
        for metric in ("similarity", "precision")
    ]
    for chart in charts:
        assert [key.words for key in chart.legend] == ["10 pairs", "20 pairs", "40 pairs"]
        assert len({(line.fade, line.dash) for line in chart.lines}) == 3


@pytest.mark.parametrize(
    ("pools", "middle"),
    [((40, 80, 120), 0.5), ((40, 80, 160), 1 / 3), ((10, 40, 160), 0.5), ((0, 40, 400), 0.1)],
)
def test_points_stand_at_their_volume_with_their_interval(
    pools: tuple[int, ...], middle: float
) -> None:
    """From 8-fold on at the distances of the logarithms, where there is one of each."""
    chart = sheets.of_run(with_readings("one", pools=pools))["volume"][0]
    first, second, third = chart.lines[0].marks
    assert (second.x - first.x) / (third.x - first.x) == pytest.approx(middle, abs=0.002)
    ys = {tick.label: tick.at for tick in chart.y}
    assert ys["60"] < first.y < ys["40"]
    assert first.high is not None
    assert first.low is not None
    assert first.low - first.y == pytest.approx(first.y - first.high, abs=0.11)


def test_coverage_is_drawn_beside_the_means() -> None:
    charts = sheets.of_run(with_readings("one"))["volume"]
    assert [chart.key for chart in charts] == [
        "volume-similarity",
        "volume-precision",
        "volume-coverage-50",
        "volume-coverage-70",
    ]
    assert "61.0" in charts[2].says
    assert "23.0" in charts[3].says


def test_judges_of_one_run_and_runs_of_one_judge_look_different() -> None:
    for runs in (
        [Named("", with_readings("one", "two"))],
        [Named("A", with_readings("one")), Named("B", with_readings("one"))],
    ):
        found = series.series(runs)
        assert len({(line.colour, line.dash) for line in found}) == 2
        assert len({line.words for line in found}) == 2


def test_what_is_not_known_is_not_drawn() -> None:
    nothing = but(readings=(), systems=(), rounds=())
    assert names(sheets.of_run(nothing)) == set()
    unjudged = a_reading("one", "dev", 10, 50.0, 0).model_copy(
        update={"scores": None, "prompts": ()}
    )
    assert names(sheets.of_run(but(readings=(unjudged,)))) == {"rounds", "spread"}


def test_an_outcome_of_before_readings_were_kept_is_drawn_from_test() -> None:
    assert names(sheets.of_run(OUTCOME)) == ALL
    assert names(sheets.of_runs([Named("A", OUTCOME), Named("B", OUTCOME)])) == {
        "density",
        "volume",
    }


@pytest.mark.parametrize("mean", [0.0, 100.0])
def test_scores_at_the_bounds_can_be_drawn(mean: float) -> None:
    prompts = (PromptScores(prompt_id="p", similarity=(mean,) * 4, precision=(mean,) * 4),)
    reading = a_reading("one", "dev", 10, 50.0, 0).model_copy(update={"prompts": prompts})
    charts = sheets.of_run(but(readings=(reading,)))["density"]
    for chart in charts:
        for mark in chart.lines[0].marks:
            assert chart.top <= mark.y <= chart.bottom
