"""Sweeps from the command line: what runs, what is refused, and what goes on after what."""

import os
import signal
import sqlite3
import threading
import time
from contextlib import closing

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from support import toy_sweep as toy
from support.studies import RATE, SPACE, Sweeps, kill

FEW = (RATE, "hydra.sweeper.n_trials=4")
ONE = (RATE, "hydra.sweeper.n_trials=1")


def kinds(*numbers: int) -> list[str]:
    """A space whose first trials are those kinds of the toy, in this order."""
    listed = ",".join(map(str, dict.fromkeys((*numbers, toy.FINE))))
    first = ",".join(f"{{hparams.batch_size:{number}}}" for number in numbers)
    return [
        f"{SPACE}={{hparams.batch_size:'choice({listed})'}}",
        f"hydra.sweeper.first=[{first}]",
        f"hydra.sweeper.n_trials={len(numbers)}",
        "hydra.sweeper.max_failure_rate=1",
    ]


@pytest.fixture
def sweeps(tmp_path, monkeypatch, capfd) -> Sweeps:
    return Sweeps(tmp_path / "mlruns", monkeypatch, capfd)


def test_a_sweep_finds_what_is_best_and_begins_with_the_settings_as_they_are(sweeps):
    said = sweeps.run(RATE, "hydra.sweeper.n_trials=10")
    trials = sweeps.trials()
    assert [t.state.name for t in trials] == ["COMPLETE"] * 10
    assert trials[0].params == {"hparams.learning_rate": 2e-3}
    best = max(trials, key=lambda t: t.value)
    assert f"best: trial {best.number}" in said
    assert f"hparams.learning_rate={best.params['hparams.learning_rate']!r}" in said
    assert best.value > trials[0].value


def test_the_same_command_again_runs_nothing_and_a_larger_study_goes_on(sweeps):
    sweeps.run(*FEW)
    first = [t.params for t in sweeps.trials()]
    said = sweeps.run(*FEW)
    assert sweeps.started() == 4
    assert "all 4 trials are done" in said
    sweeps.run(RATE, "hydra.sweeper.n_trials=6")
    assert sweeps.started() == 6
    assert [t.params for t in sweeps.trials()][:4] == first


def test_a_study_in_two_parts_is_the_study_in_one(sweeps, tmp_path, monkeypatch, capfd):
    sweeps.run(*FEW)
    sweeps.run(RATE, "hydra.sweeper.n_trials=8")
    whole = Sweeps(tmp_path / "other", monkeypatch, capfd)
    whole.run(RATE, "hydra.sweeper.n_trials=8")
    assert [t.params for t in sweeps.trials()] == [t.params for t in whole.trials()]


def test_a_word_on_the_command_line_pins_and_another_range_replaces(sweeps):
    two = f"{SPACE}={{hparams.learning_rate:'interval(1e-4,1e-2)',hparams.r:'choice(4,8)'}}"
    sweeps.run(two, "hparams.r=16", "hparams.learning_rate=1e-3,1e-4", "hydra.sweeper.n_trials=4")
    assert {tuple(t.params) for t in sweeps.trials()} == {("hparams.learning_rate",)}
    assert {t.params["hparams.learning_rate"] for t in sweeps.trials()} <= {1e-3, 1e-4, 2e-3}


def test_a_parameter_of_the_shipped_sweep_can_be_pinned(sweeps):
    shipped = ("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=2", "hparams.alpha_ratio=1")
    sweeps.run(*shipped, sweep="+sweeps=qlora")
    for trial in sweeps.trials("summarize-qlora"):
        assert "hparams.r" in trial.params
        assert "hparams.alpha_ratio" not in trial.params


def test_trials_that_are_asked_for_come_first(sweeps):
    wanted = "hydra.sweeper.first=[{hparams.learning_rate:1e-3},{},{hparams.learning_rate:0.01}]"
    sweeps.run(*FEW, wanted)
    rates = [t.params["hparams.learning_rate"] for t in sweeps.trials()]
    assert rates[:3] == [1e-3, 2e-3, 1e-2]
    assert len(rates) == 4


