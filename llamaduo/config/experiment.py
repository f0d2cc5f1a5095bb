"""`conf/config.yaml`: a whole migration, one choice of each group."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from llamaduo.config.base import Config, Count
from llamaduo.config.cost import Hardware, Workload
from llamaduo.config.gate import GateConfig, YardsticksConfig
from llamaduo.config.hparams import HparamsConfig
from llamaduo.config.judge import JudgeConfig
from llamaduo.config.local import LocalConfig
from llamaduo.config.service import Listed, ServiceConfig
from llamaduo.config.synthesis import SynthesisConfig
from llamaduo.config.task import TaskConfig
from llamaduo.config.tracking import TrackingConfig


class Budget(Config):
    """The limits at which the loop ends with `budget`; null: no limit.

    Attributes:
        usd: the dollars for everything that spends from `purse`, in this run and in all others.
        purse: the name of the account that calls are charged to.
        minutes: the minutes after which no round begins.
    """

    usd: Annotated[Decimal, Field(ge=0)] | None
    purse: Annotated[str, Field(min_length=1)]
    minutes: Annotated[float, Field(gt=0)] | None


class Experiment(Config):
    """A whole migration: one choice of each group, and the values that belong to none.

    Attributes:
        name: the name of the migration.
        seed: the seed of splits, draws, training and sampling.
        min_rounds: the rounds before `qualified` may end the loop.
        max_rounds: the most rounds, the first included.
        objective: the value that a sweep goes by.
        budget: the limits at which the loop ends.
        dry_run: print the plan in place of the migration.
        prices: the price book.
        task: the task and its recorded pairs.
        service: the service LLM.
        local: the local LLM.
        judge: the judge of answers.
        hparams: the adapter and its training.
        synthesis: the growth of the training pool.
        gate: the condition for a champion.
        yardsticks: the systems that test is read for beside the tuned model.
        workload: the workload of the cost decision; it changes no result.
        hardware: the hardware of the cost decision; it changes no result.
        tracking: the place where runs are recorded.
        format: the format of the output; it is in no dump, so it reaches no identity, no record
            and no comparison.
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    min_rounds: Count
    max_rounds: Count
    objective: Literal["dev/similarity_mean", "dev/precision_mean"]
    budget: Budget
    dry_run: bool
    format: Annotated[Literal["text", "json"], Field(exclude=True)]
    prices: dict[str, Listed]
    task: TaskConfig
    service: ServiceConfig
    local: LocalConfig
    judge: JudgeConfig
    hparams: HparamsConfig
    synthesis: SynthesisConfig
    gate: GateConfig
    yardsticks: YardsticksConfig
    workload: Workload
    hardware: Hardware
    tracking: TrackingConfig

    @model_validator(mode="after")
    def _rounds_in_order(self) -> "Experiment":
        if self.min_rounds > self.max_rounds:
            raise ValueError(f"min_rounds {self.min_rounds} exceeds max_rounds {self.max_rounds}")
        return self

    @model_validator(mode="after")
    def _gate_has_its_yardstick(self) -> "Experiment":
        if not self.yardsticks.service and self.gate.compares:
            raise ValueError(
                f"yardsticks.service is false, and gate={self.gate.name} compares with the "
                "service's own answers; leave it true, or use gate=paper_absolute"
            )
        return self
