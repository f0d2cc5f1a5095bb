"""The embedding judge with its real weights, on the shipped pairs."""

import json
import time
from importlib.resources import files

import pytest

from llamaduo.config import EmbeddingJudgeConfig
from llamaduo.judge import Item
from llamaduo.judge.anchors import check
from llamaduo.judge.embedding import EmbeddingJudge, Encoder
from llamaduo.judge.facts import Evidence, figure_forms, unfinished
from llamaduo.records import JudgeFailure, Message, Pair, Prompt, Response, Verdict, lines_of
from llamaduo.testing.judge import JudgeContract

PASSAGE = (
    "The lift in block 4 is out until Tuesday. On Friday evening a cable frayed and the guard"
    " tripped at 6.30, which is what it's for. Nobody was in it. Ines has ordered a new cable and"
    " will fit it on Monday. The old one does not go back in. Please use the stairs by the yard."
)
GOLD = (
    "The lift in block 4 stopped on Friday because a cable frayed and tripped the guard. Ines will"
    " fit a new cable on Monday, and residents will use the stairs until Tuesday."
)


def fresh_judge():
    return EmbeddingJudge(EmbeddingJudgeConfig(kind="embedding", name="embedding", weights="auto"))


@pytest.fixture(scope="module")
def judge():
    return fresh_judge()


def shipped(name):
    text = files("llamaduo").joinpath(f"data/summarize/{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for _, line in lines_of(text)]


@pytest.fixture(scope="module")
def pairs():
    pairs = []
    for row in shipped("coverage"):
        *asked, answer = (Message(**message) for message in row["messages"])
        prompt = Prompt(id=row["id"], messages=tuple(asked))
        pairs.append(Pair(prompt=prompt, response=answer.content))
    return pairs


def item(answer, passage=PASSAGE, reference=GOLD, k=0, id="lift"):
    return Item(
        prompt=Prompt(id=id, messages=(Message(role="user", content=passage),)),
        reference=reference,
        response=Response(prompt_id=id, k=k, text=answer),
    )


def of(pair, answer):
    return item(answer, pair.prompt.user, pair.response, id=pair.id)


def verdict(judge, answer, **kinds):
    (row,) = judge.assess([item(answer, **kinds)])
    assert isinstance(row, Verdict), row
    return row


class TestContract(JudgeContract):
    @pytest.fixture
    def pairs(self, pairs):
        """Take a quarter of them: each is read some ten times."""
        return pairs[::4]


# ---------------------------------------------------------------- the shipped pairs


def test_the_anchors_stand_well_apart(judge, pairs):
    table = {row.name: row for row in check(judge, pairs[::4]).rows}
    for metric, steps in {
        "similarity": {"changed": 1, "truncated": 10, "shuffled": 5, "first_two": 25, "whole": 5},
        "precision": {"changed": 8, "truncated": 8, "shuffled": 20, "first_two": 40, "whole": 5},
    }.items():
        score = {name: getattr(row, metric) for name, row in table.items()}
        assert score["gold"] - score["changed"] > steps["changed"]
        assert score["changed"] - score["truncated"] > steps["truncated"]
        assert score["truncated"] - score["shuffled"] > steps["shuffled"]
        assert score["shuffled"] > score["empty"] == 0
        assert score["gold"] - score["first_two"] > steps["first_two"]
        assert score["first_two"] - score["whole"] > steps["whole"]


def test_a_second_answer_beats_copies_and_strangers(judge, pairs):
    seconds = {row["of"]: row["text"] for row in shipped("recorded") if row["purpose"] == "answer"}
    some = pairs[::4]

    def means(answers):
        rows = list(judge.assess([of(p, a) for p, a in zip(some, answers, strict=True)]))
        return [sum(getattr(r, m) for r in rows) / len(rows) for m in ("similarity", "precision")]

    second = means([seconds[pair.id] for pair in some])
    copy = means([pair.prompt.user for pair in some])
    stranger = means([pair.response for pair in (*some[1:], some[0])])
    gold = means([pair.response for pair in some])
    assert second[0] > 70
    assert second[0] > copy[0] + 30
    assert second[0] > stranger[0] + 45
    assert second[1] > gold[1] - 8
    assert second[1] > copy[1] + 60
    assert stranger[1] < 25


@pytest.mark.slow
def test_verdicts_on_all_shipped_pairs_take_seconds(pairs):
    judge = fresh_judge()
    list(judge.assess([item("Loads the model.")]))

    def seconds(tail):
        items = [of(pair, f"{pair.response} {tail}") for pair in pairs]
        start = time.perf_counter()
        assert len(list(judge.assess(items))) == len(pairs)
        return time.perf_counter() - start

    # About 5 s on two idle cores, which a test cannot count on. What comes again is not computed
    # again: prompts, references, and the sentences that answers share with each other.
    first = seconds("It is so.")
    assert first < 60
    assert seconds("And so it is.") < first / 2


# ---------------------------------------------------------------- the rules, one at a time


def test_gold_is_perfect_in_similarity_and_good_in_precision(judge):
    row = verdict(judge, GOLD)
    assert row.similarity == pytest.approx(100, abs=1e-3)
    assert row.precision > 90
    assert "\n" not in row.reason


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("block 4", "block 9", "9"),
        ("Monday", "Wednesday", "Wednesday"),
        ("Ines", "Thorvald", "Thorvald"),
        ("in block 4", "in Leeds", "Leeds"),
        ("a new cable", "twelve new cables", "twelve"),
        ("will fit", "will not fit", "not fit"),
    ],
)
def test_an_unsupported_fact_lowers_precision_and_is_named(judge, old, new, named):
    right, wrong = verdict(judge, GOLD), verdict(judge, GOLD.replace(old, new))
    assert wrong.precision < right.precision - 10
    assert f"not in the prompt: {named}" in wrong.reason