def test_no_number_an_unknown_measure_a_fault_and_an_error_are_recorded_and_the_study_goes_on(
    sweeps,
):
    odd = (toy.NO_NUMBER, toy.UNKNOWN, toy.FAULT, toy.REFUSED, toy.PRUNED, toy.FINE)
    said = sweeps.run(*kinds(*odd))
    trials = sweeps.trials()
    assert sweeps.states() == ["FAIL"] * 4 + ["PRUNED", "COMPLETE"]
    errors = [t.user_attrs.get("llamaduo.error") for t in trials]
    assert errors[0] == "similarity is not a number; the judge gave no verdict on it"
    assert errors[1] == "similarity is not known; the judge gave no verdict on it"
    assert errors[2] == "ValueError: a fault of the code's"
    assert errors[3] == "task.coverage=x.jsonl: not there"
    assert errors[4:] == [None, None]
    assert said.count("Traceback") == 1  # of the fault alone
    assert "trial 4 of summarize: pruned" in said


def test_the_same_by_worker_processes_of_joblib(sweeps):
    odd = (toy.FAULT, toy.NO_NUMBER, toy.PRUNED, toy.FINE)
    sweeping = sweeps.process(*kinds(*odd), "hydra/launcher=joblib", "hydra.sweeper.n_jobs=2")
    said, _ = sweeping.communicate(timeout=120)
    assert sweeping.returncode == 0, said
    assert sweeps.states() == ["FAIL", "FAIL", "PRUNED", "COMPLETE"]
    assert "ValueError: a fault of the code's" in said


@pytest.mark.slow
def test_a_worker_process_of_joblib_that_is_killed_leaves_no_trial_running(sweeps):
    odd = (toy.KILLED, toy.FINE)
    sweeping = sweeps.process(*kinds(*odd), "hydra/launcher=joblib")
    said, _ = sweeping.communicate(timeout=120)
    assert sweeping.returncode == 0, said
    assert sweeps.states() == ["FAIL", "COMPLETE"]
    assert "terminated" in sweeps.trials()[0].user_attrs["llamaduo.error"].lower()


@pytest.mark.slow
def test_of_a_batch_that_joblib_lost_the_one_to_blame_fails_and_the_other_is_run(sweeps):
    odd = (toy.KILLED, toy.FINE)
    sweeping = sweeps.process(*kinds(*odd), "hydra/launcher=joblib", "hydra.sweeper.n_jobs=2")
    said, _ = sweeping.communicate(timeout=120)
    assert sweeping.returncode == 0, said
    counted = [t for t in sweeps.trials() if "llamaduo.lost" not in t.user_attrs]
    assert [t.params["hparams.batch_size"] for t in counted] == [*odd]
    assert [t.state.name for t in counted] == ["FAIL", "COMPLETE"]


def test_too_many_failures_end_the_sweep_with_the_first_cause(sweeps):
    odd = (toy.REFUSED, toy.FINE, toy.FAULT, toy.FINE, toy.FINE)
    said = sweeps.run(*kinds(*odd), "hydra.sweeper.max_failure_rate=0.2", code=2)
    assert "2 of 5 trials failed; 1 may fail (hydra.sweeper.max_failure_rate=0.2)" in said
    assert "trial 0: task.coverage=x.jsonl: not there" in said
    assert sweeps.states()[:3] == ["FAIL", "COMPLETE", "FAIL"]
    again = sweeps.run(*kinds(*odd), "hydra.sweeper.max_failure_rate=0.2", code=2)
    assert "2 of 5 trials failed" in again
    assert sweeps.started() == 3


def test_a_budget_that_is_spent_ends_the_sweep_and_its_trial_is_begun_anew(sweeps):
    said = sweeps.run(*kinds(toy.FINE, toy.SPENT, toy.FINE), code=2)
    assert "budget.usd=1 is used up. With a larger one, the study continues" in said
    assert sweeps.states() == ["COMPLETE", "FAIL", "WAITING", "WAITING"]
    again = sweeps.trials()[-1]
    assert again.system_attrs["fixed_params"] == {"hparams.batch_size": toy.SPENT}


