"""The protocol of a service LLM: requests, their outcomes, and the service itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, Field

from llamaduo.base.files import Json, fingerprint
from llamaduo.base.text import encodable
from llamaduo.config import Budget, Listed
from llamaduo.records import Bill, Message, Price, Record


class Form(Record):
    """The form that an answer must have: a JSON schema, sent where the provider takes one."""

    name: str = Field(pattern=r"^[a-z_]+$")
    json_schema: dict[str, Any]


class Request(Record):
    """One call to a service LLM.

    `sample` tells apart requests with the same text that need separate answers. `purpose` is one
    word (answer, synthesis, judge, repair), for people who read a recording.
    """

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    sample: int = Field(default=0, ge=0)
    form: Form | None = None
    purpose: str = ""

    @property
    def key(self) -> str:
        """A hash of all that decides the answer: everything except `id` and `purpose`."""
        facts = self.model_dump(mode="json", exclude={"id", "purpose"}, exclude_none=True)
        return fingerprint("request", facts)


class Completion(Record):
    """The answer to one request and its bill. `finish` is "length" for a text that was cut off.

    The text is valid Unicode: half a surrogate pair becomes U+FFFD.
    """

    request_id: str
    text: Annotated[str, AfterValidator(encodable)]
    model: str
    bill: Bill
    finish: Literal["stop", "length"] = "stop"


class Failure(Record):
    """A request without an answer, and the cause. `final` says that asking again cannot help.

    `bill` is what was charged nevertheless, for a refusal for example.
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
        """The price of a call; None where it is not known."""

    @property
    def identity(self) -> Mapping[str, Json]:
        """All that decides the answers besides the request: provider, model, or a recording."""

    @property
    def replays(self) -> bool:
        """True where answers come from a file, so that a missing one cannot be asked for."""

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion | Failure]:
        """Yield one outcome per request, in the order in which they finish.

        A request that fails is a `Failure` with its cause; it does not stop the others.

        Raises:
            ServiceError: the service cannot be used at all.
            BudgetReached: the next call might exceed the purse's cap. The outcomes of the calls in
                flight have been yielded before.
        """
