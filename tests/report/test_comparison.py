"""Runs held against each other: when their figures can be compared, and what is said of them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.report_facts import Reader, a_system, but

from llamaduo.base.errors import DataError
from llamaduo.outcome import Outcome
from llamaduo.outcome.runs import Named, letters, load
from llamaduo.report import compare, comparison
from llamaduo.report.page import write_page

HOSTILE = "<script>alert(1)</script> \x1b[2J"


def named(*outcomes: Outcome) -> list[Named]:
    return [Named(letters(n), outcome) for n, outcome in enumerate(outcomes)]


def with_id(run_id: str, **changes: Any) -> Outcome:
    return but(run_id=run_id, test_set="aaaa", **changes)


FIRST = with_id("1111aaaa2222")
BETTER = with_id(
    "3333bbbb4444",
    systems=(a_system("base", "base", 40.0), a_system("tuned", "tuned", 66.3)),
    config={"seed": 42, "gate": {"name": "demo", "ratio": 0.8}, "task": {"topic": "<short> texts"}},
)
OTHER_TEST = FIRST.model_copy(update={"test_set": "bbbb", "run_id": "5555cccc6666"})
OTHER_JUDGE = FIRST.model_copy(
    update={"judge": "gpt_4o 2", "run_id": "7777dddd8888", "identities": {"judge": {"v": "2"}}}
)


def test_one_test_set_and_one_judge_can_be_compared() -> None:
    runs = named(FIRST, BETTER)
    assert comparison.obstacles(runs) == []
    assert compare.verdict(runs).startswith("The figures can be compared")


def test_another_test_set_or_another_judge_is_said_plainly(tmp_path: Path) -> None:
    for other, cause in ((OTHER_TEST, "the test sets differ"), (OTHER_JUDGE, "the judges differ")):
        runs = named(FIRST, other)
        page = compare.write(runs, tmp_path)
        for said in (
            compare.table(runs, page),
            Reader(page.read_text(encoding="utf-8")).words,
        ):
            assert "The figures can not be compared" in said
            assert cause in said
        assert comparison.differences(runs) == []
    said = compare.verdict(named(FIRST, OTHER_JUDGE))
    assert "A: embedding 3; B: gpt_4o 2" in said


def test_a_judge_of_the_same_name_with_other_weights_is_another_judge() -> None:
    other = FIRST.model_copy(update={"identities": {"judge": {"version": "3", "weights": "other"}}})
    assert "not of one content" in compare.verdict(named(FIRST, other))


def test_runs_that_can_be_compared_are_named_among_those_that_cannot() -> None:
    said = compare.verdict(named(FIRST, OTHER_TEST, BETTER))
    assert "but for those of A, C among themselves" in said


def test_differences_pair_the_prompts_that_both_have() -> None:
    found = comparison.differences(named(FIRST, BETTER))
    tuned = [one for one in found if one.system == "tuned"]
    assert {one.metric for one in tuned} == {"similarity", "precision"}
    for one in tuned:
        assert one.found.difference.value == pytest.approx(5.0)
        assert one.found.prompts == 3
    assert {one.system for one in found} == {"tuned", "base"}  # what only one has is not there
    lines = compare.differences(named(FIRST, BETTER))
    assert any(line.startswith("tuned, similarity: B less A +5.0") for line in lines)
    assert any("score the same on every prompt: base" in line for line in lines)


def test_only_keys_that_differ_are_shown() -> None:
    rows = comparison.settings(named(FIRST, BETTER))
    assert [(row.key, row.values) for row in rows] == [("gate.ratio", ("0.7", "0.8"))]
    gone = FIRST.model_copy(update={"config": {"seed": 42}})
    keys = {row.key: row.values for row in comparison.settings(named(FIRST, gone))}
    assert keys["gate.ratio"] == ("0.7", "–")
    assert "seed" not in keys


def test_an_old_outcome_without_the_digest_is_compared_by_its_data(tmp_path: Path) -> None:
    old, older = (with_id(i).model_copy(update={"test_set": None}) for i in ("11", "22"))
    assert comparison.obstacles(named(old, older)) == []
    assert comparison.obstacles(named(FIRST, older)) == []
    assert comparison.obstacles(named(FIRST, older.model_copy(update={"seed": 7})))


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 8))
def test_the_table_fits_a_terminal_whatever_the_number_of_runs(number: int) -> None:
    runs = named(*(with_id(f"{n:04d}aaaabbbb", name="x" * 60) for n in range(number)))
    lines = compare.table(runs, Path("report.html")).split("\n")
    assert max(map(len, lines)) <= 100
    shown = [line for line in lines if line.startswith("  tuned") and "61.3 [57.3" in line]
    assert sum(line.count("61.3 [57.3, 65.3]") for line in shown) == 2 * number


def test_every_run_stands_in_both_with_scores_rounds_and_cost(tmp_path: Path) -> None:
    runs = named(FIRST, BETTER)
    page = compare.write(runs, tmp_path)
    for said in (compare.table(runs, page), Reader(page.read_text()).words):
        for figure in ("61.3 [57.3, 65.3]", "66.3 [62.3, 70.3]", "1 read on test", "$0.043"):
            assert figure in said
    missing = FIRST.model_copy(update={"systems": FIRST.systems[:2]})
    row = next(
        line
        for line in compare.table(named(FIRST, missing), page).split("\n")
        if line.startswith("  whole prompt")
    )
    assert row.split()[-1] == "–"


def test_texts_of_others_do_nothing_on_page_or_terminal(tmp_path: Path) -> None:
    bad = with_id("9999", name=HOSTILE, config={HOSTILE: HOSTILE}, judge=HOSTILE, gate=HOSTILE)
    runs = named(FIRST, bad)
    page = compare.write(runs, tmp_path)
    read = Reader(page.read_text(encoding="utf-8"))
    plain = Reader(compare.write(named(FIRST, BETTER), tmp_path).read_text("utf-8"))
    assert "script" not in read.tags
    assert set(read.tags) <= set(plain.tags)
    assert "\x1b" not in compare.table(runs, page)


def test_the_page_needs_nothing_but_itself(ended_runs: Path, tmp_path: Path) -> None:
    runs = load(["first", "less", "other", "panel"], ended_runs / "reports")
    page = Reader(compare.write(runs, tmp_path).read_text(encoding="utf-8"))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {"src", "srcset", "data", "xlink:href"} & {name for name, _ in page.attributes}
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert page.tags.count("figure") >= 8
    for name, value in page.attributes:
        if name == "aria-labelledby":
            assert set(value.split()) <= set(ids)


@pytest.mark.parametrize(
    "word", ["3333bbbb", "3333", "3333bbbb4444", "better", "better-3333bbbb", "path", "json"]
)
def test_a_run_is_found_by_id_name_folder_or_path(word: str, tmp_path: Path) -> None:
    for outcome in (FIRST, BETTER.model_copy(update={"name": "better"})):
        folder = write_page(outcome, tmp_path / "reports").parent
    asked = {"path": str(folder), "json": str(folder / "outcome.json")}.get(word, word)
    (found,) = load([asked], tmp_path / "reports")
    assert found.outcome.run_id == BETTER.run_id
    assert found.label == ""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["nothing"], "no run 'nothing' under"),
        (["3333bbbb9"], "no run '3333bbbb9' under"),
        (["33"], "no run '33' under"),
        ([""], "no run '' under"),
        (["summarize"], "2 runs are called 'summarize'; name one of them"),
        (["1111", "1111aaaa"], "1111aaaa is named twice"),
        ([], "name one run or more"),
    ],
)
def test_a_run_that_is_not_one_is_told_with_those_that_are(
    asked: list[str], said: str, tmp_path: Path
) -> None:
    for outcome in (FIRST, BETTER):
        write_page(outcome, tmp_path)
    with pytest.raises(DataError) as caught:
        load(asked, tmp_path)
    assert said in str(caught.value)
    if "twice" not in said:
        assert "summarize-1111aaaa" in str(caught.value)


def test_without_any_report_the_message_says_where_one_would_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no report lies under"):
        load(["any"], tmp_path)


def test_an_outcome_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = write_page(FIRST, tmp_path).parent
    (folder / "outcome.json").write_text('{"name": "half', encoding="utf-8")
    with pytest.raises(DataError, match="cannot read that outcome"):
        load(["summarize"], tmp_path)


@settings(deadline=None)
@given(st.integers(0, 2000))
def test_labels_are_all_different(number: int) -> None:
    assert letters(number) not in {letters(n) for n in range(number)}
    assert letters(number).isalpha()
