"""Whole migrations that reach `budget.usd`: at each place, what there is is kept and told."""

import sqlite3
from contextlib import closing
from decimal import Decimal

import pytest
from support.experiments import composed
from support.standin import Standin

from llamaduo.base.errors import BudgetReached
from llamaduo.report import terminal
from llamaduo.report.page import write_page
from llamaduo.run import run
from llamaduo.tracking import MemoryTracker

PRICE = "{input_usd: 10, output_usd: 20, simulated: false}"


class Lab:
    """Migrations in one folder, by a service and a judge that a stand-in on loopback plays."""

    def __init__(self, home, url):
        self.home, self.url = home, url
        self.tracker = MemoryTracker()

    def migrate(self, *overrides):
        exp = composed(
            "+experiment=summarize",
            "local=fake",
            "tracking=memory",
            f"tracking.home={self.home}",
            "service=endpoint",
            f"service.api_base={self.url}",
            f"service.price={PRICE}",
            "service.max_tokens=200",
            "judge=llm",
            "service@judge.client=endpoint",
            f"judge.client.api_base={self.url}",
            f"judge.client.price={PRICE}",
            "judge.repeats=1",
            "judge.max_tokens=200",
            *overrides,
        )
        return run(exp, command="python -m llamaduo", tracker=self.tracker, say=lambda line: None)

    def spent(self):
        with closing(sqlite3.connect(self.home / "ledger.db")) as ledger:
            return Decimal(ledger.execute("select spent from purses").fetchone()[0])

    def stops(self):
        parents = [run for run in self.tracker.runs.values() if run.parent is None]
        return [(run.tags.get("llamaduo.stop"), run.status) for run in parents]


@pytest.fixture
def server():
    with Standin() as server:
        yield server


@pytest.fixture
def lab(tmp_path, server):
    return Lab(tmp_path / "mlruns", server.url)


def test_before_the_first_round_is_judged_it_is_a_message(lab):
    with pytest.raises(BudgetReached, match=r"budget\.usd=0\.5.*budget\.purse"):
        lab.migrate("budget.usd=0.5")
    assert lab.stops() == [("budget", "FAILED")]


def test_wherever_it_is_reached_no_call_is_paid_for_twice_and_the_end_is_the_same(lab, server):
    """From a few dollars up, each start with a little more, until it reaches to the end."""
    endings, usd, outcome = [], Decimal("0.5"), None
    while not endings or endings[-1] != "qualified":
        usd += Decimal("0.5")
        assert usd < 20, endings
        try:
            outcome = lab.migrate(f"budget.usd={usd}")
        except BudgetReached:
            endings.append("message")
            continue
        endings.append(outcome.stop)
        assert lab.spent() <= usd
        text = " ".join(terminal.table(outcome, lab.home / "report.html").split())
        if outcome.stop == "budget":
            assert f"budget.usd={usd}" in outcome.stop_words
            assert outcome.result == "not_qualified"
            assert outcome.champion is None
            assert "Not decided" in text or "Not qualified" in text
            assert "budget.usd" in text.partition("next")[2]
            assert write_page(outcome, lab.home / "reports").is_file()
    assert {"message", "budget", "qualified"} == set(endings)
    asked = [repr(call) for call in server.calls]
    assert len(asked) == len(set(asked))
    paid = outcome.cost.embodied.usd
    assert lab.spent() <= paid, "an answer that serves twice is in the sum twice"
    with_no_limit = lab.migrate()
    assert with_no_limit.systems == outcome.systems
    assert len(server.calls) == len(asked)


def test_another_purse_is_another_allowance(lab, server):
    with pytest.raises(BudgetReached):
        lab.migrate("budget.usd=0.5")
    spent = len(server.calls)
    with pytest.raises(BudgetReached):
        lab.migrate("budget.usd=0.5", "task.topic=other things")
    assert len(server.calls) - spent <= 1, "the purse is spent"
    with pytest.raises(BudgetReached):
        lab.migrate("budget.usd=0.5", "task.topic=other things", "budget.purse=mine")
    assert len(server.calls) - spent > 10
