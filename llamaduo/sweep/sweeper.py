"""Run Hydra's multirun as an Optuna study: ask, launch and tell until all trials are done."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from llamaduo import tracking
from llamaduo.base import progress
from llamaduo.base.errors import BudgetReached, SweepFailed
from llamaduo.base.files import write_atomically
from llamaduo.base.redact import redacted
from llamaduo.config import Experiment
from llamaduo.sweep import storage
from llamaduo.sweep.compose import Composer, experiment, first_trials, shared_settings
from llamaduo.sweep.handle import HANDLE, Handle
from llamaduo.sweep.log import StudyLog
from llamaduo.sweep.settings import OBJECTIVE_OF, Settings, checked_settings
from llamaduo.sweep.space import Space, parse
from llamaduo.sweep.study import ERROR, GATED, RUN, Study, wait_briefly
from llamaduo.sweep.trial import Attempt
from llamaduo.tracking import Run


def sweep(
    context: HydraContext, task: TaskFunction, config: DictConfig, arguments: Sequence[str]
) -> list[JobReturn]:
    """Work on the study that the configuration names until no trial is left to begin.

    All values that a trial can have are composed and validated before the first one starts.

    Raises:
        ConfigError: something is not valid; no trial was started.
        SweepFailed: too many trials failed.
        BudgetReached: the budget for services is used up.
    """
    settings = checked_settings(_plain(config.hydra.sweeper))
    settings = settings.model_copy(update={"storage": storage.absolute(settings.storage)})
    if "slurm" in str(config.hydra.runtime.choices.get("hydra/launcher")):
        storage.refuse_for_slurm(settings.storage)
    composer = Composer(context, config)
    space = parse(settings.params or {}, arguments, context.config_loader)
    trials = first_trials(settings, space, composer.config([*space.fixed.values()]))
    settings = settings.model_copy(update={"first": trials})
    start = space.start() | (trials[0] if trials else {})
    composed = composer.config(space.overrides(start))
    base = experiment(composed)
    objectives = settings.objectives(OBJECTIVE_OF[base.objective])
    composer.check(space, start, composed, objectives)
    if base.dry_run:
        return _show_plan(settings, space, base)
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    saved = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(config)))
    write_atomically(folder / "multirun.yaml", OmegaConf.to_yaml(OmegaConf.create(redacted(saved))))
    home = base.tracking.home.resolve() / "sweeps"
    shared = shared_settings(base, space, objectives)
    study = Study(settings, objectives, space, shared, home)
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task, config=config
    )
    return Worker(study, base, launcher).work()


@dataclass
class Worker:
    """A worker on a study: it runs trials while there are any, and prints their results.

    The next `one_by_one` trials are launched one at a time.
    """

    study: Study
    base: Experiment
    launcher: Launcher
    say: Callable[[str], None] = progress.say
    one_by_one: int = 0

    def work(self) -> list[JobReturn]:
        """Run trials until none is left to begin, then take the best to the gate; see `sweep`."""
        returns: list[JobReturn] = []
        study, name = self.study, self.study.settings.study_name
        with study.registered(), ExitStack() as stack:
            study.refuse_more_failures()
            if not study.trials_left() and not study.running() and not self._gate_is_due():
                self.say(f"study {name}: all {study.settings.n_trials} trials are done")
                self._show_best()
                return returns
            log = self._open_log(stack)
            try:
                while trials := self._next_trials():
                    returns += self._launch(trials, log)
                    study.refuse_more_failures()
            except Exception:
                log.end()
                raise
            log.end()
            if running := study.running():
                numbers = ",".join(map(str, running))
                self.say(
                    f"study {name}: other workers still run trial {numbers}; the last of them "
                    "ends the study. If such a worker's machine is gone for good, begin its "
                    f"trials again: same command with hydra.sweeper.give_up=[{numbers}]"
                )
                return returns
            self._show_best()
            with study.gate_locked():
                if self._gate_is_due():
                    returns += self._gate(log.run)
        return returns

    def _next_trials(self) -> list[optuna.Trial]:
        while True:
            if trials := self.study.begin_trials(
                1 if self.one_by_one else self.study.settings.n_jobs
            ):
                self.one_by_one = max(0, self.one_by_one - len(trials))
                return trials
            if not self.study.has_unowned():
                return []
            wait_briefly()

    def _open_log(self, stack: ExitStack) -> StudyLog:
        """Open the sweep's run, which is the same for all workers and starts."""
        with self.study.locked():
            run_id = self.study.attrs().get(RUN)
            name = self.study.settings.study_name
            run = stack.enter_context(
                tracking.build(self.base.tracking).open(
                    self.base.task.name,
                    f"sweep {name}",
                    {"llamaduo.sweep": name, "llamaduo.kind": "sweep"},
                    again=run_id,
                )
            )
            log = StudyLog(self.study, self.base, run)
            if run.id != run_id:
                log.begin()
                self.study.set_attr(RUN, run.id)
            return log

    def _launch(self, trials: Sequence[optuna.Trial], log: StudyLog) -> list[JobReturn]:
        space = self.study.space
        jobs = [
            space.overrides(trial.params)
            + self._handle_overrides(trial.number, trial._trial_id, log.run)
            for trial in trials
        ]
        try:
            returns = self.launcher.launch(jobs, initial_job_idx=trials[0].number)
        except Exception as error:  # the launcher's, such as for a killed worker process
            cause = redacted(f"{type(error).__name__}: {error}")
            if len(trials) > 1:
                # It does not say which job failed: run one at a time, only that trial fails.
                self.study.abandon(trials, f"another one of its batch may have failed: {cause}")
                self.one_by_one = len(trials)
            else:
                self._finish(trials[0], Attempt(state="failed", measures={}, error=cause), log)
            return []
        except BaseException:
            self.study.abandon(trials, "interrupted")
            raise
        attempts = [_attempt(job) for job in returns]
        for trial, attempt in zip(trials, attempts, strict=True):
            self._finish(trial, attempt, log)
        for attempt in attempts:
            if attempt.state == "no_budget":
                raise BudgetReached(f"{attempt.error} With a larger one, the study continues")
        return list(returns)

    def _finish(self, trial: optuna.Trial, attempt: Attempt, log: StudyLog) -> None:
        ended = self.study.tell(trial, attempt)
        log.trial_ended(ended)
        study = self.study.settings.study_name
        self.say(f"trial {ended.number} of {study}: {self._result_text(ended)}")
        if attempt.trace is not None:
            self.say(attempt.trace)

    def _result_text(self, trial: FrozenTrial) -> str:
        if trial.state == TrialState.FAIL:
            return f"failed: {trial.user_attrs.get(ERROR)}"
        if trial.state == TrialState.PRUNED:
            return "pruned"
        values = zip(self.study.objectives, trial.values, strict=True)
        return ", ".join(f"{name} {value:.4g}" for name, value in values)

    def _handle_overrides(self, number: int, trial_id: int | None, run: Run) -> list[str]:
        """Return the overrides by which a job knows its trial."""
        settings = self.study.settings
        prunes = settings.pruner.kind != "none"
        handle = Handle(
            study=settings.study_name,
            storage=settings.storage,
            trial=trial_id,
            number=number,
            pruner=settings.pruner.model_dump() if prunes else None,
            better=next(iter(self.study.objectives.values())),
            run=run.id,
        )
        text = QuotedString(handle.model_dump_json(), Quote.single).with_quotes()
        folder = str(number) if trial_id is not None else f"best-{number}"
        return [f"+hydra.job.env_set.{HANDLE}={text}", f"hydra.sweep.subdir={folder}"]

    def _gate_is_due(self) -> bool:
        best = self.study.best()
        if best is None or not self.study.settings.gate_best:
            return False
        return self.study.attrs().get(GATED) != best.number

    def _gate(self, run: Run) -> list[JobReturn]:
        """Run the whole migration of the best trial; its stages so far are reused.

        Only this job may promote.
        """
        best = self.study.best()
        assert best is not None
        self.say(f"trial {best.number} goes to the gate")
        overrides = self.study.space.overrides(best.params)
        overrides += self._handle_overrides(best.number, None, run)
        [job] = self.launcher.launch([overrides], initial_job_idx=best.number)
        if job.status != JobStatus.COMPLETED:
            raise _error(job)
        self.study.set_attr(GATED, best.number)
        return [job]

    def _show_best(self) -> None:
        leading = self.study.leading(1)
        if not leading:
            raise SweepFailed(
                f"study {self.study.settings.study_name}: no trial was completed; look at the "
                "trials' errors in MLflow, or run more trials with hydra.sweeper.n_trials=…"
            )
        for trial in leading:
            best = " ".join(self.study.space.own_overrides(trial.params))
            self.say(f"best: trial {trial.number}, {self._result_text(trial)}\n  {best}")


def _attempt(job: JobReturn) -> Attempt:
    if job.status == JobStatus.COMPLETED:
        attempt = job.return_value
        assert isinstance(attempt, Attempt)
        return attempt
    return Attempt(state="failed", measures={}, error=redacted(f"{_error(job)}"))


def _error(job: JobReturn) -> BaseException:
    # The public property `return_value` prints a line of Hydra's and raises the error.
    error: BaseException = job._return_value
    return error


def _plain(node: DictConfig) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(node, resolve=True)
    return {str(key): value for key, value in plain.items()}


def _show_plan(settings: Settings, space: Space, base: Experiment) -> list[JobReturn]:
    from llamaduo.migration.plan import show

    progress.say(f"study {settings.study_name} in {redacted(settings.storage)}")
    progress.say(
        f"{settings.n_trials} trials; each runs round 0 of this plan, without test. Space:"
    )
    for name, distribution in space.distributions.items():
        progress.say(f"  {name}: {distribution}")
    show(base)
    return []
