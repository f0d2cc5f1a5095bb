"""The table of verdicts: what goes in comes out, and what is no table of this test set does not."""

import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llamaduo.base.errors import DataError
from llamaduo.records import Bill, JudgeFailure, Verdict
from llamaduo.stats import parquet
from llamaduo.stats.scores import by_prompt, prompt_means, summarise
from llamaduo.stats.table import VerdictTable

SCORE = st.floats(0, 100)
MONEY = st.none() | st.decimals(0, 1000, places=10)
BILL = st.just(Bill()) | st.builds(
    Bill, calls=st.integers(0, 9), input_tokens=st.integers(0, 10**9), usd=MONEY
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
WHICH = {
    "prompt_id": TEXT.filter(bool),
    "k": st.integers(0, 4),
    "m": st.integers(0, 10),
    "judge": st.sampled_from(["a", "b"]),
    "version": st.sampled_from(["1", "2"]),
    "bill": BILL,
}
VERDICT = st.builds(Verdict, **WHICH, similarity=SCORE, precision=SCORE, reason=TEXT)
FAILURE = st.builds(JudgeFailure, **WHICH, cause=TEXT, final=st.booleans())


def verdict(prompt="a", k=0, similarity=50.0, precision=50.0, judge="j", m=0):
    return Verdict(
        prompt_id=prompt,
        k=k,
        m=m,
        similarity=similarity,
        precision=precision,
        reason="so",
        judge=judge,
        version="1",
    )


def failure(prompt="a", k=0, judge="j", m=0):
    return JudgeFailure(prompt_id=prompt, k=k, m=m, cause="prose", judge=judge, version="1")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(VERDICT | FAILURE, max_size=8), test_set=st.none() | st.just("c0ffee"))
def test_every_row_survives_the_file(tmp_path: Path, rows, test_set):
    path = tmp_path / "verdicts.parquet"
    parquet.write(VerdictTable.of(rows, test_set), path)
    read = parquet.read(path, test_set)
    assert read.rows() == rows
    assert read.test_set == test_set
    assert summarise(read, confidence=0.9, seed=1) == summarise(rows, confidence=0.9, seed=1)


def test_the_file_reads_as_a_table_for_anyone(tmp_path):
    billed = verdict().model_copy(update={"bill": Bill(calls=1, usd=Decimal("0.0012"))})
    parquet.write(VerdictTable.of([billed, failure(k=1)]), tmp_path / "v.parquet")
    first, second = pq.read_table(tmp_path / "v.parquet").to_pylist()
    assert (first["prompt_id"], first["similarity"], first["reason"]) == ("a", 50, "so")
    assert (first["failure"], second["failure"]) == (None, "prose")
    assert (second["similarity"], second["precision"], second["reason"]) == (None, None, None)
    assert first["cost"]["usd"] == Decimal("0.0012")


def test_another_test_set_is_refused_with_both_fingerprints(tmp_path):
    path = tmp_path / "verdicts.parquet"
    parquet.write(VerdictTable.of([verdict()], "aaaa1111"), path)
    with pytest.raises(DataError, match=r"aaaa1111.*bbbb2222"):
        parquet.read(path, "bbbb2222")
    parquet.write(VerdictTable.of([verdict()]), path)
    with pytest.raises(DataError, match=r"unknown.*bbbb2222"):
        parquet.read(path, "bbbb2222")


@pytest.mark.parametrize("what", ["no parquet", "other columns", "gone"])
def test_a_file_that_is_none_is_named(tmp_path, what):
    path = tmp_path / "verdicts.parquet"
    if what == "no parquet":
        path.write_text("prompt_id,k,m\n", encoding="utf-8")
    elif what == "other columns":
        pq.write_table(pa.table({"prompt_id": ["a"], "k": [0]}), path)
    with pytest.raises(DataError, match=r"verdicts\.parquet"):
        parquet.read(path)


@pytest.mark.parametrize("odd", [-0.1, 100.5, math.inf, math.nan])
def test_a_score_that_is_none_is_refused_by_prompt_response_and_repeat(tmp_path, odd):
    scores = np.full((2, 2, 2), 50.0)
    wrong = scores.copy()
    wrong[1, 0, 1] = odd
    with pytest.raises(DataError, match=r"p000001, k=0, m=1: precision .* no score from 0 to 100"):
        VerdictTable.of_scores(scores, wrong, "j")
    good = VerdictTable.of_scores(scores, scores, "j")
    parquet.write(good, tmp_path / "v.parquet")
    table = pq.read_table(tmp_path / "v.parquet")
    column = table.column_names.index("precision")
    pq.write_table(
        table.set_column(column, "precision", pa.array(wrong.ravel())), tmp_path / "v.parquet"
    )
    with pytest.raises(DataError, match="no score from 0 to 100"):
        parquet.read(tmp_path / "v.parquet")


def test_a_prompt_of_which_every_verdict_failed_is_counted_and_in_no_mean():
    rows = [verdict("a", similarity=40), failure("b"), failure("b", k=1)]
    assert by_prompt(rows, "similarity") == {"a": (40,)}
    assert prompt_means(rows, "similarity") == {"a": 40}
    scores = summarise(rows, confidence=0.95, seed=1)
    assert scores is not None
    assert (scores.prompts, scores.responses, scores.unjudged, scores.failures) == (1, 1, 2, 2)


def test_judges_count_alike_however_often_each_was_asked():
    """A lenient judge with many repeats does not drown a strict one with one."""
    rows = [
        *(verdict(similarity=90, judge="lenient", m=m) for m in range(9)),
        verdict(similarity=50, judge="strict"),
    ]
    assert by_prompt(rows, "similarity") == {"a": (70,)}
    table = VerdictTable.of(rows)
    assert by_prompt(table.by("strict"), "similarity") == {"a": (50,)}
    assert by_prompt(table.by("nobody"), "similarity") == {}


def test_a_response_that_one_judge_failed_on_is_left_out():
    """Else the response that the strict judge failed on would look better than the other."""
    rows = [
        *(verdict(k=k, similarity=90, judge="lenient") for k in range(2)),
        verdict(k=0, similarity=50, judge="strict"),
        failure(k=1, judge="strict"),
    ]
    assert by_prompt(rows, "similarity") == {"a": (70,)}
    scores = summarise(rows, confidence=0.95, seed=1)
    assert scores is not None
    assert (scores.responses, scores.unjudged, scores.failures) == (1, 1, 1)
