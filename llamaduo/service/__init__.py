"""The service LLM: what is asked of it, what it answers, and which one is built."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from pydantic import Field

from llamaduo.artifact import Json, fingerprint
from llamaduo.config import FakeServiceConfig, ServiceConfig
from llamaduo.cost import Bill
from llamaduo.records import Message, Record


class Request(Record):
    """One call to a service LLM.

    `sample` tells apart requests for the same text that want answers of their own.
    """

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    sample: int = Field(default=0, ge=0)

    @property
    def key(self) -> str:
        """Stands for all that decides the answer: everything but the caller's `id`."""
        return fingerprint("request", self.model_dump(mode="json", exclude={"id"}))


class Completion(Record):
    """The answer to one request and what it took."""

    request_id: str
    text: str
    model: str
    bill: Bill


class Failure(Record):
    """A request that got no answer, and why. `final` says that asking again cannot help."""

    request_id: str
    cause: str
    final: bool


class Service(Protocol):
    """A service LLM."""

    name: str

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
        """


def build(config: ServiceConfig) -> Service:
    """The service LLM that the configuration names."""
    if isinstance(config, FakeServiceConfig):
        from llamaduo.service.fake import FakeService

        return FakeService(config)
    from llamaduo.service.recorded import RecordedService

    return RecordedService(config)
