"""Write a cost decision as a table for a terminal, as CSV for a spreadsheet, and as JSON."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from llamaduo.base import terminal
from llamaduo.base.format import NOT_KNOWN, money, significant
from llamaduo.config import Listed, Quantity
from llamaduo.cost.table2 import PrintedFigure, Table2
from llamaduo.money.case import Case
from llamaduo.money.decision import CostDecision
from llamaduo.money.prices import line_name
from llamaduo.money.spread import Band, Move
from llamaduo.records import Price

HEAD = 24  # characters of the column of headings
MOVES_SHOWN = 3  # of the figures that change the break-even most


def band_text(band: Band | None, currency: str) -> str:
    """Write a band of amounts in brackets; empty where there is none."""
    if band is None or band.low == band.high:
        return ""
    ends = f"{money(band.low, currency)} to {money(band.high, currency)}"
    return f" [{ends}, median {money(band.median, currency)}]"


def months_text(break_even: Decimal | None, searched: int) -> str:
    """Write a break-even in months, or that there is none within the months searched."""
    return f"never within {searched} months" if break_even is None else f"{break_even:.2f} months"


def break_even_text(decision: CostDecision) -> str:
    """Write when a decision pays back, with its band, or that it never does and why."""
    text = months_text(decision.break_even, decision.searched)
    if decision.break_even is None:
        text += (
            f": a month of local costs {money(decision.local_month, decision.currency)}, "
            f"of the service {money(decision.service_month, decision.currency)}"
        )
        if decision.servers_usd:
            servers_usd = money(decision.servers_usd, decision.currency)
            text += f"; before the first month, servers cost {servers_usd}"
    if (band := decision.break_even_band) is not None:
        low, median, high = (
            "never" if end is None else f"{end:.2f}" for end in (band.low, band.median, band.high)
        )
        text += f" [{low} to {high}, median {median}]" if low != high else ""
    if decision.dearer_again is not None:
        text += f"; more expensive again in month {decision.dearer_again}"
    return text


def confidence_text(decision: CostDecision) -> str:
    """Write the share of draws that pay back within the months shown."""
    if decision.pays_back is None:
        return "no figure has a range, so there is no band"
    within = len(decision.months) - 1
    return f"{decision.pays_back:.0%} of {decision.draws:,} draws pay back within {within} months"


def move_text(move: Move) -> str:
    """Write how one figure's range changes the break-even, in months."""
    ends = ["never" if at is None else f"{at:.2f}" for at in (move.at_low, move.at_high)]
    reach = f"{significant(move.low)} to {significant(move.high)}"
    return f"{move.key} {reach}: {ends[0]} to {ends[1]}"


def page(
    decisions: Sequence[CostDecision],
    table2: Table2 | None,
    *,
    title: str | None,
    lines: Sequence[str],
) -> str:
    """Write all decisions, and Table 2 if given, as text for a terminal."""
    out = [*terminal.wrapped(title), ""] if title else []
    if table2 is not None:
        out += [*_table2(table2), ""]
    for decision in decisions:
        out += [*_decision(decision), ""]
    for line in lines:
        out += _item("" if line != lines[0] else "from", line)
    return "\n".join(out)


def _decision(decision: CostDecision) -> Iterator[str]:
    currency = decision.currency
    nominal = " (nominal price: charged to nobody)" if decision.nominal else ""
    first, last = decision.months[0].servers, decision.months[-1].servers
    servers = f"{first}" if first == last else f"{first} to {last}"
    yield from _item(decision.name, f"{servers} × {decision.hardware}")
    yield from _item("  service, a month", money(decision.service_month, currency) + nominal)
    yield from _item("  local, a month", money(decision.local_month, currency))
    servers_usd, rest_usd = (
        money(usd, currency) for usd in (decision.servers_usd, decision.one_off)
    )
    yield from _item("  local, at the start", f"{servers_usd} for servers, {rest_usd} for the rest")
    yield from _item("  break-even", break_even_text(decision))
    for saving in decision.savings:
        verb = "saves" if saving.amount >= 0 else "costs more by"
        amount = money(abs(saving.amount), currency)
        band = band_text(saving.band, currency)
        yield from _item(f"  in {saving.months} months", f"{verb} {amount}{band}")
    yield from _item("  1,000 requests", _per_1000(decision))
    load = "not known if the servers are enough: their throughput is not known"
    if decision.load is not None:
        load = f"keeps {decision.load:.3f} servers busy, in month 1"
    yield from _item("  busiest time", load)
    confidence = confidence_text(decision)
    if decision.draws:
        confidence = f"brackets hold {decision.confidence:.0%} of the draws; {confidence}"
    yield from _item("  how sure", confidence)
    change = "each figure 10 % lower, then higher" if decision.nudged else "each over its range"
    moves = [move for move in decision.moves if move.months][:MOVES_SHOWN]
    none = "no figure changes the break-even"
    yield from _item("  changed most by", f"{change}, months:" if moves else f"{change}: {none}")
    for move in moves:
        yield from _item("", move_text(move))
    if decision.uncounted:
        yield from _item("  not counted", ", ".join(decision.uncounted))


