"""`python -m llamaduo.cost`: what each side costs, when local pays back, and how sure that is."""

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from llamaduo import cli
from llamaduo.base.errors import ConfigError, DataError
from llamaduo.config import (
    Config,
    Count,
    Hardware,
    Listed,
    OneOff,
    Positive,
    Share,
    TrackingConfig,
    Upkeep,
    Workload,
)
from llamaduo.records import Price

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llamaduo.cost.table2 import Crossing
    from llamaduo.money.case import Case
    from llamaduo.money.decision import CostDecision
    from llamaduo.outcome import Outcome


class Beside(Config):
    """A further workload, on so many servers of the same kind; null: as many as it needs."""

    workload: Workload
    servers: Count | None


class Cost(Config):
    """What a decision is wanted on.

    `name` is that of the folder for the picture, `label` of the first workload; null: the same.
    `price` is the service's: a line of the price book, or figures of one's own. `currency` is that
    of the output, one of `rates`, which say what a unit of it costs in dollars. With `run` the
    terms that are null come from that run, as far as it knows them.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,60}$")]
    label: str | None
    title: str | None
    run: str | None
    format: Literal["text", "table", "csv", "json"]  # table: text, as it was called before
    picture: bool
    figures: bool
    months: Annotated[int, Field(ge=1, le=120)]
    draws: Annotated[int, Field(ge=0, le=1_000_000)]
    confidence: Share
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    price: str | Price | None
    currency: str
    rates: dict[str, Positive]
    workload: Workload
    hardware: Hardware
    one_off: OneOff
    upkeep: Upkeep
    beside: dict[str, Beside]
    paper: Literal["table2"] | None
    prices: dict[str, Listed]
    tracking: TrackingConfig

    @field_validator("draws")
    @classmethod
    def _enough(cls, draws: int) -> int:
        if 0 < draws < 100:
            raise ValueError("too few for a band; use 100 or more, or 0 for none")
        return draws


def cost(config: Cost) -> None:
    """Print the decision as asked, and draw it.

    Raises:
        LlamaduoError: a figure is missing or cannot be, or there is no such run.
    """
    from llamaduo.cost import text
    from llamaduo.money.decision import decide
    from llamaduo.money.spread import Draws

    if config.picture and config.figures:
        from llamaduo.charts import svg

        svg.can_convert()
    found = cases(config)
    draws = Draws(config.draws, config.seed, config.confidence)
    rate = _rate(config)
    decisions = [
        decide(case, months=config.months, draws=draws, currency=config.currency, usd_per_unit=rate)
        for case in found
    ]
    table2 = None
    if config.paper is not None:
        from llamaduo.cost.table2 import compare

        table2 = compare(found)
    if config.format == "csv":
        print(text.csv_of(decisions), end="")
    elif config.format == "json":
        print(text.json_of(decisions, table2))
    else:
        print(text.page(decisions, table2, title=config.title, lines=_sources(config, found)))
    if config.picture:
        _draw(config, decisions, () if table2 is None else table2.crossings)


def cases(config: Cost) -> "list[Case]":
    """The workloads that are to be decided on, the first as configured, then those beside it."""
    from llamaduo.money.case import Case

    outcome = _outcome(config)
    workload, hardware, one_off = config.workload, config.hardware, config.one_off
    if outcome is not None:
        from llamaduo.cost import from_outcome

        measured = from_outcome.measured(outcome)
        workload = from_outcome.workload(workload, measured)
        hardware = from_outcome.hardware(from_outcome.configured(hardware, outcome), measured)
        one_off = from_outcome.one_off(one_off, measured, hardware)
    price = _price(config, outcome)
    first = Case(config.label or config.name, workload, price, hardware, one_off, config.upkeep)
    others = [
        Case(
            name,
            other.workload,
            price,
            hardware.model_copy(update={"servers": other.servers}),
            one_off,
            config.upkeep,
        )
        for name, other in config.beside.items()
    ]
    return [first, *others]


def _outcome(config: Cost) -> "Outcome | None":
    if config.run is None:
        return None
    from llamaduo.outcome import runs

    try:
        return runs.load([config.run], config.tracking.home / "reports")[0].outcome
    except DataError as error:
        told = str(error).removeprefix("runs: ")
        raise DataError(f"run={config.run}: {told}") from error


def _price(config: Cost, outcome: "Outcome | None") -> Price:
    from llamaduo.money.prices import price_of, price_of_run

    if config.price is not None:
        return price_of(config.price, config.prices)
    if outcome is not None:
        return price_of_run(outcome.config["service"], config.prices)
    raise ConfigError(
        "price: the service's price is not known. Set price=<line of the price book>, such as "
        "price=openai_gpt_4o, or name a run (run=<id>) or a scenario (+scenario=light)"
    )


def _rate(config: Cost) -> Decimal:
    found = config.rates.get(config.currency)
    if found is None:
        known = ", ".join(sorted(config.rates))
        raise ConfigError(
            f"currency={config.currency}: nobody says what it costs in dollars (known: {known}). "
            f"Add '+rates.{config.currency}={{value: DOLLARS, date: YYYY-MM-DD, source: WHERE}}', "
            "on the command line or in conf/cost.yaml"
        )
    return found.value


def _sources(config: Cost, found: "list[Case]") -> list[str]:
    """A line on where the price comes from, and one on each figure with a source."""
    from llamaduo.cost.text import sourced

    return sourced(found[0], config.price, config.prices)


def _draw(config: Cost, decisions: "list[CostDecision]", crossings: "Sequence[Crossing]") -> None:
    from llamaduo.charts import svg
    from llamaduo.cost.picture import accumulated

    folder = config.tracking.home / "costs" / config.name
    sheets = {"accumulated": [accumulated(decisions, crossings)]}
    paths = svg.write(sheets, folder, also=config.figures)
    out = sys.stdout if config.format in ("text", "table") else sys.stderr
    print(f"{'picture':<15}{', '.join(str(path) for path in paths)}", file=out)


def main() -> None:
    """The entry point of the command line."""
    cli.launch("cost", Cost, cost, words=cli.quoted(sys.argv[1:], "run"))
