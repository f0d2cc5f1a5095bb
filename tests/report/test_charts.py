"""Where the charts on a report's page put what they show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.report_facts import OUTCOME, a_round, a_system, but, scores

from llamaduo.outcome import PromptScores
from llamaduo.report import charts
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.scores import Summary


def test_chart_shows_rounds_in_order_and_intervals_around_means() -> None:
    rounds = (*OUTCOME.rounds, a_round(2, 59.0))
    chart = charts.by_round(but(rounds=rounds), "similarity")
    assert chart is not None
    first, second, third = chart.lines[0].marks
    assert first.x < second.x < third.x
    assert second.y < third.y < first.y  # y grows downwards: 62 is above 59 is above 55
    for mark in chart.lines[0].marks:
        assert mark.low is not None
        assert mark.high is not None
        assert chart.top <= mark.high < mark.y < mark.low <= chart.bottom
        assert chart.left <= mark.x <= chart.right


@given(mean=st.floats(0, 100), spread=st.floats(0, 50))
def test_chart_holds_any_score(mean: float, spread: float) -> None:
    low, high = max(0.0, mean - spread), min(100.0, mean + spread)
    of = Summary(mean=Estimate(value=mean, low=low, high=high), coverage_50=0, coverage_70=0)
    one = a_round(0, 50.0).model_copy(
        update={"scores": scores(50.0).model_copy(update={"similarity": of})}
    )
    chart = charts.by_round(but(rounds=(one,)), "similarity")
    assert chart is not None
    (mark,) = chart.lines[0].marks
    assert len(chart.y) >= 3
    for y in (mark.y, mark.low, mark.high):
        assert y is not None
        assert chart.top - 0.1 <= y <= chart.bottom + 0.1


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=30))
def test_loss_chart_holds_any_curve(found: list[float]) -> None:
    curve = tuple((10 * i + 1, loss) for i, loss in enumerate(found))
    chart = charts.losses(but(rounds=(a_round(0, 5.0).model_copy(update={"losses": curve}),)))
    assert chart is not None
    assert 2 <= len(chart.y) <= 8
    for mark in chart.lines[0].marks:
        assert chart.top - 0.1 <= mark.y <= chart.bottom + 0.1
        assert chart.left <= mark.x <= chart.right


def test_round_chart_has_the_whole_scale_and_the_level_of_the_service() -> None:
    chart = charts.by_round(OUTCOME, "precision")
    assert chart is not None
    assert [tick.label for tick in chart.y] == ["0", "20", "40", "60", "80", "100"]
    (level,) = chart.levels
    at = {tick.label: tick.at for tick in chart.y}
    assert at["80"] > at["100"]
    assert at["80"] < level.y < at["60"]  # 79.5
    assert level.high is not None
    assert level.low is not None
    assert level.high < level.y < level.low
    without = charts.by_round(but(yardstick=None), "precision")
    assert without is not None
    assert not without.levels
    assert "service" not in without.says


def test_distribution_counts_every_answer_on_one_scale() -> None:
    tuned = a_system("tuned", "tuned", 60.0).model_copy(
        update={
            "prompts": tuple(
                PromptScores(prompt_id=f"p{value}", similarity=(value, 100.0), precision=(0.0, 0.0))
                for value in (0.0, 4.99, 5.0, 50.0)
            )
        }
    )
    chart = charts.distribution(but(systems=(tuned, *OUTCOME.systems[:1])), "similarity")
    assert chart is not None
    row, base = chart.rows
    found = {bar.words.split(", ")[1]: bar for bar in row.bars}
    assert {words.partition(": ")[0]: words.partition(": ")[2] for words in found} == {
        "0 to 5": "2 answers",
        "5 to 10": "1 answer",
        "50 to 55": "1 answer",
        "95 to 100": "4 answers",
    }
    heights = {words: bar.bottom - bar.top for words, bar in found.items()}
    assert heights["95 to 100: 4 answers"] == pytest.approx(2 * heights["0 to 5: 2 answers"])
    assert all(row.top <= bar.top <= bar.bottom == row.bottom for bar in row.bars)
    assert base.top > row.bottom
    last = found["95 to 100: 4 answers"]
    assert last.x + last.width <= chart.right


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_distribution_holds_any_scores(values: list[float]) -> None:
    prompts = (PromptScores(prompt_id="p", similarity=tuple(values), precision=tuple(values)),)
    systems = tuple(s.model_copy(update={"prompts": prompts}) for s in OUTCOME.systems)
    chart = charts.distribution(but(systems=systems), "similarity")
    assert chart is not None
    for row in chart.rows:
        counts = [int(bar.words.rpartition(": ")[2].split()[0]) for bar in row.bars]
        assert sum(counts) == len(values)
        assert chart.left <= row.x <= chart.right
        assert chart.top <= row.top <= row.bottom <= chart.bottom


def prompts(number: int) -> tuple[PromptScores, ...]:
    means = [(7 * i) % number * 80 / number + 10 for i in range(number)]
    return tuple(
        PromptScores(prompt_id=f"p{i}", similarity=(m - 5, m, m + 5), precision=(m,))
        for i, m in enumerate(means)
    )


def test_prompts_are_sorted_by_their_mean_and_base_stands_beside_them() -> None:
    tuned = a_system("tuned", "tuned", 60.0).model_copy(update={"prompts": prompts(20)})
    base = a_system("base", "base", 30.0).model_copy(update={"prompts": prompts(20)[5:]})
    chart = charts.by_prompt(but(systems=(base, tuned)), "similarity")
    assert chart is not None
    below, above = chart.lines
    assert [line.tone for line in chart.lines] == ["base", "tuned"]
    assert len(above.marks) == 20
    assert len(below.marks) == 15
    heights = [mark.y for mark in above.marks]
    assert heights == sorted(heights, reverse=True)
    assert [mark.x for mark in above.marks] == sorted({mark.x for mark in above.marks})
    same = {mark.words: mark.x for mark in above.marks}
    assert all(same[mark.words] == mark.x for mark in below.marks)
    for mark in above.marks:
        assert mark.high is not None
        assert mark.low is not None
        assert mark.high < mark.y < mark.low
    single = charts.by_prompt(but(systems=(base, tuned)), "precision")
    assert single is not None
    assert all(mark.low is None for mark in single.lines[1].marks)


def test_of_very_many_prompts_some_are_shown_and_said_to_be() -> None:
    tuned = a_system("tuned", "tuned", 60.0).model_copy(update={"prompts": prompts(1001)})
    chart = charts.by_prompt(but(systems=(tuned,)), "similarity")
    assert chart is not None
    shown = len(chart.lines[0].marks)
    assert 30 < shown <= 60
    assert f"{shown} of 1001 prompts" in chart.across
