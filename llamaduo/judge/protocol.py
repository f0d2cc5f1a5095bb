"""A judge as its callers see it: what it is given, and what it says of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from llamaduo.base.files import Json
from llamaduo.base.text import words
from llamaduo.records import Bill, JudgeFailure, Judgement, Prompt, Record, Response, Verdict

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
    def prompt_fault(self) -> str | None:
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

    def assess(self, items: Sequence[Item]) -> Iterator[Judgement]:
        """M rows per item, or those `wanted`: verdicts, or causes why there is none, in any order.

        Similarity compares the response with the reference, precision holds it against the prompt;
        both run from 0 to 100, higher is better. `m` tells the repeats apart. A failure is a value,
        never a score.

        Raises:
            JudgeError: the judge cannot be used at all.
            ServiceError: the service LLM that it asks cannot be used, or not within the budget.
        """
