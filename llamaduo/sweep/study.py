"""A worker's part in a study: which trials it takes, what became of them, and whose are orphans.

Several workers may share a study, on one machine or on many. What they know of one another is what
the storage has: a trial names its owner, and an owner of this folder who is dead is known by a lock
that nobody holds.
"""

import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from llamaduo.base.errors import ConfigError, SweepFailed
from llamaduo.base.liveness import ProcessLock
from llamaduo.sweep import storage
from llamaduo.sweep.choices import pruner, sampler
from llamaduo.sweep.settings import Settings, Way
from llamaduo.sweep.space import Space
from llamaduo.sweep.trial import Attempt

OWNER, LOST, ERROR, MEASURES = (f"llamaduo.{k}" for k in ("owner", "lost", "error", "measures"))
SPACE, FACTS, RUN, GATED = (f"llamaduo.{k}" for k in ("space", "facts", "run", "gated"))
GRACE = 60  # seconds in which a trial that was just begun may yet name its owner


@dataclass
class Study:
    """The study of a sweep, in a storage that it may share with other workers.

    `objectives` are the directions by name. `facts` is what else decides a trial's value: a study
    that was made with other ones is refused. `home` is where workers of this machine look for each
    other.

    Raises:
        ConfigError: the storage cannot be used, or holds another study under this name.
    """

    settings: Settings
    objectives: Mapping[str, Way]
    space: Space
    facts: Mapping[str, Any]
    home: Path
    book: optuna.Study = field(init=False)
    _nobodys: dict[int, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Open the study, or begin it with the first trials."""
        url = self.settings.storage
        self.home.mkdir(parents=True, exist_ok=True)
        key = sha256(f"{storage.place(url)} {self.settings.study_name}".encode()).hexdigest()[:8]
        self._lock = FileLock(self.home / f"{key}.lock")
        self._gate = FileLock(self.home / f"{key}.gate.lock")
        self._process = ProcessLock(self.home / "owners", key)
        with self.usable(), self._lock:
            self.book = optuna.create_study(
                storage=storage.reach(url),
                study_name=self.settings.study_name,
                directions=list(self.objectives.values()),
                pruner=pruner(self.settings.pruner.model_dump()),
                load_if_exists=True,
            )
            begun = any(t.state != TrialState.WAITING for t in self.book.get_trials(False))
            if SPACE in self.book.user_attrs:
                self._refuse_another()
            elif begun:
                raise self._another("params", "…", "another program, which left no space")
            else:
                self._begin()

    def usable(self) -> Any:
        """Errors of the storage as one message."""
        return storage.usable(self.settings.storage)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other worker of this folder is in here at the same time."""
        with self._lock:
            yield

    @contextmanager
    def gate(self) -> Iterator[None]:
        """No other worker of this folder takes the study's best to the gate at the same time."""
        with self._gate:
            yield

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Be known as a worker, after failing the trials of those who are not any more."""
        with self._process.held(self._bury):
            with self.usable(), self._lock:
                for trial in self.book.get_trials(False, (TrialState.RUNNING,)):
                    if trial.number in self.settings.give_up:
                        self._lose(trial, "its worker was given up")
            yield

    def attrs(self) -> dict[str, Any]:
        """What is noted of the study as a whole."""
        with self.usable():
            return self.book.user_attrs

    def note(self, key: str, value: Any) -> None:
        """Note something of the study as a whole."""
        with self.usable():
            self.book.set_user_attr(key, value)

    def trials(self) -> list[FrozenTrial]:
        """All trials that count, in order: those that were lost have been begun anew."""
        with self.usable():
            return [t for t in self.book.get_trials(deepcopy=False) if LOST not in t.user_attrs]

    def left(self) -> int:
        """How many trials nobody has begun."""
        taken = [t for t in self.trials() if t.state != TrialState.WAITING]
        return max(0, self.settings.n_trials - len(taken))

    def under_way(self) -> list[int]:
        """The numbers of the trials that somebody works on."""
        return [t.number for t in self.trials() if t.state == TrialState.RUNNING]

    def take(self, most: int) -> list[optuna.Trial]:
        """New trials with their values, up to `most`; none where none is left to begin."""
        taken: list[optuna.Trial] = []
        with self.usable(), self._lock:
            while len(taken) < most:
                if not self.left():
                    break
                known = self.book.get_trials(deepcopy=False)
                waiting = [t.number for t in known if t.state == TrialState.WAITING]
                number = min(waiting, default=len(known))
                before = [t for t in known if t.number < number and LOST not in t.user_attrs]
                self.book.sampler = sampler(self.settings.sampler, len(before))
                self._process.opened()
                trial = self.book.ask(self.space.distributions)
                trial.set_user_attr(OWNER, self._process.id)
                taken.append(trial)
        return taken

    def unclaimed(self) -> bool:
        """Whether a trial ran that has no owner; one that has been so for long is given up."""
        with self.usable(), self._lock:
            found = [
                t
                for t in self.book.get_trials(False, (TrialState.RUNNING,))
                if OWNER not in t.user_attrs
            ]
            for trial in found:
                # By this worker's own clock: another machine's may be set otherwise.
                since = self._nobodys.setdefault(trial.number, time.monotonic())
                if time.monotonic() - since >= GRACE:
                    self._lose(trial, "nobody's")
        return bool(found)

    def tell(self, trial: optuna.Trial, found: Attempt) -> FrozenTrial:
        """Write down what became of a trial: a measure that is missing or NaN is a failure."""
        error = found.error
        values = [found.measures.get(name) for name in self.objectives]
        if found.state == "complete":
            for name, value in zip(self.objectives, values, strict=True):
                if value is None or math.isnan(value):
                    what = "not known" if value is None else "no number"
                    error = f"{name} is {what}{ADVICE.get(name, '')}"
        with self.usable():
            if found.measures:
                trial.set_user_attr(MEASURES, json.dumps(found.measures))
            if error is not None:
                trial.set_user_attr(ERROR, error[:2000])
            if found.state == "no_budget":
                self._again(trial.number, trial.params, trial, "budget")
            if found.state == "pruned":
                done = self.book.tell(trial, state=TrialState.PRUNED)
            elif error is not None:
                done = self.book.tell(trial, state=TrialState.FAIL)
            else:
                done = self.book.tell(trial, [value for value in values if value is not None])
        self._process.closed()
        return done

    def refuse_more_failures(self) -> None:
        """Stop when too many trials have failed.

        Raises:
            SweepFailed: with the first cause.
        """
        failed = [t for t in self.trials() if t.state == TrialState.FAIL]
        most = math.floor(self.settings.max_failure_rate * self.settings.n_trials)
        if len(failed) > most:
            first = failed[0]
            cause = first.user_attrs.get(ERROR, "its cause is not known")
            raise SweepFailed(
                f"{len(failed)} of {self.settings.n_trials} trials failed and {most} may "
                f"(hydra.sweeper.max_failure_rate={self.settings.max_failure_rate:g}). The first, "
                f"trial {first.number}: {cause}"
            )

    def give_up(self, trials: Sequence[optuna.Trial], why: str) -> None:
        """Close trials that were broken off, to be begun anew by whoever comes next."""
        with self.usable():
            known = {t.number: t for t in self.book.get_trials(deepcopy=False)}
            for trial in trials:
                if known[trial.number].state == TrialState.RUNNING:
                    self._lose(known[trial.number], why)
                    self._process.closed()

    def best(self) -> FrozenTrial | None:
        """The best trial of a study with one objective; None where none came to its end."""
        if len(self.objectives) > 1:
            return None
        return next(iter(self.leading(1)), None)

    def leading(self, most: int) -> list[FrozenTrial]:
        """The best trials, up to `most`, the first of equals first.

        Of several objectives all that no other trial beats in every one of them.
        """
        if len(self.objectives) > 1:
            with self.usable():
                return self.book.best_trials
        done = [t for t in self.trials() if t.state == TrialState.COMPLETE]
        [way] = self.objectives.values()
        return sorted(done, key=lambda t: t.values[0], reverse=way == "maximize")[:most]

    def _begin(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.book.set_metric_names(list(self.objectives))
        self.book.set_user_attr(FACTS, json.dumps(self.facts))
        there = len(self.book.get_trials(deepcopy=False))  # of a start that was killed in here
        for given in self.settings.first[there:]:
            self.book.enqueue_trial(dict(given))
        self.book.set_user_attr(SPACE, json.dumps(self.space.described()))

    def _refuse_another(self) -> None:
        attrs = self.book.user_attrs
        ways = [direction.name.lower() for direction in self.book.directions]
        named = dict(zip(self.book.metric_names or [], ways, strict=False))
        if list(named.items()) != list(self.objectives.items()):  # values are told in this order
            raise self._another("direction", _ways(self.objectives), _ways(named))
        then, now = json.loads(attrs[SPACE]), self.space.described()
        for name in [*now, *then]:
            if then.get(name) != now.get(name):
                words = [_told(one.get(name)) for one in (now, then)]
                raise self._another(f"params.{name}", *words)
        facts = json.loads(attrs[FACTS])
        for name, value in self.facts.items():
            if name in facts and facts[name] != json.loads(json.dumps(value)):
                raise self._another(name, str(value), str(facts[name]), prefix="")

    def _another(
        self, what: str, now: str, then: str, prefix: str = "hydra.sweeper."
    ) -> ConfigError:
        return ConfigError(
            f"{prefix}{what}={now}: the study {self.settings.study_name!r} was made with {then}; "
            "use that, or begin another with hydra.sweeper.study_name=…"
        )

    def _bury(self, owner: str) -> None:
        with self.usable():
            for trial in self.book.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if trial.user_attrs.get(OWNER) == owner:
                    self._lose(trial, "its worker was killed")

    def _lose(self, trial: FrozenTrial, why: str) -> None:
        handle = optuna.Trial(self.book, trial._trial_id)
        # Another worker was quicker: the first is the storage's word for it, the second tell's.
        with suppress(UpdateFinishedTrialError, ValueError):
            self._again(trial.number, trial.params, handle, why)
            self.book.tell(handle, state=TrialState.FAIL)

    def _again(self, number: int, params: dict[str, Any], trial: optuna.Trial, why: str) -> None:
        trial.set_user_attr(LOST, why)
        self.book.enqueue_trial(params, user_attrs={"llamaduo.again": number})


ADVICE = {
    "usd": "; set local.usd_per_hour to what an hour of this machine costs, or hardware=…",
    "similarity": "; the judge gave no verdict on it",
    "precision": "; the judge gave no verdict on it",
}


def wait_a_little() -> None:
    """Until another worker may have named its trial."""
    time.sleep(1)


def _told(described: str | None) -> str:
    if described is None:
        return "no such parameter"
    return str(optuna.distributions.json_to_distribution(described))


def _ways(objectives: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {way}" for name, way in objectives.items()) + "}"
