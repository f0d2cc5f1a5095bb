"""`conf/judge`: the judges, and the parts that a choice of one consists of."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from llamaduo.config.base import Config, Count, Share
from llamaduo.config.service import ServiceConfig


class EmbeddingJudgeConfig(Config):
    """`judge=embedding`: sentence embeddings and ROUGE-L, checked by rules; no LLM."""

    kind: Literal["embedding"]
    name: str
    weights: str


class OverlapJudgeConfig(Config):
    """`judge=overlap`: shared words and letters, checked by rules; no model at all."""

    kind: Literal["overlap"]
    name: str


class LlmJudgeConfig(Config):
    """`judge=llm`: a service LLM says how similar and how precise a response is.

    `client` is the service that judges, `repeats` the verdicts on each response (M), `max_tokens`
    the cap on one verdict, `prompt` the file of `llamaduo/judge/prompts` that asks for it. With
    `sequential` a candidate's repeats end once the gate's decision is settled: the chance that
    those left out would have turned it is `error`, for each decision, or less.
    """

    kind: Literal["llm"]
    name: str
    client: ServiceConfig
    repeats: Count
    sequential: bool
    error: Share
    max_tokens: Count
    prompt: str


class FakeJudgeConfig(Config):
    """`judge=fake`: word overlap, for trying the loop and for tests."""

    kind: Literal["fake"]
    name: str


MemberConfig: TypeAlias = Annotated[
    EmbeddingJudgeConfig | OverlapJudgeConfig | LlmJudgeConfig | FakeJudgeConfig,
    Field(discriminator="kind"),
]


class PanelJudgeConfig(Config):
    """`judge=panel`: several judges at once, each under a name of its own in `members`."""

    kind: Literal["panel"]
    name: str
    members: Annotated[dict[str, MemberConfig], Field(min_length=2)]


ScoringConfig: TypeAlias = Annotated[MemberConfig | PanelJudgeConfig, Field(discriminator="kind")]


class PairwiseJudgeConfig(Config):
    """`judge=pairwise`: beside what another judge scores, which of two answers an LLM prefers.

    `scores` is the judge that the gate goes by. On test, `client` is shown each of the tuned
    model's answers with the service's own, in both orders, by the file `prompt` of
    `llamaduo/judge/prompts/pairwise`.
    """

    kind: Literal["pairwise"]
    name: str
    scores: ScoringConfig
    client: ServiceConfig
    max_tokens: Count
    prompt: str


JudgeConfig: TypeAlias = Annotated[ScoringConfig | PairwiseJudgeConfig, Field(discriminator="kind")]


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
