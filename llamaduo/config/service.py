"""`conf/service` and `conf/prices`: the service LLMs, and their prices."""

import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from llamaduo.base.redact import redacted
from llamaduo.config.base import Config, Count
from llamaduo.records import Price


class RecordedServiceConfig(Config):
    """`service=recorded`: replays the answers of a file. Its price is nominal.

    Attributes:
        kind: the kind of service.
        name: the name of this choice.
        recording: the file of answers: a path, or `shipped:<name>/<file>`.
        tokenizer: the tokenizer that counted the tokens of the file.
        max_tokens: the most tokens of one reply.
        price: dollars per million tokens, charged to nobody.
    """

    kind: Literal["recorded"]
    name: str
    recording: str
    tokenizer: str
    max_tokens: Count
    price: Price


class FakeServiceConfig(Config):
    """`service=fake`: answers at once by a fixed rule, for trying the loop and for tests.

    Attributes:
        kind: the kind of service.
        name: the name of this choice.
        max_tokens: the most tokens of one reply.
        price: dollars per million tokens, charged to nobody.
    """

    kind: Literal["fake"]
    name: str
    max_tokens: Count
    price: Price


class Limits(Config):
    """The limits of a service; null: not known. An unknown rate is learnt from refusals.

    Attributes:
        concurrency: the most calls at once.
        requests_per_second: the most calls that begin in a second.
        requests_per_minute: the most calls that begin in a minute.
        input_tokens_per_second: the most input tokens in a second.
        input_tokens_per_minute: the most input tokens in a minute.
        output_tokens_per_second: the most output tokens in a second.
        output_tokens_per_minute: the most output tokens in a minute.
    """

    concurrency: Count
    requests_per_second: Annotated[float, Field(gt=0)] | None
    requests_per_minute: Annotated[float, Field(gt=0)] | None
    input_tokens_per_second: Annotated[float, Field(gt=0)] | None
    input_tokens_per_minute: Annotated[float, Field(gt=0)] | None
    output_tokens_per_second: Annotated[float, Field(gt=0)] | None
    output_tokens_per_minute: Annotated[float, Field(gt=0)] | None


class ServiceRuntime(Config):
    """Settings of calling a service that change no answer.

    Attributes:
        limits: the limits that calls keep to.
        timeout: the most seconds of one call.
        attempts: the most calls for one request, the first included.
        ledger: keep every answer in `mlruns/ledger.db`, so that none is paid for twice.
    """

    limits: Limits
    timeout: Annotated[float, Field(gt=0)]
    attempts: Count
    ledger: bool


class Listed(Price):
    """A line of the price book: dollars per million tokens.

    Attributes:
        date: the day on which the source had this price.
        source: the place where the price was read.
    """

    date: datetime.date
    source: str


class ApiServiceConfig(Config):
    """A service LLM behind an API, any that litellm knows or any OpenAI-compatible URL.

    Attributes:
        kind: `litellm`, or `endpoint` for a URL that is called directly.
        name: the name of this choice.
        model: the model; with `litellm`, by litellm's name for it.
        api_base: the URL of an endpoint; null: litellm knows it.
        key_env: the environment variables that hold the key; null: none is needed.
        max_tokens: the most tokens of one reply.
        temperature: the temperature of sampling; null: the service's own.
        top_p: the probability mass to sample from; null: the service's own.
        form: the way to ask for a JSON answer: by its schema, as any JSON, or in words alone.
        extra: further keys for the body of each request.
        price: dollars per million tokens, or the name of a line of the price book; null: the
            book's line for the model, else the price in litellm's map.
        retired: the day since which nobody serves the model any more; null: it is served.
        record: a file that gets every answer, for `service=recorded` to replay.
        runtime: settings that change no answer.
    """

    kind: Literal["litellm", "endpoint"]
    name: str
    model: Annotated[str, Field(min_length=1)]
    api_base: str | None
    key_env: str | tuple[str, ...] | None
    max_tokens: Count
    temperature: Annotated[float, Field(ge=0)] | None
    top_p: Annotated[float, Field(gt=0, le=1)] | None
    form: Literal["json_schema", "json_object", "words"]
    extra: dict[str, Any]
    price: str | Price | None
    retired: str | None
    record: Path | None
    runtime: ServiceRuntime

    @model_validator(mode="after")
    def _holds_no_secret(self) -> "ApiServiceConfig":
        facts = {"model": self.model, "api_base": self.api_base, "extra": self.extra}
        clean = redacted(facts)
        for name, value in facts.items():
            if clean[name] != value:
                raise ValueError(
                    f"a secret in {name}: {clean[name]}; name the environment variable that holds "
                    "it in key_env"
                )
        return self


ServiceConfig: TypeAlias = Annotated[
    RecordedServiceConfig | FakeServiceConfig | ApiServiceConfig, Field(discriminator="kind")
]
