"""`conf/service` and `conf/prices`: the service LLMs, and what they charge."""

import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from llamaduo.base.redact import redacted
from llamaduo.config.base import Config, Count
from llamaduo.records import Price


class RecordedServiceConfig(Config):
    """`service=recorded`: replays the answers of a file. Its price is nominal.

    `recording` is a path, or `shipped:<name>/<file>`; `tokenizer` names what counted its tokens.
    `max_tokens` caps one reply, here as with every service.
    """

    kind: Literal["recorded"]
    name: str
    recording: str
    tokenizer: str
    max_tokens: Count
    price: Price


class FakeServiceConfig(Config):
    """`service=fake`: answers at once by a fixed rule, for trying the loop and for tests."""

    kind: Literal["fake"]
    name: str
    max_tokens: Count
    price: Price


class Limits(Config):
    """What may be asked of a service at once and by time; null: no limit known.

    Requests, input and output tokens, each by second and by minute. A rate that is not known is
    found by what the service refuses.
    """

    concurrency: Count
    requests_per_second: Annotated[float, Field(gt=0)] | None
    requests_per_minute: Annotated[float, Field(gt=0)] | None
    input_tokens_per_second: Annotated[float, Field(gt=0)] | None
    input_tokens_per_minute: Annotated[float, Field(gt=0)] | None
    output_tokens_per_second: Annotated[float, Field(gt=0)] | None
    output_tokens_per_minute: Annotated[float, Field(gt=0)] | None


class ServiceRuntime(Config):
    """How a service is called: speed and patience only.

    `timeout` is in seconds for one call, `attempts` counts the first. `ledger` keeps every answer
    in `mlruns/ledger.db`, so that none is paid for twice.
    """

    limits: Limits
    timeout: Annotated[float, Field(gt=0)]
    attempts: Count
    ledger: bool


class Listed(Price):
    """A line of the price book: dollars per million tokens, as of which day, and who says so."""

    date: datetime.date
    source: str


class ApiServiceConfig(Config):
    """A service LLM behind an API, any that litellm knows or any OpenAI-compatible URL.

    `kind` is `litellm`, where `model` has litellm's name for it, or `endpoint`, a URL in `api_base`
    called directly. `key_env` names the environment variables that hold the key; null: none wanted.
    `form` says how a JSON answer is asked for: by its schema, as some JSON, or in words alone.
    `price` is dollars per million tokens, the name of a line of the price book, or null: the book's
    line for the model, else what litellm's map says. `extra` goes into the body of each request.
    `record` is a file that gets every answer, for `service=recorded` to replay. `retired` says
    since when nobody serves the model any more.
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
