"""Hydra's multirun as an Optuna study: ask, launch, tell, until the study has its trials."""

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
from llamaduo.base.errors import BudgetReached, ConfigError, SweepFailed
from llamaduo.base.files import write_atomically
from llamaduo.base.redact import redacted
from llamaduo.config import Experiment
from llamaduo.sweep import storage
from llamaduo.sweep.compose import Composer, experiment, facts, first
from llamaduo.sweep.handle import HANDLE, Handle
from llamaduo.sweep.log import Record
from llamaduo.sweep.settings import OWN, Settings, settings
from llamaduo.sweep.space import Space, parse
from llamaduo.sweep.study import ERROR, GATED, RUN, Study, wait_a_little
from llamaduo.sweep.trial import Attempt
from llamaduo.tracking import Run


def sweep(
    context: HydraContext, task: TaskFunction, config: DictConfig, arguments: Sequence[str]
) -> list[JobReturn]:
    """Work on the study that the configuration names until nobody has anything left to begin.

    The values that a trial may get are composed and checked before the first one starts.

    Raises:
        ConfigError: something cannot be used; no trial was started.
        SweepFailed: too many trials failed.
        BudgetReached: the services may not be asked any more.
    """
    wanted = settings(_plain(config.hydra.sweeper))
    wanted = wanted.model_copy(update={"storage": storage.absolute(wanted.storage)})
    _refuse_what_does_not_travel(wanted.storage, config)
    compose = Composer(context, config)
    space = parse(wanted.params or {}, arguments, context.config_loader)
    begun = first(wanted, space, compose.config([*space.fixed.values()]))
    wanted = wanted.model_copy(update={"first": begun})
    start = space.start() | (begun[0] if begun else {})
    composed = compose.config(space.words(start))
    base = experiment(composed)
    objectives = wanted.objectives(OWN[base.objective])
    compose.check(space, start, composed, objectives)
    if base.dry_run:
        return _plan(wanted, space, base)
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    saved = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(config)))
    write_atomically(folder / "multirun.yaml", OmegaConf.to_yaml(OmegaConf.create(redacted(saved))))
    home = base.tracking.home.resolve() / "sweeps"
    study = Study(wanted, objectives, space, facts(base, space, objectives), home)
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task, config=config
    )
    return Worker(study, base, launcher).work()


def _refuse_what_does_not_travel(url: str, config: DictConfig) -> None:
    """SLURM's jobs run on other machines, and what they are told lies in files until they start.

    Raises:
        ConfigError: the storage is for one machine, or its address has a password.
    """
    if "slurm" not in str(config.hydra.runtime.choices.get("hydra/launcher")):
        return
    if url.startswith("sqlite:"):
        raise ConfigError(
            f"hydra.sweeper.storage={url}: sqlite cannot be shared by machines; use "
            "journal:///<file in a shared folder>, or the address of a database server"
        )
    if redacted(url) != url:
        raise ConfigError(
            f"hydra.sweeper.storage={redacted(url)}: its password would lie in the files of "
            "SLURM's jobs; leave it out, and give it to the database's driver (such as PGPASSWORD)"
        )


