"""Words, sentences and ROUGE-L."""

import json
import random
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from llamaduo.base.text import rouge_l, rouge_l_of, sentences, stems, words
from llamaduo.records import lines_of

COVERAGE = files("llamaduo").joinpath("data/summarize/coverage.jsonl")
ROWS = [json.loads(line) for _, line in lines_of(COVERAGE.read_text(encoding="utf-8"))]
TEXTS = [message["content"] for row in ROWS for message in row["messages"][1:]]


class OurStems:
    """Our words for their scorer, so that only the counting is compared."""

    def tokenize(self, text):
        return list(stems(text))


THEIRS = RougeScorer(["rougeL"], use_stemmer=True)
THEIRS_ON_OUR_STEMS = RougeScorer(["rougeL"], tokenizer=OurStems())


def f_measure(scorer, a, b):
    return scorer.score(b, a)["rougeL"].fmeasure


def text_pairs():
    rng = random.Random(4)
    return [(a, rng.choice(TEXTS)) for a in TEXTS]


def test_rouge_l_counts_as_rouge_score_does_on_real_texts():
    for a, b in text_pairs():
        assert rouge_l(a, b) == pytest.approx(f_measure(THEIRS_ON_OUR_STEMS, a, b), abs=1e-9)


@given(st.text(), st.text())
def test_rouge_l_counts_as_rouge_score_does_on_any_text(a, b):
    assert rouge_l(a, b) == pytest.approx(f_measure(THEIRS_ON_OUR_STEMS, a, b), abs=1e-9)


# Words on which Porter's own rules and NLTK's extension of them agree.
AGREED = st.sampled_from(
    ["the", "Labels", "station", "printing", "printed", "update", "updates", "will,", "48213"]
)


@given(st.lists(AGREED).map(" ".join), st.lists(AGREED).map(" ".join))
def test_rouge_l_is_that_of_rouge_score_where_the_stemmers_agree(a, b):
    assert rouge_l(a, b) == pytest.approx(f_measure(THEIRS, a, b), abs=1e-9)


def test_the_stemmers_differ_by_little_on_real_texts():
    off = [abs(rouge_l(a, b) - f_measure(THEIRS, a, b)) for a, b in text_pairs()]
    assert max(off) < 0.03
    assert sum(gap > 1e-9 for gap in off) <= len(off) / 20


def test_rouge_l_of_known_texts():
    assert rouge_l("the cat sat on the mat", "the cat lay on a mat") == pytest.approx(8 / 12)
    assert rouge_l("Printing labels", "printed LABEL!") == 1
    assert rouge_l("", "a") == rouge_l("a", "") == rouge_l("", "") == rouge_l("дом", "дом") == 0
    assert rouge_l_of(stems("a b c"), stems("a c")) == pytest.approx(4 / 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Mr. Sandhu came at 7.45. He left.", ["Mr. Sandhu came at 7.45.", "He left."]),
        ("J. Smith will ring at 6 a.m. tomorrow.", ["J. Smith will ring at 6 a.m. tomorrow."]),
        ("The answer is no. Nobody came.", ["The answer is no.", "Nobody came."]),
        ("See no. 7 there.", ["See no. 7 there."]),
        ('He said "go." Then he went.', ['He said "go."', "Then he went."]),
        ("- a list\n- of two", ["- a list", "- of two"]),
        ("終わり。次です。", ["終わり。", "次です。"]),
        ("No end mark", ["No end mark"]),
        ("And then… Nothing.", ["And then…", "Nothing."]),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@given(st.text())
def test_sentences_lose_white_space_only(text):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_words():
    text = "Didn't 1,900 carts, at 02:14 (twenty-one)… stop? Bodø東京."
    assert words(text) == (
        "Didn't", "1,900", "carts", "at", "02:14", "twenty", "one", "stop", "Bodø東京",
    )  # fmt: skip
