"""A decision for a terminal, a spreadsheet or a program: the table, CSV and JSON."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from llamaduo.base import terminal
from llamaduo.base.format import NOT_KNOWN, money, significant
from llamaduo.config import Listed, Quantity
from llamaduo.cost.table2 import Cell, Table2
from llamaduo.money.case import Case
from llamaduo.money.decision import CostDecision
from llamaduo.money.prices import line_name
from llamaduo.money.spread import Band, Move
from llamaduo.records import Price

HEAD = 24
MOVES = 3  # of the figures that move the break-even most


def band(found: Band | None, currency: str) -> str:
    """A band of amounts in brackets; empty where there is none."""
    if found is None or found.low == found.high:
        return ""
    ends = f"{money(found.low, currency)} to {money(found.high, currency)}"
    return f" [{ends}, median {money(found.median, currency)}]"


def months(found: Decimal | None, searched: int) -> str:
    """A break-even in words."""
    return f"never within {searched} months" if found is None else f"{found:.2f} months"


def pays_back(decision: CostDecision) -> str:
    """When a decision pays back, with the band of it, or that it never does and why."""
    text = months(decision.break_even, decision.searched)
    if decision.break_even is None:
        text += (
            f": a month of local costs {money(decision.local_month, decision.currency)}, "
            f"of the service {money(decision.service_month, decision.currency)}"
        )
        if decision.servers_usd:
            text += f"; {money(decision.servers_usd, decision.currency)} of servers come before"
    if (found := decision.break_even_band) is not None:
        low, median, high = (
            "never" if end is None else f"{end:.2f}"
            for end in (found.low, found.median, found.high)
        )
        text += f" [{low} to {high}, median {median}]" if low != high else ""
    if decision.dearer_again is not None:
        text += f"; dearer again in month {decision.dearer_again}"
    return text


def chance(decision: CostDecision) -> str:
    """How many of the draws pay back within the series."""
    if decision.pays_back is None:
        return "no figure has a range, so there is no band"
    within = len(decision.months) - 1
    return f"{decision.pays_back:.0%} of {decision.draws:,} draws pay back within {within} months"


def moved(move: Move) -> str:
    """What one figure does to the break-even."""
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
    """Return everything as text for a terminal."""
    out = [*terminal.wrapped(title), ""] if title else []
    if table2 is not None:
        out += [*_table2(table2), ""]
    for decision in decisions:
        out += [*_decision(decision), ""]
    for line in lines:
        out += _item("" if line != lines[0] else "from", line)
    return "\n".join(out)


def _decision(found: CostDecision) -> Iterator[str]:
    coin = found.currency
    nominal = " (nominal price: charged to nobody)" if found.nominal else ""
    servers = found.months[0].servers, found.months[-1].servers
    many = f"{servers[0]}" if servers[0] == servers[1] else f"{servers[0]} to {servers[1]}"
    yield from _item(found.name, f"{many} × {found.hardware}")
    yield from _item("  service, a month", money(found.service_month, coin) + nominal)
    yield from _item("  local, a month", money(found.local_month, coin))
    first = f"{money(found.servers_usd, coin)} servers, {money(found.one_off, coin)} else"
    yield from _item("  local, at the start", first)
    yield from _item("  break-even", pays_back(found))
    for saving in found.savings:
        what = "saves" if saving.amount >= 0 else "costs more by"
        amount = money(abs(saving.amount), coin)
        ends = band(saving.band, coin)
        yield from _item(f"  in {saving.months} months", f"{what} {amount}{ends}")
    yield from _item("  1,000 requests", _per_1000(found))
    if found.load is not None:
        yield from _item("  busiest time", f"keeps {found.load:.3f} servers busy, in month 1")
    else:
        yield from _item("  busiest time", "not known whether the servers bear it: no throughput")
    share = f"{found.confidence:.0%}"
    yield from _item(
        "  how sure",
        f"brackets hold {share} of the draws; {chance(found)}" if found.draws else chance(found),
    )
    why = "each ten percent down, then up" if found.nudged else "each over its range"
    most = [move for move in found.moves if move.months][:MOVES]
    none = "none of the figures brings it about or puts it off"
    yield from _item("  what moves it most", f"{why}, months:" if most else f"{why}: {none}")
    for move in most:
        yield from _item("", moved(move))
    if found.uncounted:
        yield from _item("  not counted", ", ".join(found.uncounted))


def _per_1000(found: CostDecision) -> str:
    each = found.per_1000
    if each is None:
        return f"{NOT_KNOWN}: set workload.requests_per_day"
    coin, over = found.currency, len(found.months) - 1
    return (
        f"service {money(each.service, coin)}{band(each.service_band, coin)}, "
        f"local {money(each.local, coin)}{band(each.local_band, coin)}, all of {over} months"
    )


def _table2(found: Table2) -> Iterator[str]:
    rows = [("Table 2", "light, printed", "recomputed", "heavy, printed", "recomputed")]
    cells = {(cell.workload, cell.item): cell for cell in found.cells}
    for item in dict.fromkeys(cell.item for cell in found.cells):
        light, heavy = (cells[workload, item] for workload in ("light", "heavy"))
        rows.append((item, *_cells(light), *_cells(heavy)))
    yield from terminal.table(rows, right=(1, 2, 3, 4))
    yield ""
    for one in found.crossings:
        yield from _item(f"break-even {one.marker}", f"{one.months:.3f} months: {one.words}")
    yield ""
    for number, text in enumerate(found.discrepancies, start=1):
        yield from _item(f"discrepancy {number}", text)


def _cells(figure: Cell) -> tuple[str, str]:
    mark = "" if figure.agrees else " *"
    return f"{figure.printed:,}", f"{figure.ours:,.2f}{mark}"


def _item(head: str, text: str) -> list[str]:
    return terminal.item(head, text, HEAD)


def sourced(case: Case, price: str | Price | None, book: Mapping[str, Listed]) -> list[str]:
    """Where the figures of a case come from, a line each; those without a source are left out."""
    found = []
    usd = case.price
    line = book.get(line_name(price)) if isinstance(price, str) else None
    said = f", {line.date}: {line.source}" if line else ""
    found.append(
        f"price {usd.input_usd} in, {usd.output_usd} out, dollars per million tokens{said}"
    )
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
                found.append(f"{part}.{key} {significant(figure.value)}, {when}{figure.source}")
    return found


CSV = (
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
    """Both sides' series, a row for each month of each case; empty cells: no band."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV)
    for found in decisions:
        for one in found.months:
            ends = [
                end
                for each in (one.service_band, one.local_band)
                for end in ((None, None) if each is None else (each.low, each.high))
            ]
            row = (
                *(found.name, found.currency, one.month, one.service, one.local),
                *(one.service_total, *ends[:2], one.local_total, *ends[2:], one.servers),
            )
            writer.writerow(["" if cell is None else cell for cell in row])
    return out.getvalue()


def json_of(decisions: Sequence[CostDecision], table2: Table2 | None) -> str:
    """Everything, amounts as text of decimals; null: unknown, no band, or never."""
    found: dict[str, object] = {"cases": [one.model_dump(mode="json") for one in decisions]}
    if table2 is not None:
        found["table2"] = {
            "cells": [
                {
                    **vars(cell),
                    "printed": str(cell.printed),
                    "ours": str(cell.ours),
                    "agrees": cell.agrees,
                }
                for cell in table2.cells
            ],
            "crossings": [{**vars(one), "months": str(one.months)} for one in table2.crossings],
            "discrepancies": list(table2.discrepancies),
        }
    return json.dumps(found, indent=1, ensure_ascii=False)
