"""The contract of a judge: the item that it is given, and the rows that it returns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from llamaduo.base.files import Json
from llamaduo.base.text import words
from llamaduo.records import Bill, JudgeFailure, Judgement, Prompt, Record, Response, Verdict

NO_BILL = Bill()


class Item(Record):
    """A response to judge, with its prompt and the service LLM's recorded answer to the prompt.

    `wanted` has the numbers of the repeats, of M, that are still missing; None: all.
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
        """Return a judge's verdict on this item."""
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
        """Return the failure of a judge that cannot score this item, with the cause."""
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
        """The reason why no answer can be compared with the prompt, or None where one can."""
        if not any(message.role == "user" for message in self.prompt.messages):
            return "the prompt has no user message to hold the answer against"
        if not words(self.prompt.user):
            return "the prompt's last user message has no words"
        return None


class Judge(Protocol):
    """Scores responses; `name` and `version` stand in each of its rows."""

    name: str
    version: str

    @property
    def repeats(self) -> int:
        """M, the number of verdicts on each response."""

    @property
    def identity(self) -> Mapping[str, Json]:
        """All that decides its verdicts: kind, version, weights or model, prompt template."""

    def assess(self, items: Sequence[Item]) -> Iterator[Judgement]:
        """Yield M rows for each item, or those `wanted`, in any order: verdicts or failures.

        Similarity compares the response with the reference, precision compares it with the prompt.
        Both run from 0 to 100, and higher is better. `m` is the number of the repeat. A failure
        is a row of its own, never a score.

        Raises:
            JudgeError: the judge cannot be used at all.
            ServiceError: the service LLM that it asks cannot be used, or not within the budget.
        """
