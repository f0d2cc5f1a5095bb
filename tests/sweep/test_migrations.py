"""Sweeps of real migrations, on fakes: what they share, record, prune and promote."""

import json
import sqlite3
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.experiments import FAKES, begun
from support.standin import Standin
from support.studies import QUIET, SPACE, loggers_kept

from llamaduo.__main__ import main
from llamaduo.stages.collect import Coverage

RATE = f"{SPACE}={{hparams.learning_rate:'tag(log,interval(1e-4,1e-1))'}}"
PRICE = "{input_usd: 10, output_usd: 20, simulated: false}"


def first(*rates: float) -> str:
    listed = ",".join(f"{{hparams.learning_rate:{rate}}}" for rate in rates)
    return f"hydra.sweeper.first=[{listed}]"


class Folder:
    """A folder of sweeps and what can be seen of them."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.home, self._patch = home, patch

    def sweep(self, *more: str, tracking: str = "mlflow") -> int:
        """The exit code of a sweep in this process."""
        words = ["-m", "+experiment=summarize", *FAKES, *QUIET, "hydra/sweeper=optuna"]
        words += [f"tracking={tracking}", f"tracking.home={self.home}", *more]
        self._patch.setattr(sys, "argv", ["llamaduo", *words])
        try:
            with loggers_kept():
                main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    def stages(self, name: str) -> list[Path]:
        """The folders of a stage."""
        return sorted((self.home / "stages").glob(f"{name}-*"))

    @property
    def client(self) -> MlflowClient:
        """MLflow as anyone can open it."""
        uri = f"sqlite:///{self.home}/mlflow.db"
        return MlflowClient(tracking_uri=uri, registry_uri=uri)

    def runs(self, parent: str | None = None):
        """The runs below one, or those at the top, in the order in which they began."""
        client = self.client
        [experiment] = [e for e in client.search_experiments() if e.name == "summarize"]
        found = client.search_runs([experiment.experiment_id], max_results=1000)
        below = [r for r in found if r.data.tags.get("mlflow.parentRunId") == parent]
        return sorted(below, key=lambda run: run.info.start_time)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Folder:
    return Folder(tmp_path / "mlruns", monkeypatch)


def test_what_trials_have_in_common_is_made_once_and_test_is_read_by_none(folder):
    sweep = (RATE, "hydra.sweeper.n_trials=4", "hydra.sweeper.gate_best=false")
    assert folder.sweep(*sweep, tracking="memory") == 0
    for name in ("collect", "anchor", "answer"):
        assert len(folder.stages(name)) == 1, name
    assert len(folder.stages("finetune")) == 4
    for name in ("synthesize", "dedup", "promote", "compare"):
        assert not folder.stages(name), name
    [collected] = folder.stages("collect")
    coverage = Coverage.load(collected)
    dev = {pair.id for pair in coverage.split("dev")}
    for stage in ("infer", "answer", "judge"):
        for path in folder.stages(stage):
            asked = set()
            for file in path.glob("*.jsonl"):
                rows = file.read_text(encoding="utf-8").splitlines()
                asked |= {json.loads(row).get("prompt_id") for row in rows}
            assert asked - {None} <= dev, path
    assert not (folder.home / "reports").exists()


def test_a_sweep_is_one_run_above_its_migrations(folder, capsys):
    sweep = (
        RATE,
        "hydra.sweeper.n_trials=5",
        first(2e-3, 2e-2, 1e-1),
        "hydra.sweeper.study_name=s",
    )
    assert folder.sweep(*sweep) == 0
    [top] = folder.runs()
    assert (top.info.run_name, top.info.status) == ("sweep s", "FINISHED")
    assert top.data.params["study"] == "s"
    assert "FloatDistribution" in top.data.params["space.hparams.learning_rate"]
    history = folder.client.get_metric_history(top.info.run_id, "sweep/similarity")
    assert sorted(point.step for point in history) == [0, 1, 2, 3, 4]
    study = Path(top.info.artifact_uri) / "study"
    for name in ("history.svg", "parallel.svg"):
        assert "similarity" in (study / name).read_text(encoding="utf-8")
    rows = json.loads((study / "trials.json").read_text())
    assert [row["params"]["hparams.learning_rate"] for row in rows][:3] == [2e-3, 2e-2, 1e-1]
    *trials, best = folder.runs(top.info.run_id)
    assert [run.info.run_name for run in trials] == [f"summarize · trial {i}" for i in range(5)]
    for run, row in zip(trials, rows, strict=True):
        assert run.data.tags["llamaduo.trial_state"] == "COMPLETE"
        assert run.data.metrics["sweep/similarity"] == row["values"]["similarity"]
        assert float(run.data.params["hparams.learning_rate"]) == pytest.approx(
            row["params"]["hparams.learning_rate"]
        )
    won = max(rows, key=lambda row: row["values"]["similarity"])["number"]
    assert best.data.tags["llamaduo.trial"] == f"{won}, the best"
    assert top.data.tags["llamaduo.best"].startswith(f"trial {won}: ")
    for run in (best, trials[won]):
        assert float(run.data.params["hparams.learning_rate"]) == pytest.approx(
            rows[won]["params"]["hparams.learning_rate"]
        )


def test_only_the_gate_promotes_and_the_same_command_again_does_nothing(folder, capsys):
    sweep = (RATE, "hydra.sweeper.n_trials=3", first(2e-2, 2e-3))
    assert folder.sweep(*sweep, "hydra.sweeper.gate_best=false") == 0
    assert not folder.client.search_registered_models()
    # What decides no score may change from start to start.
    assert folder.sweep(*sweep, "budget.usd=9", "hydra.sweeper.sampler.startup_trials=3") == 0
    [model] = folder.client.search_registered_models()
    [version] = folder.client.search_model_versions(f"name = '{model.name}'")
    [top] = folder.runs()
    *_, best = folder.runs(top.info.run_id)
    assert version.run_id == best.info.run_id
    assert best.data.tags["llamaduo.result"] == "qualified"
    # Its first round was there already.
    assert any(key.startswith("llamaduo.reused.finetune-") for key in best.data.tags)
    count = len(folder.runs(top.info.run_id))
    capsys.readouterr()
    assert folder.sweep(*sweep) == 0
    assert "all 3 trials are done" in capsys.readouterr().out
    assert len(folder.runs(top.info.run_id)) == count


def test_the_best_trial_that_does_not_meet_the_gate_is_not_promoted(folder):
    sweep = (RATE, "hydra.sweeper.n_trials=2", "gate=relative", "gate.ratio=2")
    assert folder.sweep(*sweep) == 0
    assert not folder.client.search_registered_models()
    [top] = folder.runs()
    *_, best = folder.runs(top.info.run_id)
    assert best.data.tags["llamaduo.result"] == "not_qualified"


def test_a_larger_study_goes_to_the_gate_again_only_with_another_best(folder):
    sweep = (RATE, first(2e-2, 1e-1, 2e-3))
    assert folder.sweep(*sweep, "hydra.sweeper.n_trials=2") == 0
    [top] = folder.runs()
    assert folder.sweep(*sweep, "hydra.sweeper.n_trials=3") == 0
    [same] = folder.runs()
    assert same.info.run_id == top.info.run_id
    gated = [
        run.data.tags["llamaduo.trial"]
        for run in folder.runs(top.info.run_id)
        if "the best" in run.data.tags["llamaduo.trial"]
    ]
    assert gated == ["0, the best", "2, the best"]
    history = folder.client.get_metric_history(top.info.run_id, "sweep/best")
    assert [point.step for point in sorted(history, key=lambda one: one.step)] == [0, 1, 2]


def test_a_pruned_trial_is_tagged_and_leaves_no_checkpoints(folder):
    sweep = (RATE, "hydra.sweeper.n_trials=3", first(2e-3, 2.1e-3, 1e-1))
    pruner = ("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.startup_trials=2")
    assert folder.sweep(*sweep, *pruner, "hydra.sweeper.gate_best=false") == 0
    [top] = folder.runs()
    *_, pruned = folder.runs(top.info.run_id)
    assert pruned.data.tags["llamaduo.trial_state"] == "PRUNED"
    assert pruned.info.status == "KILLED"
    assert top.data.metrics["sweep/pruned"] == 1
    assert not list((folder.home / "stages").glob("*.part"))
    rows = json.loads((Path(top.info.artifact_uri) / "study" / "trials.json").read_text())
    assert [row["state"] for row in rows] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert (Path(top.info.artifact_uri) / "study" / "reports.svg").exists()


def test_a_front_of_score_and_cost(folder):
    """The sweep as it is shipped, on the local LLM that is always there."""
    shipped = ("+sweeps=cost_quality", "hydra.sweeper.n_trials=4", "local.usd_per_hour=3.6")
    assert folder.sweep(*shipped, "hydra/sweeper=optuna") == 0
    [top] = folder.runs()
    study = Path(top.info.artifact_uri) / "study"
    assert (study / "pareto.svg").exists()
    rows = json.loads((study / "trials.json").read_text())
    for row in rows:
        measures = row["measures"]
        assert measures["usd"] == pytest.approx(3.6 * measures["seconds"] / 3600)
    assert not folder.client.search_registered_models()


def test_two_workers_spend_one_budget(tmp_path):
    home = tmp_path / "mlruns"
    with Standin(latency=0.002) as server:
        words = [
            *("-m", "+experiment=summarize", "local=fake", "tracking=memory", *QUIET),
            *(f"tracking.home={home}", "service=endpoint", f"service.api_base={server.url}"),
            *(f"service.price={PRICE}", "service.max_tokens=200", "judge=llm"),
            *("service@judge.client=endpoint", f"judge.client.api_base={server.url}"),
            *(f"judge.client.price={PRICE}", "judge.repeats=1", "judge.max_tokens=200"),
            *("hydra/sweeper=optuna", RATE, "hydra.sweeper.n_trials=40", "budget.usd=4"),
        ]
        workers = [begun("llamaduo", tmp_path, *words, merged=True) for _ in range(2)]
        said = [worker.communicate(timeout=200)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [2, 2], said
    assert all("budget.usd=4" in text for text in said)
    with closing(sqlite3.connect(home / "ledger.db")) as ledger:
        spent = Decimal(ledger.execute("select spent from purses").fetchone()[0])
    assert Decimal(3) < spent <= Decimal(4)
    # Each call was made and paid for once, whichever worker made it.
    asked = [json.dumps(call, sort_keys=True) for call in server.calls]
    assert len(asked) == len(set(asked))
