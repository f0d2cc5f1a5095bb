"""What a migration ended with, as data; and found again on disk."""

from llamaduo.outcome.outcome import (
    Checked,
    CostFacts,
    Evaluation,
    Example,
    Outcome,
    Paired,
    PromptScores,
    Reading,
    Result,
    RoundFacts,
    Said,
    StageFacts,
    SystemFacts,
)

__all__ = [
    "Checked",
    "CostFacts",
    "Evaluation",
    "Example",
    "Outcome",
    "Paired",
    "PromptScores",
    "Reading",
    "Result",
    "RoundFacts",
    "Said",
    "StageFacts",
    "SystemFacts",
]
