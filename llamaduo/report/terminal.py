"""What a run says at its end, as a table for the terminal."""

from collections.abc import Iterator
from pathlib import Path

from llamaduo.base import format, terminal
from llamaduo.migration.yardsticks import SYSTEMS
from llamaduo.outcome import Outcome, SystemFacts
from llamaduo.report import cost as costs
from llamaduo.report import figures, next_step, words
from llamaduo.stats.table import METRICS

HEAD = 15


def table(outcome: Outcome, page: Path) -> str:
    """Return the end of a run for a terminal; only the path of the page may be a longer line."""
    lines = ["", *terminal.wrapped(words.headline(outcome))]
    for note in (words.gate_note(outcome), words.judge(outcome)):
        lines += _note(note)
    lines += ["", *_scores(outcome), ""]
    for number, (met, text) in enumerate(words.conditions(outcome.decision)):
        head = "" if number else "gate on test"
        lines += terminal.item(head, f"{words.verdict(met)}: {text}", HEAD)
    for head, text in _facts(outcome):
        lines += terminal.item(head, text, HEAD)
    return "\n".join([*lines, f"{'report':{HEAD}}{page}"])


def _facts(outcome: Outcome) -> Iterator[tuple[str, str]]:
    cost = outcome.cost
    yield "stop", next_step.stop(outcome)
    yield "rounds", words.rounds(outcome)
    yield "service LLM", _twice(figures.bill(cost.spent), figures.bill(cost.embodied))
    times = format.duration(cost.seconds_spent), format.duration(cost.seconds_embodied)
    yield "compute", _twice(*times)
    yield "1,000 answers", f"service {words.service_price(cost)}; local {words.local_price(cost)}"
    yield "break-even", costs.decision(cost)
    yield "champion", next_step.champion(outcome)
    yield "next", next_step.next_step(outcome)
    if switch := next_step.how_to_switch(outcome):
        yield "", switch


def _twice(spent: str, embodied: str) -> str:
    """Say what this run took and, where it differs, what all that it rests on took."""
    if spent == embodied:
        return f"{spent} in this run"
    return f"{spent} in this run; {embodied} with the reused stages, when they were made"


def _scores(outcome: Outcome) -> list[str]:
    rows = [("", "similarity", "precision", "cov@50/70", "similarity over base")]
    for system in ordered(outcome):
        rows.append((terminal.cut(system.name, 19), *_cells(system)))
    lines = terminal.table(rows)
    prompts = outcome.card.sizes.get("test")
    asked = f"{format.count(prompts, 'test prompt')}; " if prompts else ""
    lines += _note(f"{asked}mean [interval]; cov@T: percent of answers with both scores ≥ T")
    for note in (words.over_base(outcome), *words.caveats(outcome)):
        lines += _note(note)
    return lines


def _note(text: str | None) -> list[str]:
    return terminal.wrapped(text or "", first="  ", rest="  ")


def _cells(system: SystemFacts) -> tuple[str, str, str, str]:
    over = figures.estimate(system.over_base.get("similarity"), sign=True)
    if system.scores is None:
        return "missing", "missing", format.NONE, over
    similarity, precision = (figures.estimate(system.scores.of(m).mean) for m in METRICS)
    return similarity, precision, f"{system.scores.both_50}/{system.scores.both_70}", over


def ordered(outcome: Outcome) -> list[SystemFacts]:
    """Put the systems in the order of telling; an outcome of version 0.1.0 has another."""
    order = list(dict.fromkeys(SYSTEMS.values()))
    return sorted(outcome.systems, key=lambda system: order.index(system.role))
