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
    """What a migration may take before the loop ends with `budget`; null: no limit.

    `usd` is for all that spends from the same `purse`, in this run and in others, ever.
    """

    usd: Annotated[Decimal, Field(ge=0)] | None
    purse: Annotated[str, Field(min_length=1)]
    minutes: Annotated[float, Field(gt=0)] | None


class Experiment(Config):
    """A whole migration: one choice of each group, and the values that belong to none.

    `dry_run` asks for the plan of it in place of the migration. `workload` and `hardware` are what
    the cost decision at its end is for; they decide no result. `format` is that of the output: it
    is in no dump, so it reaches no identity, no record and no comparison.
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
