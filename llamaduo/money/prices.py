"""Prices of services: the user's own figures, else the price book, else litellm's map.

An unknown price is an error before the first call, never zero: a budget could not be kept, and the
bill would come as a surprise.
"""

import datetime
import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from llamaduo.base.errors import ConfigError
from llamaduo.config import ApiServiceConfig, Listed
from llamaduo.records import Price

MAP = "model_prices_and_context_window_backup.json"
MILLION = 1_000_000


@dataclass(frozen=True)
class Quote:
    """A price and its source."""

    price: Price
    source: str


def price_of(priced: ApiServiceConfig | Price | str, prices: Mapping[str, Listed]) -> Price:
    """Return the US dollars per million tokens of what `quote` takes.

    Raises:
        ConfigError: the price is not known; the message has the line to add.
    """
    return quote(priced, prices).price


def price_of_run(service: Mapping[str, Any], prices: Mapping[str, Listed]) -> Price:
    """Return the price of the service that a finished run had, by today's price book.

    `service` is the run's configuration of it.

    Raises:
        ConfigError: the price is not known; the message has the line to add.
    """
    own = service.get("price")
    if isinstance(own, Mapping):
        return Price.model_validate(own)
    name = own or str(service["model"])
    mapped = own is None and service.get("kind") == "litellm"
    quoted = _look_up(name, prices, mapped=mapped)
    if quoted is None:
        raise _unknown(name, prices, f"price={name}", "price")
    return quoted.price


def quote(priced: ApiServiceConfig | Price | str, prices: Mapping[str, Listed]) -> Quote:
    """Return the price, with its source, of a service or of a name, or the price that was given.

    A service's price is `service.price`, else the book's line for its model, else, for a service
    called through litellm, what litellm's map says. A name is that of a line of the book, or of a
    model that has one.

    Raises:
        ConfigError: the price is not known; the message has the line to add.
    """
    if isinstance(priced, Price):
        return Quote(priced, "price")
    if isinstance(priced, str):
        quoted = _look_up(priced, prices)
        if quoted is None:
            raise _unknown(priced, prices, f"price={priced}", "price")
        return quoted
    if isinstance(priced.price, Price):
        return Quote(priced.price, "service.price")
    name = priced.price or priced.model
    # litellm cannot know what a model's name means at a URL of the user's own.
    mapped = priced.price is None and priced.kind == "litellm"
    quoted = _look_up(name, prices, mapped=mapped)
    if quoted is None:
        named = f"service={priced.name} (model {priced.model})"
        subject = named if priced.price is None else f"service.price={name}"
        raise _unknown(name, prices, subject, "service.price", own=priced.kind == "endpoint")
    return quoted


def line_name(model: str) -> str:
    """Return the name of a model's line in the book: `openai_gpt_5_6` for `openai/gpt-5.6`."""
    return re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")


def _look_up(name: str, prices: Mapping[str, Listed], *, mapped: bool = False) -> Quote | None:
    """Return the book's quote of a line or a model, else where `mapped` that of litellm's map."""
    line = prices.get(line_name(name))
    if line is None:
        return _quote_from_map(name) if mapped else None
    price = Price(**line.model_dump(exclude={"date", "source"}))
    return Quote(price, f"price book, {line_name(name)}, {line.date}: {line.source}")


def _unknown(
    name: str, prices: Mapping[str, Listed], subject: str, key: str, *, own: bool = False
) -> ConfigError:
    """Make the error for an unknown price, with the line to add; `own`: at the user's own URL."""
    figures = "input_usd: IN, output_usd: OUT, simulated: false"
    line = f"{line_name(name)}: {{{figures}, date: {datetime.date.today()}, source: WHERE}}"
    near = difflib.get_close_matches(line_name(name), prices, n=3, cutoff=0.4)
    similar = f" Similar lines of the price book: {', '.join(near)}." if near else ""
    judge = " ('judge.client.price=…' for a judge's client)" if key != "price" else ""
    free = "; 0 and 0 for a machine of your own" if own else ""
    return ConfigError(
        f"{subject}: no price is known, and an unknown price is never taken as 0.{similar} Set "
        f"'{key}={{{figures}}}'{judge} in dollars per million tokens{free}, or add to "
        f"conf/prices/book.yaml: {line}"
    )


# ---------------------------------------------------------------- litellm's map


def _quote_from_map(model: str) -> Quote | None:
    """Return what litellm's map says; None for an unknown name and for one listed at zero."""
    listed = _litellm_map()
    provider, _, bare = model.partition("/")
    facts, key = listed.get(model), model
    if facts is None and bare:
        # The keys of several providers lack the prefix; another provider's namesake is no match.
        facts, key = listed.get(bare), bare
        if facts is None or not str(facts.get("litellm_provider", "")).startswith(provider):
            return None
    if facts is None:
        return None
    input_usd, output_usd = (
        _per_million(facts.get(f"{side}_cost_per_token")) for side in ("input", "output")
    )
    if not input_usd or not output_usd:
        return None
    price = Price(
        input_usd=input_usd,
        output_usd=output_usd,
        cached_input_usd=_per_million(facts.get("cache_read_input_token_cost")),
        simulated=False,
    )
    return Quote(price, f"litellm {metadata.version('litellm')}, {MAP}, {key}")


def _per_million(usd: Decimal | int | None) -> Decimal | None:
    """Return dollars per million tokens from dollars per token, without rounding."""
    if usd is None:
        return None
    million = Decimal(usd) * MILLION
    # 2.5E-6 times a million is 2.500000; give the same number without trailing zeros.
    return million.quantize(Decimal(1)) if million == million.to_integral() else million.normalize()


@cache
def _litellm_map() -> Mapping[str, Mapping[str, Any]]:
    """Read the map of the installed package; importing litellm would take seconds."""
    spec = util.find_spec("litellm")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / MAP
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            models: dict[str, dict[str, Any]] = json.loads(text, parse_float=Decimal)
            return models
    return {}