def test_several_objectives_end_with_all_that_nothing_beats(sweeps):
    both = "hydra.sweeper.direction={similarity:maximize,precision:maximize}"
    said = sweeps.run(*FEW, both)
    assert all(len(t.values) == 2 for t in sweeps.trials())
    # What one gains the other loses, so that every trial is on the front.
    assert said.count("best: trial") == len({tuple(t.values) for t in sweeps.trials()})


def test_smaller_is_better_where_that_is_asked_for(sweeps):
    said = sweeps.run(*FEW, "hydra.sweeper.direction={seconds:minimize}")
    best = min(sweeps.trials(), key=lambda t: t.value)
    assert f"best: trial {best.number}, seconds" in said


@pytest.mark.parametrize("way", ["maximize", "minimize"])
def test_a_trial_that_is_worse_on_the_way_is_pruned(sweeps, way):
    """Reports are better the higher they are; a study that minimises has them the other way."""
    rates = ("1e-3", "1.1e-3", "1e-1")
    first = ",".join(f"{{hparams.learning_rate:{rate}}}" for rate in rates)
    objective = {"maximize": "similarity", "minimize": "precision"}[way]
    sweeps.run(
        *(RATE, f"hydra.sweeper.first=[{first}]", "hydra.sweeper.n_trials=3"),
        *("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.startup_trials=2"),
        *(f"hparams.batch_size={toy.REPORTS}", f"hydra.sweeper.direction={{{objective}:{way}}}"),
    )
    assert sweeps.states() == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert list(sweeps.trials()[2].intermediate_values) == [1]


@pytest.mark.parametrize("pruner", ["successive_halving", "hyperband"])
def test_every_pruner_there_is_prunes(sweeps, pruner):
    sweeps.run(
        *(RATE, "hydra.sweeper.n_trials=8", f"hydra/sweeper/pruner={pruner}"),
        *("hydra/sweeper/sampler=random", f"hparams.batch_size={toy.REPORTS}"),
    )
    assert set(sweeps.states()) == {"COMPLETE", "PRUNED"}


def test_a_training_that_diverges_has_failed_and_is_not_pruned(sweeps):
    odd = (toy.REPORTS, toy.REPORTS, toy.DIVERGES)
    pruner = ("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.startup_trials=1")
    sweeps.run(*kinds(*odd), *pruner)
    assert sweeps.states() == ["COMPLETE", "COMPLETE", "FAIL"]
    assert "not a number" in sweeps.trials()[2].user_attrs["llamaduo.error"]


@pytest.mark.parametrize("sampler", ["random", "nsga2"])
def test_every_sampler_there_is_can_be_chosen(sweeps, sampler):
    two = "hydra.sweeper.sampler.startup_trials=2"  # and then it looks at what is known
    sweeps.run(*FEW, f"hydra/sweeper/sampler={sampler}", two)
    assert len({t.params["hparams.learning_rate"] for t in sweeps.trials()}) == 4


def test_a_journal_file_is_a_storage_too(sweeps):
    journal = f"hydra.sweeper.storage=journal:///{sweeps.home}/studies/optuna.log"
    sweeps.run(*FEW, journal)
    assert "all 4 trials are done" in sweeps.run(*FEW, journal)
    assert sweeps.started() == 4
    assert not (sweeps.home / "optuna.db").exists()


