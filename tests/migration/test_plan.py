"""The plan of a migration: what it says is what comes, and it does nothing."""

import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from support.experiments import FAKES, called, columns, composed, coverage_file
from support.toy_service import ToyService, serving

from llamaduo.config import Experiment
from llamaduo.migration.estimate import Plan, Step
from llamaduo.migration.plan import plan
from llamaduo.migration.plan_text import page
from llamaduo.run import run

OWN = "{input_usd: 1000, output_usd: 2000, simulated: false}"
NEVER = "gate=paper_absolute"  # so that all rounds come


@pytest.fixture
def server():
    with serving() as toy:
        yield toy


def live(server: ToyService) -> list[str]:
    return [*server.words(OWN), "service.max_tokens=200"]


def steps(found: Plan, stage: str, *, who: str | None = None) -> list[Step]:
    return [s for s in found.steps if s.stage == stage and (who is None or s.who == who)]


def dry(cwd: Path, *words: str):
    return called("llamaduo", cwd, "+experiment=summarize", *words, "dry_run=true")


# ---------------------------------------------------------------- the command


def test_a_dry_run_calls_nobody_writes_nothing_and_fits_a_terminal(tmp_path, server):
    judge = ["judge=llm", "service@judge.client=gpt_5_6_luna"]
    done = dry(tmp_path, *live(server), *judge, "budget.usd=5")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert not server.asked
    assert not list(tmp_path.iterdir())
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    stages = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    for stage in ("collect", "anchor", "answer", "finetune", "infer", "judge", "synthesize"):
        assert stage in stages
    assert "judge.client=gpt_5_6_luna, openai/gpt-5.6-luna" in lines
    assert "$0.2 in ($0.02 if cached), $1.2 out per million tokens" in done.stdout
    assert "2026-11-23: litellm" in done.stdout


def test_a_price_that_is_missing_ends_the_plan_with_the_line_to_add(tmp_path):
    base = "service.api_base=http://127.0.0.1:1/v1"
    done = dry(tmp_path, "service=endpoint", base, *FAKES[1:])
    assert done.returncode == 2
    assert "dollars     not known, as a price is missing" in done.stdout
    assert "Set 'service.price={input_usd: IN" in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_run_cannot_be_planned(tmp_path):
    path = coverage_file(tmp_path / "few.jsonl", [columns(i) for i in range(3)])
    done = dry(tmp_path, f"task.coverage={path}")
    assert done.returncode == 2
    assert "3 usable rows" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["few.jsonl"]


# ---------------------------------------------------------------- how much


@pytest.fixture
def execute(fake_experiment):
    def execute(*words: str):
        return run(fake_experiment(*words), command="x", say=lambda line: None)

    return execute


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("seeds", ["null", "5"])
def test_the_calls_are_those_that_come(fake_experiment, execute, rounds, seeds):
    words = [NEVER, "min_rounds=1", f"max_rounds={rounds}", f"synthesis.seeds={seeds}"]
    words.append("synthesis.min_gain=-100")
    found = plan(fake_experiment(*words))
    outcome = execute(*words)
    assert len(outcome.rounds) == rounds
    total = found.total("service")
    assert total.calls.expected == outcome.cost.spent.calls
    assert total.calls.low <= total.calls.expected <= total.calls.high
    made = [(stage.name, stage.round) for stage in outcome.stages]
    planned = [(step.stage, step.round) for step in found.steps if step.stage != "promote"]
    assert sorted(planned, key=str) == sorted(made, key=str)


def test_real_token_counts_lie_within_the_range(fake_experiment, execute):
    words = ["service=recorded", NEVER]
    total = plan(fake_experiment(*words)).total("service")
    spent = execute(*words).cost.spent
    assert total.read.low <= spent.input_tokens <= total.read.high
    assert total.written.low <= spent.output_tokens <= total.written.high
    assert total.read.expected == pytest.approx(spent.input_tokens, rel=0.3)
    assert total.written.expected == pytest.approx(spent.output_tokens, rel=0.5)


def test_low_is_for_the_least_rounds_and_high_for_the_most(fake_experiment):
    short, long, either = (
        plan(fake_experiment(f"min_rounds={a}", f"max_rounds={b}")).total("service")
        for a, b in ((1, 1), (4, 4), (1, 4))
    )
    assert either.calls.low == short.calls.low < long.calls.low
    assert either.written.low == short.written.low
    assert either.calls.high == long.calls.high
    assert either.read.high == long.read.high > short.read.high


def test_an_llm_judge_is_asked_for_each_answer_and_repeat(fake_experiment):
    words = ["judge=llm", "judge.repeats=3", "local.sampling.k=2", "max_rounds=2", "min_rounds=2"]
    found = plan(fake_experiment(*words))
    dev, test = found.rows["dev"], found.rows["test"]
    calls = {(s.label, s.round): s.calls.expected for s in steps(found, "judge")}
    assert calls == {
        ("service · dev", None): dev * 3,
        ("tuned · dev", 0): dev * 2 * 3,
        ("tuned · dev", 1): dev * 2 * 3,
        ("tuned · test", None): test * 2 * 3,
        ("base · test", None): test * 2 * 3,
        ("service · test", None): test * 3,
        ("first two sentences · test", None): test * 3,
        ("whole prompt · test", None): test * 3,
    }
    (anchored,) = steps(found, "anchor")
    assert 24 * 4 <= anchored.calls.expected <= 24 * 7
    assert found.total("judge.client").written.high > found.total("judge.client").written.low
    assert plan(fake_experiment()).total("judge.client").calls.high == 0


