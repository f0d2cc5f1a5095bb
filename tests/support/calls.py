"""Calls to a faulty server with either transport: configuration, request and outcome."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from llamaduo.config import ApiServiceConfig, Limits
from llamaduo.intake.answers import Rejection, Reply
from llamaduo.records import Message
from llamaduo.service import Form, Request
from llamaduo.service.http import HttpTransport
from llamaduo.service.litellm import LitellmTransport
from llamaduo.service.transport import Transport
from support.faulty import KEY, Faulty

KINDS = ("endpoint", "litellm")
VARIABLE = "LOOPBACK_CREDENTIAL_OF_TESTS"  # its name does not say that it holds a secret
PATIENCE = 30.0  # seconds for one call
HURRY = 0.7  # for one that never ends
FORM = Form(
    name="pair",
    json_schema={
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
)


def config(
    kind: str, url: str | None, *, patience: float = PATIENCE, **changes: Any
) -> ApiServiceConfig:
    limits = dict.fromkeys(Limits.model_fields, None) | {"concurrency": 4}
    runtime = {"limits": limits, "timeout": patience, "attempts": 1, "ledger": False}
    facts = {
        "kind": kind,
        "name": "loopback",
        "model": "openai/tiny" if kind == "litellm" else "tiny",
        "api_base": url,
        "key_env": VARIABLE,
        "max_tokens": 64,
        "temperature": None,
        "top_p": None,
        "form": "json_schema",
        "extra": {},
        "price": None,
        "retired": None,
        "record": None,
        "runtime": runtime,
    }
    return ApiServiceConfig.model_validate(facts | changes)


def transport_of(config: ApiServiceConfig) -> Transport:
    return HttpTransport(config) if config.kind == "endpoint" else LitellmTransport(config)


def request(text: str = "hello", **more: Any) -> Request:
    messages = (Message(role="user", content=text),)
    return Request(id="r", messages=messages, max_tokens=64, **more)


def sent(config: ApiServiceConfig, *requests: Request) -> list[Reply | Rejection]:
    """Make calls one after the other on one transport; return the outcome of each."""

    async def all_of_them() -> list[Reply | Rejection]:
        transport = transport_of(config)
        outcomes: list[Reply | Rejection] = []
        for request in requests:
            try:
                outcomes.append(await transport.send(request))
            except Rejection as rejection:
                outcomes.append(rejection)
        await transport.close()
        return outcomes

    return asyncio.run(all_of_them())


@contextmanager
def serving() -> Iterator[Faulty]:
    """Serve a faulty server, to transports that have made their first call."""
    with Faulty() as server:
        # The first call of a process makes litellm load more than its import does.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(VARIABLE, KEY)
            sent(config("litellm", server.url), request("warm"))
        yield server
