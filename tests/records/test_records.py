from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llamaduo.records import (
    Bill,
    JudgeFailure,
    Message,
    Prompt,
    Response,
    RowFile,
    Verdict,
    read_jsonl,
    write_jsonl,
)
from llamaduo.service import Completion, Failure

texts = st.text(st.characters(codec="utf-8"))


@given(st.lists(texts))
def test_any_text_comes_back_from_a_file_as_it_went_in(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [Response(prompt_id=str(i), k=0, text=text) for i, text in enumerate(contents)]
    write_jsonl(path, rows)
    assert read_jsonl(path, Response) == rows


def test_a_row_cut_short_by_a_kill_is_dropped_and_the_rest_gone_on_from(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    first, second = (Response(prompt_id=p, k=0, text="\u2028 text") for p in "ab")
    with RowFile(path, Response) as rows:
        rows.add(first)
        rows.add(second)
    path.write_bytes(path.read_bytes()[:-5])
    with RowFile(path, Response) as rows:
        assert rows.done == [first]
        rows.add(second)
    assert read_jsonl(path, Response) == [first, second]


def test_an_unknown_cost_is_still_unknown_when_it_is_read_again(tmp_path: Path):
    unknown = Completion(request_id="a", text="t", model="m", bill=Bill.call(1, 1, None))
    with RowFile(tmp_path / "o", Completion, Failure) as rows:
        rows.add(unknown)
    with RowFile(tmp_path / "o", Completion, Failure) as rows:
        assert rows.done == [unknown]
    assert unknown.bill.usd is None


def test_two_kinds_of_rows_share_a_file(tmp_path: Path):
    verdict = Verdict(
        prompt_id="a", k=0, similarity=1, precision=2, reason="r", judge="j", version="1"
    )
    failure = JudgeFailure(prompt_id="a", k=1, cause="none", judge="j", version="1")
    with RowFile(tmp_path / "v", Verdict, JudgeFailure) as rows:
        rows.add(failure)
        rows.add(verdict)
    with RowFile(tmp_path / "v", Verdict, JudgeFailure) as rows:
        assert rows.done == [failure, verdict]


@pytest.mark.parametrize("score", [-1, 100.5, float("nan"), float("inf")])
def test_a_score_outside_the_scale_is_no_verdict(score):
    with pytest.raises(ValidationError):
        Verdict(
            prompt_id="a", k=0, similarity=score, precision=2, reason="", judge="j", version="1"
        )


def test_the_last_user_message_is_what_the_answer_is_about():
    turns = [("user", "one"), ("assistant", "two"), ("user", "three")]
    messages = tuple(Message(role=role, content=text) for role, text in turns)
    assert Prompt(id="a", messages=messages).user == "three"
