"""Runs side by side, for a terminal and as a page: scores, rounds, cost and what differs."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llamaduo.base import format, terminal
from llamaduo.base.files import write_atomically
from llamaduo.outcome import Outcome
from llamaduo.outcome.runs import Named
from llamaduo.report import comparison, evaluation, figures, sheets, words
from llamaduo.report.comparison import Difference
from llamaduo.report.page import template
from llamaduo.report.series import judges, readings
from llamaduo.stats.scores import Scores
from llamaduo.stats.table import METRICS, Metric

HEAD = 24
ACROSS = 3  # runs beside each other on a terminal


@dataclass(frozen=True)
class Row:
    """A line of the table: what it is of, and a text for each run."""

    head: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """Rows under a heading; `system` is of scores, the rest are facts of the runs."""

    title: str
    rows: tuple[Row, ...]


def blocks(runs: Sequence[Named]) -> list[Block]:
    """Lay out the whole table: each metric, coverage, then what the runs were and took."""
    found = [Block(f"{metric} on test", _scores(runs, _mean(metric))) for metric in METRICS]
    found.append(Block("cov@50 / cov@70 on test", _scores(runs, _coverage)))
    found.append(Block("run", tuple(_facts(runs))))
    return found


def _mean(metric: Metric) -> Callable[[Scores], str]:
    return lambda scores: figures.estimate(scores.of(metric).mean)


def _coverage(scores: Scores) -> str:
    return f"{scores.both_50} / {scores.both_70}"


def _scores(runs: Sequence[Named], figure: Callable[[Scores], str]) -> tuple[Row, ...]:
    rows = []
    for name in comparison.systems(runs):
        found = [comparison.system(run.outcome, name) for run in runs]
        cells = (
            format.NONE if one is None else "missing" if one.scores is None else figure(one.scores)
            for one in found
        )
        rows.append(Row(name, tuple(cells)))
    several = judges(runs)
    for judge in several if len(several) > 1 else ():
        cells = (_by_judge(run.outcome, judge, figure) for run in runs)
        rows.append(Row(f"tuned by {judge}", tuple(cells)))
    return tuple(rows)


def _by_judge(outcome: Outcome, judge: str, figure: Callable[[Scores], str]) -> str:
    for one in readings(outcome):
        if (one.judge, one.system, one.split) == (judge, "tuned", "test"):
            return "missing" if one.scores is None else figure(one.scores)
    return format.NONE


def _facts(runs: Sequence[Named]) -> Iterator[Row]:
    def row(head: str, text: Callable[[Outcome], str]) -> Row:
        return Row(head, tuple(text(run.outcome) for run in runs))

    yield row("result", lambda o: o.result.replace("_", " "))
    yield row("gate", lambda o: o.gate)
    yield row("stop", lambda o: o.stop)
    yield row("judge", lambda o: o.judge)
    yield row("service → local", lambda o: f"{o.service} → {o.local}")
    yield row("rounds", lambda o: f"{len(o.rounds)}; {o.best} read on test")
    yield row("training pairs", lambda o: format.integer(words.best(o).pool))
    yield row("tokens trained on", words.trained)
    yield row("dollars, service LLM", lambda o: format.money(o.cost.embodied.usd))
    yield row("simulated dollars", lambda o: format.money(o.cost.embodied.simulated_usd))
    yield row("compute", lambda o: format.duration(o.cost.seconds_embodied))
    yield row("1,000 by service", lambda o: words.service_price(o.cost))
    yield row("1,000 by local", lambda o: _local(o))


def _local(outcome: Outcome) -> str:
    seconds = outcome.cost.local_seconds_per_1000
    return format.NOT_KNOWN if seconds is None else format.duration(seconds)


def verdict(runs: Sequence[Named]) -> str:
    """Say whether the figures of these runs can be compared, and if not, why."""
    against = comparison.obstacles(runs)
    if not against:
        return "The figures can be compared: one test set, one judge."
    together = [group for group in comparison.groups(runs) if len(group) > 1]
    names = " and those of ".join(", ".join(run.label for run in group) for group in together)
    some = f", but for those of {names} among themselves" if together else ""
    return f"The figures can not be compared{some}: {'; and '.join(against)}."


def differences(runs: Sequence[Named]) -> list[str]:
    """Put every difference into words; those that are none are told in a line together."""
    found = comparison.differences(runs)
    lines = [_difference(one) for one in found if not comparison.alike(one)]
    for first, other in dict.fromkeys((one.first, one.run) for one in found):
        same = [o for o in found if (o.first, o.run) == (first, other) and comparison.alike(o)]
        names = ", ".join(dict.fromkeys(f"{one.system} ({one.metric})" for one in same))
        if names:
            lines.append(f"{other} and {first} score the same on every prompt: {names}")
    return lines


def _difference(one: Difference) -> str:
    """Put a difference between two runs into words."""
    found = one.found
    return (
        f"{one.system}, {one.metric}: {one.run} less {one.first} "
        f"{figures.estimate(found.difference, sign=True)}, p {evaluation.p(found.p)} "
        f"({format.count(found.prompts, 'prompt')})"
    )


def table(runs: Sequence[Named], page: Path) -> str:
    """Return the comparison for a terminal; only the path of the page may be a longer line."""
    lines = [""]
    for run in runs:
        lines += _hanging(f"{run.label}  {name_of(run.outcome)}")
    lines += ["", *_hanging(verdict(runs))]
    for start in range(0, len(runs), ACROSS):
        lines += _side_by_side(runs, slice(start, start + ACROSS))
    if texts := differences(runs):
        lines += ["", "differences, prompt by prompt, with 95 % intervals"]
        lines += [line for text in texts for line in _hanging(text, "  ")]
    lines += ["", "configuration that differs" if comparison.settings(runs) else ""]
    for setting in comparison.settings(runs):
        values = (f"{run.label} {v}" for run, v in zip(runs, setting.values, strict=True))
        lines += _hanging(f"{setting.key}: {'; '.join(values)}", "  ")
    return "\n".join([*lines, f"{'report':<15}{page}"])


def _side_by_side(runs: Sequence[Named], shown: slice) -> list[str]:
    width = (terminal.WIDTH - HEAD - 2) // ACROSS
    lines = ["", _row("", [run.label for run in runs[shown]], width)]
    for block in blocks(runs):
        lines.append(block.title)
        lines += [_row(f"  {row.head}", row.cells[shown], width) for row in block.rows]
    return lines


def _row(head: str, cells: Sequence[str], width: int) -> str:
    texts = (terminal.padded(terminal.cut(cell, width - 2), width) for cell in cells)
    start = terminal.padded(terminal.cut(head, HEAD - 1), HEAD)
    return f"{start}{''.join(texts)}".rstrip()


def _hanging(text: str, indent: str = "") -> list[str]:
    return terminal.wrapped(text, first=indent, rest=f"{indent}  ")


def name_of(outcome: Outcome) -> str:
    """Name a run where it stands among others."""
    return f"{outcome.name} · run {outcome.run_id[:8]} · task {outcome.task} · seed {outcome.seed}"


def folder(runs: Sequence[Named], reports: Path) -> Path:
    """Return the folder of the page of these runs: the same for the same runs in order."""
    ids = "-".join(run.outcome.run_id[:8] for run in runs)
    if len(runs) > 4:
        ids = hashlib.sha256(ids.encode()).hexdigest()[:16]
    return reports / "compared" / ids


def write(runs: Sequence[Named], reports: Path) -> Path:
    """Write the page of a comparison; returns its path."""
    page = folder(runs, reports) / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    html = template("compare.html.j2").render(
        runs=runs,
        names=[name_of(run.outcome) for run in runs],
        verdict=verdict(runs),
        obstacles=comparison.obstacles(runs),
        blocks=blocks(runs),
        differences=differences(runs),
        settings=comparison.settings(runs),
        charts=[chart for sheet in sheets.of_runs(runs).values() for chart in sheet],
    )
    write_atomically(page, html)
    return page
