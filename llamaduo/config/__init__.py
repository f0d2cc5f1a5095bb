"""`conf/` as the code sees it: one file for each group, frozen, checked, and without a default.

Each class is one group of `conf/`; its values come from there and from the command line. A `kind`
field picks the implementation. What changes where or how fast something runs, and not its result,
lies in a `Runtime` and stays out of every identity.
"""

from llamaduo.config.base import (
    Config,
    Count,
    Score,
    Share,
)
from llamaduo.config.cost import (
    Ceiling,
    Change,
    Hardware,
    NotNegative,
    OneOff,
    Part,
    Positive,
    Quantity,
    Upkeep,
    Volume,
    Workload,
)
from llamaduo.config.experiment import (
    Budget,
    Experiment,
)
from llamaduo.config.gate import (
    AbsoluteGateConfig,
    GateConfig,
    NonInferiorGateConfig,
    RelativeGateConfig,
    YardsticksConfig,
)
from llamaduo.config.hparams import (
    EarlyStopping,
    HparamsConfig,
    HparamsRuntime,
)
from llamaduo.config.judge import (
    EmbeddingJudgeConfig,
    FakeJudgeConfig,
    JudgeConfig,
    LlmJudgeConfig,
    MemberConfig,
    OverlapJudgeConfig,
    PairwiseJudgeConfig,
    PanelJudgeConfig,
    ScoringConfig,
)
from llamaduo.config.local import (
    FakeLocalConfig,
    HfLocalConfig,
    LocalConfig,
    LocalRuntime,
    Sampling,
)
from llamaduo.config.service import (
    ApiServiceConfig,
    FakeServiceConfig,
    Limits,
    Listed,
    RecordedServiceConfig,
    ServiceConfig,
    ServiceRuntime,
)
from llamaduo.config.synthesis import (
    Dedup,
    SynthesisConfig,
)
from llamaduo.config.task import (
    Split,
    TaskConfig,
)
from llamaduo.config.tracking import (
    MemoryTrackingConfig,
    MlflowTrackingConfig,
    TrackingConfig,
)

__all__ = [
    "AbsoluteGateConfig",
    "ApiServiceConfig",
    "Budget",
    "Ceiling",
    "Change",
    "Config",
    "Count",
    "Dedup",
    "EarlyStopping",
    "EmbeddingJudgeConfig",
    "Experiment",
    "FakeJudgeConfig",
    "FakeLocalConfig",
    "FakeServiceConfig",
    "GateConfig",
    "Hardware",
    "HfLocalConfig",
    "HparamsConfig",
    "HparamsRuntime",
    "JudgeConfig",
    "Limits",
    "Listed",
    "LlmJudgeConfig",
    "LocalConfig",
    "LocalRuntime",
    "MemberConfig",
    "MemoryTrackingConfig",
    "MlflowTrackingConfig",
    "NonInferiorGateConfig",
    "NotNegative",
    "OneOff",
    "OverlapJudgeConfig",
    "PairwiseJudgeConfig",
    "PanelJudgeConfig",
    "Part",
    "Positive",
    "Quantity",
    "RecordedServiceConfig",
    "RelativeGateConfig",
    "Sampling",
    "Score",
    "ScoringConfig",
    "ServiceConfig",
    "ServiceRuntime",
    "Share",
    "Split",
    "SynthesisConfig",
    "TaskConfig",
    "TrackingConfig",
    "Upkeep",
    "Volume",
    "Workload",
    "YardsticksConfig",
]
