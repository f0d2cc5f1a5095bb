"""What a migration ends with, as data: everything that the terminal and the report say."""

from decimal import Decimal
from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from llamaduo.gate import GateDecision
from llamaduo.judge.anchors import AnchorTable
from llamaduo.judge.pairwise import WinRate
from llamaduo.migration.loop import Stop
from llamaduo.money.decision import CostDecision
from llamaduo.money.machine_time import MachineTime
from llamaduo.records import Bill, Record
from llamaduo.stages.collect import DataCard
from llamaduo.stats.agreement import Agreement
from llamaduo.stats.bias import LengthBias, SelfPreference
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.scores import Comparison, Scores
from llamaduo.stats.table import Metric
from llamaduo.tracking import Promotion

Result: TypeAlias = Literal["qualified", "not_confirmed", "not_qualified"]


class RoundFacts(Record):
    """One round of the loop, as dev saw it. `seconds` is the time that its stages took to make.

    `tokens` went through the model in training.
    """

    number: int
    pool: int
    tokens: int
    scores: Scores | None
    decision: GateDecision
    losses: tuple[tuple[int, float], ...]
    seconds: float
    bill: Bill


class PromptScores(Record):
    """The scores of a system's answers to one prompt, answer by answer."""

    prompt_id: str
    similarity: tuple[float, ...]
    precision: tuple[float, ...]

    def of(self, metric: Metric) -> tuple[float, ...]:
        """Return the scores in one metric."""
        return self.similarity if metric == "similarity" else self.precision


class SystemFacts(Record):
    """One system on test: its scores, None where it gave no answer, and how it compares with base.

    `role` is what it is held to be: the candidate, its untuned self (shown examples or not), the
    service, or a copy. `prompts` has what was judged, prompt by prompt; `over_base_p` the
    permutation p-values of the differences to base. `absent` says why it was not asked at all.
    """

    role: Literal["tuned", "base", "few_shot", "service", "copy"]
    name: str
    scores: Scores | None
    over_base: dict[str, Estimate]
    prompts: tuple[PromptScores, ...]
    over_base_p: dict[str, float] = Field(default_factory=dict)
    absent: str | None = None


class Reading(Record):
    """One judge's scores of one system's answers to one split.

    `pool` is the number of pairs that the system was trained on, 0 for one that was not; `round` is
    that of a reading of dev. `scores` is None where not one judgement succeeded.
    """

    judge: str
    system: str
    split: Literal["dev", "test"]
    round: int | None
    pool: int
    scores: Scores | None
    prompts: tuple[PromptScores, ...]


class Paired(Record):
    """One system of a run less another, on the prompts of test that both have."""

    system: str
    other: str
    metric: Metric
    found: Comparison


class Checked(Record):
    """How a judge does against a person on the answers of tuned that the person scored.

    `rho` is Spearman's, None as `words` say; `less` is the judge's mean less the person's, with an
    interval clustered by prompt.
    """

    person: str
    judge: str
    metric: Metric
    rho: float | None
    less: Estimate | None
    answers: int
    words: str


class Evaluation(Record):
    """How far the figures on test can be believed: beside them, never in the gate.

    `comparisons` pairs systems prompt by prompt. `agreements`, of several judges only, is of each
    metric; `lengths` and `preferences` are by metric, of each judge. `anchors` has what each judge
    gave to answers whose order is known, `people` how the judges do against those who looked.
    `pairwise` is tuned against the service, where that was asked for.
    """

    comparisons: tuple[Paired, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    lengths: dict[Metric, tuple[LengthBias, ...]] = Field(default_factory=dict)
    preferences: dict[Metric, tuple[SelfPreference, ...]] = Field(default_factory=dict)
    anchors: tuple[AnchorTable, ...] = ()
    people: tuple[Checked, ...] = ()
    pairwise: WinRate | None = None


class Said(Record):
    """One answer of a system, None where it gave none, and what the judge says of it.

    `scores` are (similarity, precision), or None where it was not judged; `reason` then says why.
    """

    text: str | None
    scores: tuple[float, float] | None
    reason: str


class Example(Record):
    """One test prompt with the answers to it; `gain` is in similarity, tuned over base."""

    prompt_id: str
    prompt: str
    reference: str
    base: Said
    tuned: Said
    service: Said
    gain: float


class StageFacts(Record):
    """What a stage took when it was made, and whether this run made it.

    `tokens` by what became of them (read, written, trained on), as far as they were counted;
    `made` is a time in ISO form; `other_versions` are those of libraries that have changed since.
    `taken` is what its machine took, None in an outcome of before that was kept. `system` and
    `split` say whose answers to which prompts it is of; `label` has both, as people read them.
    """

    name: str
    label: str
    system: str = ""
    split: str = ""
    round: int | None
    fingerprint: str
    seconds: float
    reused: bool
    made: str
    bill: Bill
    tokens: dict[str, int]
    other_versions: dict[str, str]
    taken: MachineTime | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, facts: Any) -> Any:
        # An outcome of version 0.1.0 has them in the label alone.
        if isinstance(facts, dict) and "system" not in facts and " · " in facts.get("label", ""):
            system, _, split = facts["label"].rpartition(" · ")
            return {**facts, "system": system, "split": split}
        return facts


class CostFacts(Record):
    """What the migration took, and what a thousand answers take afterwards; unknown is None.

    `spent` is what this run paid, `embodied` what all that it rests on took when it was made;
    `taken_spent` and `taken_embodied` are the machine's part of it. `service_usd_per_1000` is
    nominal where `simulated`. `decision` is that of the configured workload and hardware, None
    where `undecided` says what is missing. What has a default is None in an older outcome.
    """

    spent: Bill
    embodied: Bill
    seconds_spent: float
    seconds_embodied: float
    service_usd_per_1000: Decimal | None
    simulated: bool
    local_seconds_per_1000: float | None
    local_usd_per_1000: Decimal | None
    taken_spent: MachineTime | None = None
    taken_embodied: MachineTime | None = None
    decision: CostDecision | None = None
    undecided: str | None = None


class Outcome(Record):
    """The end of a migration.

    `result` is qualified only where the gate passed on dev and again on test; `not_confirmed`
    where it passed on dev alone. `best` is the round whose model was read on test. `yardstick` is
    what the service's second answers score on dev. `examples` run from the largest gain to the
    largest loss. `command` is what was typed to start it, `config` what that came to; neither has a
    secret in it. `identities` says which weights, recordings and rules the parts are. `readings`
    has what is drawn and compared, judge by judge; `test_set` is the digest of test. Those two and
    `evaluation` are empty in an outcome of before they were kept.
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
    yardstick: Scores | None
    systems: tuple[SystemFacts, ...]
    decision: GateDecision
    champion: Promotion | None
    cost: CostFacts
    stages: tuple[StageFacts, ...]
    examples: tuple[Example, ...]
    card: DataCard
    objective: float | None
    run_id: str
    home: str
    command: str
    config: dict[str, Any]
    identities: dict[str, Any]
    versions: dict[str, str]
    readings: tuple[Reading, ...] = ()
    test_set: str | None = None
    evaluation: Evaluation = Evaluation()

    def system(self, role: str) -> SystemFacts | None:
        """Return the first system of a role; None where there is none."""
        return next((system for system in self.systems if system.role == role), None)
