"""What the service of a decision charges: figures of one's own, a line of the book, a run's."""

import datetime
import difflib
from collections.abc import Mapping
from typing import Any

from llamaduo.base.errors import ConfigError
from llamaduo.config import ApiServiceConfig, Listed
from llamaduo.money.prices import line_name, quote
from llamaduo.records import Price


def price_of(price: str | Price, prices: Mapping[str, Listed]) -> Price:
    """The price that a name stands for: a line of the book, or the model that it is of.

    Raises:
        ConfigError: there is no such line; the message has it, to be added.
    """
    if isinstance(price, Price):
        return price
    found = prices.get(line_name(price))
    if found is None:
        near = difflib.get_close_matches(line_name(price), prices, n=3, cutoff=0.5)
        hint = f" Near it: {', '.join(near)}." if near else ""
        raise ConfigError(
            f"price={price}: the price book has no such line.{hint} Add to conf/prices/book.yaml: "
            f"{line_name(price)}: {{input_usd: IN, output_usd: OUT, simulated: false, "
            f"date: {datetime.date.today()}, source: WHERE}}, or set "
            "'price={input_usd: IN, output_usd: OUT, simulated: false}', in dollars per million "
            "tokens"
        )
    return Price(**found.model_dump(exclude={"date", "source"}))


def price_of_run(service: Mapping[str, Any], prices: Mapping[str, Listed]) -> Price:
    """The price of the service that a run had, by the run's configuration of it, at today's book.

    Raises:
        ConfigError: it has none that is known here.
    """
    own = service.get("price")
    if isinstance(own, Mapping):
        return Price.model_validate(own)
    try:
        return quote(ApiServiceConfig.model_validate(service), prices).price
    except ConfigError:
        return price_of(own or str(service["model"]), prices)
