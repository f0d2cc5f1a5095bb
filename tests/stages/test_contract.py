"""Stages that need no model keep the contract of a stage."""

from support.experiments import FAKES, composed, pair

from llamaduo.service.fake import FakeService
from llamaduo.stages.answer import answer
from llamaduo.stages.collect import collect
from llamaduo.stages.dedup import dedup
from llamaduo.testing.stage import StageContract

EXP = composed("+experiment=summarize", *FAKES)


class TestCollect(StageContract):
    def stage(self):
        return collect(EXP.task, near=EXP.synthesis.dedup, seed=1)


class TestDedup(StageContract):
    def stage(self):
        return dedup([pair(1)], [pair(2), pair(1)], [pair(3)], EXP.synthesis.dedup)


class TestAnswer(StageContract):
    def stage(self):
        prompts = [pair(number).prompt for number in range(3)]
        return answer(FakeService(EXP.service), prompts, max_tokens=32, split="dev")
