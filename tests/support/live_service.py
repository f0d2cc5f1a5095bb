"""A live service against a server on loopback, and requests to it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from llamaduo.config import ApiServiceConfig, Limits
from llamaduo.records import Message
from llamaduo.service import Request, ServiceContext
from llamaduo.service.live import LiveService

PRICE = {"input_usd": "1000", "output_usd": "10000", "simulated": False}


def config(url: str, **changes: Any) -> ApiServiceConfig:
    """Return a configuration; `changes` are fields of the service, its runtime or its limits."""
    limits = dict.fromkeys(Limits.model_fields, None) | {"concurrency": 8}
    limits |= {name: changes.pop(name) for name in list(changes) if name in limits}
    runtime = {"timeout": 30.0, "attempts": 4, "ledger": True}
    runtime |= {name: changes.pop(name) for name in list(changes) if name in runtime}
    facts = {
        "kind": "endpoint",
        "name": "loopback",
        "model": "tiny",
        "api_base": url,
        "key_env": None,
        "max_tokens": 64,
        "temperature": None,
        "top_p": None,
        "form": "json_schema",
        "extra": {},
        "price": PRICE,
        "retired": None,
        "record": None,
        "runtime": runtime | {"limits": limits},
    }
    return ApiServiceConfig.model_validate(facts | changes)


def service(
    url: str, home: Path, *, cap: str | None = None, purse: str = "p", **changes: Any
) -> LiveService:
    context = ServiceContext(home, {}, purse, None if cap is None else Decimal(cap))
    return LiveService.of(config(url, **changes), context)


def request(text: str, **more: Any) -> Request:
    facts = {"id": text, "max_tokens": 20} | more
    return Request(messages=(Message(role="user", content=text),), **facts)


def rows(count: int, name: str = "row") -> list[Request]:
    return [request(f"{name} {i}") for i in range(count)]
