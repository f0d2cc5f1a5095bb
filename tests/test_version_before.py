"""What version 0.1.0 left is read, resumed and extended."""

import json
import shutil
import sys
from pathlib import Path

import mlflow
import optuna
import pytest
from support.experiments import FAKES, composed
from support.old_runs import unpack
from support.studies import QUIET, loggers_kept

from llamaduo.__main__ import main
from llamaduo.base.errors import LabError
from llamaduo.champion import Answerer
from llamaduo.outcome.runs import load
from llamaduo.run import run
from llamaduo.testing.bundle import ask, text_of
from llamaduo.tracking.mlflow import MlflowTracker

LIVE = (
    "+experiment=summarize",
    "name=live",
    "local=fake",
    "judge=fake",
    "service=endpoint",
    "service.api_base=http://127.0.0.1:34707/v1",  # nobody listens there any more
    "service.model=tiny",
    "service.price={input_usd: 1, output_usd: 2, simulated: false}",
    "service.max_tokens=200",
    "min_rounds=1",
    "max_rounds=1",
)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("old"))


@pytest.fixture
def home(old: Path, tmp_path: Path) -> Path:
    """A copy to write in; its databases are the tests' own."""
    return unpack(tmp_path)


def test_every_stage_is_found_and_its_run_is_linked(home: Path):
    exp = composed("+experiment=summarize", *FAKES, f"tracking.home={home}")
    lines: list[str] = []
    outcome = run(exp, command="", say=lines.append)
    assert all(stage.reused for stage in outcome.stages)
    assert outcome.result == "qualified"
    assert outcome.champion is not None
    assert outcome.champion.version == "1"


def test_the_ledger_answers_what_was_paid_for(home: Path):
    for stage in (home / "stages").glob("answer-*"):
        shutil.rmtree(stage)  # so that the service is asked once more
    exp = composed(*LIVE, "tracking=memory", f"tracking.home={home}")
    outcome = run(exp, command="", say=lambda line: None)
    answers = [stage for stage in outcome.stages if stage.name == "answer"]
    assert [stage.reused for stage in answers] == [False, False]
    assert sum(stage.bill.kept_calls for stage in answers) == 48
    assert outcome.cost.spent.usd == 0


def test_a_champion_loads_by_the_file_that_is_kept_with_it(old: Path):
    tracker = MlflowTracker(old)
    version = tracker.client.get_model_version_by_alias("llamaduo-summarize-fake", "champion")
    kept = mlflow.artifacts.download_artifacts(version.source, tracking_uri=tracker.uri)
    assert "from llamaduo.champion import" in Path(kept, "champion_mlflow.py").read_text()
    request = ask("one two three four")
    answer = mlflow.pyfunc.load_model(kept).predict(request)
    assert text_of(answer)
    bundle = tracker.champion("llamaduo-summarize-fake")
    assert text_of(Answerer(bundle)(request)) == text_of(answer)


def test_outcomes_are_read(old: Path):
    names = sorted(path.name for path in (old / "reports").iterdir())
    runs = load(names, old / "reports")
    assert [named.outcome.name for named in runs] == ["live", "summarize"]


def test_a_study_is_gone_on_with(home: Path, monkeypatch: pytest.MonkeyPatch):
    url = f"sqlite:///{home / 'optuna.db'}"
    (before,) = optuna.get_all_study_summaries(url)
    assert before.n_trials == 2
    words = ["-m", "+experiment=summarize", "+sweeps=qlora", *FAKES, *QUIET]
    words += [f"tracking.home={home}", "hydra.sweeper.n_trials=3", "hydra.sweeper.gate_best=false"]
    monkeypatch.setattr(sys, "argv", ["llamaduo", *words])
    with loggers_kept():
        main()
    (after,) = optuna.get_all_study_summaries(url)
    assert (after.study_name, after.n_trials) == (before.study_name, 3)


def test_a_stage_of_an_unknown_newer_version_is_refused_by_name(home: Path):
    (folder,) = (home / "stages").glob("collect-*")
    kept = json.loads((folder / "artifact.json").read_text())
    (folder / "artifact.json").write_text(json.dumps({**kept, "added_later": 1}))
    exp = composed("+experiment=summarize", *FAKES, "tracking=memory", f"tracking.home={home}")
    with pytest.raises(LabError, match=rf"{folder.name}.*newer.*move"):
        run(exp, command="", say=lambda line: None)
