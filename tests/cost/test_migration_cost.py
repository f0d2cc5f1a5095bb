"""A migration states its cost: every stage, the totals, and the decision, to the tracker too."""

from collections.abc import Callable

import pytest

from llamaduo import tracking
from llamaduo.config import Experiment
from llamaduo.outcome import Outcome
from llamaduo.run import run
from llamaduo.tracking import Logged, MemoryTracker


@pytest.fixture
def migrate(
    fake_experiment: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Outcome, Logged, list[Logged]]]:
    """Run a migration on fakes; its outcome, its parent run and the runs of its stages."""

    def make(*words: str) -> tuple[Outcome, Logged, list[Logged]]:
        tracker = MemoryTracker()
        monkeypatch.setattr(tracking, "build", lambda config: tracker)
        outcome = run(fake_experiment(*words), command="typed", say=lambda line: None)
        children = [one for one in tracker.runs.values() if one.parent is not None]
        return outcome, tracker.runs[outcome.run_id], children

    return make


def last(logged: Logged, name: str) -> float:
    return logged.metrics[name][-1][1]


def test_every_stage_and_the_parent_have_their_cost(migrate) -> None:
    outcome, parent, children = migrate("max_rounds=2", "hardware=laptop")
    assert children
    for child in children:
        for name in ("service_usd", "compute_usd", "energy_kwh", "seconds", "input_tokens"):
            assert f"cost/{name}" in child.metrics, (child.name, name)
        assert "llamaduo.energy" in child.tags
    compute = sum(last(child, "cost/compute_usd") for child in children)
    assert last(parent, "cost/compute_usd_spent") == pytest.approx(compute)
    assert last(parent, "cost/compute_usd_embodied") == pytest.approx(compute)
    simulated = sum(last(child, "cost/service_usd_simulated") for child in children)
    assert last(parent, "cost/service_usd_simulated_spent") == pytest.approx(simulated)
    assert simulated > 0
    assert last(parent, "cost/service_usd_spent") == 0, "nobody was paid"
    found = outcome.cost.decision
    assert found is not None
    assert found.nominal
    assert last(parent, "cost/service_month") == pytest.approx(float(found.service_month))
    assert parent.tags["llamaduo.break_even"]


def test_a_run_that_reuses_all_spends_nothing_and_embodies_the_same(migrate) -> None:
    words = ("max_rounds=2", "hardware=laptop")
    first, *_ = migrate(*words)
    second, parent, children = migrate(*words)
    assert not children
    assert last(parent, "cost/compute_usd_spent") == 0
    assert last(parent, "cost/energy_kwh_spent") == 0
    assert second.cost.taken_embodied == first.cost.taken_embodied
    assert second.cost.decision == first.cost.decision


def test_unknown_stays_out_of_the_metrics(migrate) -> None:
    outcome, parent, children = migrate("max_rounds=2", "hardware=this_machine")
    for logged in (parent, *children):
        assert not [name for name in logged.metrics if "compute_usd" in name]
    assert "cost/break_even_months" not in parent.metrics
    assert outcome.cost.decision is None
    assert "hardware.usd_per_hour=…" in (outcome.cost.undecided or "")


def test_workload_and_hardware_decide_no_result(migrate) -> None:
    migrate("max_rounds=2", "hardware=laptop")
    *_, children = migrate("max_rounds=2", "hardware=cloud_l4", "workload.requests_per_day=9")
    assert not children, "every stage is reused"
