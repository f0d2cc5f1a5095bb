"""The shipped data keep their promises."""

import re
from collections import Counter
from itertools import combinations

import pytest
from conftest import composed
from contracts.service import ServiceContract

from llamaduo.errors import DataError
from llamaduo.service import Completion, Failure
from llamaduo.service.recorded import RecordedService, parse, recording_path
from llamaduo.service.rekey import request_for
from llamaduo.stages import answer, synthesize
from llamaduo.stages.collect import read_pairs, source_of
from llamaduo.text import rouge_l_of, stems

EXP = composed("+experiment=summarize")
PAIRS, REJECTS = read_pairs(source_of(EXP.task).read_bytes(), EXP.task)
PATH = recording_path(EXP.service)
ROWS = parse(PATH.read_bytes(), PATH)
BY_ID = {pair.id: pair for pair in PAIRS}


def written():
    """The pairs of the recorded synthesis answers."""
    texts = [row.text for row in ROWS if row.purpose == "synthesis"]
    return [found for text in texts for found in synthesize.parse(text)]


def test_every_row_is_usable():
    assert len(PAIRS) == 80
    assert not REJECTS


def test_every_row_has_a_second_answer_and_a_synthesis_answer():
    found = Counter((row.of, row.purpose) for row in ROWS)
    assert found == {(i, what): 1 for i in BY_ID for what in ("answer", "synthesis")}


def test_every_recording_is_keyed_by_the_request_as_it_reads_today():
    """After a change of a prompt template: python -m llamaduo.service.rekey."""
    stale = [row.of for row in ROWS if request_for(row, BY_ID[row.of], EXP).key != row.request]
    assert not stale


@pytest.mark.parametrize(
    "text",
    [
        *(pair.response for pair in PAIRS),
        *(row.text for row in ROWS if row.purpose == "answer"),
        *(response for _, response in written()),
    ],
)
def test_every_summary_keeps_the_house_style(text):
    assert 28 <= len(text.split()) <= 48
    assert len(re.findall(r"[.!?](?:\s+(?=[A-Z0-9])|$)", text)) in (2, 3)
    assert text == text.strip()
    assert not re.search(r"lorem|todo|xxx|\.\.\.|<|>", text, re.IGNORECASE)


def test_no_two_passages_are_alike():
    passages = [stems(pair.prompt.user) for pair in PAIRS] + [stems(p) for p, _ in written()]
    assert max(rouge_l_of(a, b) for a, b in combinations(passages, 2)) < 0.4


def test_second_answers_are_written_anew():
    for row in ROWS:
        if row.purpose == "answer":
            assert row.text != BY_ID[row.of].response
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
