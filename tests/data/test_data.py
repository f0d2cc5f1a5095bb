"""The shipped data keep their promises."""

import re
from collections import Counter
from itertools import combinations
from statistics import quantiles

import pytest
from support.experiments import composed

from llamaduo.base.errors import DataError
from llamaduo.base.text import rouge_l_of, sentences, stems
from llamaduo.data.rekey import request_for
from llamaduo.service import Completion, Failure
from llamaduo.service.recorded import RecordedService, parse, recording_path
from llamaduo.service.reply_json import objects_in
from llamaduo.stages import answer, synthesize
from llamaduo.stages.collect import read_pairs, source_of
from llamaduo.testing.service import ServiceContract

EXP = composed("+experiment=summarize")
PAIRS, REJECTS = read_pairs(source_of(EXP.task).read_bytes(), EXP.task)
PATH = recording_path(EXP.service)
ROWS = parse(PATH.read_bytes(), PATH)
BY_ID = {pair.id: pair for pair in PAIRS}


PASSAGE_WORDS = (70, 112)
SUMMARY_WORDS = (30, 48)
SAMPLES = 2
EACH = 2  # pairs per synthesis answer


def written(sample: int | None = None) -> list[tuple[str, str]]:
    """The pairs of the recorded synthesis answers."""
    texts = [
        row.text for row in ROWS if row.purpose == "synthesis" and sample in (None, row.sample)
    ]
    return [found for text in texts for found in synthesised(text)]


def synthesised(text: str) -> list[tuple[str, str]]:
    """The pairs of one answer."""
    return [*synthesize.pairs_in(objects_in(text).objects).pairs.values()]


def summaries() -> list[tuple[str, str]]:
    """Every passage with every summary of it."""
    own = [(pair.prompt.user, pair.response) for pair in PAIRS]
    second = [(BY_ID[r.of].prompt.user, r.text) for r in ROWS if r.purpose == "answer"]
    return [*own, *second, *written()]


def test_every_row_is_usable():
    assert len(PAIRS) >= 96
    assert not REJECTS


def test_every_row_has_a_second_answer_and_two_synthesis_answers_of_two_pairs():
    assert Counter((row.of, row.purpose, row.sample) for row in ROWS) == {
        **{(i, "answer", 0): 1 for i in BY_ID},
        **{(i, "synthesis", sample): 1 for i in BY_ID for sample in range(SAMPLES)},
    }
    for row in ROWS:
        if row.purpose == "synthesis":
            assert len(synthesised(row.text)) == EACH


def test_every_recording_is_keyed_by_the_request_as_it_reads_today():
    """After a change of a prompt template: python -m llamaduo.data.rekey."""
    stale = [row.of for row in ROWS if request_for(row, BY_ID[row.of], EXP).key != row.request]
    assert not stale


@pytest.mark.parametrize("sample", range(SAMPLES))
def test_lengths_are_those_of_the_coverage_rows(sample):
    """Bounds for each text, and a like spread, so that more of the kind is of the kind."""
    own = [(pair.prompt.user, pair.response) for pair in PAIRS]
    for column, (least, most), off in ((0, PASSAGE_WORDS, 16), (1, SUMMARY_WORDS, 3)):
        ours, theirs = (
            [len(pair[column].split()) for pair in pairs] for pairs in (own, written(sample))
        )
        assert least <= min(*ours, *theirs)
        assert max(*ours, *theirs) <= most
        for part in (1, 2, 3):  # quartiles
            assert abs(quantiles(ours)[part - 1] - quantiles(theirs)[part - 1]) <= off


@pytest.mark.parametrize(("passage", "text"), summaries())
def test_every_summary_keeps_the_house_style(passage, text):
    assert len(re.findall(r"[.!?](?:\s+(?=[A-Z0-9])|$)", text)) in (2, 3)
    assert text == text.strip()
    assert not re.search(r"lorem|todo|xxx|\.\.\.|<|>", text, re.IGNORECASE)
    assert not [sentence for sentence in sentences(text) if sentence in passage]


def test_no_two_passages_are_alike():
    passages = [stems(pair.prompt.user) for pair in PAIRS] + [stems(p) for p, _ in written()]
    assert max(rouge_l_of(a, b) for a, b in combinations(passages, 2)) < 0.4


def test_no_two_summaries_of_different_passages_are_near_copies():
    """So whatever the split, no test answer can be learnt by heart from train or synthesis."""
    texts = [stems(pair.response) for pair in PAIRS] + [stems(text) for _, text in written()]
    assert max(rouge_l_of(a, b) for a, b in combinations(texts, 2)) < 0.6


def test_second_answers_are_written_anew():
    for row in ROWS:
        if row.purpose == "answer":
            assert rouge_l_of(stems(row.text), stems(BY_ID[row.of].response)) < 0.9


class TestRecordedService(ServiceContract):
    @pytest.fixture
    def service(self):
        return RecordedService(EXP.service)

    @pytest.fixture
    def requests(self):
        return [answer.request_of(p.prompt, max_tokens=EXP.service.max_tokens) for p in PAIRS[:3]]

    def test_its_price_is_simulated_and_nothing_is_spent(self, service, requests):
        for outcome in service.complete(requests):
            assert isinstance(outcome, Completion)
            assert outcome.bill.usd == 0
            assert outcome.bill.simulated_usd > 0

    @pytest.mark.parametrize("change", [{"max_tokens": 7}, {"sample": 5}])
    def test_a_changed_request_is_refused_not_answered(self, service, requests, change):
        (outcome,) = service.complete([requests[0].model_copy(update=change)])
        assert isinstance(outcome, Failure)
        assert outcome.final

    def test_a_changed_prompt_is_refused(self, service, requests):
        message = requests[0].messages[-1]
        other = message.model_copy(update={"content": message.content + " "})
        changed = requests[0].model_copy(update={"messages": (other,)})
        (outcome,) = service.complete([changed])
        assert isinstance(outcome, Failure)

    @pytest.mark.parametrize("content", [b"{}\n", b"not json\n", b"\xff\n"])
    def test_a_broken_recording_is_named(self, tmp_path, content):
        path = tmp_path / "r.jsonl"
        path.write_bytes(content)
        config = EXP.service.model_copy(update={"recording": str(path)})
        with pytest.raises(DataError, match=r"r\.jsonl.*record it again"):
            RecordedService(config)
