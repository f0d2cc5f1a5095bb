"""Cases for a person, and what the person says of them: real runs, real files."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamaduo.base.errors import DataError
from llamaduo.outcome import Outcome
from llamaduo.outcome.runs import load
from llamaduo.report import evaluation, review
from llamaduo.report.annotated import joined
from llamaduo.report.review import Case, Kept, choose, kept, read, write


def run_of(home: Path, name: str) -> tuple[Outcome, Kept]:
    (found,) = load([name], home / "reports")
    return found.outcome, kept(found.outcome, home)


@pytest.fixture(scope="module")
def panel(ended_runs: Path) -> tuple[Outcome, Kept]:
    return run_of(ended_runs, "panel")


def rows_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def put(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def cases(panel: tuple[Outcome, Kept], tmp_path: Path) -> list[dict[str, Any]]:
    outcome, held = panel
    write(choose(outcome, held, by="disagreement", most=6), tmp_path / "cases.jsonl")
    return rows_in(tmp_path / "cases.jsonl")


def gap(case: Case) -> float:
    return max(
        max(getattr(one, metric) for one in case.judges)
        - min(getattr(one, metric) for one in case.judges)
        for metric in ("similarity", "precision")
    )


def test_disagreement_comes_widest_first_and_each_prompt_once(
    panel: tuple[Outcome, Kept],
) -> None:
    outcome, held = panel
    found = choose(outcome, held, by="disagreement", most=5)
    assert len(found) == 5
    assert len({case.prompt_id for case in found}) == 5
    gaps = [gap(case) for case in found]
    assert gaps == sorted(gaps, reverse=True)
    said: dict[tuple[str, int], dict[str, float]] = {}
    for row in held.verdicts["tuned"]:
        said.setdefault((row.prompt_id, row.k), {})[row.judge] = row.similarity
    widest = max(max(one.values()) - min(one.values()) for one in said.values())
    assert gaps[0] >= widest
    assert {one.judge for one in found[0].judges} == {"fake", "overlap"}
    assert all(one.reason for one in found[0].judges)


@pytest.mark.parametrize("by", ["service", "base"])
def test_behind_is_an_answer_below_what_the_other_system_reached(by: Any, ended_runs: Path) -> None:
    outcome, held = run_of(ended_runs, "first")
    for case in choose(outcome, held, by=by, most=50):
        others = [row for row in held.verdicts[by] if row.prompt_id == case.prompt_id]
        (own,) = case.judges
        below = [
            sum(getattr(row, metric) for row in others) / len(others) > getattr(own, metric)
            for metric in ("similarity", "precision")
        ]
        assert any(below)
        assert by in case.why


def test_a_case_has_all_that_a_person_needs_and_empty_fields(
    cases: list[dict[str, Any]], panel: tuple[Outcome, Kept]
) -> None:
    _, held = panel
    for row in cases:
        pair = held.pairs[row["prompt_id"]]
        assert row["prompt"] == pair.prompt.user
        assert row["reference"] == pair.response
        assert row["answer"] == held.answers[row["prompt_id"], row["k"]].text
        assert row["similarity"] is None
        assert row["precision"] is None
        assert row["note"] == ""
        # What judges say stands after the fields to fill in, not before.
        assert list(row).index("judges") > list(row).index("note")


def test_one_judge_cannot_disagree(ended_runs: Path) -> None:
    outcome, held = run_of(ended_runs, "first")
    with pytest.raises(DataError, match="has one judge"):
        choose(outcome, held, by="disagreement", most=5)


def test_a_file_that_is_there_is_never_overwritten(
    panel: tuple[Outcome, Kept], tmp_path: Path
) -> None:
    outcome, held = panel
    path = tmp_path / "mine.jsonl"
    path.write_text("hours of work", encoding="utf-8")
    with pytest.raises(DataError, match="is left as it is"):
        write(choose(outcome, held, by="service", most=5), path)
    assert path.read_text(encoding="utf-8") == "hours of work"


def test_scores_come_back_as_one_more_judge_with_agreement(
    cases: list[dict[str, Any]], panel: tuple[Outcome, Kept], tmp_path: Path
) -> None:
    outcome, held = panel
    for place, row in enumerate(cases[:5]):
        other = next(one for one in row["judges"] if one["judge"] == "overlap")
        # Ranked as that judge ranks them, ten points above.
        row.update(similarity=other["similarity"] + 10, precision=90 - place, note="grazie è più")
    verdicts = read(put(tmp_path / "done.jsonl", cases), outcome, held, person="reader_one")
    assert len(verdicts) == 5
    assert {one.judge for one in verdicts} == {"reader_one"}
    assert {one.reason for one in verdicts} == {"grazie è più"}
    made = joined(outcome, held, verdicts)
    (reading,) = [one for one in made.readings if one.judge == "reader_one"]
    assert reading.scores is not None
    assert reading.scores.responses == 5
    checked = {(one.judge, one.metric): one for one in made.evaluation.people}
    assert checked.keys() == {
        (j, m) for j in ("fake", "overlap") for m in ("similarity", "precision")
    }
    same = checked["overlap", "similarity"]
    assert same.rho == pytest.approx(1)
    assert same.answers == 5
    assert same.less is not None
    assert same.less.value == pytest.approx(-10)
    lines = evaluation.people(made)
    assert any("overlap against reader_one, similarity: Spearman 1.00" in line for line in lines)
    again = joined(made, held, verdicts)
    assert again == made  # the same file twice is the same person, not two


def test_a_person_who_gives_one_score_to_all_has_no_rank_correlation(
    cases: list[dict[str, Any]], panel: tuple[Outcome, Kept], tmp_path: Path
) -> None:
    outcome, held = panel
    for row in cases:
        row.update(similarity=50, precision=50)
    verdicts = read(put(tmp_path / "done.jsonl", cases), outcome, held, person="flat")
    for one in joined(outcome, held, verdicts).evaluation.people:
        assert one.rho is None
        assert "flat gave one score to all" in one.words


BAD: list[tuple[dict[str, Any], str]] = [
    ({"similarity": 120}, "line 2: similarity=120: should be less than or equal to 100"),
    ({"similarity": -1}, "line 2: similarity=-1: should be greater than or equal to 0"),
    ({"precision": "good"}, "line 2: precision='good'"),
    ({"precision": None}, "line 2: precision has no score"),
    ({"test_set": "feedfacefeedface"}, "line 2: of test set feedfacefeedface, but run"),
    ({"prompt_id": "row-that-is-not"}, "to row-that-is-not"),
    ({"k": 99}, "has no answer 99"),
    ({"answer": "what another model said"}, "that is not what run"),
    ({"extra": 1}, "line 2: extra=1"),
    ({"prompt": None}, "line 2: prompt"),
]


@pytest.mark.parametrize(("change", "said"), BAD, ids=lambda value: str(value)[:40])
def test_a_line_that_cannot_count_is_named_with_its_number(
    change: dict[str, Any],
    said: str,
    cases: list[dict[str, Any]],
    panel: tuple[Outcome, Kept],
    tmp_path: Path,
) -> None:
    for row in cases:
        row.update(similarity=50, precision=60)
    cases[1].update(change)
    with pytest.raises(DataError) as caught:
        read(put(tmp_path / "done.jsonl", cases), *panel, person="reader")
    assert said in str(caught.value)


def test_the_same_case_twice_no_scores_at_all_and_files_that_are_none(
    cases: list[dict[str, Any]], panel: tuple[Outcome, Kept], tmp_path: Path
) -> None:
    path = tmp_path / "done.jsonl"
    with pytest.raises(DataError, match="no case has scores"):
        read(put(path, cases), *panel, person="reader")
    scored = [{**cases[0], "similarity": 1, "precision": 2}] * 2
    with pytest.raises(DataError, match="stands twice"):
        read(put(path, scored), *panel, person="reader")
    path.write_text("not json\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1: "):
        read(path, *panel, person="reader")
    path.write_bytes(b"\xff\xfe{}\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read(path, *panel, person="reader")
    with pytest.raises(DataError, match="No such file"):
        read(tmp_path / "nowhere.jsonl", *panel, person="reader")
    with pytest.raises(DataError, match="person=overlap"):
        read(path, *panel, person="overlap")


def test_a_file_of_another_runs_test_set_is_refused(
    cases: list[dict[str, Any]], ended_runs: Path, tmp_path: Path
) -> None:
    path = put(tmp_path / "done.jsonl", [{**row, "similarity": 1, "precision": 1} for row in cases])
    with pytest.raises(DataError, match="scores of other prompts say nothing here"):
        read(path, *run_of(ended_runs, "other"), person="reader")


def test_stages_that_are_gone_are_named(ended_runs: Path, tmp_path: Path) -> None:
    (found,) = load(["first"], ended_runs / "reports")
    with pytest.raises(DataError, match="not there any more"):
        kept(found.outcome, tmp_path)
    short = found.outcome.model_copy(
        update={"stages": tuple(s for s in found.outcome.stages if s.name != "infer")}
    )
    with pytest.raises(DataError, match="ended before the tuned model was read on test"):
        kept(short, ended_runs)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_scores_in_range_come_back_as_they_were_given(
    data: st.DataObject, panel: tuple[Outcome, Kept], tmp_path_factory: Any
) -> None:
    outcome, held = panel
    folder = tmp_path_factory.mktemp("review")
    write(choose(outcome, held, by="disagreement", most=4), folder / "mine.jsonl")
    rows = rows_in(folder / "mine.jsonl")
    score = st.floats(0, 100) | st.integers(0, 100)
    given_scores = {}
    for row in rows:
        pair = data.draw(st.tuples(score, score))
        note = data.draw(st.text(st.characters(exclude_categories=["Cs"])))
        row.update(similarity=pair[0], precision=pair[1], note=note)
        given_scores[row["prompt_id"], row["k"]] = (*pair, note)
    back = read(put(folder / "done.jsonl", rows), outcome, held, person="reader")
    assert {
        (one.prompt_id, one.k): (one.similarity, one.precision, one.reason) for one in back
    } == given_scores
    assert len(review.choose(outcome, held, by="disagreement", most=4)) == len(rows)
