"""A decision from a migration: what is measured is taken, what is not is asked for."""

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from support.cost_cases import composed

from llamaduo.base.errors import ConfigError, DataError
from llamaduo.cost.command import cases
from llamaduo.outcome import Outcome
from llamaduo.outcome.runs import known, read


@pytest.fixture
def home(ended_runs: Path, tmp_path: Path) -> Path:
    shutil.copytree(ended_runs / "reports", tmp_path / "reports")
    return tmp_path


def first(home: Path) -> tuple[Path, Outcome]:
    folder = next(f for f in known(home / "reports") if read(f).name == "first")
    return folder, read(folder)


def decided_on(home: Path, *words: str):
    folder, outcome = first(home)
    words = (f"tracking.home={home}", f"run={outcome.run_id[:8]}", *words)
    return cases(composed(*words))[0], outcome, folder


def change(folder: Path, edit) -> None:
    facts = json.loads((folder / "outcome.json").read_text())
    edit(facts)
    (folder / "outcome.json").write_text(json.dumps(facts))


def test_tokens_throughput_fees_and_time_are_the_runs(home: Path) -> None:
    case, outcome, _ = decided_on(home, "workload.requests_per_day=5000", "hardware=laptop")
    answers = next(s for s in outcome.stages if s.name == "answer" and s.label.endswith("test"))
    calls, tokens = answers.bill.calls, answers.bill.output_tokens
    assert case.workload.output_tokens.value == Decimal(tokens) / calls
    latency = Decimal(repr(outcome.cost.local_seconds_per_1000)) / 1000
    rate = case.hardware.output_tokens_per_second
    assert rate.value == pytest.approx(Decimal(tokens) / calls / latency)
    assert rate.source == f"run {outcome.run_id[:8]}"
    synthesis = next(s for s in outcome.stages if s.name == "synthesize")
    assert case.one_off.synthesis_usd.value >= synthesis.bill.simulated_usd > 0
    assert case.one_off.finetuning_usd.value > 0
    assert case.price.simulated


def test_what_the_user_says_goes_before_what_the_run_says(home: Path) -> None:
    case, _, _ = decided_on(
        home,
        *("workload.requests_per_day=5000", "workload.input_tokens=77", "hardware=cloud_h100"),
        *("one_off.synthesis_usd=12", "price=openai_gpt_4o"),
    )
    assert case.workload.input_tokens.value == 77
    assert case.hardware.output_tokens_per_second.value == 9305
    assert case.one_off.synthesis_usd.value == 12
    assert case.price.input_usd == Decimal("2.5")


def test_a_run_without_throughput_asks_for_one(home: Path) -> None:
    folder, _ = first(home)
    change(folder, lambda facts: facts["cost"].update(local_seconds_per_1000=None))
    with pytest.raises(ConfigError, match=r"no measured throughput.*hardware.servers=…"):
        decided_on(home, "workload.requests_per_day=5000", "hardware=laptop")
    case, *_ = decided_on(
        home, "workload.requests_per_day=5000", "hardware=laptop", "hardware.servers=1"
    )
    assert case.hardware.output_tokens_per_second is None


def test_a_run_without_the_services_answers_asks_for_tokens(home: Path) -> None:
    folder, _ = first(home)

    def drop(facts) -> None:
        facts["stages"] = [s for s in facts["stages"] if s["name"] != "answer"]

    change(folder, drop)
    with pytest.raises(ConfigError, match=r"workload.input_tokens=…"):
        decided_on(home, "workload.requests_per_day=5000", "hardware=laptop")


def test_fees_that_nobody_knows_are_not_counted_rather_than_zero(home: Path) -> None:
    folder, _ = first(home)

    def unknown(facts) -> None:
        for stage in facts["stages"]:
            if stage["name"] == "synthesize":
                stage["bill"]["usd"] = None

    change(folder, unknown)
    case, *_ = decided_on(home, "workload.requests_per_day=5000", "hardware=laptop")
    assert case.one_off.synthesis_usd is None
    assert case.one_off.judging_usd is not None


def test_an_unknown_run_is_told_with_the_known_ones(home: Path) -> None:
    with pytest.raises(DataError, match=r"run=nosuch: no run 'nosuch' under .*first-"):
        cases(composed(f"tracking.home={home}", "run=nosuch"))
