"""`conf/gate` and `conf/yardsticks`: the condition for a champion, and the systems beside it.

`compares` is True in the config of a gate that needs the service LLM's own scores.
"""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from llamaduo.config.base import Config, Count, Score, Share


class RelativeGateConfig(Config):
    """`gate=relative`: a share of the service LLM's own score, on the lower interval bound.

    Attributes:
        kind: the kind of gate.
        name: the name of this choice.
        ratio: the share of the service's mean score that both metrics must reach.
        coverage_at: T of coverage@T, the share of responses that score at least T.
        coverage_share: the share of the service's coverage@T that must be reached, too.
        confidence: the confidence of the interval.
    """

    compares: ClassVar[bool] = True
    kind: Literal["relative"]
    name: str
    ratio: Annotated[float, Field(gt=0)]
    coverage_at: Score
    coverage_share: Annotated[float, Field(ge=0)]
    confidence: Share


class AbsoluteGateConfig(Config):
    """`gate=paper_absolute`: both means at least a threshold, as the paper's code has it.

    Attributes:
        kind: the kind of gate.
        name: the name of this choice.
        threshold: the least mean of similarity and of precision.
        confidence: the confidence of the intervals that are shown.
    """

    compares: ClassVar[bool] = False
    kind: Literal["absolute"]
    name: str
    threshold: Score
    confidence: Share


class NonInferiorGateConfig(Config):
    """`gate=non_inferior`: at most a margin below the service, on the lower interval bound.

    Attributes:
        kind: the kind of gate.
        name: the name of this choice.
        margin: the points that a mean may lie below the service's.
        confidence: the confidence of the interval.
    """

    compares: ClassVar[bool] = True
    kind: Literal["non_inferior"]
    name: str
    margin: Score
    confidence: Share


GateConfig: TypeAlias = Annotated[
    RelativeGateConfig | AbsoluteGateConfig | NonInferiorGateConfig, Field(discriminator="kind")
]


class YardsticksConfig(Config):
    """`yardsticks`: the systems that test is read for beside the tuned model.

    Attributes:
        base: read it for the untuned model.
        few_shot: the training pairs in the prompt of the untuned model; null: it is not asked so.
        service: read it for the service LLM's second answers.
        copies: read it for the prompt itself, and for its first two sentences.
    """

    base: bool
    few_shot: Count | None
    service: bool
    copies: bool
