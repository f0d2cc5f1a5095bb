"""Every gate of conf/ keeps the contract of a gate."""

import pytest
from support.experiments import composed

from llamaduo import cli, gate
from llamaduo.testing.gate import GateContract


@pytest.fixture(scope="module", params=sorted(p.stem for p in (cli.CONF / "gate").glob("*.yaml")))
def built(request):
    return gate.build(composed(f"gate={request.param}").gate)


class TestEveryGate(GateContract):
    @pytest.fixture
    def gate(self, built):
        return built
