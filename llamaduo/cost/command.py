"""`python -m llamaduo.cost`: print both sides' cost, when local pays back, and how sure it is."""

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
    """A further workload on `servers` of the same kind; null: as many as the workload needs."""

    workload: Workload
    servers: Count | None


class Cost(Config):
    """The terms of a cost decision, and how it is shown.

    `name` names the folder for the picture, `label` the first workload; null: the same as `name`.
    `price` is the service's: a line of the price book, or figures of your own. `currency` is that
    of the output and a key of `rates`, which give the dollars that one unit costs. With `run`,
    terms that are null are taken from that run where it has measured them.
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
    """Print the decision in the chosen format, and draw it.

    Raises:
        LlamaduoError: a figure is missing or impossible, or there is no such run.
    """
    from llamaduo.cost import text
    from llamaduo.money.decision import decide
    from llamaduo.money.spread import Draws

    if config.picture and config.figures:
        from llamaduo.charts import svg

        svg.can_convert()
    workloads = cases(config)
    draws = Draws(config.draws, config.seed, config.confidence)
    rate = _rate(config)
    decisions = [
        decide(case, months=config.months, draws=draws, currency=config.currency, usd_per_unit=rate)
        for case in workloads
    ]
    table2 = None
    if config.paper is not None:
        from llamaduo.cost.table2 import compare

        table2 = compare(workloads)
    if config.format == "csv":
        print(text.csv_of(decisions), end="")
    elif config.format == "json":
        print(text.json_of(decisions, table2))
    else:
        print(text.page(decisions, table2, title=config.title, lines=_sources(config, workloads)))
    if config.picture:
        _draw(config, decisions, () if table2 is None else table2.crossings)


def cases(config: Cost) -> "list[Case]":
    """Return the workloads to decide on: first the configured one, then those of `beside`."""
    from llamaduo.money.case import Case

    outcome = _outcome(config)
    workload, hardware, one_off = config.workload, config.hardware, config.one_off
    if outcome is not None:
        from llamaduo.cost import from_outcome

        run = from_outcome.measured_by(outcome)
        workload = from_outcome.fill_workload(workload, run)
        hardware = from_outcome.hardware_of_run(hardware, outcome)
        hardware = from_outcome.fill_hardware(hardware, run)
        one_off = from_outcome.fill_one_off(one_off, run, hardware)
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
        cause = str(error).removeprefix("runs: ")
        raise DataError(f"run={config.run}: {cause}") from error


def _price(config: Cost, outcome: "Outcome | None") -> Price:
    from llamaduo.money.prices import price_of, price_of_run

    if config.price is not None:
        return price_of(config.price, config.prices)
    if outcome is not None:
        return price_of_run(outcome.config["service"], config.prices)
    raise ConfigError(
        "price: the service's price is not known. Set price=<line of the price book>, such as "
        "price=openai_gpt_4o, or choose a run (run=<id>) or a scenario (+scenario=light)"
    )


def _rate(config: Cost) -> Decimal:
    rate = config.rates.get(config.currency)
    if rate is None:
        known = ", ".join(sorted(config.rates))
        raise ConfigError(
            f"currency={config.currency}: its rate in dollars is not known (known: {known}). "
            f"Add '+rates.{config.currency}={{value: DOLLARS, date: YYYY-MM-DD, source: WHERE}}', "
            "on the command line or in conf/cost.yaml"
        )
    return rate.value


def _sources(config: Cost, workloads: "list[Case]") -> list[str]:
    """Return a line on the source of the price, and one for each figure with a source."""
    from llamaduo.cost.text import source_lines

    return source_lines(workloads[0], config.price, config.prices)


def _draw(config: Cost, decisions: "list[CostDecision]", crossings: "Sequence[Crossing]") -> None:
    from llamaduo.charts import svg
    from llamaduo.cost.picture import accumulated

    folder = config.tracking.home / "costs" / config.name
    sheets = {"accumulated": [accumulated(decisions, crossings)]}
    paths = svg.write(sheets, folder, also=config.figures)
    out = sys.stdout if config.format in ("text", "table") else sys.stderr
    print(f"{'picture':<15}{', '.join(str(path) for path in paths)}", file=out)


def main() -> None:
    """Run the command line."""
    cli.launch("cost", Cost, cost, words=cli.quoted(sys.argv[1:], "run"))
