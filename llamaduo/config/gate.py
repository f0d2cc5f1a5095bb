"""`conf/gate` and `conf/yardsticks`: when a model is good enough, and what it is held against.

A gate config says by `compares` whether the gate needs the service LLM's own scores.
"""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from llamaduo.config.base import Config, Count, Score, Share


class RelativeGateConfig(Config):
    """`gate=relative`: a share of the service LLM's own score, on the lower interval bound.

    The share of responses that reach `coverage_at` must be `coverage_share` of the service's, too.
    """

    compares: ClassVar[bool] = True
    kind: Literal["relative"]
    name: str
    ratio: Annotated[float, Field(gt=0)]
    coverage_at: Score
    coverage_share: Annotated[float, Field(ge=0)]
    confidence: Share


class AbsoluteGateConfig(Config):
    """`gate=paper_absolute`: both means at least `threshold`, as the paper's code has it."""

    compares: ClassVar[bool] = False
    kind: Literal["absolute"]
    name: str
    threshold: Score
    confidence: Share


class NonInferiorGateConfig(Config):
    """`gate=non_inferior`: at most `margin` points below the service, on the lower bound."""

    compares: ClassVar[bool] = True
    kind: Literal["non_inferior"]
    name: str
    margin: Score
    confidence: Share


GateConfig: TypeAlias = Annotated[
    RelativeGateConfig | AbsoluteGateConfig | NonInferiorGateConfig, Field(discriminator="kind")
]


class YardsticksConfig(Config):
    """`yardsticks`: what test is read for beside the tuned model; false or null: not at all.

    `few_shot` is the number of training pairs that the untuned model is shown in its prompt.
    """

    base: bool
    few_shot: Count | None
    service: bool
    copies: bool
