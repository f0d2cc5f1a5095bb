"""The service LLM as callers see it: what is asked of it, and what it answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, Field

from llamaduo.base.files import Json, fingerprint
from llamaduo.config import Budget, Listed
from llamaduo.records import Bill, Message, Price, Record


class Form(Record):
    """The form that an answer shall have: a JSON schema, sent where the provider takes one."""

    name: str = Field(pattern=r"^[a-z_]+$")
    json_schema: dict[str, Any]


class Request(Record):
    """One call to a service LLM.

    `sample` tells apart requests for the same text that want answers of their own. `purpose` says
    in a word what is asked (answer, synthesis, judge, repair), for people who read a recording.
    """

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    sample: int = Field(default=0, ge=0)
    form: Form | None = None
    purpose: str = ""

    @property
    def key(self) -> str:
        """Stands for all that decides the answer: everything but the caller's `id` and purpose."""
        facts = self.model_dump(mode="json", exclude={"id", "purpose"}, exclude_none=True)
        return fingerprint("request", facts)


def _whole(text: str) -> str:
    # Half a surrogate pair, which no file can hold.
    return text.encode("utf-8", "replace").decode()


class Completion(Record):
    """The answer to one request and what it took. `finish` is "length" for a text cut short.

    The text is valid Unicode: half a surrogate pair becomes a question mark.
    """

    request_id: str
    text: Annotated[str, AfterValidator(_whole)]
    model: str
    bill: Bill
    finish: Literal["stop", "length"] = "stop"


class Failure(Record):
    """A request that got no answer, and why. `final` says that asking again cannot help.

    `bill` has what it took nevertheless, as a refusal does.
    """

    request_id: str
    cause: str
    final: bool
    bill: Bill = Bill()


@dataclass(frozen=True)
class ServiceContext:
    """The part of an experiment that a live service needs beside its own configuration.

    `home` is the folder with the request ledger; `prices` is the price book. All processes that
    spend from the same `purse` may together spend `cap` US dollars; None: no limit.
    """

    home: Path
    prices: Mapping[str, Listed]
    purse: str
    cap: Decimal | None

    @classmethod
    def of(cls, home: Path, prices: Mapping[str, Listed], budget: Budget) -> Self:
        """Return the context with the purse and the cap of a budget."""
        return cls(home, prices, budget.purse, budget.usd)


class Service(Protocol):
    """A service LLM."""

    name: str

    @property
    def price(self) -> Price | None:
        """What a call costs; None where nobody can say."""

    @property
    def identity(self) -> Mapping[str, Json]:
        """What decides the answers: provider, model, or the recording's content."""

    @property
    def replays(self) -> bool:
        """True where answers come from a file, so that a missing one can never be had."""

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion | Failure]:
        """One outcome per request, in the order in which they finish.

        A row that fails is a `Failure` with its cause; it never raises for one bad row.

        Raises:
            ServiceError: the service cannot be used at all.
            BudgetReached: the next call might exceed the purse's cap. Whatever was under way has
                been yielded before.
        """
