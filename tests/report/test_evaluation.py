"""How far a run's figures can be believed: what the page's section says, from real runs."""

from pathlib import Path

import pytest
from support.report_facts import OUTCOME, Reader, but, page_of

from llamaduo.judge.pairwise import WinRate
from llamaduo.outcome import Evaluation, Outcome
from llamaduo.outcome.runs import load
from llamaduo.report import evaluation
from llamaduo.stats.intervals import Estimate


def outcome_of(home: Path, name: str) -> Outcome:
    (found,) = load([name], home / "reports")
    return found.outcome


def test_a_panel_shows_leniency_agreement_and_its_anchors(ended_runs: Path, tmp_path: Path) -> None:
    outcome = outcome_of(ended_runs, "panel")
    words = page_of(outcome, tmp_path).words
    assert "Agreement between judges" in words
    assert "fake and overlap: rank correlation of" in words
    for metric in outcome.evaluation.agreements:
        # Of two judges one is as lenient as the other is strict.
        first, second = (one.shift for one in metric.leniency)
        assert first is not None
        assert second is not None
        assert first.value == pytest.approx(-second.value)
    assert {table.judge for table in outcome.evaluation.anchors} == {"fake", "overlap"}
    assert words.count("on answers whose order is known") == 2
    assert {one.judge for one in outcome.readings} == {"fake", "overlap"}


def test_one_judge_has_no_agreement_but_differences_spread_and_anchors(
    ended_runs: Path, tmp_path: Path
) -> None:
    outcome = outcome_of(ended_runs, "first")
    words = page_of(outcome, tmp_path).words
    assert "Agreement between judges" not in words
    assert "tuned less service" in words
    assert "service less base" in words
    assert "Where the spread comes from" in words
    assert "one fact changed" in words


def test_differences_are_those_of_the_means(ended_runs: Path) -> None:
    outcome = outcome_of(ended_runs, "first")
    means = {
        system.name: system.scores.similarity.mean.value
        for system in outcome.systems
        if system.scores is not None
    }
    found = {
        (one.system, one.other): one.found.difference.value
        for one in outcome.evaluation.comparisons
        if one.metric == "similarity"
    }
    assert found["tuned", "base"] == pytest.approx(means["tuned"] - means["base"], abs=0.01)


def test_every_volume_of_every_judge_is_kept_and_drawn(ended_runs: Path, tmp_path: Path) -> None:
    outcome = outcome_of(ended_runs, "first")
    dev = [one for one in outcome.readings if (one.split, one.system) == ("dev", "tuned")]
    assert [one.round for one in dev] == [0, 1]
    assert [one.pool for one in dev] == [one.pool for one in outcome.rounds]
    assert [one.scores for one in dev] == [one.scores for one in outcome.rounds]
    page = page_of(outcome, tmp_path)
    ids = {value for name, value in page.attributes if name == "id"}
    for chart in ("density-0-similarity", "density-0-precision", "volume-similarity"):
        assert f"{chart}-title" in ids


def test_an_outcome_without_any_of_it_has_no_such_section(tmp_path: Path) -> None:
    page = page_of(OUTCOME, tmp_path)
    assert "Evaluation: how far" not in page.words
    links = [value for name, value in page.attributes if name == "href"]
    assert "#evaluation" not in links
    assert "#curves" not in links


def test_preferences_are_told_with_their_flips(tmp_path: Path) -> None:
    rate = WinRate(
        rate=Estimate(value=0.625, low=0.5, high=0.75),
        wins=4,
        ties=2,
        losses=2,
        flips=1,
        for_first=1.0,
        failures=1,
        words="",
    )
    assert evaluation.preferred(rate).startswith("win rate 62.5 [50.0, 75.0] %")
    page = page_of(but(evaluation=Evaluation(pairwise=rate)), tmp_path)
    assert "1 of the ties are flips under swap, 100% of them for the first" in page.words


def test_the_page_of_a_real_run_is_whole(ended_runs: Path, tmp_path: Path) -> None:
    page: Reader = page_of(outcome_of(ended_runs, "panel"), tmp_path)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value for name, value in page.attributes if name == "href"]
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert "None" not in page.words.split("Configuration")[0]
