"""What a run says at its end, as a table for the terminal."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from llamaduo.outcome import Outcome, SystemFacts
from llamaduo.report import cost as costs
from llamaduo.report import figures, words
from llamaduo.stats.table import METRICS

WIDTH = 100
ROLES = ("tuned", "base", "few_shot", "service", "copy")
_INDENT = 15


def table(outcome: Outcome, page: Path) -> str:
    """The end of a run for a terminal: at most `WIDTH` columns, but for the path of the page."""
    lines = ["", *_wrap(words.headline(outcome))]
    for note in (words.gate_note(outcome), words.judge(outcome)):
        lines += _wrap(note, 2) if note else []
    lines += ["", *_scores(outcome), ""]
    for number, (met, text) in enumerate(words.conditions(outcome.decision)):
        lines += _item("" if number else "gate on test", f"{words.verdict(met)}: {text}")
    for head, text in _facts(outcome):
        lines += _item(head, text)
    return "\n".join([*lines, f"{'report':{_INDENT}}{page}"])


def _facts(outcome: Outcome) -> Iterator[tuple[str, str]]:
    cost = outcome.cost
    yield "stop", words.stop(outcome)
    yield "rounds", words.rounds(outcome)
    yield "service LLM", _twice(figures.money(cost.spent), figures.money(cost.embodied))
    times = figures.duration(cost.seconds_spent), figures.duration(cost.seconds_embodied)
    yield "compute", _twice(*times)
    yield "1,000 answers", f"service {words.service_price(cost)}; local {words.local_price(cost)}"
    yield "break-even", costs.decision(cost)
    yield "champion", words.champion(outcome)
    yield "next", words.following(outcome)
    if switch := words.switch(outcome):
        yield "", switch


def _twice(spent: str, embodied: str) -> str:
    """What this run took and, where it differs, what all that it rests on took."""
    if spent == embodied:
        return f"{spent} in this run"
    return f"{spent} in this run; {embodied} with the reused stages, when they were made"


def _scores(outcome: Outcome) -> list[str]:
    rows = [("", "similarity", "precision", "cov@50/70", "similarity over base")]
    for system in ordered(outcome):
        rows.append((_plain(system.name)[:19], *_cells(system)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ["  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
    lines = [line.rstrip() for line in padded]
    prompts = outcome.card.sizes.get("test")
    asked = f"{figures.count(prompts, 'test prompt')}; " if prompts else ""
    lines += _wrap(f"{asked}mean [interval]; cov@T: percent of answers with both scores ≥ T", 2)
    for note in (words.over_base(outcome), *words.caveats(outcome)):
        lines += _wrap(note, 2) if note else []
    return lines


def _cells(system: SystemFacts) -> tuple[str, str, str, str]:
    over = figures.estimate(system.over_base.get("similarity"), sign=True)
    if system.scores is None:
        return "missing", "missing", figures.NONE, over
    similarity, precision = (figures.estimate(system.scores.of(m).mean) for m in METRICS)
    return similarity, precision, f"{system.scores.both_50}/{system.scores.both_70}", over


def ordered(outcome: Outcome) -> list[SystemFacts]:
    """The systems in the order in which a reader asks for them."""
    return sorted(outcome.systems, key=lambda system: ROLES.index(system.role))


def _item(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        _plain(text),
        WIDTH,
        initial_indent=f"{head:{_INDENT}}",
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
    )


def _wrap(text: str, indent: int = 0) -> list[str]:
    blank = " " * indent
    return textwrap.wrap(
        _plain(text),
        WIDTH,
        initial_indent=blank,
        subsequent_indent=blank,
        break_on_hyphens=False,
    )


def _plain(text: str) -> str:
    # A service's error message may hold escape sequences, which a terminal would obey.
    return "".join(c if c.isprintable() else " " for c in text)
