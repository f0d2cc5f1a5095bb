"""Work on a study: begin trials, store their results, and close the trials of dead workers.

Several workers may share a study, on one machine or on many. They know of one another only through
the storage: each trial names its owner. The lock of an owner in this folder is free once its
process has died.
"""

import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from llamaduo.base.errors import SweepFailed
from llamaduo.base.liveness import ProcessLock
from llamaduo.sweep import storage
from llamaduo.sweep.choices import pruner, sampler
from llamaduo.sweep.compatibility import SHARED, SPACE, StudyTerms
from llamaduo.sweep.settings import Direction, Settings
from llamaduo.sweep.space import Space
from llamaduo.sweep.trial import Attempt

# Attributes of a stored trial, and of a stored study.
OWNER, LOST, ERROR, MEASURES = (f"llamaduo.{k}" for k in ("owner", "lost", "error", "measures"))
RUN, GATED = "llamaduo.run", "llamaduo.gated"
GRACE = 60  # seconds that a worker has to write its name to a trial that it begins
ADVICE = {  # for an objective without a value
    "usd": "set local.usd_per_hour to what an hour of this machine costs, or hardware=…",
    "similarity": "the judge gave no verdict on it",
    "precision": "the judge gave no verdict on it",
}


@dataclass
class Study:
    """The study of a sweep, in a storage that other workers may share.

    `objectives` are the directions by name. `shared` are the other settings that decide a trial's
    value: a stored study with different ones is refused. `home` is the folder by which workers of
    this machine know of one another.

    Raises:
        ConfigError: the storage cannot be used, or it holds another study of this name.
    """

    settings: Settings
    objectives: Mapping[str, Direction]
    space: Space
    shared: Mapping[str, Any]
    home: Path
    stored: optuna.Study = field(init=False)
    _unowned_since: dict[int, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Open the study, or create it with the first trials."""
        url = self.settings.storage
        self.home.mkdir(parents=True, exist_ok=True)
        key = sha256(
            f"{storage.without_access(url)} {self.settings.study_name}".encode()
        ).hexdigest()[:8]
        self._lock = FileLock(self.home / f"{key}.lock")
        self._gate = FileLock(self.home / f"{key}.gate.lock")
        self._process = ProcessLock(self.home / "owners", key)
        with self.readable_errors(), self._lock:
            self.stored = optuna.create_study(
                storage=storage.open_storage(url),
                study_name=self.settings.study_name,
                directions=list(self.objectives.values()),
                pruner=pruner(self.settings.pruner.model_dump()),
                load_if_exists=True,
            )
            terms = StudyTerms(self.settings.study_name, self.objectives, self.space, self.shared)
            begun = any(t.state != TrialState.WAITING for t in self.stored.get_trials(False))
            if SPACE in self.stored.user_attrs:
                terms.check(self.stored)
            elif begun:
                maker = "another program, which stored no search space"
                raise terms.refusal("hydra.sweeper.params", "…", maker)
            else:
                self._create()

    def readable_errors(self) -> AbstractContextManager[None]:
        """Turn errors of the storage into one message."""
        return storage.readable_errors(self.settings.storage)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study's lock, one worker of this folder at a time."""
        with self._lock:
            yield

    @contextmanager
    def gate_locked(self) -> Iterator[None]:
        """Hold the lock for the best trial's gate, one worker of this folder at a time."""
        with self._gate:
            yield

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Be known as a living worker; first close the trials of workers that have died."""
        with self._process.held(self._expire_owner):
            with self.readable_errors(), self._lock:
                for trial in self.stored.get_trials(False, (TrialState.RUNNING,)):
                    if trial.number in self.settings.give_up:
                        self._expire(trial, "its worker was given up")
            yield

    def attrs(self) -> dict[str, Any]:
        """Return the attributes of the stored study."""
        with self.readable_errors():
            return self.stored.user_attrs

    def set_attr(self, key: str, value: Any) -> None:
        """Set an attribute of the stored study."""
        with self.readable_errors():
            self.stored.set_user_attr(key, value)

    def trials(self) -> list[FrozenTrial]:
        """Return all trials that count, in order: those that were lost are queued again."""
        with self.readable_errors():
            return [t for t in self.stored.get_trials(deepcopy=False) if LOST not in t.user_attrs]

    def trials_left(self) -> int:
        """Count the trials that no worker has begun."""
        begun = [t for t in self.trials() if t.state != TrialState.WAITING]
        return max(0, self.settings.n_trials - len(begun))

    def running(self) -> list[int]:
        """Return the numbers of the trials that a worker is running."""
        return [t.number for t in self.trials() if t.state == TrialState.RUNNING]

    def begin_trials(self, at_most: int) -> list[optuna.Trial]:
        """Begin trials and return them with their values; none where none is left."""
        begun: list[optuna.Trial] = []
        with self.readable_errors(), self._lock:
            while len(begun) < at_most and self.trials_left():
                known = self.stored.get_trials(deepcopy=False)
                waiting = [t.number for t in known if t.state == TrialState.WAITING]
                number = min(waiting, default=len(known))
                before = [t for t in known if t.number < number and LOST not in t.user_attrs]
                self.stored.sampler = sampler(self.settings.sampler, len(before))
                self._process.opened()
                trial = self.stored.ask(self.space.distributions)
                trial.set_user_attr(OWNER, self._process.id)
                begun.append(trial)
        return begun

    def has_unowned(self) -> bool:
        """Tell if a trial without an owner was running; close one that has none for `GRACE`."""
        with self.readable_errors(), self._lock:
            running = self.stored.get_trials(False, (TrialState.RUNNING,))
            unowned = [t for t in running if OWNER not in t.user_attrs]
            for trial in unowned:
                # By this worker's own clock: that of another machine may differ.
                since = self._unowned_since.setdefault(trial.number, time.monotonic())
                if time.monotonic() - since >= GRACE:
                    self._expire(trial, "nobody's")
        return bool(unowned)

    def tell(self, trial: optuna.Trial, attempt: Attempt) -> FrozenTrial:
        """Store the result of a trial; an objective that is missing or NaN is a failure."""
        error = attempt.error
        values = [attempt.measures.get(name) for name in self.objectives]
        if attempt.state == "complete":
            for name, value in zip(self.objectives, values, strict=True):
                if value is None or math.isnan(value):
                    problem = "not known" if value is None else "not a number"
                    error = "; ".join(filter(None, (f"{name} is {problem}", ADVICE.get(name))))
        with self.readable_errors():
            if attempt.measures:
                trial.set_user_attr(MEASURES, json.dumps(attempt.measures))
            if error is not None:
                trial.set_user_attr(ERROR, error[:2000])
            if attempt.state == "no_budget":
                self._requeue(trial.number, trial.params, trial, "budget")
            if attempt.state == "pruned":
                finished = self.stored.tell(trial, state=TrialState.PRUNED)
            elif error is not None:
                finished = self.stored.tell(trial, state=TrialState.FAIL)
            else:
                finished = self.stored.tell(trial, [value for value in values if value is not None])
        self._process.closed()
        return finished

    def refuse_more_failures(self) -> None:
        """Stop when too many trials have failed.

        Raises:
            SweepFailed: with the cause of the first failure.
        """
        failed = [t for t in self.trials() if t.state == TrialState.FAIL]
        allowed = math.floor(self.settings.max_failure_rate * self.settings.n_trials)
        if len(failed) > allowed:
            first = failed[0]
            cause = first.user_attrs.get(ERROR, "its cause is not known")
            raise SweepFailed(
                f"{len(failed)} of {self.settings.n_trials} trials failed; {allowed} may fail "
                f"(hydra.sweeper.max_failure_rate={self.settings.max_failure_rate:g}). The first "
                f"failure is trial {first.number}: {cause}"
            )

    def abandon(self, trials: Sequence[optuna.Trial], cause: str) -> None:
        """Close interrupted trials and queue them again, for this worker or another."""
        with self.readable_errors():
            known = {t.number: t for t in self.stored.get_trials(deepcopy=False)}
            for trial in trials:
                if known[trial.number].state == TrialState.RUNNING:
                    self._expire(known[trial.number], cause)
                    self._process.closed()

    def best(self) -> FrozenTrial | None:
        """Return the best trial of a study with one objective; None where none is complete."""
        if len(self.objectives) > 1:
            return None
        return next(iter(self.leading(1)), None)

    def leading(self, at_most: int) -> list[FrozenTrial]:
        """Return the best trials; of equal ones the earlier first.

        With several objectives these are all trials of the Pareto front, whatever their number.
        """
        if len(self.objectives) > 1:
            with self.readable_errors():
                return self.stored.best_trials
        complete = [t for t in self.trials() if t.state == TrialState.COMPLETE]
        [direction] = self.objectives.values()
        return sorted(complete, key=lambda t: t.values[0], reverse=direction == "maximize")[
            :at_most
        ]

    def _create(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.stored.set_metric_names(list(self.objectives))
        self.stored.set_user_attr(SHARED, json.dumps(self.shared))
        queued = len(self.stored.get_trials(deepcopy=False))  # by a start that was killed in here
        for values in self.settings.first[queued:]:
            self.stored.enqueue_trial(dict(values))
        # Last: the space marks a study that was created completely.
        self.stored.set_user_attr(SPACE, json.dumps(self.space.described()))

    def _expire_owner(self, owner: str) -> None:
        with self.readable_errors():
            for trial in self.stored.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if trial.user_attrs.get(OWNER) == owner:
                    self._expire(trial, "its worker was killed")

    def _expire(self, frozen: FrozenTrial, cause: str) -> None:
        trial = optuna.Trial(self.stored, frozen._trial_id)
        # Where another worker was faster, the storage raises the first and `tell` the second.
        with suppress(UpdateFinishedTrialError, ValueError):
            self._requeue(frozen.number, frozen.params, trial, cause)
            self.stored.tell(trial, state=TrialState.FAIL)

    def _requeue(
        self, number: int, params: dict[str, Any], trial: optuna.Trial, cause: str
    ) -> None:
        trial.set_user_attr(LOST, cause)
        self.stored.enqueue_trial(params, user_attrs={"llamaduo.again": number})


def wait_briefly() -> None:
    """Wait until another worker may have written its name to its trial."""
    time.sleep(1)