def test_the_judges_calls_are_those_that_come(fake_experiment, execute):
    words = ["judge=llm", "service@judge.client=fake", "judge.repeats=2", NEVER, "max_rounds=2"]
    total = plan(fake_experiment(*words)).total("judge.client")
    outcome = execute(*words)
    judged = [stage.bill for stage in outcome.stages if stage.name in ("anchor", "judge")]
    assert total.calls.expected == sum(bill.calls for bill in judged) > 0


def test_dollars_are_tokens_at_the_price(fake_experiment, server):
    found = plan(fake_experiment(*live(server)))
    (client,) = found.clients
    total = found.total("service")
    money = client.usd(total)
    assert money is not None
    wanted = (total.read.expected * 1000 + total.written.expected * 2000) / 1e6
    assert float(money[1]) == pytest.approx(wanted, rel=1e-3)
    assert money[0] < money[1] < money[2]
    assert found.usd() == money


def test_money_at_a_nominal_price_is_nobodys(fake_experiment):
    found = plan(fake_experiment())
    assert found.usd() == (0, 0, 0)
    (client,) = found.clients
    assert client.usd(found.total("service"))[1] > 0
    assert "nominal: nobody is charged" in page(found, fake_experiment())


def test_time_is_what_the_tightest_limit_makes_it(fake_experiment, server):
    slow = "service.runtime.limits.requests_per_minute=6"
    tokens = "service.runtime.limits.output_tokens_per_second=1000000"
    found = plan(fake_experiment(*live(server), slow, tokens))
    (client,) = found.clients
    total = found.total("service")
    seconds = client.seconds(total)
    assert seconds is not None
    assert seconds[1] == "requests_per_minute=6"
    assert seconds[0].expected == total.calls.expected * 10
    unknown = plan(fake_experiment(*live(server)))
    assert unknown.clients[0].seconds(total) is None
    assert "not known: no rate is set" in page(unknown, fake_experiment(*live(server)))


# ---------------------------------------------------------------- what is there already


def told(exp: Experiment) -> str:
    return page(plan(exp), exp)


def test_what_is_stored_is_reused_and_costs_nothing(fake_experiment, execute):
    words = [NEVER, "max_rounds=2"]
    before = plan(fake_experiment(*words))
    assert [s.state for s in before.steps if s.state == "reused"] == []
    execute(*words)
    found = plan(fake_experiment(*words))
    state = {(s.stage, s.round, s.label): s.state for s in found.steps}
    assert state["collect", None, ""] == "reused"
    assert state["answer", None, "service · dev"] == "reused"
    assert state["synthesize", 1, ""] == "reused"
    assert state["finetune", 0, ""] == "not known before"
    assert found.total("service").calls.high == 0
    longer = plan(fake_experiment(NEVER, "max_rounds=3", "min_rounds=3"))
    assert longer.total("service").calls.expected == longer.rows["train"]


def test_what_the_ledger_answers_is_not_asked_again_and_a_purse_is_counted(
    fake_experiment, execute, server
):
    words = [*live(server), NEVER, "max_rounds=2", "budget.usd=100"]
    exp = fake_experiment(*words)
    before = plan(exp).total("service").calls.expected
    execute(*words)
    assert len(server.asked) == before
    shutil.rmtree(exp.tracking.home / "stages")
    files = {path: path.stat().st_mtime_ns for path in exp.tracking.home.rglob("*")}
    found = plan(exp)
    total = found.total("service")
    assert (total.calls.high, total.kept) == (0, before)
    assert "in the ledger" in page(found, exp)
    spent = Decimal(before) * (100 * 1000 + 10 * 2000) / 10**6
    assert found.purse.spent == spent
    assert f"${spent:.2f} of purse summarize is spent or reserved" in page(found, exp)
    assert {path: path.stat().st_mtime_ns for path in exp.tracking.home.rglob("*")} == files
    assert len(server.asked) == before


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        ("1000000", "the high estimate is within what is left"),
        ("0", "even the low estimate exceeds what is left"),
        ("null", "no limit is set"),
    ],
)
def test_the_budget_is_held_against_the_estimate(fake_experiment, server, cap, said):
    assert said in told(fake_experiment(*live(server), f"budget.usd={cap}"))


def test_between_low_and_high_the_high_one_exceeds_the_budget(fake_experiment, server):
    exp = fake_experiment(*live(server))
    usd = plan(exp).usd()
    assert usd is not None
    low, _, high = usd
    between = fake_experiment(*live(server), f"budget.usd={(low + high) / 2:.2f}")
    assert "the high estimate exceeds what is left: the run would stop there" in told(between)


def test_every_service_of_conf_can_be_planned_for():
    for option in ("gpt_4o", "claude_opus_5_5", "gemini_3_8_flash", "bedrock", "vertex", "ollama"):
        exp = composed("+experiment=summarize", f"service={option}")
        assert plan(exp).usd() is not None


@pytest.mark.parametrize(
    "words",
    [
        ("min_rounds=2", "max_rounds=2"),
        ("yardsticks.few_shot=1", "yardsticks.base=false", "yardsticks.copies=false"),
        ("judge=panel", "~judge@judge.members.embedding", "+judge@judge.members.fake=fake"),
    ],
    ids=["two rounds", "other yardsticks", "a panel"],
)
def test_a_run_does_what_its_plan_says(fake_experiment, words):
    exp = fake_experiment("min_rounds=1", "max_rounds=1", *words)
    outcome = run(exp, command="", say=lambda line: None)
    assert outcome.result == "qualified"  # so that there is a champion to pack
    planned = [(step.stage, step.label, step.round) for step in plan(exp).steps]
    assert planned == [(stage.name, stage.label, stage.round) for stage in outcome.stages]
