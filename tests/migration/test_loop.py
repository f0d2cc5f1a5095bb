"""The whole loop, on fakes: every way in which it can end."""

from decimal import Decimal

import pytest
from support.experiments import columns, coverage_file

from llamaduo.champion import Answerer
from llamaduo.outcome import Outcome
from llamaduo.records import Pair, read_jsonl
from llamaduo.run import run
from llamaduo.tracking import MemoryTracker


@pytest.fixture
def tracker():
    """One tracker for all runs of a test, to look into."""
    return MemoryTracker()


@pytest.fixture
def migrate(fake_experiment, tracker):
    def migrate(*overrides: str) -> Outcome:
        exp = fake_experiment(*overrides)
        return run(exp, command="python -m llamaduo", tracker=tracker, say=lambda line: None)

    return migrate


def test_a_qualified_model_is_promoted_after_at_least_one_synthesis_round(migrate, tracker):
    outcome = migrate()
    assert (outcome.stop, outcome.result, outcome.best) == ("qualified", "qualified", 1)
    assert outcome.rounds[0].pool < outcome.rounds[1].pool
    assert outcome.champion is not None
    answer = Answerer(tracker.champion("llamaduo-summarize-fake"))(
        {"messages": [{"role": "user", "content": "a"}]}
    )
    assert answer["object"] == "chat.completion"


def test_the_loop_may_stop_at_once_where_no_round_is_asked_for(migrate):
    outcome = migrate("min_rounds=1")
    assert (outcome.stop, len(outcome.rounds)) == ("qualified", 1)


def test_a_gate_out_of_reach_ends_at_max_rounds_promotes_nothing_and_says_why(migrate, tracker):
    outcome = migrate("gate=paper_absolute")
    assert (outcome.stop, outcome.result, outcome.champion) == ("max_rounds", "not_qualified", None)
    assert "below 90" in outcome.decision.words
    assert not tracker.versions


@pytest.mark.parametrize(("margin", "result"), [(99, "qualified"), (1, "not_qualified")])
def test_a_margin_below_the_service_can_be_asked_for(migrate, margin, result):
    outcome = migrate("gate=non_inferior", f"gate.margin={margin}")
    assert (outcome.gate, outcome.result) == ("non_inferior", result)
    assert f"the margin of {margin} points" in outcome.decision.words


def test_a_pass_on_dev_that_test_does_not_confirm_promotes_nothing(migrate, tracker):
    # Between what dev and test reach: read off an undisturbed run, whatever the figures are.
    free = migrate("gate.ratio=0.01", "min_rounds=1", "max_rounds=1")
    on_dev = min(c.seen.low for c in free.rounds[0].decision.checks if c.seen and c.seen.low)
    seeds = (s for s in range(1, 40))
    for seed in seeds:
        free = migrate("gate.ratio=0.01", "min_rounds=1", "max_rounds=1", f"seed={seed}")
        on_dev = min(c.seen.low for c in free.rounds[0].decision.checks if c.seen and c.seen.low)
        on_test = min(c.seen.low for c in free.decision.checks if c.seen and c.seen.low)
        if on_test < on_dev:
            break
    tracker.versions.clear()
    ratio = (on_dev + on_test) / 2
    outcome = migrate(f"gate.ratio={ratio}", "min_rounds=1", f"seed={seed}")
    assert (outcome.stop, outcome.result) == ("qualified", "not_confirmed")
    assert outcome.champion is None
    assert not tracker.versions


def test_a_plateau_ends_the_loop(migrate):
    outcome = migrate(
        "gate=paper_absolute", "max_rounds=9", "synthesis.patience=2", "synthesis.min_gain=50"
    )
    assert (outcome.stop, len(outcome.rounds)) == ("plateau", 3)


def test_minutes_end_the_loop_with_what_there_is(migrate):
    budget = "budget.minutes=0.000001"
    outcome = migrate("gate=paper_absolute", "max_rounds=9", budget)
    assert (outcome.stop, len(outcome.rounds)) == ("budget", 1)
    assert outcome.system("tuned").scores is not None
    again = migrate("gate=paper_absolute", "max_rounds=9", budget)
    assert (again.stop, len(again.rounds)) == ("budget", 1)


def test_the_shipped_recording_answers_what_the_loop_asks(migrate):
    outcome = migrate("service=recorded", "gate=paper_absolute", "max_rounds=3")
    pools = [round.pool for round in outcome.rounds]
    assert len(pools) == 3
    assert pools[0] < pools[1] < pools[2]
    assert outcome.cost.embodied.usd == 0


def test_a_users_own_data_meets_a_recording_of_other_data(migrate, tmp_path):
    path = coverage_file(tmp_path / "own.jsonl", [columns(i) for i in range(24)])
    outcome = migrate("service=recorded", f"task.coverage={path}")
    assert (outcome.stop, outcome.result, len(outcome.rounds)) == ("no_service", "not_qualified", 1)
    assert "recorded.jsonl has no answer" in outcome.stop_words
    assert outcome.system("service").scores is None
    assert outcome.system("tuned").scores is not None
    assert "missing" in outcome.decision.words


