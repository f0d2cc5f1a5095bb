"""Answers of known order, and the judges that rank them wrongly."""

from decimal import Decimal

import pytest

from llamaduo.base.errors import JudgeError
from llamaduo.judge.anchors import AnchorTable, anchors, check
from llamaduo.records import Bill, JudgeFailure, Message, Pair, Prompt, Verdict

PASSAGE = (
    "The lift in block 4 is out until Tuesday. A cable frayed and the guard tripped. Nobody was in"
    " it. Ines has ordered a new cable. It comes on Monday. Please use the stairs by the yard."
)
GOLD = "The lift in block 4 stopped because a cable frayed. Ines will have it mended by Tuesday."


def pair(number: int = 0, passage: str = PASSAGE, gold: str = GOLD) -> Pair:
    prompt = Prompt(id=f"p{number}", messages=(Message(role="user", content=passage),))
    return Pair(prompt=prompt, response=gold)


class Scripted:
    """A judge that gives each kind of anchor what a table says, by its place."""

    name = "scripted"
    version = "7"
    identity = {"kind": "scripted"}  # noqa: RUF012

    def __init__(self, similarity, precision=None, m=1):
        self.similarity, self.precision, self.m = similarity, precision or similarity, m

    @property
    def repeats(self):
        return self.m

    def assess(self, items):
        for item in reversed(items):
            at = item.response.k
            for m in item.wanted or range(self.m):
                yield Verdict(
                    prompt_id=item.prompt.id,
                    k=at,
                    m=m,
                    similarity=self.similarity[at],
                    precision=self.precision[at],
                    reason="so",
                    judge=self.name,
                    version=self.version,
                )


# gold, changed, truncated, shuffled, empty, first_two, whole
RIGHT = (90, 80, 60, 40, 5, 50, 30)


def texts(pairs):
    return {anchor.name: anchor.text for anchor in anchors(pairs)}


def test_the_anchors_of_a_pair():
    by_name = texts([pair()])
    assert by_name["gold"] == GOLD
    assert by_name["empty"] == ""
    assert by_name["whole"] == PASSAGE
    assert by_name["first_two"].endswith("guard tripped.")
    assert by_name["truncated"] == "The lift in block 4 stopped because a"
    assert sorted(by_name["shuffled"].split()) == sorted(GOLD.split())
    assert by_name["shuffled"] != GOLD


@pytest.mark.parametrize(
    ("gold", "kinds"),
    [
        ("It closed at 14.", {"It closed at 17."}),
        ("It took the 19th only.", {"It took the 22th only."}),
        ("It took seven hours.", {"It took two hours."}),
        ("It opens on Tuesday.", {"It opens on Wednesday."}),
        ("The door opens for Ines.", {"The door opens for Thorvald."}),
        ("The door was open.", {"The door was not open."}),
    ],
)
def test_one_fact_is_changed(gold, kinds):
    by_name = texts(
        [pair(passage="The 14 doors, the 19th, seven, Monday, Tuesday, Ines.", gold=gold)]
    )
    assert by_name["changed"] in kinds


def test_a_changed_fact_is_in_neither_text():
    by_name = texts([pair(passage="From 4 to 7 and 10. It is so.", gold="It was 4.")])
    assert by_name["changed"] == "It was 8."


def test_the_same_pairs_give_the_same_anchors():
    pairs = [pair(n) for n in range(9)]
    assert list(anchors(pairs)) == list(anchors(pairs))
    assert len({a.text for a in anchors(pairs) if a.name == "changed"}) > 1


def test_what_cannot_be_told_apart_is_left_out():
    assert texts([pair(passage="Is it a bird? Say yes or no.", gold="yes")]) == {
        "gold": "yes",
        "empty": "",
        "whole": "Is it a bird? Say yes or no.",
    }


def test_a_right_judge_passes_with_its_figures():
    table = check(Scripted(RIGHT, [s / 2 for s in RIGHT]), [pair(n) for n in range(4)])
    assert isinstance(table, AnchorTable)
    assert (table.judge, table.version, table.pairs) == ("scripted", "7", 4)
    assert [row.similarity for row in table.rows] == list(RIGHT)
    assert [row.precision for row in table.rows] == [s / 2 for s in RIGHT]
    assert {row.n for row in table.rows} == {4}
    assert AnchorTable.model_validate_json(table.model_dump_json()) == table


@pytest.mark.parametrize("metric", ["similarity", "precision"])
@pytest.mark.parametrize(
    ("better", "worse"),
    [(0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6)],
)
def test_each_inequality_is_asked_for_in_each_metric(metric, better, worse):
    wrong = list(RIGHT)
    wrong[better] = wrong[worse]  # equal is not above
    judge = Scripted(RIGHT, wrong) if metric == "precision" else Scripted(wrong, RIGHT)
    with pytest.raises(JudgeError, match=f"{metric} of .* is not above"):
        check(judge, [pair()])


def test_a_judge_that_likes_everything_is_refused_with_figures():
    with pytest.raises(JudgeError) as caught:
        check(Scripted([100] * 7), [pair()])
    message = str(caught.value)
    assert "judge=scripted" in message
    assert "similarity of gold (100.0) is not above that of changed (100.0)" in message
    assert message.count("100.0") >= 14
    assert "shuffled" in message


def test_what_a_task_lacks_is_not_asked_for():
    one_word = pair(passage="Is it a bird? Say yes or no.", gold="yes")
    table = check(Scripted(RIGHT), [one_word])
    assert [row.name for row in table.rows] == ["gold", "empty", "whole"]
    with pytest.raises(JudgeError, match=r"gold .* whole"):
        check(Scripted((20, *RIGHT[1:])), [one_word])


def test_a_failure_on_an_anchor_refuses_the_judge():
    class Failing(Scripted):
        def assess(self, items):
            for row in super().assess(items):
                if row.k == 3:
                    yield JudgeFailure(
                        prompt_id=row.prompt_id, k=3, cause="no JSON", judge="x", version="1"
                    )
                else:
                    yield row

    with pytest.raises(JudgeError, match=r"on 1 of 7 anchors.* 'shuffled' of p0: no JSON"):
        check(Failing(RIGHT), [pair()])


def test_an_anchor_in_ten_may_fail_and_is_counted():
    class Shaky(Scripted):
        def assess(self, items):
            for row in super().assess(items):
                assert row.m == 0, "one verdict on each, whatever M is"
                if (row.prompt_id, row.k) == ("p0", 3):
                    yield JudgeFailure(prompt_id="p0", k=3, cause="no JSON", judge="x", version="1")
                else:
                    yield row.model_copy(update={"bill": Bill(calls=1, usd=Decimal("0.01"))})

    pairs = [pair(i) for i in range(2)]
    table = check(Shaky(RIGHT, m=3), pairs)
    assert [row.similarity for row in table.rows] == list(RIGHT)
    assert table.failures == 1
    assert (table.bill.calls, table.bill.usd) == (13, Decimal("0.13"))


def test_a_silent_judge_is_refused():
    class Silent(Scripted):
        def assess(self, items):
            return (row for row in super().assess(items) if row.k != 2)

    with pytest.raises(JudgeError, match="'truncated' of p0: the judge returned no row"):
        check(Silent(RIGHT), [pair()])


def test_no_pairs_no_trust():
    with pytest.raises(JudgeError, match="at least one"):
        check(Scripted(RIGHT), [])
