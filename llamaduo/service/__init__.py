"""The service LLM: what is asked of it, what it answers, and which one is built."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field

from llamaduo.artifact import Json, fingerprint
from llamaduo.config import ApiServiceConfig, Experiment, FakeServiceConfig, Listed, ServiceConfig
from llamaduo.cost import Bill, Price
from llamaduo.errors import ConfigError
from llamaduo.records import Message, Record


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
class Setting:
    """What a live service needs beside its own configuration.

    `home` holds the request ledger; `prices` is the price book. The `purse` is what all that spends
    under this name, in any process, may spend `cap` dollars of (None: no limit).
    """

    home: Path
    prices: Mapping[str, Listed]
    purse: str
    cap: Decimal | None


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


def setting(exp: Experiment) -> Setting:
    """The setting that an experiment's services share."""
    budget = exp.budget
    return Setting(exp.tracking.home, exp.prices, budget.purse, budget.usd)


def unsaid(config: ApiServiceConfig) -> str | None:
    """What the chosen option leaves to the user to say, with the next act; None: nothing."""
    for name in ("model", "api_base"):
        value = getattr(config, name)
        if value is not None and ("???" in value or "<" in value):
            form = "" if "???" in value else f" for {value}"
            return f"service.{name}=…{form} ('judge.client.{name}=…' for a judge's client)"
    return None


def build(config: ServiceConfig, setting: Setting) -> Service:
    """The service LLM that the configuration names.

    Raises:
        ConfigError: the configuration lacks a value, or nobody knows the price.
    """
    if isinstance(config, ApiServiceConfig):
        from llamaduo.service.live import LiveService

        if (gap := unsaid(config)) is not None:
            raise ConfigError(f"service={config.name} leaves it to you to set {gap}")
        if config.retired is not None:
            words = f"its provider retired {config.model} ({config.retired}); new calls may fail"
            print(f"llamaduo: service={config.name}: {words}", file=sys.stderr, flush=True)
        live = LiveService.of(config, setting)
        if config.record is None:
            return live
        from llamaduo.service.record import Recorder

        return Recorder(live, config.record)
    if isinstance(config, FakeServiceConfig):
        from llamaduo.service.fake import FakeService

        return FakeService(config)
    from llamaduo.service.recorded import RecordedService

    return RecordedService(config)
