"""Table 2 of the LlamaDuo paper again: its printed figures beside ours, and where they differ.

`data/paper/table2.csv` has the printed figures. Only the figures are the paper's.
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
class Cell:
    """A figure of the table: of which workload, what, as printed, and as its inputs give it."""

    workload: str
    item: str
    printed: Decimal
    ours: Decimal

    @property
    def agrees(self) -> bool:
        """Whether the print is the figure, to the whole unit that it is printed in."""
        return self.printed == self.ours or self.printed == self.ours.quantize(Decimal(1))


@dataclass(frozen=True)
class Crossing:
    """Where a service line meets a local one: the marker, what it is, and the months."""

    marker: str
    words: str
    service: str
    local: str
    months: Decimal


@dataclass(frozen=True)
class Table2:
    """The table again, the break-evens that its figure marks, and what is wrong with it."""

    cells: tuple[Cell, ...]
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
        """Service and local until the end of a month."""
        service, local = accumulated(self.series)
        return service[month], local[month]


def compare(cases: Sequence[Case]) -> Table2:
    """Print and arithmetic side by side, of the cases called light and heavy.

    Raises:
        ConfigError: there are no such cases, so that there is nothing to hold the table against.
    """
    named = {case.name: case for case in cases}
    if not {"light", "heavy"} <= named.keys():
        raise ConfigError(
            f"paper=table2 is about the workloads light and heavy, not {', '.join(named)}: use "
            "+scenario=paper_table2 as it is"
        )
    light, heavy = _Side.of(named["light"]), _Side.of(named["heavy"])
    cells = tuple(_cells(light, heavy))
    crossings = tuple(_crossings(light, heavy))
    return Table2(cells, crossings, tuple(_discrepancies(light, heavy, cells, crossings)))


def _cells(light: _Side, heavy: _Side) -> Iterator[Cell]:
    ours = {"light": _figures(light), "heavy": _figures(heavy)}
    with TABLE2.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            workload, item = row["workload"], row["item"]
            yield Cell(workload, item, Decimal(row["printed"]), ours[workload][item])


def _figures(side: _Side) -> dict[str, Decimal]:
    x, hardware = side.inputs, side.case.hardware
    servers = side.series.servers[0]
    choices = choices_of(side.case)
    watts = Decimal(0) if hardware.watts is None else hardware.watts.value
    found = {
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
        found |= {f"local, {months} months, USD": local, f"GPT-4o, {months} months, USD": service}
    return {item: tidy(figure) for item, figure in found.items()}


def _crossings(light: _Side, heavy: _Side) -> Iterator[Crossing]:
    for marker, words, one, other in (
        ("A", "light: GPT-4o against one server", light, light),
        ("B", "heavy: GPT-4o against eight servers", heavy, heavy),
        ("C", "GPT-4o on the light workload against eight servers", light, heavy),
    ):
        both = replace(other.series, service=one.series.service)
        found = break_even(both)
        if found is not None:
            yield Crossing(marker, words, one.case.name, other.case.name, tidy(found))


def _discrepancies(
    light: _Side, heavy: _Side, cells: Sequence[Cell], crossings: Sequence[Crossing]
) -> Iterator[str]:
    for cell in cells:
        if not cell.agrees:
            power = server_month(light.inputs)
            yield (
                f"{cell.workload}, {cell.item}: printed {cell.printed:,}, recomputed {cell.ours:,}"
                + (
                    f"; the print has one month of electricity ({power:,}) in place of two"
                    if cell.ours - cell.printed == power
                    else ""
                )
            )
    yield _text_against_table(heavy)
    service, local = heavy.totals(2)
    marks = {one.marker: one.months for one in crossings}
    if service < local:
        yield (
            "“after two months GPT-4o is the dearer in both workloads” does not hold for heavy: "
            f"{service:,} against {local:,} after 2 months; it does from month {marks['B']:.2f} on"
        )
    service, local = light.totals(12)[0], heavy.totals(12)[1]
    if service < local:
        yield (
            "“after one year GPT-4o is the dearer in all scenarios” (marker C) does not hold for "
            f"the light workload against eight servers: {service:,} against {local:,} after 12 "
            f"months; it does from month {marks['C']:.2f} on"
        )


def _text_against_table(heavy: _Side) -> str:
    """The heavy workload as the text has it: what it would cost, and when it would pay back."""
    work = heavy.case.workload.model_copy(
        update={"output_tokens": Quantity(value=Decimal(TEXT_OUTPUT))}
    )
    told = _Side.of(replace(heavy.case, workload=work))
    months = break_even(told.series)
    table = tidy(heavy.inputs.output_tokens * heavy.inputs.days / 1_000_000)
    return (
        f"heavy output: the text has 10M tokens a day, the table {table}M a month, which is "
        f"{tidy(heavy.inputs.output_tokens / 1_000_000)}M a day; with 10M a day a month is "
        f"{tidy(told.series.service[0]):,} in place of {tidy(heavy.series.service[0]):,}, and "
        f"the break-even {months:.2f} in place of {break_even(heavy.series):.2f} months"
    )
