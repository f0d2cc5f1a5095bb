"""Second answers of the service LLM: what is kept, and what a later start asks again."""

import pytest
from support.experiments import pair
from support.odd_service import OddService

from llamaduo.base.errors import BudgetReached
from llamaduo.lab import Lab
from llamaduo.records import Bill
from llamaduo.service import Completion, Failure
from llamaduo.stages.answer import answer
from llamaduo.tracking import MemoryTracker

PROMPTS = [pair(i).prompt for i in range(4)]


class Live(OddService):
    """A service that fails on some rows, and ends at one."""

    def answer(self, request, text):
        return Completion(
            request_id=request.id,
            text=f"answer to {request.id}",
            model="m",
            bill=Bill(calls=1, input_tokens=3, output_tokens=2, usd=1),
            finish="length" if request.id == "p3" else "stop",
        )


def run(home, service):
    stage = answer(service, PROMPTS, max_tokens=9, system="x")
    with MemoryTracker().open("e", "r", {}) as tracked:
        return Lab(home, tracked, lambda line: None).run(stage)


def test_answers_say_how_they_ended_and_what_they_took(tmp_path):
    made = run(tmp_path, Live())
    assert [row.finish for row in made.responses()] == ["stop", "stop", "stop", "length"]
    assert {(row.prompt_tokens, row.completion_tokens) for row in made.responses()} == {(3, 2)}
    assert (made.missing, made.unfinished, made.cause, made.metrics["cut"]) == (0, 0, None, 1)


def test_a_failure_for_good_is_kept_with_its_bill_and_one_for_now_is_asked_again(tmp_path):
    never = Failure(request_id="", cause="refused", final=True, bill=Bill(calls=1, usd=2))
    down = Failure(request_id="", cause="timeout", final=False)
    first = run(tmp_path, Live({"p1": never, "p2": down}))
    assert (first.missing, first.unfinished, first.bill.usd) == (2, 1, 4)
    again = Live({"p2": down})
    assert run(tmp_path, again).unfinished == 1
    third = Live()
    made = run(tmp_path, third)
    assert (again.asked, third.asked) == (["p2"], ["p2"])
    assert (made.missing, made.unfinished, made.cause) == (1, 0, "refused")
    assert (made.bill.usd, made.bill.paid().usd) == (5, 1)


def test_what_came_before_the_end_of_the_budget_is_not_asked_again(tmp_path):
    with pytest.raises(BudgetReached):
        run(tmp_path, Live({"p2": BudgetReached("spent")}))
    again = Live()
    made = run(tmp_path, again)
    assert again.asked == ["p2", "p3"]
    assert len(made.responses()) == 4
