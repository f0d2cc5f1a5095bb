"""Judges: they score an answer. `build` makes the one that the configuration names."""

from llamaduo.config import (
    FakeJudgeConfig,
    JudgeConfig,
    LlmJudgeConfig,
    OverlapJudgeConfig,
    PairwiseJudgeConfig,
    PanelJudgeConfig,
)
from llamaduo.judge.protocol import NO_BILL, Item, Judge
from llamaduo.service import ServiceContext

__all__ = ["NO_BILL", "Item", "Judge", "build"]


def build(config: JudgeConfig, context: ServiceContext) -> Judge:
    """Return the judge whose scores count, with the service LLM that it asks, if any.

    A panel's member has the name that it has in the panel. `pairwise.build` makes the part that
    `judge=pairwise` adds.
    """
    if isinstance(config, PairwiseJudgeConfig):
        return build(config.scores, context)
    if isinstance(config, PanelJudgeConfig):
        from llamaduo.judge.panel import PanelJudge

        members = config.scorers().values()
        return PanelJudge(config.name, [build(member, context) for member in members])
    if isinstance(config, LlmJudgeConfig):
        from llamaduo.judge.llm import LlmJudge
        from llamaduo.service import build as build_service

        return LlmJudge(config, build_service(config.client, context))
    if isinstance(config, FakeJudgeConfig):
        from llamaduo.judge.fake import FakeJudge

        return FakeJudge(config)
    if isinstance(config, OverlapJudgeConfig):
        from llamaduo.judge.overlap import OverlapJudge

        return OverlapJudge(config)
    from llamaduo.judge.embedding import EmbeddingJudge

    return EmbeddingJudge(config)
