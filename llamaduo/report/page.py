"""The report of a run as one HTML page.

Its sentences are in `words.py`, how figures read in `base/format.py` and `figures.py`; its charts
are laid out in `charts.py`, its sections in `templates/report.html.j2`, which takes its parts from
`macros.html.j2` and its looks from `report.css`. To add a section to the page, add a `<section>`
to the template; what it shows belongs in `Outcome`.
"""

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from llamaduo.base import format
from llamaduo.base.files import write_atomically
from llamaduo.outcome import Evaluation, Outcome
from llamaduo.outcome.runs import Named
from llamaduo.report import charts, curves, evaluation, figures, words
from llamaduo.report import cost as costs
from llamaduo.report.series import judges
from llamaduo.report.terminal import ordered
from llamaduo.stats.table import METRICS


def write_page(outcome: Outcome, folder: Path) -> Path:
    """Write `<name>-<run>/report.html` and, beside it, `outcome.json`; returns the page's path."""
    page = page_of(outcome, folder)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, _html(outcome))
    write_atomically(page.with_name("outcome.json"), outcome.model_dump_json(indent=1) + "\n")
    return page


def page_of(outcome: Outcome, folder: Path) -> Path:
    """Return where the page of an outcome lies in the folder of reports."""
    name = re.sub(r"[^\w.-]+", "-", outcome.name)[:100]
    return folder / f"{name}-{outcome.run_id[:8]}" / "report.html"


def _html(outcome: Outcome) -> str:
    alone = [Named("", outcome)]
    volumes = [curves.by_volume(alone, metric) for metric in METRICS] if outcome.readings else []
    return template("report.html.j2").render(
        outcome=outcome,
        figures=figures,
        words=words,
        metrics=METRICS,
        systems=ordered(outcome),
        by_round=charts.each(charts.by_round, outcome),
        losses=charts.losses(outcome),
        distributions=charts.each(charts.distribution, outcome),
        by_prompt=charts.each(charts.by_prompt, outcome),
        curves=curves.curves(alone) if outcome.readings else [],
        volumes=[chart for chart in volumes if chart is not None],
        costs=costs,
        accumulated=costs.accumulated(outcome),
        evaluation=evaluation,
        evaluated=outcome.evaluation != Evaluation() or bool(evaluation.variances(outcome)),
        several_judges=len(judges(alone)) > 1,
    )


@cache
def template(name: str) -> Template:
    """A page's template from this folder."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        # Prompts and answers are other people's text: all of it is escaped.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals["format"] = format
    return env.get_template(name)