class TestRefused:
    """One message, and no trial."""

    def test_a_parameter_that_does_not_exist(self, sweeps):
        said = sweeps.refused(f"{SPACE}={{hparams.rank:'choice(4,8)'}}")
        assert said.startswith("hparams.rank: no such key; did you mean hparams.")

    def test_a_group_that_has_no_such_option(self, sweeps):
        said = sweeps.refused(f"{SPACE}={{gate:'choice(demo,strict)'}}")
        assert said.startswith("gate=strict: no such option. Choose one of: demo,")

    def test_a_value_that_the_setting_cannot_have(self, sweeps):
        said = sweeps.refused(f"{SPACE}={{hparams.r:'choice(8,0)'}}")
        assert said == "hparams.r=0: should be greater than or equal to 1"

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("choice()", "a choice without options"),
            ("tag(log,interval(0,1))", "log scale has no 0"),
        ],
    )
    def test_what_is_no_space(self, sweeps, line, says):
        said = sweeps.refused(f"{SPACE}={{hparams.learning_rate:'{line}'}}")
        assert said.startswith(f"hparams.learning_rate={line}: ")
        assert says in said

    def test_nothing_that_varies(self, sweeps):
        assert "nothing varies" in sweeps.refused()

    def test_an_objective_that_does_not_exist(self, sweeps):
        said = sweeps.refused(RATE, "hydra.sweeper.direction={similarty:maximize}")
        assert said.startswith("hydra.sweeper.direction: ")
        assert "no such objective 'similarty'" in said

    def test_an_objective_by_no_name(self, sweeps):
        said = sweeps.refused(RATE, "hydra.sweeper.direction={objective:maximize}")
        assert "no such objective 'objective'" in said

    def test_a_direction_that_does_not_exist(self, sweeps):
        said = sweeps.refused(RATE, "hydra.sweeper.direction=up")
        assert (
            said == "hydra.sweeper.direction=up: 'up' is not a direction; use maximize or minimize"
        )

    def test_a_study_of_no_trials(self, sweeps):
        said = sweeps.refused(RATE, "hydra.sweeper.n_trials=0")
        assert said.startswith("hydra.sweeper.n_trials=0: ")

    def test_dollars_of_a_machine_that_has_no_price(self, sweeps):
        usd = "hydra.sweeper.direction={usd:minimize}"
        said = sweeps.refused(RATE, usd, "hardware=this_machine")
        assert "set local.usd_per_hour" in said

    def test_dollars_of_another_machine_than_the_study_s(self, sweeps):
        usd = "hydra.sweeper.direction={usd:minimize}"
        sweeps.run(*ONE, usd, "hardware=laptop")
        said = sweeps.refused(*ONE, usd, "hardware=cloud_l4")
        assert said.startswith("hardware.")
        assert "was made with" in said

    def test_pruning_with_several_objectives(self, sweeps):
        both = "hydra.sweeper.direction={similarity:maximize,seconds:minimize}"
        said = sweeps.refused(RATE, both, "hydra/sweeper/pruner=median")
        assert said.startswith("hydra.sweeper.pruner.kind=median: ")

    def test_first_trials_outside_of_the_space(self, sweeps):
        said = sweeps.refused(RATE, "hydra.sweeper.first=[{hparams.learning_rate:5}]")
        assert said.startswith("hydra.sweeper.first: hparams.learning_rate=5 is not in the space")
        said = sweeps.refused(RATE, "hydra.sweeper.first=[{hparams.r:4}]")
        assert said.startswith("hydra.sweeper.first: hparams.r is not a parameter of the space")

    def test_a_storage_that_cannot_be_made(self, sweeps):
        sweeps.home.mkdir()
        (sweeps.home / "file").write_text("")
        said = sweeps.refused(RATE, f"hydra.sweeper.storage=sqlite:///{sweeps.home}/file/optuna.db")
        assert said.startswith("hydra.sweeper.storage=sqlite:///")

    def test_a_storage_that_is_something_else(self, sweeps):
        sweeps.home.mkdir()
        (sweeps.home / "optuna.db").write_text("notes of mine, and longer than a header")
        said = sweeps.refused(RATE)
        assert "is not a database" in said

    @pytest.mark.parametrize("text", ["notes of mine\n", '{"mine": 1}\n'])
    def test_a_journal_that_is_something_else(self, sweeps, text):
        sweeps.home.mkdir()
        (sweeps.home / "notes").write_text(text)
        said = sweeps.refused(RATE, f"hydra.sweeper.storage=journal:///{sweeps.home}/notes")
        assert "is not a storage of studies" in said
        assert (sweeps.home / "notes").read_text() == text

    def test_an_address_that_is_none(self, sweeps, monkeypatch):
        monkeypatch.setenv("TOY_STORAGE", "postgresql://nobody:sesame@127.0.0.1:port/x")
        said = sweeps.refused(RATE, "hydra.sweeper.storage='${oc.env:TOY_STORAGE}'")
        assert "is not a storage of studies" in said
        assert "sesame" not in said

    def test_a_storage_for_one_machine_where_there_are_many(self, sweeps):
        said = sweeps.refused(RATE, "hydra/launcher=slurm")
        assert "sqlite cannot be shared by machines; use journal:///" in said

    def test_a_password_where_jobs_lie_in_files(self, sweeps, monkeypatch):
        monkeypatch.setenv("TOY_STORAGE", "postgresql://nobody:sesame@127.0.0.1:1/x")
        address = "hydra.sweeper.storage='${oc.env:TOY_STORAGE}'"
        said = sweeps.refused(RATE, "hydra/launcher=slurm", address)
        assert "its password would be written to the files" in said
        assert "sesame" not in said

    def test_a_storage_that_nobody_answers_for(self, sweeps, monkeypatch):
        monkeypatch.setenv("TOY_STORAGE", "postgresql://nobody:sesame@127.0.0.1:1/x")
        said = sweeps.refused(RATE, "hydra.sweeper.storage='${oc.env:TOY_STORAGE}'")
        assert said.startswith("hydra.sweeper.storage=postgresql://nobody")
        assert "sesame" not in said

    def test_a_storage_that_another_program_holds(self, sweeps):
        sweeps.run(*ONE)
        url = f"sqlite:///{sweeps.home}/optuna.db?timeout=1"
        with closing(sqlite3.connect(sweeps.home / "optuna.db")) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            said = sweeps.refused(
                *(RATE, "hydra.sweeper.n_trials=8", "hydra.sweeper.study_name=another"),
                f"hydra.sweeper.storage='{url}'",
            )
        assert "locked" in said
        assert "another program has locked it" in said

    def test_a_study_of_another_space(self, sweeps):
        sweeps.run(*ONE)
        said = sweeps.refused(f"{SPACE}={{hparams.learning_rate:'interval(1e-5,1e-1)'}}")
        assert said.startswith("hydra.sweeper.params.hparams.learning_rate=FloatDistribution")
        assert "begin another with hydra.sweeper.study_name=" in said
        said = sweeps.refused(*ONE, "hparams.r=4,8")
        assert "no such parameter" in said

    def test_a_study_of_another_direction(self, sweeps):
        sweeps.run(*ONE)
        said = sweeps.refused(*ONE, "hydra.sweeper.direction=minimize")
        assert said.startswith("hydra.sweeper.direction={similarity: minimize}: the study")
        assert "was made with {similarity: maximize}" in said

    def test_a_study_with_its_objectives_in_another_order(self, sweeps):
        sweeps.run(*ONE, "hydra.sweeper.direction={similarity:maximize,seconds:minimize}")
        other = "hydra.sweeper.direction={seconds:minimize,similarity:maximize}"
        assert "was made with {similarity: maximize, seconds" in sweeps.refused(*ONE, other)

    def test_a_study_of_another_value_that_all_trials_share(self, sweeps):
        space = f"{SPACE}={{hparams.learning_rate:'interval(1e-4,1e-2)',hparams.epochs:%d}}"
        sweeps.run(space % 1, "hydra.sweeper.n_trials=1")
        said = sweeps.refused(space % 3, "hydra.sweeper.n_trials=1")
        assert said.startswith("hparams.epochs=3.0: the study 'summarize' was made with 1.0; ")

    def test_a_study_of_another_model(self, sweeps):
        sweeps.run(*ONE)
        said = sweeps.refused(*ONE, "hparams.r=4")
        assert said.startswith("hparams.r=4: the study 'summarize' was made with 16; ")

    def test_a_study_of_another_program(self, sweeps):
        sweeps.home.mkdir()
        theirs = f"sqlite:///{sweeps.home}/optuna.db"
        study = optuna.create_study(storage=theirs, study_name="summarize", direction="maximize")
        study.add_trial(create_trial(value=1.0))
        assert "which stored no search space" in sweeps.refused(RATE)


