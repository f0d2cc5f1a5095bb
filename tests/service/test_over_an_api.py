"""A whole migration whose service and judge are an LLM behind an API, a stand-in on loopback."""

import json
from decimal import Decimal

import pytest
from support.experiments import composed
from support.standin import Standin

from llamaduo.outcome import Outcome
from llamaduo.run import run

PRICE = "{input_usd: 1, output_usd: 2, simulated: false}"


@pytest.fixture
def migrate(tmp_path):
    def migrate(url: str, *overrides: str) -> Outcome:
        exp = composed(
            "+experiment=summarize",
            "local=fake",
            "tracking=memory",
            f"tracking.home={tmp_path / 'mlruns'}",
            "service=endpoint",
            f"service.api_base={url}",
            f"service.price={PRICE}",
            "judge=llm",
            "service@judge.client=endpoint",
            f"judge.client.api_base={url}",
            f"judge.client.price={PRICE}",
            "judge.client.model=another",
            "judge.repeats=2",
            *overrides,
        )
        return run(exp, command="python -m llamaduo", say=lambda line: None)

    return migrate


def test_it_ends_as_on_the_fakes_and_pays_for_nothing_twice(migrate):
    with Standin() as server:
        outcome = migrate(server.url)
        calls = len(server.calls)
        again = migrate(server.url)
    assert outcome.result == "qualified"
    paid = outcome.cost.spent
    assert (paid.calls, paid.estimated_calls) == (calls, 0)
    assert paid.usd is not None
    assert paid.usd > Decimal("0.01")
    assert len(server.calls) == calls
    assert again.cost.spent.calls == 0
    assert again.systems == outcome.systems
    forms = {json.dumps(call.get("response_format")) for call in server.calls}
    assert sum('"strict"' in form for form in forms) == 2, "pairs and verdicts, by their schema"


@pytest.mark.parametrize("mischief", ["prose", "above", "cut"])
def test_replies_in_disorder_do_not_change_the_result(migrate, mischief):
    with Standin(mischief=mischief) as server:
        outcome = migrate(server.url)
    assert outcome.result == "qualified"
    assert outcome.system("tuned").scores.failures == 0
    assert any(map(_mends, server.calls)) == (mischief != "prose")
    assert outcome.cost.spent.calls == len(server.calls)


def _mends(call):
    return any(message["role"] == "assistant" for message in call["messages"])


class Shaky(Standin):
    """Gives no numbers on the second repeat of a verdict, nor when it is asked to mend that."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def says(self, body):
        text, finish = super().says(body)
        asked = body["messages"][0]["content"]
        odd = asked in self.seen or len(body["messages"]) > 1
        self.seen.add(asked)
        return ("no numbers today" if odd and '"similarity"' in text else text), finish


def test_a_judge_that_fails_in_one_of_two_repeats_loses_those_alone(migrate):
    with Shaky() as server:
        outcome = migrate(server.url)
    assert outcome.result == "qualified"
    for role in ("tuned", "base", "service"):
        scores = outcome.system(role).scores
        assert (scores.failures, scores.unjudged) == (scores.responses, 0)
