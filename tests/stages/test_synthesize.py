import json

import pytest
from conftest import pair

from llamaduo.records import Message
from llamaduo.service.fake import FakeService
from llamaduo.stage import Lab
from llamaduo.stages.synthesize import parse, request_of, synthesize
from llamaduo.tracking import MemoryTracker

ONE = {"contents": [{"instruction": "a", "response": "b"}]}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ONE),
        f"```json\n{json.dumps(ONE, indent=2)}\n```",
        f"Here you are:\n{json.dumps(ONE)}\nAnything {{else}}?",
    ],
)
def test_a_reply_is_read_with_or_without_words_around_it(text):
    assert parse(text) == [("a", "b")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no pairs today", "no JSON"),
        ('{"contents": [{"instruction": "a"', "not JSON"),
        ('{"contents": []}', "no list"),
        ('{"contents": "text"}', "no list"),
        ('{"other": 1}', "no list"),
        ('{"contents": [{"instruction": "a"}]}', "without instruction"),
        ('{"contents": [{"instruction": "a", "response": 3}]}', "without instruction"),
        ('{"contents": ["text"]}', "without instruction"),
        ('{"contents": [{"instruction": "\\ud800", "response": "b"}]}', "surrogates"),
        ('{"contents": ' + "[" * 100_000, "nested|not JSON"),
    ],
)
def test_a_reply_of_another_form_says_what_is_wrong(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_the_request_shows_the_seed_and_asks_for_a_number():
    seed = pair(1)
    request = request_of(seed, topic="t", pairs=3, max_tokens=5, sample=0)
    text = request.messages[0].content
    assert seed.prompt.user in text
    assert seed.response in text
    assert "Write 3 new pairs" in text


def test_dollar_signs_in_a_seed_are_left_alone():
    seed = pair(1).model_copy(update={"response": "costs $5 or $topic"})
    text = request_of(seed, topic="t", pairs=1, max_tokens=5, sample=0).messages[0].content
    assert "costs $5 or $topic" in text


def run(exp, train, home, round=1):
    service = FakeService(exp.service)
    with MemoryTracker().open("e", "r", {}) as tracked:
        return Lab(home, tracked, lambda line: None).run(
            synthesize(
                service,
                train,
                topic="t",
                config=exp.synthesis,
                max_tokens=64,
                round=round,
                seed=1,
            )
        )


def test_new_pairs_name_their_seed_and_keep_its_system_message(fake_experiment, tmp_path):
    exp = fake_experiment()
    made = run(exp, [pair(i) for i in range(4)], tmp_path)
    assert {p.seed_id for p in made.pairs()} == {"p0", "p1", "p2", "p3"}
    assert {p.origin for p in made.pairs()} == {"synthesis"}
    assert len({p.id for p in made.pairs()}) == len(made.pairs())
    assert made.bill.calls == 4


def test_another_system_message_is_another_synthesis(fake_experiment, tmp_path):
    def told(text):
        prompt = pair(1).prompt
        system = Message(role="system", content=text)
        changed = prompt.model_copy(update={"messages": (system, *prompt.messages)})
        return [pair(1).model_copy(update={"prompt": changed})]

    made = [run(fake_experiment(), told(text), tmp_path) for text in ("be brief", "be long")]
    assert [m.pairs()[0].prompt.messages[0].content for m in made] == ["be brief", "be long"]


def test_seeds_are_drawn_anew_each_round(fake_experiment, tmp_path):
    exp = fake_experiment("synthesis.seeds=3")
    train = [pair(i) for i in range(30)]
    first, second = (run(exp, train, tmp_path, round=r) for r in (1, 2))
    assert first.requests == 3
    assert {p.seed_id for p in first.pairs()} != {p.seed_id for p in second.pairs()}
