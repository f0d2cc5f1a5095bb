"""What test is read for beside the tuned model: what is on, what is off, and what is said of it."""

import pytest
from pydantic import ValidationError
from support.experiments import composed, pair

from llamaduo import run as runs
from llamaduo.base.errors import ConfigError
from llamaduo.local.fake import FakeLocal
from llamaduo.migration.yardsticks import examples, few_shot, with_examples
from llamaduo.outcome import Outcome
from llamaduo.records import Message, Pair, Prompt
from llamaduo.report import terminal
from llamaduo.report.page import write_page

TRAIN = [pair(i) for i in range(10)]
SYSTEM = Message(role="system", content="be brief")
ASKED = Prompt(id="asked", messages=(SYSTEM, Message(role="user", content="sum this up")))


class Narrow(FakeLocal):
    """A model with room for so many words."""

    def __init__(self, room: int) -> None:
        self.room = room

    def fits(self, prompt: Prompt, max_new_tokens: int) -> bool:
        words = sum(len(message.content.split()) for message in prompt.messages)
        return words + max_new_tokens <= self.room


def test_examples_depend_on_the_seed_alone():
    first = examples(TRAIN, 3, seed=1)
    assert first == examples(TRAIN[::-1], 3, seed=1)
    assert len({one.id for one in first}) == 3
    assert any(examples(TRAIN, 3, seed=seed) != first for seed in range(2, 6))
    assert examples(TRAIN, 5, seed=1)[:3] == first


def test_examples_are_turns_before_the_prompt_whose_id_and_subject_stay():
    shown = [
        Pair(
            prompt=Prompt(id=f"s{i}", messages=(SYSTEM, Message(role="user", content=f"q{i}"))),
            response=f"a{i}",
        )
        for i in range(2)
    ]
    made = with_examples(ASKED, shown)
    said = [(turn.role, turn.content) for turn in made.messages]
    assert said == [
        ("system", "be brief"),
        ("user", "q0"),
        ("assistant", "a0"),
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", "sum this up"),
    ]
    assert (made.id, made.user) == ("asked", "sum this up")


@pytest.mark.parametrize(("room", "fit"), [(1000, 3), (140, 2), (80, 1), (20, 0)])
def test_as_many_examples_as_fit_are_shown_to_every_prompt(room, fit):
    """An example takes 53 words; the longer prompt decides for both."""
    longer = Prompt(id="longer", messages=(Message(role="user", content="w " * 12),))
    asked, shown = few_shot(Narrow(room), TRAIN, [ASKED, longer], 3, max_new_tokens=8, seed=1)
    assert shown == fit
    before = (ASKED, longer)
    turns = [len(p.messages) - len(q.messages) for p, q in zip(asked, before, strict=True)]
    assert turns == [2 * fit, 2 * fit]


@pytest.fixture
def migrate(fake_experiment):
    def migrate(*overrides: str) -> Outcome:
        words = ("min_rounds=1", "max_rounds=1", "gate.ratio=0.01", *overrides)
        return runs.run(
            fake_experiment(*words), command="python -m llamaduo", say=lambda line: None
        )

    return migrate


def test_by_default_all_but_few_shot_are_read_and_few_shot_is_shown_as_missing(migrate, tmp_path):
    outcome = migrate()
    missing = [system.name for system in outcome.systems if system.scores is None]
    assert missing == ["few-shot base"]
    page = tmp_path / "page.html"
    assert "yardsticks.few_shot=null" in " ".join(terminal.table(outcome, page).split())


def test_the_untuned_model_with_examples_stands_beside_the_one_without(migrate):
    outcome = migrate("yardsticks.few_shot=3")
    few = outcome.system("few_shot")
    assert few is not None
    assert few.name == "few-shot base (3)"
    assert few.scores is not None
    assert few.scores.responses == outcome.system("tuned").scores.responses
    assert "similarity" in few.over_base
    assert 0 < few.over_base_p["similarity"] <= 1


def test_what_is_off_is_asked_nothing_and_shown_as_missing(migrate, tmp_path):
    outcome = migrate("yardsticks.base=false", "yardsticks.copies=false")
    labels = {stage.label for stage in outcome.stages}
    assert not [label for label in labels if label.startswith(("base", "first", "whole"))]
    gone = {system.name: system.absent for system in outcome.systems if system.scores is None}
    assert gone.pop("few-shot base") == "yardsticks.few_shot=null"
    assert gone == {
        "base": "yardsticks.base=false",
        "first two sentences": "yardsticks.copies=false",
        "whole prompt": "yardsticks.copies=false",
    }
    assert write_page(outcome, tmp_path).exists()


def test_only_a_gate_that_does_not_compare_does_without_the_service(migrate, fake_experiment):
    words = "gate=paper_absolute", "yardsticks.service=false"
    exp = fake_experiment(*words, "min_rounds=1", "max_rounds=1")
    outcome = runs.run(exp, command="python -m llamaduo", say=lambda line: None)
    assert outcome.yardstick is None
    assert outcome.system("service").absent == "yardsticks.service=false"
    assert not any(stage.name == "answer" for stage in outcome.stages)
    with pytest.raises((ConfigError, ValidationError), match=r"yardsticks\.service"):
        composed("+experiment=summarize", "yardsticks.service=false")
