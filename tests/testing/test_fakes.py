"""The fakes keep the contracts that the real ones keep."""

import pytest
from support.experiments import composed

from llamaduo.judge.fake import FakeJudge
from llamaduo.local.fake import FakeLocal
from llamaduo.records import Message
from llamaduo.service import Completion, Request
from llamaduo.service.fake import FakeService
from llamaduo.stages.collect import read_pairs, source_of
from llamaduo.stages.synthesize import contents_of, request_of
from llamaduo.testing.judge import JudgeContract
from llamaduo.testing.local import LocalContract
from llamaduo.testing.service import ServiceContract


@pytest.fixture(scope="module")
def exp():
    return composed("+experiment=summarize", "service=fake", "local=fake", "judge=fake")


@pytest.fixture(scope="module")
def pairs(exp):
    return read_pairs(source_of(exp.task).read_bytes(), exp.task)[0]


class TestFakeService(ServiceContract):
    @pytest.fixture
    def service(self, exp):
        return FakeService(exp.service)

    @pytest.fixture
    def requests(self):
        messages = (Message(role="user", content="Tell me about the harbour"),)
        return [Request(id=str(i), messages=messages, max_tokens=9, sample=i) for i in range(3)]

    def test_it_writes_pairs_when_asked_to(self, service, pairs):
        request = request_of(pairs[0], topic="t", pairs=1, max_tokens=64, sample=0)
        (outcome,) = service.complete([request])
        assert isinstance(outcome, Completion)
        assert contents_of(request, outcome).pairs


class TestFakeLocal(LocalContract):
    @pytest.fixture
    def local(self, exp):
        return FakeLocal(exp.local)

    @pytest.fixture
    def hparams(self, exp):
        return exp.hparams


class TestFakeJudge(JudgeContract):
    @pytest.fixture
    def judge(self, exp):
        return FakeJudge(exp.judge)
