"""The judge: how close a response is to the service LLM's, how well it answers its prompt."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from llamaduo.artifact import Json
from llamaduo.config import FakeJudgeConfig, JudgeConfig
from llamaduo.records import JudgeFailure, Prompt, Record, Response, Verdict


class Item(Record):
    """One response to judge, with its prompt and the service LLM's recorded answer to it."""

    prompt: Prompt
    reference: str
    response: Response


class Judge(Protocol):
    """A judge."""

    name: str
    version: str

    @property
    def identity(self) -> Mapping[str, Json]:
        """What decides its verdicts: kind, version, weights or model, prompt template."""

    def assess(self, items: Sequence[Item]) -> Iterator[Verdict | JudgeFailure]:
        """A verdict per item, or the cause why there is none, in any order.

        Similarity compares the response with the reference, precision holds it against the prompt;
        both run from 0 to 100, higher is better. A failure is a value, never a score.

        Raises:
            JudgeError: the judge cannot be used at all.
        """


def build(config: JudgeConfig) -> Judge:
    """The judge that the configuration names."""
    if isinstance(config, FakeJudgeConfig):
        from llamaduo.judge.fake import FakeJudge

        return FakeJudge(config)
    from llamaduo.judge.embedding import EmbeddingJudge

    return EmbeddingJudge(config)
