"""What a service charges: the user's own figures, else the price book, else litellm's map.

A price that nobody can say is an error before the first call, never zero: a budget could not be
kept, and a bill would come as a surprise.
"""

import datetime
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
    """A price, and who says so."""

    price: Price
    source: str


def price_of(config: ApiServiceConfig, prices: Mapping[str, Listed]) -> Price:
    """Dollars per million tokens of a service.

    Raises:
        ConfigError: nobody says what it charges; the message has the line to add.
    """
    return quote(config, prices).price


def quote(config: ApiServiceConfig, prices: Mapping[str, Listed]) -> Quote:
    """The price of a service and its source: `service.price`, the book's line, litellm's map.

    Raises:
        ConfigError: none of them has it; the message has the line to add.
    """
    if isinstance(config.price, Price):
        return Quote(config.price, "service.price")
    name = line_name(config.model) if config.price is None else config.price
    if name in prices:
        line = prices[name]
        facts = line.model_dump(exclude={"date", "source"})
        return Quote(Price(**facts), f"price book, {name}, {line.date}: {line.source}")
    if config.price is not None:
        known = ", ".join(sorted(prices)) or "none"
        raise ConfigError(f"service.price={name}: no such line in the price book. It has: {known}")
    # What a name means at somebody's own URL, litellm cannot know.
    found = _mapped(config.model) if config.kind == "litellm" else None
    if found is None:
        raise ConfigError(_unknown(config))
    return found


def line_name(model: str) -> str:
    """The name of a model's line in the price book: `openai/gpt-5.6` is `openai_gpt_5_6`."""
    return re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")


def _unknown(config: ApiServiceConfig) -> str:
    figures = "input_usd: IN, output_usd: OUT, simulated: false"
    today = datetime.date.today()
    line = f"{line_name(config.model)}: {{{figures}, date: {today}, source: WHERE}}"
    own = "; 0 and 0 for a machine of your own" if config.kind == "endpoint" else ""
    return (
        f"service={config.name}: no price is known for model {config.model}, and none is taken "
        f"for 0. Set 'service.price={{{figures}}}' ('judge.client.price=…' for a judge's client) "
        f"with dollars per million tokens{own}, or add to conf/prices/book.yaml: {line}"
    )


# ---------------------------------------------------------------- litellm's map


def _mapped(model: str) -> Quote | None:
    """What litellm's map says of a model; None for an unknown name and for one listed at zero."""
    listed = _litellm_map()
    provider, _, bare = model.partition("/")
    facts, key = listed.get(model), model
    if facts is None and bare:
        # Keys of several providers lack their prefix; a namesake at another one does not count.
        facts, key = listed.get(bare), bare
        if facts is None or not str(facts.get("litellm_provider", "")).startswith(provider):
            return None
    if facts is None:
        return None
    usd = [_per_million(facts.get(f"{side}_cost_per_token")) for side in ("input", "output")]
    if not usd[0] or not usd[1]:
        return None
    price = Price(
        input_usd=usd[0],
        output_usd=usd[1],
        cached_input_usd=_per_million(facts.get("cache_read_input_token_cost")),
        simulated=False,
    )
    return Quote(price, f"litellm {metadata.version('litellm')}, {MAP}, {key}")


def _per_million(usd: Decimal | int | None) -> Decimal | None:
    """Dollars per million tokens from dollars per token, without a rounding."""
    if usd is None:
        return None
    million = Decimal(usd) * MILLION
    # 2.5E-6 times a million is 2.500000; the same number without idle zeros.
    return million.quantize(Decimal(1)) if million == million.to_integral() else million.normalize()


@cache
def _litellm_map() -> Mapping[str, Mapping[str, Any]]:
    """The map as the installed package has it, read without the seconds that importing takes."""
    spec = util.find_spec("litellm")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / MAP
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            found: dict[str, dict[str, Any]] = json.loads(text, parse_float=Decimal)
            return found
    return {}