def test_a_dropped_negation_lowers_precision(judge):
    right = verdict(judge, "The old cable does not go back in, and Ines will fit a new one.")
    wrong = verdict(judge, "The old cable does go back in, and Ines will fit a new one.")
    assert wrong.precision < right.precision - 10


def test_more_wrong_facts_lower_precision_more(judge):
    steps = [GOLD, GOLD.replace("4", "9"), GOLD.replace("4", "9").replace("Monday", "Saturday")]
    first, second, third = (verdict(judge, text).precision for text in steps)
    assert first > second > third


def test_figures_are_recognised_in_other_spellings(judge):
    text = "The guard tripped at {} on Friday evening because a cable in the lift frayed."
    assert "not in the prompt" not in verdict(judge, text.format("6:30")).reason
    assert "not in the prompt: 6.45" in verdict(judge, text.format("6.45")).reason


def test_copying_lowers_precision(judge):
    own = verdict(judge, GOLD)
    copy = verdict(judge, " ".join(PASSAGE.split()[:32]) + ".")
    assert copy.precision < own.precision / 2
    assert "copied 100%" in copy.reason


def test_length_beyond_the_reference_lowers_both(judge):
    rows = [verdict(judge, f"{GOLD} {GOLD}"), verdict(judge, f"{GOLD} {GOLD} {GOLD}")]
    assert 60 > rows[0].similarity > rows[1].similarity
    assert 70 > rows[0].precision > rows[1].precision


def test_breaking_off_lowers_precision(judge):
    assert verdict(judge, GOLD[:-1]).precision < verdict(judge, GOLD).precision * 0.6


def test_words_in_disorder_lower_precision_even_in_the_form_of_a_sentence(judge):
    shuffled = " ".join(sorted(GOLD.replace(".", "").replace(",", "").lower().split()))
    row = verdict(judge, shuffled.capitalize() + ".")
    assert row.precision < verdict(judge, GOLD).precision * 0.6


@pytest.mark.parametrize("answer", ["", "  \n", "…", "!?"])
def test_no_words_no_points(judge, answer):
    row = verdict(judge, answer)
    assert (row.similarity, row.precision) == (0, 0)
    assert "no words" in row.reason


def test_precision_sees_the_length_of_the_reference_and_nothing_else(judge):
    other = " ".join(["entirely other words of the same number"] * 5)
    assert len(other.split()) > len(GOLD.split())
    row = verdict(judge, GOLD, reference=other)
    assert row.precision == pytest.approx(verdict(judge, GOLD).precision)
    assert row.similarity < 40


# ---------------------------------------------------------------- what is no verdict


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"reference": ""}, "reference has no words"),
        ({"reference": "Лифт не работает."}, "reference has no words"),
        ({"passage": " … "}, "no words"),
    ],
)
def test_what_cannot_be_scored_is_a_failure(judge, changes, cause):
    (row,) = judge.assess([item(GOLD, **changes)])
    assert isinstance(row, JudgeFailure)
    assert cause in row.cause
    assert (row.prompt_id, row.k, row.judge) == ("lift", 0, "embedding")


