"""What a whole run on fakes says of itself, in its outcome and to the tracker."""

from pathlib import Path
from typing import Any

import pytest
from support.experiments import FAKES, composed

from llamaduo import run as runs
from llamaduo import tracking
from llamaduo.outcome import Outcome, StageFacts
from llamaduo.report.page import write_page
from llamaduo.stats.table import METRICS
from llamaduo.tracking import Logged


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: Any) -> tuple[Outcome, Logged]:
    """The outcome of a whole run on fakes, and what its parent run recorded."""
    tracker = tracking.MemoryTracker()
    home = tmp_path_factory.mktemp("account") / "mlruns"
    planted = "task.topic=sk-planted-0123456789"
    overrides = ("+experiment=summarize", *FAKES, "tracking=memory", f"tracking.home={home}")
    command = f"python -m llamaduo {planted} tracking.uri=postgresql://me:hunter2@db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED_API_KEY", "sk-planted-0123456789")
        exp = composed(*overrides, planted)
        outcome = runs.run(exp, command=command, tracker=tracker, say=lambda line: None)
    return outcome, tracker.runs[outcome.run_id]


def test_examples_of_a_run_are_its_extremes(migrated: tuple[Outcome, Logged]) -> None:
    outcome = migrated[0]
    first = {
        system.role: {one.prompt_id: one.similarity[0] for one in system.prompts}
        for system in outcome.systems
    }
    gains = sorted((first["tuned"][p] - first["base"][p] for p in first["tuned"]), reverse=True)
    assert len(gains) > 10
    assert [e.gain for e in outcome.examples] == pytest.approx([*gains[:5], *gains[-5:]])
    for example in outcome.examples:
        assert example.tuned.scores is not None
        assert example.base.scores is not None
        assert example.gain == pytest.approx(example.tuned.scores[0] - example.base.scores[0])
        assert example.tuned.reason
    assert len({e.prompt_id for e in outcome.examples}) == 10


def test_stages_of_a_run_have_tokens_where_tokens_were_counted(
    migrated: tuple[Outcome, Logged],
) -> None:
    outcome = migrated[0]
    by_name: dict[str, StageFacts] = {stage.name: stage for stage in outcome.stages}
    assert by_name["finetune"].tokens == {"trained on": outcome.rounds[-1].tokens}
    assert by_name["infer"].tokens.keys() == {"written"}
    assert by_name["synthesize"].tokens == {
        "read": by_name["synthesize"].bill.input_tokens,
        "written": by_name["synthesize"].bill.output_tokens,
    }
    assert not by_name["judge"].tokens
    assert not any(stage.reused or stage.other_versions for stage in outcome.stages)


def test_no_secret_reaches_the_page(migrated: tuple[Outcome, Logged], tmp_path: Path) -> None:
    outcome = migrated[0]
    assert outcome.config["task"]["topic"] == "$PLANTED_API_KEY"
    page = write_page(outcome, tmp_path)
    for file in (page, page.with_name("outcome.json")):
        text = file.read_text(encoding="utf-8")
        assert "hunter2" not in text
        assert "sk-planted" not in text
        assert "postgresql://me:***@db" in text


def test_tracker_has_the_figures_of_the_page(migrated: tuple[Outcome, Logged]) -> None:
    outcome, logged = migrated
    for metric in METRICS:
        means = [(one.number, one.scores.of(metric).mean) for one in outcome.rounds]
        for suffix, part in (("mean", "value"), ("low", "low"), ("high", "high")):
            series = logged.metrics[f"dev/{metric}_{suffix}"]
            assert series == [(number, getattr(mean, part)) for number, mean in means]
        for name, role in (("test", "tuned"), ("test_base", "base"), ("test_service", "service")):
            mean = outcome.system(role).scores.of(metric).mean
            assert logged.metrics[f"{name}/{metric}_mean"] == [(0, mean.value)]
    pools = [(one.number, one.pool) for one in outcome.rounds]
    assert logged.metrics["train/pairs"] == pools
    assert logged.metrics["cost/seconds"] == [(one.number, one.seconds) for one in outcome.rounds]
    assert {"report.html", "outcome.json"} <= logged.files.keys()
