"""The rows that files hold: prompts, pairs, responses and verdicts."""

from typing import Literal, TypeAlias

from pydantic import Field

from llamaduo.records.bill import Bill
from llamaduo.records.record import Record


class Message(Record):
    """One turn of a conversation, in the terms of the OpenAI chat format."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Record):
    """A question to a model: every message up to the answer.

    `id` is unique within its dataset and stays with everything that is made from the prompt.
    """

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)

    @property
    def user(self) -> str:
        """The text of the last user message, the subject of the answer."""
        return next(m.content for m in reversed(self.messages) if m.role == "user")


class Pair(Record):
    """A prompt and the service LLM's answer to it.

    `origin` tells the user's own rows from synthesised ones; a synthesised pair names the
    coverage pair that it was modelled on in `seed_id`.
    """

    prompt: Prompt
    response: str
    origin: Literal["coverage", "synthesis"] = "coverage"
    seed_id: str | None = None

    @property
    def id(self) -> str:
        """The id of the prompt."""
        return self.prompt.id


class Response(Record):
    """Answer k of K of a model to one prompt.

    `prompt_tokens` and `completion_tokens` are counted by the tokenizer of the model that answered
    (None where it has none, as a copy baseline). `finish` is "length" for a text cut by the limit.
    """

    prompt_id: str
    k: int = Field(ge=0)
    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish: Literal["stop", "length"] = "stop"


def _is_nothing(bill: Bill) -> bool:
    return bill == Bill()


class Verdict(Record):
    """A judge's scores of one response: similarity and precision, 0 to 100 each.

    It is repeat `m` of M. `bill` is its cost, and is not written where that is nothing.
    """

    prompt_id: str
    k: int = Field(ge=0)
    m: int = Field(default=0, ge=0)
    similarity: float = Field(ge=0, le=100, allow_inf_nan=False)
    precision: float = Field(ge=0, le=100, allow_inf_nan=False)
    reason: str
    judge: str
    version: str
    bill: Bill = Field(default=Bill(), exclude_if=_is_nothing)


class JudgeFailure(Record):
    """A response that the judge could not score, and why: counted, never averaged in.

    With `final` judging it again cannot help; it is written only where it can.
    """

    prompt_id: str
    k: int = Field(ge=0)
    m: int = Field(default=0, ge=0)
    cause: str
    judge: str
    version: str
    final: bool = Field(default=True, exclude_if=bool)
    bill: Bill = Field(default=Bill(), exclude_if=_is_nothing)


#: A row of a judge on one response: a verdict, or the reason why there is none.
Judgement: TypeAlias = Verdict | JudgeFailure