def test_a_prompt_without_a_user_is_a_failure_and_its_neighbours_are_not(judge):
    alone = Prompt(id="s", messages=(Message(role="system", content="Hello"),))
    odd = Item(prompt=alone, reference=GOLD, response=Response(prompt_id="s", k=0, text="Hi"))
    rows = list(judge.assess([item(GOLD), odd, item(GOLD, k=1)]))
    assert [type(row) for row in rows] == [Verdict, JudgeFailure, Verdict]


@pytest.mark.parametrize(
    "answer",
    ["Лифт сломан.", "電梯故障。", "👍🏽 ok 👍🏽", "a\u2028b\u0000c", "{" * 400, "x" * 4000],
)
def test_any_text_gets_a_verdict(judge, answer):
    row = verdict(judge, answer)
    assert row.similarity < 50
    assert row.precision < 60


# ---------------------------------------------------------------- determinism, length, company


def test_the_end_of_a_long_prompt_is_read(judge):
    padding = " ".join(f"Row {n} of the ledger says nothing about that." for n in range(200))
    far = "The bakery in Hallwick burnt because its oven thermostat stuck."
    row = verdict(judge, far, passage=f"{padding} {far[:-1]} on Friday.", reference=far)
    untold = verdict(judge, far, passage=padding, reference=far)
    assert untold.precision < 30
    assert "grounded 0.9" in row.reason or "grounded 1.0" in row.reason


def test_a_sentence_beyond_the_window_is_not_cut(judge):
    encoder = Encoder("auto")
    filler = "and then the ledger went on and on about the weather in the valley " * 40
    texts = [filler, filler + "until the nuclear reactor exploded over Hallwick"]
    encoder.learn(texts)
    short, long = encoder.sums(texts)
    assert abs(long - short).max() > 0.5
    assert len(encoder) == 2


def test_a_verdict_repeats_itself_in_any_company(judge, pairs):
    items = [of(pair, answer) for pair in pairs[:6] for answer in (pair.response, PASSAGE)]
    together = [row.model_dump() for row in judge.assess(items)]
    fresh = fresh_judge()
    for one, before in reversed(list(zip(items, together, strict=True))):
        (alone,) = fresh.assess([one])
        for metric in ("similarity", "precision"):
            assert getattr(alone, metric) == pytest.approx(before[metric], abs=1e-3)


def test_identity_names_the_weights(judge):
    assert judge.identity["kind"] == "embedding"
    assert judge.identity["version"] == judge.version
    assert "sha256" in judge.identity["weights"]


# ---------------------------------------------------------------- what words tell


@pytest.mark.parametrize(
    ("one", "other"),
    [("1,900", "1900"), ("6.30", "6:30"), ("0730", "7:30"), ("6:00", "6"), ("007", "7")],
)
def test_spellings_of_one_figure_meet(one, other):
    assert figure_forms(one) & figure_forms(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1.1", "11"), ("6.30", "631"), ("4", "40"), ("1.5", "15"), ("7:30", "7:45")]
)
def test_different_figures_do_not_meet(one, other):
    assert not figure_forms(one) & figure_forms(other)


@pytest.mark.parametrize(
    "sentence",
    [
        "It lasted 38 minutes.",
        "About 200 people, thirty-eight of them children, came.",
        "It is on Tue the 19th.",
        "Marta's report came on Sunday.",
        "The gate was not opened.",
        "MARTA said so.",
    ],
)
def test_supported_facts(sentence):
    prompt = (
        "It took thirty-eight minutes; two hundred came. Tuesday 19th, Sundays too. Marta did not"
        " open the gate."
    )
    assert Evidence(prompt).unsupported(sentence) == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("It closed because", False),  # too short to tell
        ("It closed on Friday because the", True),
        ("It closed on Friday. Ines", True),
        ("It closed on Friday because of rain.", False),
        ("It closed on Friday because of rain.\n\nBest, Ines", False),
        ('He said that it "closed on Friday."', False),
        ("positive", False),
        ("- the first item of the list\n- the second item of it", False),
        ("All of it is in **bold type here.**", False),
    ],
)
def test_unfinished(text, broken):
    assert unfinished(text) is broken