def test_a_service_llm_can_judge_and_what_that_takes_is_in_the_bill(migrate, tracker):
    words = ("judge=llm", "service@judge.client=fake", "judge.repeats=2")
    outcome = migrate(*words)
    assert outcome.result == "qualified"
    assert outcome.judge.startswith("llm pair 1 ")
    judged = [stage for stage in outcome.stages if stage.name == "judge"]
    tuned = next(s for s in judged if s.label == "tuned · test")
    assert tuned.bill.calls == 2 * outcome.system("tuned").scores.responses
    assert next(s for s in outcome.stages if s.name == "anchor").bill.calls > 0
    assert outcome.cost.embodied.calls == sum(
        {(s.name, s.fingerprint): s.bill.calls for s in outcome.stages}.values()
    )
    again = migrate(*words)
    assert all(stage.reused for stage in again.stages)
    assert again.systems == outcome.systems


def test_test_is_read_once_and_only_after_the_loop(migrate, tracker):
    migrate()
    order = [r.name for r in tracker.runs.values() if r.parent]
    first_test = next(i for i, name in enumerate(order) if name.endswith("test"))
    assert not any(name.endswith("dev") for name in order[first_test:])
    assert sum(name.startswith("infer") and name.endswith("tuned · test") for name in order) == 1


def test_test_prompts_are_in_no_pool(migrate, fake_experiment):
    outcome = migrate()
    exp = fake_experiment()
    stages = exp.tracking.home / "stages"
    (collect,) = stages.glob("collect-*")
    splits = [read_jsonl(collect / f"{name}.jsonl", Pair) for name in ("dev", "test")]
    held_out = {row.prompt.user for split in splits for row in split}
    assert len(held_out) == outcome.card.sizes["dev"] + outcome.card.sizes["test"]
    pools = list(stages.glob("dedup-*/pool.jsonl"))
    assert pools
    for pool in pools:
        assert not {row.prompt.user for row in read_jsonl(pool, Pair)} & held_out


def test_the_second_time_nothing_is_built_and_the_figures_are_the_same(migrate):
    first, again = migrate(), migrate()
    assert all(stage.reused for stage in again.stages)
    assert not any(stage.reused for stage in first.stages)
    assert again.systems == first.systems
    assert again.cost.seconds_spent == 0
    assert again.cost.embodied == first.cost.embodied
    assert again.cost.spent.calls == 0


def test_another_setting_shares_what_it_does_not_change(migrate):
    migrate()
    again = migrate("hparams.epochs=9", "gate=paper_absolute")
    shared = {stage.name for stage in again.stages if stage.reused}
    assert {"collect", "anchor", "answer", "synthesize", "dedup"} <= shared
    assert not [s for s in again.stages if s.name == "finetune" and s.reused]


def test_the_tracker_gets_the_series_and_the_verdict(migrate, tracker):
    outcome = migrate()
    parent = next(r for r in tracker.runs.values() if r.parent is None)
    assert [step for step, _ in parent.metrics["dev/similarity_mean"]] == [0, 1]
    for name in ("dev/precision_mean", "dev/coverage_50", "cost/usd", "test/similarity_mean"):
        assert name in parent.metrics
    assert parent.tags["llamaduo.result"] == "qualified"
    assert parent.params["hparams.r"] == "16"
    judge = next(r for r in tracker.runs.values() if r.name.startswith("judge"))
    assert judge.tables["verdicts.json"]["reason"]
    tuned = next(r for r in tracker.runs.values() if r.name.startswith("finetune"))
    assert any(name.startswith("adapter/") for name in tuned.files)
    assert outcome.objective == parent.metrics["dev/similarity_mean"][-1][1]


def test_simulated_money_is_never_spent(migrate):
    cost = migrate().cost
    assert cost.simulated
    assert cost.embodied.simulated_usd > 0
    assert cost.embodied.usd == cost.spent.usd == 0
    assert cost.service_usd_per_1000 > 0
    assert migrate("hardware=this_machine").cost.local_usd_per_1000 is None


def test_a_changed_price_changes_the_statement_not_the_past(migrate):
    before = migrate().cost
    after = migrate("service.price.input_usd=100", "service.price.simulated=false").cost
    assert after.service_usd_per_1000 > before.service_usd_per_1000
    assert not after.simulated
    assert after.embodied == before.embodied


def test_a_known_machine_price_prices_the_local_model(migrate):
    cost = migrate("local.usd_per_hour=3.6").cost
    assert cost.local_usd_per_1000 == pytest.approx(
        Decimal(str(cost.local_seconds_per_1000)) / 1000, rel=Decimal("1e-6")
    )
