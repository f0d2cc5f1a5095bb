"""What a lab did for the stages of a run, and what they took."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from llamaduo.lab.artifact import Artifact
from llamaduo.lab.stage import label_of
from llamaduo.money import machine_time
from llamaduo.records import Bill


@dataclass(frozen=True)
class StageRun:
    """A stage that a lab built in `seconds`, or found (`reused`), and its artifact.

    `made` is the time in ISO form at which it was built, `versions` the libraries that it was built
    with, `taken` what its machine took then.
    """

    name: str
    system: str
    split: str
    round: int | None
    fingerprint: str
    seconds: float
    reused: bool
    made: str
    versions: Mapping[str, str]
    taken: machine_time.MachineTime
    artifact: Artifact

    @property
    def label(self) -> str:
        """The system and the split, as people read them."""
        return label_of(self.system, self.split)

    @property
    def bill(self) -> Bill:
        """The bill of the service LLM when the stage was built."""
        return self.artifact.bill


@dataclass
class StageRuns:
    """The stage runs of a migration, in order."""

    runs: list[StageRun] = field(default_factory=list)

    def __iter__(self) -> Iterator[StageRun]:
        """Iterate over them in order."""
        return iter(self.runs)

    def add(self, run: StageRun) -> None:
        """Append a run."""
        self.runs.append(run)

    def named(self, name: str) -> list[StageRun]:
        """List the runs of one kind of stage."""
        return [run for run in self.runs if run.name == name]

    def built(self) -> list[StageRun]:
        """List the runs that were built, not found."""
        return [run for run in self.runs if not run.reused]

    def spent(self) -> Bill:
        """Add up what the stages that were built took of the service LLM, and paid anew."""
        return Bill.total(run.bill.paid() for run in self.built())

    def embodied(self) -> tuple[Bill, float]:
        """Add up what all stages took when they were built, and the seconds; each counted once."""
        once = self._once()
        return Bill.total(run.bill for run in once), sum(run.seconds for run in once)

    def taken(self) -> tuple[machine_time.MachineTime, machine_time.MachineTime]:
        """Add up the machine time of the stages built now, and of all when they were built."""
        built = machine_time.total(run.taken for run in self.built())
        return built, machine_time.total(run.taken for run in self._once())

    def _once(self) -> Iterable[StageRun]:
        return {(run.name, run.fingerprint): run for run in self.runs}.values()
