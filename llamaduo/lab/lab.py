"""The lab: the one place that knows how a result is found again, locked, built and recorded."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from filelock import FileLock, Timeout
from pydantic import ValidationError

from llamaduo.base import disk, progress
from llamaduo.base.errors import LabError, TrialPruned
from llamaduo.base.files import Json, settle, write_atomically
from llamaduo.base.provenance import commit
from llamaduo.base.redact import redacted
from llamaduo.lab.clock import Clock
from llamaduo.lab.reasons import not_reused
from llamaduo.lab.runs import StageRun, StageRuns
from llamaduo.lab.stage import A, Stage
from llamaduo.money import energy, machine_time
from llamaduo.money.rates import UNKNOWN, Rates
from llamaduo.records import Bill
from llamaduo.tracking import Run

#: Gives the identity by which an earlier version knew a stage; None where it was the same.
Former: TypeAlias = Callable[[Mapping[str, Json]], Mapping[str, Json] | None]

LIBRARIES = ("llamaduo", "torch", "transformers", "peft", "trl", "bitsandbytes")


def _none(identity: Mapping[str, Json]) -> None:
    return None


@dataclass
class Lab:
    """A folder of finished stages, and the tracked run on whose behalf they are looked up or built.

    `say` is told a line per stage. `stage_runs` lists what was done, in order; `other_versions` has
    the libraries with which reused stages were made, where other versions are installed now.
    `rates` say what the machine takes.

    `command` is what was typed, for the record of each stage. `former` gives the identity by which
    an earlier version knew a stage, if another. `explains` says why a stage is built though one of
    its kind is there.
    """

    home: Path
    tracked: Run
    say: Callable[[str], None] = print
    stage_runs: StageRuns = field(default_factory=StageRuns)
    other_versions: list[str] = field(default_factory=list)
    rates: Rates = UNKNOWN
    command: str = ""
    former: Former = _none
    explains: bool = True

    def run(self, stage: Stage[A], *, round: int | None = None) -> A:
        """Return the artifact of a stage: the stored one, or built now, by one process at a time.

        Raises:
            LabError: the stored one cannot be read.
        """
        stages = self.home / "stages"
        stage = self._as_kept(stage)
        home = stages / f"{stage.name}-{stage.fingerprint}"
        (stages / "locks").mkdir(parents=True, exist_ok=True)
        lock = FileLock(stages / "locks" / f"{home.name}.lock")
        try:
            lock.acquire(timeout=0.05)
        except Timeout:
            self.say(f"{_title(stage, round)}  waits for another run that is making it")
            lock.acquire()
        try:
            stored = self._look_up(stage, home)
            reused = stored is not None
            artifact = stored if stored is not None else self._build(stage, home, round)
        finally:
            lock.release()
        record = _record(home)
        if reused:
            self.tracked.tags({f"llamaduo.reused.{home.name}": record["run_id"]})
            self._tell_other_versions(record["versions"])
        seconds = float(record["seconds"])
        self.stage_runs.add(
            StageRun(
                name=stage.name,
                system=stage.system,
                split=stage.split,
                round=round,
                fingerprint=stage.fingerprint,
                seconds=seconds,
                reused=reused,
                made=record["made"],
                versions=record["versions"],
                taken=machine_time.recorded(record.get("taken"), seconds, self.rates),
                artifact=artifact,
            )
        )
        self.say(f"{_title(stage, round)}  {'reused' if reused else f'{seconds:6.1f} s'}")
        return artifact

    def _as_kept(self, stage: Stage[A]) -> Stage[A]:
        """Return the stage under its former identity, where it is kept under that and no other."""
        stages = self.home / "stages"
        if (stages / f"{stage.name}-{stage.fingerprint}").exists():
            return stage
        identity = self.former(stage.identity)
        if identity is None:
            return stage
        former = replace(stage, identity=identity)
        folder = stages / f"{stage.name}-{former.fingerprint}"
        return former if (folder / "record.json").exists() else stage

    def _look_up(self, stage: Stage[A], home: Path) -> A | None:
        """Load the stored artifact; None where there is none, or one to build again from rows."""
        if not home.exists() and not self._adopts(stage, home):
            return None
        stored = _stored(stage, home)
        seen = any(r.fingerprint == stage.fingerprint for r in self.stage_runs.named(stage.name))
        if not stored.unfinished or seen:
            return stored
        part = home.with_name(home.name + ".part")
        if not part.exists():
            # Copied, not moved: another run may be reading the one that is there.
            copy = home.with_name(home.name + ".copy")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(home, copy, ignore=shutil.ignore_patterns("record.json"))
            copy.rename(part)
        self.say(
            f"  {stored.unfinished} rows got no answer at an earlier start, and are asked again"
        )
        return None

    def _adopts(self, stage: Stage[A], home: Path) -> bool:
        """Name what an earlier start made, recorded and logged in whole, and died before naming."""
        part = home.with_name(home.name + ".part")
        if not (part / "record.json").exists() or _finished(stage, part) is None:
            return False
        if not self.tracked.finished(_record(part)["run_id"]):
            return False
        part.rename(home)
        return True

    def _build(self, stage: Stage[A], home: Path, round: int | None) -> A:
        part = home.with_name(home.name + ".part")
        if self.explains:
            followed = bool(self.stage_runs.built())
            reason = not_reused(home.parent, stage, round, followed=followed)
            if reason is not None:
                self.say(f"  {' '.join(_title(stage, round).split())}: {reason}")
        tags = {"llamaduo.stage": stage.name, "llamaduo.fingerprint": stage.fingerprint}
        if round is not None:
            tags["llamaduo.round"] = str(round)
        title = " ".join(_title(stage, round).split())
        with progress.titled(title), self.tracked.child(title, tags) as run, disk.guarded(part):
            run.params(stage.identity)
            part.mkdir(exist_ok=True)
            clock = Clock(part)
            with energy.meter() as metered:
                artifact = _finished(stage, part)
                if artifact is None:
                    try:
                        artifact = stage.run(part)
                    except TrialPruned:
                        shutil.rmtree(part)  # nobody will go on from its checkpoints
                        raise
                    # What the artifact stands for is on the disk before it is.
                    settle(part)
                    artifact.save()
            seconds = clock.seconds()
            taken = machine_time.measured(metered, seconds, clock.before, self.rates)
            run.metrics({f"{stage.name}/{k}": v for k, v in artifact.metrics.items()})
            run.metrics(_costs(artifact.bill, taken))
            if taken.energy is not None:
                run.tags({"llamaduo.energy": str(taken.energy)})
            artifact.publish(run)
            record = {
                "run_id": run.id,
                "seconds": seconds,
                "taken": taken.model_dump(mode="json"),
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "identity": stage.identity,
                "versions": versions(),
                "system": stage.system,
                "split": stage.split,
                "round": round,
                "commit": commit(),
                "command": redacted(self.command),
            }
            write_atomically(part / "record.json", json.dumps(record, indent=1) + "\n")
        if home.exists():  # one with unfinished rows
            old = home.with_name(home.name + ".old")
            shutil.rmtree(old, ignore_errors=True)
            home.rename(old)
            part.rename(home)
            shutil.rmtree(old)
        else:
            part.rename(home)
        return artifact.model_copy(update={"home": home})

    def _tell_other_versions(self, made_with: Mapping[str, str]) -> None:
        now = versions()
        others = [
            f"{name} {version} (here {now.get(name, 'not installed')})"
            for name, version in made_with.items()
            if now.get(name) != version
        ]
        new = [other for other in others if other not in self.other_versions]
        if new:
            self.other_versions += new
            self.tracked.tags({"llamaduo.other_versions": ", ".join(self.other_versions)})
            self.say(f"  reused stages were made with {', '.join(new)}")


def _finished(stage: Stage[A], part: Path) -> A | None:
    """Load what an earlier start made in whole, and was stopped from recording."""
    try:
        artifact = stage.makes.load(part)
    except (OSError, ValueError):
        return None
    return None if artifact.unfinished else artifact


def _stored(stage: Stage[A], home: Path) -> A:
    try:
        return stage.makes.load(home)
    except (OSError, ValueError) as error:
        unknown = _unknown_keys(error)
        why = (
            f"it has {', '.join(unknown)}, as a newer version of llamaduo made it; install that "
            "version"
            if unknown
            else f"it cannot be read ({type(error).__name__}); restore it"
        )
        raise LabError(
            f"{home}: {why}, or move the folder away, and the stage is made again"
        ) from error


def _unknown_keys(error: Exception) -> list[str]:
    """List the fields of an artifact that this version does not know: a newer one wrote them."""
    if not isinstance(error, ValidationError):
        return []
    extra = (fault for fault in error.errors() if fault["type"] == "extra_forbidden")
    return [".".join(map(str, fault["loc"])) for fault in extra]


def _record(home: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((home / "record.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(
            f"{home / 'record.json'}: cannot be read ({type(error).__name__}); move the folder "
            "away and the stage is made again"
        ) from error
    return record


def _costs(bill: Bill, taken: machine_time.MachineTime) -> dict[str, float]:
    """List what a stage paid and took, and what its calls cost when they were first made."""
    whole = {"cost/simulated_usd": float(bill.simulated_usd)}
    if bill.usd is not None:
        whole["cost/usd"] = whole["cost/service_usd_embodied"] = float(bill.usd)
    return whole | machine_time.metrics(bill.paid(), taken)


def _title(stage: Stage[A], round: int | None) -> str:
    where = "" if round is None else f"r{round}"
    return f"{stage.name:<11}{where:<4}{stage.label:<16}"


@cache
def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide numbers, as far as they are installed."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
