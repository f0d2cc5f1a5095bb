"""Who scores an answer, and which judge is built."""

from llamaduo.config import (
    FakeJudgeConfig,
    JudgeConfig,
    LlmJudgeConfig,
    OverlapJudgeConfig,
    PairwiseJudgeConfig,
    PanelJudgeConfig,
)
from llamaduo.judge.protocol import NO_BILL, Item, Judge
from llamaduo.service import Setting

__all__ = ["NO_BILL", "Item", "Judge", "build"]


def build(config: JudgeConfig, setting: Setting) -> Judge:
    """The judge whose scores count, with the service LLM that it asks, if any.

    A panel's member goes by the name that it has in the panel. What `judge=pairwise` adds is built
    by `pairwise.build`.
    """
    if isinstance(config, PairwiseJudgeConfig):
        return build(config.scores, setting)
    if isinstance(config, PanelJudgeConfig):
        from llamaduo.judge.panel import PanelJudge

        return PanelJudge(
            config.name, [build(member, setting) for member in config.scorers().values()]
        )
    if isinstance(config, LlmJudgeConfig):
        from llamaduo import service
        from llamaduo.judge.llm import LlmJudge

        return LlmJudge(config, service.build(config.client, setting))
    if isinstance(config, FakeJudgeConfig):
        from llamaduo.judge.fake import FakeJudge

        return FakeJudge(config)
    if isinstance(config, OverlapJudgeConfig):
        from llamaduo.judge.overlap import OverlapJudge

        return OverlapJudge(config)
    from llamaduo.judge.embedding import EmbeddingJudge

    return EmbeddingJudge(config)
