"""The judge: how close a response is to the service LLM's, how well it answers its prompt."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from llamaduo.artifact import Json
from llamaduo.config import (
    FakeJudgeConfig,
    JudgeConfig,
    LlmJudgeConfig,
    MemberConfig,
    OverlapJudgeConfig,
    PairwiseJudgeConfig,
    PanelJudgeConfig,
    ServiceConfig,
)
from llamaduo.cost import Bill
from llamaduo.records import JudgeFailure, Prompt, Record, Response, Verdict
from llamaduo.service import Setting
from llamaduo.text import words

NO_BILL = Bill()


class Item(Record):
    """One response to judge, with its prompt and the service LLM's recorded answer to it.

    `wanted` says which of the M repeats are still to be had; None: all.
    """

    prompt: Prompt
    reference: str
    response: Response
    wanted: tuple[int, ...] | None = None

    def verdict(
        self,
        by: "Judge",
        similarity: float,
        precision: float,
        reason: str,
        *,
        m: int = 0,
        bill: Bill = NO_BILL,
    ) -> Verdict:
        """What a judge says of it."""
        return Verdict(
            prompt_id=self.prompt.id,
            k=self.response.k,
            m=m,
            similarity=similarity,
            precision=precision,
            reason=reason,
            judge=by.name,
            version=by.version,
            bill=bill,
        )

    def failure(
        self,
        by: "Judge",
        cause: str,
        *,
        m: int = 0,
        final: bool = True,
        bill: Bill = NO_BILL,
    ) -> JudgeFailure:
        """That a judge cannot score it, and why."""
        return JudgeFailure(
            prompt_id=self.prompt.id,
            k=self.response.k,
            m=m,
            cause=cause,
            judge=by.name,
            version=by.version,
            final=final,
            bill=bill,
        )

    @property
    def nothing_to_hold_against(self) -> str | None:
        """Why its prompt has no words that an answer could be held against, if it has none."""
        if not any(message.role == "user" for message in self.prompt.messages):
            return "the prompt has no user message to hold the answer against"
        if not words(self.prompt.user):
            return "the prompt's last user message has no words"
        return None


class Judge(Protocol):
    """A judge."""

    name: str
    version: str

    @property
    def repeats(self) -> int:
        """M: how many verdicts it gives on each response."""

    @property
    def identity(self) -> Mapping[str, Json]:
        """What decides its verdicts: kind, version, weights or model, prompt template."""

    def assess(self, items: Sequence[Item]) -> Iterator[Verdict | JudgeFailure]:
        """M rows per item, or those `wanted`: verdicts, or causes why there is none, in any order.

        Similarity compares the response with the reference, precision holds it against the prompt;
        both run from 0 to 100, higher is better. `m` tells the repeats apart. A failure is a value,
        never a score.

        Raises:
            JudgeError: the judge cannot be used at all.
            ServiceError: the service LLM that it asks cannot be used, or not within the budget.
        """


def scoring(config: JudgeConfig) -> dict[str, MemberConfig]:
    """The judges whose scores count, by the name that their rows bear, and have here, too."""
    if isinstance(config, PairwiseJudgeConfig):
        return scoring(config.scores)
    if isinstance(config, PanelJudgeConfig):
        members = config.members.items()
        return {name: one.model_copy(update={"name": name}) for name, one in members}
    return {config.name: config}


def clients(config: JudgeConfig) -> dict[str, ServiceConfig]:
    """The services that a judge asks, by where they are in the configuration."""
    found: dict[str, ServiceConfig] = {}

    def look(at: str, one: JudgeConfig) -> None:
        if isinstance(one, LlmJudgeConfig | PairwiseJudgeConfig):
            found[f"{at}.client"] = one.client
        if isinstance(one, PairwiseJudgeConfig):
            look(f"{at}.scores", one.scores)
        if isinstance(one, PanelJudgeConfig):
            for name, member in one.members.items():
                look(f"{at}.members.{name}", member)

    look("judge", config)
    return found


def build(config: JudgeConfig, setting: Setting) -> Judge:
    """The judge whose scores count, with the service LLM that it asks, if any.

    A panel's member goes by the name that it has in the panel. What `judge=pairwise` adds is built
    by `pairwise.build`.
    """
    if isinstance(config, PairwiseJudgeConfig):
        return build(config.scores, setting)
    if isinstance(config, PanelJudgeConfig):
        from llamaduo.judge.panel import PanelJudge

        return PanelJudge(config.name, [build(one, setting) for one in scoring(config).values()])
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