def _per_1000(decision: CostDecision) -> str:
    cost = decision.per_1000
    if cost is None:
        return f"{NOT_KNOWN}: set workload.requests_per_day"
    currency, months = decision.currency, len(decision.months) - 1
    return (
        f"service {money(cost.service, currency)}{band_text(cost.service_band, currency)}, "
        f"local {money(cost.local, currency)}{band_text(cost.local_band, currency)}, "
        f"over all {months} months"
    )


def _table2(table2: Table2) -> Iterator[str]:
    rows = [("Table 2", "light, printed", "recomputed", "heavy, printed", "recomputed")]
    figures = {(figure.workload, figure.item): figure for figure in table2.figures}
    for item in dict.fromkeys(figure.item for figure in table2.figures):
        light, heavy = (figures[workload, item] for workload in ("light", "heavy"))
        rows.append((item, *_cells(light), *_cells(heavy)))
    yield from terminal.table(rows, right=(1, 2, 3, 4))
    yield ""
    for crossing in table2.crossings:
        text = f"{crossing.months:.3f} months: {crossing.words}"
        yield from _item(f"break-even {crossing.marker}", text)
    yield ""
    for number, text in enumerate(table2.discrepancies, start=1):
        yield from _item(f"discrepancy {number}", text)


def _cells(figure: PrintedFigure) -> tuple[str, str]:
    mark = "" if figure.agrees else " *"
    return f"{figure.printed:,}", f"{figure.ours:,.2f}{mark}"


def _item(head: str, text: str) -> list[str]:
    return terminal.item(head, text, HEAD)


def source_lines(case: Case, price: str | Price | None, book: Mapping[str, Listed]) -> list[str]:
    """Return a line for each figure of a case with its source; leave out those without one."""
    usd = case.price
    listed = book.get(line_name(price)) if isinstance(price, str) else None
    source = f", {listed.date}: {listed.source}" if listed else ""
    lines = [f"price {usd.input_usd} in, {usd.output_usd} out, dollars per million tokens{source}"]
    for part, terms in (
        ("workload", case.workload),
        ("hardware", case.hardware),
        ("one_off", case.one_off),
        ("upkeep", case.upkeep),
    ):
        for key in type(terms).model_fields:
            figure = getattr(terms, key)
            if isinstance(figure, Quantity) and figure.source is not None:
                when = "" if figure.date is None else f"{figure.date}: "
                lines.append(f"{part}.{key} {significant(figure.value)}, {when}{figure.source}")
    return lines


CSV_COLUMNS = (
    "case",
    "currency",
    "month",
    "service",
    "local",
    "service_total",
    "service_total_low",
    "service_total_high",
    "local_total",
    "local_total_low",
    "local_total_high",
    "servers",
)


def csv_of(decisions: Sequence[CostDecision]) -> str:
    """Write both sides' series as CSV, a row for each month of each case; empty cells: no band."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for decision in decisions:
        for month in decision.months:
            ends = [
                end
                for band in (month.service_band, month.local_band)
                for end in ((None, None) if band is None else (band.low, band.high))
            ]
            row = (
                *(decision.name, decision.currency, month.month, month.service, month.local),
                *(month.service_total, *ends[:2], month.local_total, *ends[2:], month.servers),
            )
            writer.writerow(["" if cell is None else cell for cell in row])
    return out.getvalue()


def json_of(decisions: Sequence[CostDecision], table2: Table2 | None) -> str:
    """Write everything as JSON, amounts as decimals in text; null: unknown, no band, or never."""
    facts: dict[str, object] = {
        "cases": [decision.model_dump(mode="json") for decision in decisions]
    }
    if table2 is not None:
        facts["table2"] = {
            "cells": [
                {
                    **vars(figure),
                    "printed": str(figure.printed),
                    "ours": str(figure.ours),
                    "agrees": figure.agrees,
                }
                for figure in table2.figures
            ],
            "crossings": [
                {**vars(crossing), "months": str(crossing.months)} for crossing in table2.crossings
            ],
            "discrepancies": list(table2.discrepancies),
        }
    return json.dumps(facts, indent=1, ensure_ascii=False)
