"""The records of the request ledger: an answer, a call in flight, a purse; and an answer's row."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from llamaduo.records import Bill
from llamaduo.service.protocol import Completion, Failure


@dataclass(frozen=True)
class KeptAnswer:
    """The answer to a request, whoever made it: a text, or the cause of a failure.

    `final` says of a failure that asking again cannot help. Only final failures are kept.
    """

    text: str | None
    cause: str | None
    model: str
    finish: Literal["stop", "length"]
    bill: Bill
    final: bool = True

    def outcome(self, request_id: str, *, kept: bool) -> Completion | Failure:
        """Return the outcome of one request; `kept` says that the answer was paid for before."""
        bill = self.bill.kept() if kept else self.bill
        if self.text is None:
            cause = self.cause or ""
            return Failure(request_id=request_id, cause=cause, final=self.final, bill=bill)
        return Completion(
            request_id=request_id,
            text=self.text,
            model=self.model,
            bill=bill,
            finish=self.finish,
        )


@dataclass(frozen=True)
class PendingCall:
    """A call in flight: its key, its highest cost in US dollars, its start in Unix seconds."""

    key: str
    worst: Decimal
    began: float


@dataclass(frozen=True)
class Purse:
    """US dollars spent under one name, and those reserved for the calls in flight."""

    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    def plus(self, spent: Decimal, reserved: Decimal) -> "Purse":
        """Return the purse with these amounts added."""
        return Purse(self.spent + spent, self.reserved + reserved)


AnswerRow = tuple[str, int, int, str | None]
"""The columns answer, input_tokens, output_tokens and usd of the table `answers`."""


def row_of(answer: KeptAnswer) -> AnswerRow:
    """Return an answer as the columns of its row."""
    bill = answer.bill
    facts: dict[str, str | int] = {"model": answer.model, "finish": answer.finish}
    facts |= {"cause": answer.cause or ""} if answer.text is None else {"text": answer.text}
    if bill.calls != 1:
        facts["calls"] = bill.calls
    if bill.estimated_calls:
        facts["estimated_calls"] = bill.estimated_calls
    if bill.simulated_usd:
        facts["simulated_usd"] = str(bill.simulated_usd)
    usd = None if bill.usd is None else str(bill.usd)
    return json.dumps(facts, ensure_ascii=False), bill.input_tokens, bill.output_tokens, usd


def answer_of(row: AnswerRow) -> KeptAnswer:
    """Return the answer that a row holds.

    Raises:
        sqlite3.DatabaseError: its answer is not JSON.
    """
    content, input_tokens, output_tokens, usd = row
    try:
        facts: Mapping[str, str | int] = json.loads(content)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"an answer is not JSON: {error}") from error
    bill = Bill(
        calls=int(facts.get("calls", 1)),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        usd=None if usd is None else Decimal(usd),
        simulated_usd=Decimal(facts.get("simulated_usd", 0)),
        estimated_calls=int(facts.get("estimated_calls", 0)),
    )
    text, cause = facts.get("text"), facts.get("cause")
    return KeptAnswer(
        text=None if text is None else str(text),
        cause=None if cause is None else str(cause),
        model=str(facts["model"]),
        finish="length" if facts["finish"] == "length" else "stop",
        bill=bill,
    )
