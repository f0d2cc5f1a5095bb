"""The report of a run as one HTML page.

Its sentences are in `words.py`, how figures read in `base/format.py` and `figures.py`; its charts
are those of `sheets.py`, drawn by `llamaduo.charts`; its sections are in
`templates/report.html.j2`, which takes its parts from `macros.html.j2` and its looks from
`report.css`. To add a section to the page, add a `<section>` to the template; what it shows
belongs in `Outcome`.
"""

import re
from functools import cache
from pathlib import Path

from jinja2 import Template

from llamaduo.base import format
from llamaduo.base.files import write_atomically
from llamaduo.charts import svg
from llamaduo.outcome import Evaluation, Outcome
from llamaduo.outcome.runs import Named
from llamaduo.report import cost as costs
from llamaduo.report import evaluation, figures, next_step, sheets, words
from llamaduo.report.series import judges
from llamaduo.report.terminal import ordered
from llamaduo.stats.table import METRICS


def write_page(outcome: Outcome, folder: Path) -> Path:
    """Write `<name>-<run>/report.html` and, beside it, `outcome.json`; return the page's path."""
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
    return template("report.html.j2").render(
        outcome=outcome,
        figures=figures,
        words=words,
        next_step=next_step,
        metrics=METRICS,
        systems=ordered(outcome),
        sheets=sheets.of_run(outcome),
        costs=costs,
        evaluation=evaluation,
        evaluated=outcome.evaluation != Evaluation() or bool(evaluation.variances(outcome)),
        several_judges=len(judges([Named("", outcome)])) > 1,
    )


@cache
def template(name: str) -> Template:
    """Return a page's template from this folder."""
    env = svg.environment(Path(__file__).parent / "templates")
    env.globals["format"] = format
    return env.get_template(name)
