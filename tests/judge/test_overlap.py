"""The judge that counts: its contract on the shipped data, and what each rule takes away."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experiments import composed

from llamaduo.judge import Item
from llamaduo.judge.overlap import OverlapJudge, letters_f, score, terms_cosine
from llamaduo.records import JudgeFailure, Message, Prompt, Response
from llamaduo.stages.collect import read_pairs, source_of
from llamaduo.testing.judge import JudgeContract

EXP = composed("+experiment=summarize", "judge=overlap")
TASK = (
    "To all in block 4. On Sunday night one of the two cables of the lift frayed, and the firm took"
    " it out of use at once. A new cable comes from Leeds on Monday; the lift should run again on"
    " Tuesday, if the inspector agrees. Until then please take the stairs, and ring Ms. Okafor when"
    " you need somebody to carry shopping. She has asked for a written report by the end of May, as"
    " this is the third failure since the winter."
)
REFERENCE = "In block 4 a frayed cable keeps the lift out of use; it should run again on Tuesday."


def item(text: str, *, task: str = TASK, reference: str = REFERENCE) -> Item:
    return Item(
        prompt=Prompt(id="p", messages=(Message(role="user", content=task),)),
        reference=reference,
        response=Response(prompt_id="p", k=0, text=text),
    )


class TestOverlapJudge(JudgeContract):
    @pytest.fixture
    def judge(self):
        return OverlapJudge(EXP.judge)

    @pytest.fixture
    def pairs(self):
        """All that is shipped: the anchors must hold on every one of its rows' means."""
        return read_pairs(source_of(EXP.task).read_bytes(), EXP.task)[0]


def test_letters_f_by_hand():
    # "abcd" against "abce": shared runs 3 of 4, 2 of 3, 1 of 2, 0 of 1; none is longer.
    assert letters_f("abcd", "ABCE") == pytest.approx((3 / 4 + 2 / 3 + 1 / 2 + 0) / 4)
    assert letters_f("", "abc") == 0
    assert letters_f("a b", "a\n b") == pytest.approx(1)


def test_terms_cosine_by_hand():
    # a, b, "a b" against a, c, "a c": one of three shared.
    assert terms_cosine("a b", "a c") == pytest.approx(1 / 3)
    # a counts 1 + ln 2 where it is there twice, beside the pair "a a".
    twice = 1 + math.log(2)
    assert terms_cosine("a a", "a") == pytest.approx(twice / math.sqrt(twice**2 + 1))


@pytest.mark.parametrize(
    "worse",
    [
        "In block 7 a frayed cable keeps the lift out of use; it should run again on Tuesday.",
        "In block 4 a frayed cable keeps the lift out of use; it should run again on Friday.",
        "In block 4 a frayed cable keeps the lift out of use; it should not run again on Tuesday.",
        "In block 4 a frayed cable keeps the lift out of use; it should run",
        "use again lift it Tuesday out 4 keeps block a run In the of should frayed on cable.",
        TASK,
        REFERENCE + " " + " ".join(["It is a pity that it is so."] * 4),
        "",
    ],
    ids=["number", "day", "not", "cut", "shuffled", "copied", "long", "empty"],
)
def test_a_fault_costs_in_both_metrics(worse):
    better, lower = score(item(REFERENCE)), score(item(worse))
    assert lower[0] < better[0], (lower, better)
    assert lower[1] < better[1], (lower, better)


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_any_text_gets_a_score_on_the_scale_or_a_failure(task, reference, answer):
    judge = OverlapJudge(EXP.judge)
    one = item(answer, task=task, reference=reference)
    (row,) = judge.assess([one])
    if not isinstance(row, JudgeFailure):
        assert 0 <= row.similarity <= 100
        assert 0 <= row.precision <= 100
        (again,) = judge.assess([one])
        assert again == row


@given(st.text(min_size=1, max_size=100))
def test_the_reference_itself_is_as_similar_as_can_be(text):
    (row,) = OverlapJudge(EXP.judge).assess([item(text, reference=text)])
    if not isinstance(row, JudgeFailure):
        assert row.similarity == pytest.approx(100)


def test_what_cannot_be_held_against_anything_is_a_failure():
    system = Prompt(id="p", messages=(Message(role="system", content="Be brief."),))
    judge = OverlapJudge(EXP.judge)
    odd = [item("x", task=" "), item("x", reference="…"), item("x")]
    odd[2] = odd[2].model_copy(update={"prompt": system})
    causes = [row.cause for row in judge.assess(odd)]
    assert "no words" in causes[0]
    assert "reference" in causes[1]
    assert "no user message" in causes[2]
