"""Judging in M repeats: what is kept, what is asked again, and what it took."""

import json

import pytest
from support.experiments import composed, pair
from support.odd_service import OddService
from support.standin import Standin, Wire

from llamaduo.base.errors import BudgetReached, DataError
from llamaduo.judge.embedding import EmbeddingJudge
from llamaduo.judge.fake import FakeJudge
from llamaduo.judge.llm import LlmJudge
from llamaduo.lab import Lab
from llamaduo.records import Bill, JudgeFailure, Response, Verdict, digest
from llamaduo.service import Completion, Failure
from llamaduo.stages.judge import anchor, assess
from llamaduo.tracking import MemoryTracker

PAIRS = [pair(i) for i in range(2)]
RESPONSES = [
    Response(prompt_id=p.id, k=k, text=f"{p.response} {k}") for p in PAIRS for k in range(2)
]
CONFIG = composed("judge=llm", "service@judge.client=fake").judge
DOWN = Failure(request_id="", cause="timeout", final=False)
NEVER = Failure(request_id="", cause="refused", final=True, bill=Bill(calls=1, usd=1))


class Live(OddService):
    """A judge's service: of each (prompt/k/m) what a table says, else a verdict of 10 × m."""

    def answer(self, request, text):
        said = {"reason": "so", "similarity": 10 * request.sample, "precision": 50}
        bill = Bill(calls=1, usd=1)
        return Completion(
            request_id=request.id, text=text or json.dumps(said), model="m", bill=bill
        )


def run(home, service, repeats=3, tracker=None):
    judge = LlmJudge(CONFIG.model_copy(update={"repeats": repeats}), service)
    stage = assess(judge, PAIRS, RESPONSES, confidence=0.95, seed=1, system="x")
    with (tracker or MemoryTracker()).open("e", "r", {}) as tracked:
        return Lab(home, tracked, lambda line: None).run(stage)


def test_every_response_has_every_repeat_and_the_bill_is_their_sum(tmp_path):
    judged = run(tmp_path, Live())
    keys = [(row.prompt_id, row.k, row.m) for row in judged.rows()]
    assert keys == [(p, k, m) for p in ("p0", "p1") for k in range(2) for m in range(3)]
    assert judged.scores.responses == 4
    assert judged.scores.similarity.mean.value == 10
    assert (judged.bill.calls, judged.bill.usd, judged.unfinished) == (12, 12, 0)


def test_a_start_that_was_stopped_is_gone_on_from_repeat_by_repeat(tmp_path):
    service = Live({"p1/0/1": BudgetReached("spent")})
    with pytest.raises(BudgetReached):
        run(tmp_path, service)
    assert service.asked == [
        *(f"p0/{k}/{m}" for k in range(2) for m in range(3)),
        "p1/0/0",
        "p1/0/1",
    ]
    again = Live()
    judged = run(tmp_path, again)
    assert again.asked == ["p1/0/1", "p1/0/2", "p1/1/0", "p1/1/1", "p1/1/2"]
    assert len(judged.rows()) == 12
    assert judged.bill.calls == 12
    assert judged.bill.paid().calls == 12, "the stopped start reported nothing"


def test_failures_are_counted_and_only_those_that_may_pass_are_tried_again(tmp_path):
    odd = {"p0/0/1": DOWN, "p0/1/0": NEVER, "p1/0/2": "no JSON at all"}
    first = run(tmp_path, Live(odd))
    assert (first.unfinished, first.metrics["failures"], first.metrics["unjudged"]) == (1, 3, 0)
    assert first.scores.failures == 3
    assert first.bill.calls == 9 + 1 + 2
    causes = [row.cause for row in first.rows() if isinstance(row, JudgeFailure)]
    assert causes[:2] == ["timeout", "refused"]
    assert "no similarity and precision" in causes[2]
    again = Live()
    second = run(tmp_path, again)
    assert again.asked == ["p0/0/1"]
    assert (second.unfinished, second.scores.failures) == (0, 2)
    assert len(second.rows()) == 12
    assert (second.bill.calls, second.bill.paid().calls) == (13, 1)
    third = Live()
    assert run(tmp_path, third) == second
    assert not third.asked


def test_a_response_of_which_every_repeat_fails_is_in_no_mean(tmp_path):
    whole = run(tmp_path / "whole", Live())
    judged = run(tmp_path / "part", Live({f"p0/0/{m}": NEVER for m in range(3)}))
    assert judged.scores.similarity.mean.value == whole.scores.similarity.mean.value
    assert (judged.scores.responses, judged.scores.unjudged) == (3, 1)


def test_where_nothing_succeeds_there_are_no_scores_and_the_failures_are_counted(tmp_path):
    odd = {f"p{p}/{k}/0": NEVER for p in range(2) for k in range(2)}
    judged = run(tmp_path, Live(odd), repeats=1)
    assert judged.scores is None
    assert judged.metrics == {"failures": 4}


def test_the_tables_show_verdicts_and_failures_without_the_money_of_each(tmp_path):
    tracker = MemoryTracker()
    run(tmp_path, Live({"p0/0/1": NEVER}), tracker=tracker)
    child = next(r for r in tracker.runs.values() if r.parent)
    assert len(child.tables["verdicts.json"]["m"]) == 11
    assert child.tables["failures.json"]["cause"] == ["refused"]
    for table in child.tables.values():
        assert "bill" not in table


def test_anchors_are_judged_once_each_and_their_bill_is_kept(tmp_path):
    from llamaduo.stages.collect import read_pairs, source_of

    task = composed("+experiment=summarize").task
    pairs = read_pairs(source_of(task).read_bytes(), task)[0][:8]
    with Standin() as server, MemoryTracker().open("e", "r", {}) as tracked:
        judge = LlmJudge(CONFIG.model_copy(update={"repeats": 2}), Wire(server.url))
        made = Lab(tmp_path, tracked, lambda line: None).run(anchor(judge, pairs))
    spoken = sum(row.n for row in made.table.rows if row.name != "empty")
    assert made.bill.calls == len(server.calls) == spoken
    assert made.bill.usd > 0


@pytest.mark.parametrize("row", ["verdict", "failure"])
def test_rows_of_judges_without_a_bill_are_written_as_before(row):
    facts = {"prompt_id": "p", "k": 0, "judge": "j", "version": "1"}
    made: Verdict | JudgeFailure
    if row == "verdict":
        made = Verdict(**facts, similarity=1, precision=2, reason="so")
    else:
        made = JudgeFailure(**facts, cause="none")
    assert "bill" not in made.model_dump_json()
    billed = made.model_copy(update={"bill": Bill(calls=1)})
    assert type(made).model_validate_json(billed.model_dump_json()) == billed


def test_judges_without_a_service_give_one_verdict_each(tmp_path):
    for judge in (FakeJudge, EmbeddingJudge):
        assert judge.repeats == 1


def test_the_table_is_kept_whole_and_refused_for_another_test_set(tmp_path):
    odd = {"p0/0/1": DOWN, "p1/1/2": NEVER}
    judged = run(tmp_path, Live(odd))
    before = judged.table(digest(PAIRS))
    assert before.rows() == judged.rows()
    assert (len(before), before.failed.sum()) == (12, 2)
    other = digest([pair(7)])
    with pytest.raises(DataError, match=rf"{digest(PAIRS)}.*{other}"):
        judged.table(other)
    again = run(tmp_path, Live())
    assert again.table().rows() == again.rows()
    assert again.table().failed.sum() == 1, "that which might pass was tried again"