def waited(done, seconds=60.0):
    """Until something is so."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def slow(*more: str) -> list[str]:
    return [RATE, f"hparams.batch_size={toy.SLEEPS}", *more]


def test_a_worker_that_was_killed_leaves_nothing_running_and_nothing_undone(
    sweeps, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("TOY_SECONDS", "60")
    four = slow("hydra.sweeper.n_trials=4")
    worker = sweeps.process(*four)
    waited(sweeps.started)
    kill(worker)
    assert sweeps.states() == ["RUNNING"]
    monkeypatch.setenv("TOY_SECONDS", "0")
    patient = f"hydra.sweeper.storage='sqlite:///{sweeps.home}/optuna.db?timeout=60'"
    sweeps.run(*four, patient)
    assert sweeps.states() == ["FAIL"] + ["COMPLETE"] * 4
    assert sweeps.trials()[0].user_attrs["llamaduo.lost"] == "its worker was killed"
    whole = Sweeps(tmp_path / "undisturbed", monkeypatch, capfd)
    whole.run(*four)
    assert [t.params for t in sweeps.trials()[1:]] == [t.params for t in whole.trials()]
    assert "all 4 trials are done" in sweeps.run(*four)


def test_an_interrupt_ends_the_sweep_and_the_same_command_goes_on(sweeps, monkeypatch):
    monkeypatch.setenv("TOY_SECONDS", "60")
    two = slow("hydra.sweeper.n_trials=2")
    worker = sweeps.process(*two)
    waited(sweeps.started)
    os.kill(worker.pid, signal.SIGTERM)
    said, _ = worker.communicate(timeout=30)
    assert worker.returncode == 143
    assert "To go on:" in said or "interrupted" in said
    assert "Traceback" not in said
    assert sweeps.states() == ["FAIL", "WAITING"]
    monkeypatch.setenv("TOY_SECONDS", "0")
    sweeps.run(*two)
    assert sorted(sweeps.states()) == ["COMPLETE", "COMPLETE", "FAIL"]


def test_trials_of_the_living_and_of_other_machines_are_left_alone(sweeps, monkeypatch):
    monkeypatch.setenv("TOY_SECONDS", "60")
    three = slow("hydra.sweeper.n_trials=3")
    worker = sweeps.process(*three)
    try:
        waited(sweeps.started)
        study = optuna.load_study(
            study_name="summarize", storage=f"sqlite:///{sweeps.home}/optuna.db"
        )
        foreign = study.ask()
        foreign.set_user_attr("llamaduo.owner", "somebody-elsewhere")
        monkeypatch.setenv("TOY_SECONDS", "0")
        said = sweeps.run(*three)
        assert sweeps.states() == ["RUNNING", "RUNNING", "COMPLETE"]
        assert "other workers still run trial 0,1;" in said
        assert "hydra.sweeper.give_up=[0,1]" in said
        sweeps.run(*three, "hydra.sweeper.give_up=[1]")
        assert sweeps.states() == ["RUNNING", "FAIL", "COMPLETE", "COMPLETE"]
    finally:
        kill(worker)


def test_a_trial_that_nobody_ever_claimed_is_closed_after_a_while(sweeps, monkeypatch):
    monkeypatch.setattr("llamaduo.sweep.study.GRACE", 1.5)
    sweeps.run(*FEW)
    study = optuna.load_study(study_name="summarize", storage=f"sqlite:///{sweeps.home}/optuna.db")
    study.ask()
    sweeps.run(RATE, "hydra.sweeper.n_trials=5")
    assert sorted(sweeps.states()) == ["COMPLETE"] * 5 + ["FAIL"]


def test_two_workers_share_a_study_and_each_trial_is_run_once(sweeps, monkeypatch):
    monkeypatch.setenv("TOY_SECONDS", "0.2")
    eight = slow("hydra.sweeper.n_trials=8")
    workers = [sweeps.process(*eight) for _ in range(2)]
    for worker in workers:
        said, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0, said
    trials = sweeps.trials()
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 8
    assert sweeps.started() == 8
    assert len({t.params["hparams.learning_rate"] for t in trials}) == 8


def test_a_sweep_within_a_process_leaves_no_thread_behind(sweeps):
    before = threading.active_count()
    sweeps.run(*FEW)
    assert threading.active_count() == before


def test_a_dry_run_says_what_would_be_and_starts_nothing(sweeps):
    said = sweeps.run(*FEW, "dry_run=true")
    assert "4 trials; each runs round 0 of this plan, without test" in said
    assert "hparams.learning_rate: FloatDistribution" in said
    assert sweeps.started() == 0
    assert not (sweeps.home / "optuna.db").exists()
