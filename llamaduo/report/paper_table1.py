"""Table 1 of the LlamaDuo paper from its numbers: P-Match again, and where the print is wrong.

`data/paper/table1.csv` has the 168 cells (task, model, judge, metric; mean, coverage@50 and @70),
`table1_pmatch.csv` the P-Match rows as printed. Only the figures are the paper's.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from llamaduo.base import shipped, terminal
from llamaduo.base.format import NONE
from llamaduo.stats.scores import TableCell, p_match

PAPER = shipped.DATA / "paper"
SERVICES = ("GPT4o", "Claude", "Gemini")
TASKS = {
    "summ": "summarization",
    "class": "classification",
    "coding": "coding",
    "closed": "closed QA",
}
METRIC = {"prec": "precision", "sim": "similarity"}
FIGURES = {"mean": "mean", "coverage_50": "cov@50", "coverage_70": "cov@70"}
TOLERANCE = 0.01  # the print has two decimals, some cut and some rounded
ROUNDED = 0.005  # a coverage printed as a whole percent is that of half a percent more or less
LEAST = 1  # the lowest score that the paper's judges could give

Column: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True)
class Named:
    """A model's cell in one column: task, judge and metric."""

    model: str
    cell: TableCell


@dataclass(frozen=True)
class Misprint:
    """A printed figure that the table's other figures rule out, with the arithmetic."""

    where: str
    printed: float
    arithmetic: str


def columns(path: Path = PAPER / "table1.csv") -> dict[Column, list[Named]]:
    """Read the cells of every column: four tasks, three judges, two metrics; seven models each."""
    cells: dict[Column, list[Named]] = {}
    for row in _rows(path):
        key = row["task"], row["judge"], row["metric"]
        cells.setdefault(key, []).append(Named(row["model"], _cell(row)))
    return cells


def printed(path: Path = PAPER / "table1_pmatch.csv") -> dict[Column, TableCell]:
    """Read the P-Match rows as the paper prints them."""
    return {(row["task"], row["judge"], row["metric"]): _cell(row) for row in _rows(path)}


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _cell(row: dict[str, str]) -> TableCell:
    return TableCell(
        mean=float(row["mean"]), coverage_50=float(row["cov50"]), coverage_70=float(row["cov70"])
    )


def split(cells: Sequence[Named]) -> tuple[list[Named], list[Named]]:
    """Split a column into the local models and the service models."""
    local = [cell for cell in cells if cell.model not in SERVICES]
    return local, [cell for cell in cells if cell.model in SERVICES]


def misprints(table: dict[Column, list[Named]], matches: dict[Column, TableCell]) -> list[Misprint]:
    """P-Match cells that the formula does not give, then means that their coverages rule out."""
    found = []
    for key, cells in table.items():
        local, service = split(cells)
        again = p_match([one.cell for one in local], [one.cell for one in service])
        for name, words in FIGURES.items():
            ours, theirs = getattr(again, name), getattr(matches[key], name)
            if ours is None or abs(ours - theirs) > TOLERANCE:
                top, bottom = (max(getattr(o.cell, name) for o in of) for of in (local, service))
                text = f"100 · {top:g} / {bottom:g} = {ours:.2f}, not {theirs:.2f}"
                found.append(Misprint(f"{_words(key)}, P-Match of {words}", theirs, text))
    for key, cells in table.items():
        for one in cells:
            if text := _outside(one.cell):
                where = f"{_words(key)}, mean of {one.model}"
                found.append(Misprint(where, one.cell.mean, text))
    return found


def bounds(cell: TableCell, give: float = 0.0) -> tuple[float, float]:
    """Return the least and the greatest mean that answers with these coverages can have.

    Least: those that reach 70 score 70, those that reach 50 score 50, the others 1. Greatest: 100,
    70 and 50. `give` is by how much each share may be off.
    """
    a, b = cell.coverage_70 / 100, cell.coverage_50 / 100
    low, high = (a - give, b - give), (a + give, b + give)
    least = 70 * low[0] + 50 * (low[1] - low[0]) + LEAST * (1 - low[1])
    return least, 100 * high[0] + 70 * (high[1] - high[0]) + 50 * (1 - high[1])


def _outside(cell: TableCell) -> str:
    low, high = bounds(cell, ROUNDED)
    if low <= cell.mean <= high:
        return ""
    a, b = cell.coverage_70 / 100, cell.coverage_50 / 100
    if cell.mean < low:
        sum_of = f"70 · {a:.2f} + 50 · {b - a:.2f} + {LEAST} · {1 - b:.2f} = {bounds(cell)[0]:.2f}"
        return f"with these coverages it is at least {sum_of}, more than {cell.mean:.2f}"
    sum_of = f"100 · {a:.2f} + 70 · {b - a:.2f} + 50 · {1 - b:.2f} = {bounds(cell)[1]:.2f}"
    return f"with these coverages it is at most {sum_of}, less than {cell.mean:.2f}"


def _words(key: Column) -> str:
    task, judge, metric = key
    return f"{TASKS.get(task, task)}, judge {judge}, {METRIC.get(metric, metric)}"


def text() -> str:
    """Return the table for a terminal: P-Match as printed and recomputed, who is best, misprints.

    A `*` marks a recomputed cell that the print does not have.
    """
    cells, matches = columns(), printed()
    lines = ["P-Match of Table 1: 100 · best local / best service; mean / cov@50 / cov@70"]
    head = ("judge", "metric", "as printed", "recomputed", "of the means")
    rows = terminal.table(
        [head, *(_row(key, models, matches[key]) for key, models in cells.items())], indent=2
    )
    task = ""
    for key, row in zip(cells, rows[1:], strict=True):
        if key[0] != task:
            task = key[0]
            lines += ["", TASKS[task], rows[0]]
        lines.append(row)
    wrong = misprints(cells, matches)
    lines += ["", f"{len(wrong)} misprints:"]
    for number, one in enumerate(wrong, start=1):
        lines += [f"{number}. {one.where}: printed {one.printed:.2f};", f"   {one.arithmetic}"]
    return "\n".join(lines)


def _row(key: Column, models: Sequence[Named], theirs: TableCell) -> tuple[str, ...]:
    """Return a line of the table: the P-Match of one task, judge and metric."""
    local, service = split(models)
    again = p_match([one.cell for one in local], [one.cell for one in service])
    mark = " " if _same(again.model_dump(), theirs) else "*"
    best, top = (max(of, key=lambda one: one.cell.mean) for of in (local, service))
    before, after = (
        " / ".join(_figure(getattr(cell, name)) for name in FIGURES) for cell in (theirs, again)
    )
    return key[1], METRIC[key[2]], before, after + mark, f"{best.model} / {top.model}"


def _same(ours: dict[str, float | None], theirs: TableCell) -> bool:
    pairs = [(value, getattr(theirs, name)) for name, value in ours.items()]
    return all(a is not None and abs(a - b) <= TOLERANCE for a, b in pairs)


def _figure(value: float | None) -> str:
    # 78.125 is printed as 78.13: half up, not half to even.
    return NONE if value is None else f"{value + 1e-9:.2f}"
