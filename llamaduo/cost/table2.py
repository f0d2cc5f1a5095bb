"""Recompute Table 2 of the LlamaDuo paper: its printed figures beside ours, and the differences.

`data/paper/table2.csv` has the printed figures. Only the figures are taken from the paper.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from llamaduo.base import shipped
from llamaduo.base.errors import ConfigError
from llamaduo.config import Quantity
from llamaduo.money.case import Case, choices_of, inputs_of
from llamaduo.money.model import (
    Inputs,
    Series,
    accumulated,
    break_even,
    project,
    server_month,
    service_fee,
)
from llamaduo.money.spread import tidy

TABLE2 = shipped.DATA / "paper" / "table2.csv"
MONTHS = 24
TEXT_OUTPUT = 10_000_000  # tokens a day of the heavy workload, as the paper's text has it


@dataclass(frozen=True)
class PrintedFigure:
    """A figure of the table: its workload, its item, as printed, and as recomputed (`ours`)."""

    workload: str
    item: str
    printed: Decimal
    ours: Decimal

    @property
    def agrees(self) -> bool:
        """Tell if the printed and the recomputed figure agree, to the whole unit."""
        return self.printed == self.ours or self.printed == self.ours.quantize(Decimal(1))


@dataclass(frozen=True)
class Crossing:
    """The point where a service line meets a local one: its marker, its meaning, and the months."""

    marker: str
    words: str
    service: str
    local: str
    months: Decimal


@dataclass(frozen=True)
class Table2:
    """The table's figures, the break-evens that the paper's Figure 4 marks, and the differences."""

    figures: tuple[PrintedFigure, ...]
    crossings: tuple[Crossing, ...]
    discrepancies: tuple[str, ...]


@dataclass(frozen=True)
class _Side:
    case: Case
    inputs: Inputs[Decimal]
    series: Series[Decimal]

    @classmethod
    def of(cls, case: Case) -> "_Side":
        x = inputs_of(case).map(lambda _, figure: figure.value)
        return cls(case, x, project(x, choices_of(case), MONTHS))

    def totals(self, month: int) -> tuple[Decimal, Decimal]:
        """Return the accumulated cost of service and local at the end of a month."""
        service, local = accumulated(self.series)
        return service[month], local[month]


def compare(cases: Sequence[Case]) -> Table2:
    """Recompute the table from the cases called light and heavy, and compare it with the print.

    Raises:
        ConfigError: a case of that name is missing.
    """
    by_name = {case.name: case for case in cases}
    if not {"light", "heavy"} <= by_name.keys():
        raise ConfigError(
            f"paper=table2 compares the workloads light and heavy, not {', '.join(by_name)}: use "
            "+scenario=paper_table2 unchanged"
        )
    light, heavy = _Side.of(by_name["light"]), _Side.of(by_name["heavy"])
    figures = tuple(_figures(light, heavy))
    crossings = tuple(_crossings(light, heavy))
    return Table2(figures, crossings, tuple(_discrepancies(light, heavy, figures, crossings)))


def _figures(light: _Side, heavy: _Side) -> Iterator[PrintedFigure]:
    ours = {"light": _recomputed(light), "heavy": _recomputed(heavy)}
    with TABLE2.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            workload, item = row["workload"], row["item"]
            yield PrintedFigure(workload, item, Decimal(row["printed"]), ours[workload][item])


def _recomputed(side: _Side) -> dict[str, Decimal]:
    x, hardware = side.inputs, side.case.hardware
    servers = side.series.servers[0]
    choices = choices_of(side.case)
    watts = Decimal(0) if hardware.watts is None else hardware.watts.value
    figures = {
        "fine-tuning, USD": x.finetuning or Decimal(0),
        "servers, USD": servers * x.server,
        "energy a month, kWh": servers * watts * x.hours / 1000,
        "electricity a month, USD": servers * server_month(x),
        "input tokens a month, M": x.input_tokens * x.days / 1_000_000,
        "output tokens a month, M": x.output_tokens * x.days / 1_000_000,
        "GPT-4o a month, USD": service_fee(x, choices, 1),
    }
    for months in (2, 12):
        service, local = side.totals(months)
        figures |= {f"local, {months} months, USD": local, f"GPT-4o, {months} months, USD": service}
    return {item: tidy(figure) for item, figure in figures.items()}


def _crossings(light: _Side, heavy: _Side) -> Iterator[Crossing]:
    for marker, words, service, local in (
        ("A", "light: GPT-4o against one server", light, light),
        ("B", "heavy: GPT-4o against eight servers", heavy, heavy),
        ("C", "GPT-4o on the light workload against eight servers", light, heavy),
    ):
        months = break_even(replace(local.series, service=service.series.service))
        if months is not None:
            yield Crossing(marker, words, service.case.name, local.case.name, tidy(months))


def _discrepancies(
    light: _Side, heavy: _Side, figures: Sequence[PrintedFigure], crossings: Sequence[Crossing]
) -> Iterator[str]:
    for figure in figures:
        if not figure.agrees:
            power = server_month(light.inputs)
            yield (
                f"{figure.workload}, {figure.item}: printed {figure.printed:,}, recomputed "
                f"{figure.ours:,}"
                + (
                    f"; the printed figure has one month of electricity ({power:,}) instead of two"
                    if figure.ours - figure.printed == power
                    else ""
                )
            )
    yield _text_against_table(heavy)
    service, local = heavy.totals(2)
    months = {crossing.marker: crossing.months for crossing in crossings}
    if service < local:
        yield (
            "“after two months GPT-4o costs more in both workloads” does not hold for heavy: "
            f"{service:,} against {local:,} after 2 months; it holds from month "
            f"{months['B']:.2f} on"
        )
    service, local = light.totals(12)[0], heavy.totals(12)[1]
    if service < local:
        yield (
            "“after one year GPT-4o costs more in all scenarios” (marker C) does not hold for the "
            f"light workload against eight servers: {service:,} against {local:,} after 12 "
            f"months; it holds from month {months['C']:.2f} on"
        )


def _text_against_table(heavy: _Side) -> str:
    """Compare the heavy output in the paper's text with its table: cost and break-even of both."""
    work = heavy.case.workload.model_copy(
        update={"output_tokens": Quantity(value=Decimal(TEXT_OUTPUT))}
    )
    by_text = _Side.of(replace(heavy.case, workload=work))
    months = break_even(by_text.series)
    table = tidy(heavy.inputs.output_tokens * heavy.inputs.days / 1_000_000)
    return (
        f"heavy output: the text has 10M tokens a day, the table {table}M a month, which is "
        f"{tidy(heavy.inputs.output_tokens / 1_000_000)}M a day; with 10M a day, a month costs "
        f"{tidy(by_text.series.service[0]):,} instead of {tidy(heavy.series.service[0]):,}, and "
        f"the break-even is after {months:.2f} instead of {break_even(heavy.series):.2f} months"
    )
