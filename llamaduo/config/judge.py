"""`conf/judge`: the judges, and the parts that one consists of."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field

from llamaduo.config.base import Config, Count, Share
from llamaduo.config.service import ServiceConfig


class SingleJudgeConfig(Config):
    """A judge that scores by itself, not through others.

    Attributes:
        kind: the kind of judge.
        name: the name of this choice, which its verdicts bear.
    """

    kind: str
    name: str

    def scorers(self) -> Mapping[str, Self]:
        """Return the judges whose scores count, by the name that their rows bear."""
        return {self.name: self}

    def clients(self, at: str = "judge") -> dict[str, ServiceConfig]:
        """Return the services that it asks, by their place below `at` in the configuration."""
        return {}


class EmbeddingJudgeConfig(SingleJudgeConfig):
    """`judge=embedding`: sentence embeddings and ROUGE-L, checked by rules; no LLM.

    Attributes:
        kind: the kind of judge.
        name: the name of this choice, which its verdicts bear.
        weights: the package or folder with the embedding model.
    """

    kind: Literal["embedding"]
    name: str
    weights: str


class OverlapJudgeConfig(SingleJudgeConfig):
    """`judge=overlap`: shared words and letters, checked by rules; no model at all.

    Attributes:
        kind: the kind of judge.
        name: the name of this choice, which its verdicts bear.
    """

    kind: Literal["overlap"]
    name: str


class LlmJudgeConfig(SingleJudgeConfig):
    """`judge=llm`: a service LLM scores how similar and how precise a response is.

    Attributes:
        kind: the kind of judge.
        name: the name of this choice, which its verdicts bear.
        client: the service that judges.
        repeats: the verdicts on each response (M).
        sequential: end a candidate's repeats once the gate's decision is settled.
        error: the most chance, for each decision, that repeats left out would have turned it.
        max_tokens: the most tokens of one verdict.
        prompt: the file of `llamaduo/judge/prompts` that asks for a verdict.
    """

    kind: Literal["llm"]
    name: str
    client: ServiceConfig
    repeats: Count
    sequential: bool
    error: Share
    max_tokens: Count
    prompt: str

    def clients(self, at: str = "judge") -> dict[str, ServiceConfig]:
        """Return the service that it asks, by its place below `at` in the configuration."""
        return {f"{at}.client": self.client}


class FakeJudgeConfig(SingleJudgeConfig):
    """`judge=fake`: word overlap, for trying the loop and for tests.

    Attributes:
        kind: the kind of judge.
        name: the name of this choice, which its verdicts bear.
    """

    kind: Literal["fake"]
    name: str


MemberConfig: TypeAlias = Annotated[
    EmbeddingJudgeConfig | OverlapJudgeConfig | LlmJudgeConfig | FakeJudgeConfig,
    Field(discriminator="kind"),
]


class PanelJudgeConfig(Config):
    """`judge=panel`: several judges at once.

    Attributes:
        kind: the kind of judge.
        name: the name of this choice.
        members: the judges, by the name that their verdicts bear.
    """

    kind: Literal["panel"]
    name: str
    members: Annotated[dict[str, MemberConfig], Field(min_length=2)]

    def scorers(self) -> Mapping[str, MemberConfig]:
        """Return the members, each called by its name in the panel."""
        return {
            name: member.model_copy(update={"name": name}) for name, member in self.members.items()
        }

    def clients(self, at: str = "judge") -> dict[str, ServiceConfig]:
        """Return the services that its members ask, by their places below `at`."""
        return {
            place: client
            for name, member in self.members.items()
            for place, client in member.clients(f"{at}.members.{name}").items()
        }


ScoringConfig: TypeAlias = Annotated[MemberConfig | PanelJudgeConfig, Field(discriminator="kind")]


class PairwiseJudgeConfig(Config):
    """`judge=pairwise`: an LLM that prefers one of two answers, beside a judge that scores.

    On test it is shown each of the tuned model's answers with the service's own, in both orders.

    Attributes:
        kind: the kind of judge.
        name: the name of this choice.
        scores: the judge that the gate goes by.
        client: the service that is asked for its preference.
        max_tokens: the most tokens of one preference.
        prompt: the file of `llamaduo/judge/prompts/pairwise` that asks for it.
    """

    kind: Literal["pairwise"]
    name: str
    scores: ScoringConfig
    client: ServiceConfig
    max_tokens: Count
    prompt: str

    def scorers(self) -> Mapping[str, MemberConfig]:
        """Return the judges whose scores count: those of `scores`."""
        return self.scores.scorers()

    def clients(self, at: str = "judge") -> dict[str, ServiceConfig]:
        """Return its own service and those of `scores`, by their places below `at`."""
        return {f"{at}.client": self.client, **self.scores.clients(f"{at}.scores")}


JudgeConfig: TypeAlias = Annotated[ScoringConfig | PairwiseJudgeConfig, Field(discriminator="kind")]
