"""What a migration ends with, as data: everything that the terminal and the report say."""

from decimal import Decimal
from typing import Literal, TypeAlias

from llamaduo.cost import Bill
from llamaduo.gate import Decision
from llamaduo.records import Record
from llamaduo.scores import Estimate, Scores
from llamaduo.stages.collect import DataCard
from llamaduo.tracking import Promotion

Stop: TypeAlias = Literal["qualified", "budget", "plateau", "max_rounds", "no_service"]
Result: TypeAlias = Literal["qualified", "not_confirmed", "not_qualified"]


class RoundFacts(Record):
    """One round of the loop, as dev saw it. `seconds` is the time that its stages took to make."""

    number: int
    pool: int
    scores: Scores | None
    decision: Decision
    losses: tuple[tuple[int, float], ...]
    seconds: float
    bill: Bill


class SystemFacts(Record):
    """One system on test: its scores, None where it gave no answer, and how it compares with base.

    `role` is what it is held to be: the candidate, its untuned self, the service, or a copy.
    """

    role: Literal["tuned", "base", "service", "copy"]
    name: str
    scores: Scores | None
    over_base: dict[str, Estimate]


class Example(Record):
    """One test prompt with the answers to it; the scores are (similarity, precision), or None."""

    prompt: str
    reference: str
    base: str
    base_scores: tuple[float, float] | None
    tuned: str
    tuned_scores: tuple[float, float] | None
    service: str | None
    gain: float


class StageFacts(Record):
    """What a stage took when it was made, and whether this run made it."""

    name: str
    label: str
    round: int | None
    seconds: float
    reused: bool
    bill: Bill


class CostFacts(Record):
    """What the migration took, and what a thousand answers take afterwards; unknown is None.

    `spent` is what this run paid, `embodied` what all that it rests on took when it was made.
    `service_usd_per_1000` is nominal where `simulated`.
    """

    spent: Bill
    embodied: Bill
    seconds_spent: float
    seconds_embodied: float
    service_usd_per_1000: Decimal | None
    simulated: bool
    local_seconds_per_1000: float | None
    local_usd_per_1000: Decimal | None


class Outcome(Record):
    """The end of a migration.

    `result` is qualified only where the gate passed on dev and again on test; `not_confirmed`
    where it passed on dev alone. `best` is the round whose model was read on test. `command`
    is what was typed to start it.
    """

    name: str
    task: str
    seed: int
    service: str
    local: str
    judge: str
    judge_is_llm: bool
    gate: str
    stop: Stop
    stop_words: str
    result: Result
    best: int
    rounds: tuple[RoundFacts, ...]
    systems: tuple[SystemFacts, ...]
    decision: Decision
    champion: Promotion | None
    cost: CostFacts
    stages: tuple[StageFacts, ...]
    examples: tuple[Example, ...]
    card: DataCard
    objective: float | None
    run_id: str
    home: str
    command: str

    def system(self, role: str) -> SystemFacts | None:
        """The first system of a role."""
        return next((system for system in self.systems if system.role == role), None)