@dataclass
class Worker:
    """One process's part in a study: it begins trials while there are any, and tells the end.

    The next `alone` trials are launched one at a time.
    """

    study: Study
    base: Experiment
    launcher: Launcher
    say: Callable[[str], None] = progress.say
    alone: int = 0

    def work(self) -> list[JobReturn]:
        """See `sweep`."""
        done: list[JobReturn] = []
        study, name = self.study, self.study.settings.study_name
        with study.alive(), ExitStack() as opened:
            study.refuse_more_failures()
            if not study.left() and not study.under_way() and not self._gate_is_due():
                self.say(f"study {name}: its {study.settings.n_trials} trials are there")
                self._tell_best()
                return done
            record = self._opened(opened)
            try:
                while trials := self._next():
                    done += self._launched(trials, record)
                    study.refuse_more_failures()
            except Exception:
                record.end()
                raise
            record.end()
            if others := study.under_way():
                numbers = ",".join(map(str, others))
                self.say(
                    f"study {name}: still under way elsewhere: trial {numbers}; whoever ends last "
                    "ends the study. What a machine had that is gone for good: "
                    f"hydra.sweeper.give_up=[{numbers}]"
                )
                return done
            self._tell_best()
            with study.gate():
                if self._gate_is_due():
                    done += self._gate(record.run)
        return done

    def _next(self) -> list[optuna.Trial]:
        while True:
            if trials := self.study.take(1 if self.alone else self.study.settings.n_jobs):
                self.alone = max(0, self.alone - len(trials))
                return trials
            if not self.study.unclaimed():
                return []
            wait_a_little()

    def _opened(self, opened: ExitStack) -> Record:
        """The sweep's run, the same for all workers and starts."""
        with self.study.alone():
            known = self.study.attrs().get(RUN)
            name = self.study.settings.study_name
            run = opened.enter_context(
                tracking.build(self.base.tracking).open(
                    self.base.task.name,
                    f"sweep {name}",
                    {"llamaduo.sweep": name, "llamaduo.kind": "sweep"},
                    again=known,
                )
            )
            record = Record(self.study, self.base, run)
            if run.id != known:
                record.begin()
                self.study.note(RUN, run.id)
            return record

    def _launched(self, trials: Sequence[optuna.Trial], record: Record) -> list[JobReturn]:
        space = self.study.space
        jobs = [
            [*space.words(trial.params), *self._place(trial.number, trial._trial_id, record.run)]
            for trial in trials
        ]
        try:
            returns = self.launcher.launch(jobs, initial_job_idx=trials[0].number)
        except Exception as error:  # the launcher's own, such as a worker process that was killed
            said = redacted(f"{type(error).__name__}: {error}")
            if len(trials) > 1:
                # It does not say whose job it was: one at a time, the one to blame fails alone.
                self.study.give_up(trials, f"another one of its batch may have failed: {said}")
                self.alone = len(trials)
            else:
                self._told(trials[0], Attempt(state="failed", measures={}, error=said), record)
            return []
        except BaseException:
            self.study.give_up(trials, "interrupted")
            raise
        attempts = [_attempt(one) for one in returns]
        for trial, one in zip(trials, attempts, strict=True):
            self._told(trial, one, record)
        for one in attempts:
            if one.state == "no_budget":
                raise BudgetReached(f"{one.error} The study goes on from here with a larger one")
        return list(returns)

    def _told(self, trial: optuna.Trial, found: Attempt, record: Record) -> None:
        done = self.study.tell(trial, found)
        record.ended(done)
        self.say(f"trial {done.number} of {self.study.settings.study_name}: {self._words(done)}")
        if found.trace is not None:
            self.say(found.trace)

    def _words(self, done: FrozenTrial) -> str:
        if done.state == TrialState.FAIL:
            return f"failed: {done.user_attrs.get(ERROR)}"
        if done.state == TrialState.PRUNED:
            return "pruned"
        values = zip(self.study.objectives, done.values, strict=True)
        return ", ".join(f"{name} {value:.4g}" for name, value in values)

    def _place(self, number: int, trial_id: int | None, run: Run) -> list[str]:
        """The overrides that make a job this trial's."""
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
        """Take the best trial through the whole migration: its stages are there, the rest is made.

        Only this may promote.
        """
        best = self.study.best()
        assert best is not None
        self.say(f"trial {best.number} goes to the gate")
        job = [*self.study.space.words(best.params), *self._place(best.number, None, run)]
        [found] = self.launcher.launch([job], initial_job_idx=best.number)
        if found.status != JobStatus.COMPLETED:
            raise _error(found)
        self.study.note(GATED, best.number)
        return [found]

    def _tell_best(self) -> None:
        shown = self.study.leading(1)
        if not shown:
            raise SweepFailed(
                f"study {self.study.settings.study_name}: no trial came to its end; "
                "look at its errors in MLflow, or give it more with hydra.sweeper.n_trials=…"
            )
        for one in shown:
            words = " ".join(self.study.space.words(one.params)[len(self.study.space.fixed) :])
            self.say(f"best: trial {one.number}, {self._words(one)}\n  {words}")


def _attempt(found: JobReturn) -> Attempt:
    if found.status == JobStatus.COMPLETED:
        value = found.return_value
        assert isinstance(value, Attempt)
        return value
    error = _error(found)
    return Attempt(state="failed", measures={}, error=redacted(f"{error}"))


def _error(found: JobReturn) -> BaseException:
    # Asked for by its public name, Hydra prints a line of its own and raises it.
    error: BaseException = found._return_value
    return error


def _plain(node: DictConfig) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(node, resolve=True)
    return {str(key): value for key, value in plain.items()}


def _plan(wanted: Settings, space: Space, base: Experiment) -> list[JobReturn]:
    from llamaduo.migration.plan import show

    progress.say(f"study {wanted.study_name} in {redacted(wanted.storage)}")
    progress.say(f"{wanted.n_trials} trials, each round 0 of this plan without test, in the space")
    for name, one in space.distributions.items():
        progress.say(f"  {name}: {one}")
    show(base)
    return []
