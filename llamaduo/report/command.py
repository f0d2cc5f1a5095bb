"""`python -m llamaduo.report`: runs that have ended, compared, drawn, reviewed."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator, model_validator

from llamaduo import cli
from llamaduo.base import stdout
from llamaduo.config import Config, Count, MlflowTrackingConfig, TrackingConfig

if TYPE_CHECKING:
    from llamaduo.outcome.runs import Named

EXPERIMENT = "reports"


class Report(Config):
    """What to report on: `runs`, or the `paper`'s Table 1.

    `figures` asks for the charts as PDF and PNG too, beside the SVG files.
    `review` is a file that gets at most `cases` answers of the one run for a person to look at,
    chosen `by` where tuned falls furthest behind a system, or where judges disagree most.
    `annotated` is such a file with scores in it, which come in as those of a judge called `person`.
    """

    tracking: TrackingConfig
    runs: tuple[str, ...]
    figures: bool
    paper: Literal["table1"] | None
    review: Path | None
    annotated: Path | None
    by: Literal["service", "base", "disagreement"]
    cases: Count
    person: str
    format: Literal["text", "json"]

    @field_validator("runs", mode="before")
    @classmethod
    def _one_alone(cls, runs: object) -> object:
        return [runs] if isinstance(runs, str) else runs

    @model_validator(mode="after")
    def _one_thing_at_a_time(self) -> "Report":
        asked = {"review": self.review, "annotated": self.annotated}
        given = [f"{name}={value}" for name, value in asked.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)}: write a file first, read it when it is done")
        if given and len(self.runs) != 1:
            raise ValueError(f"{given[0]} is about the answers of one run: name it with runs=[…]")
        if not re.fullmatch(r"[\w.-]{1,60}", self.person):
            raise ValueError(f"person={self.person}: a name of letters, digits, . _ -")
        return self


def report(config: Report) -> None:
    """Do what is asked, and say where it lies."""
    if config.format == "text":
        _act(config)
        return
    with stdout.reserved() as show:
        show(_act(config))


def _act(config: Report) -> dict[str, Any]:
    """Do and print what is asked; return the same as data."""
    facts: dict[str, Any] = {}
    if config.paper is not None:
        from llamaduo.report.as_json import of_paper
        from llamaduo.report.paper_table1 import text

        print(text())
        facts["paper"] = of_paper()
    if config.runs or config.paper is None:
        facts |= _of_runs(config)
    return facts


def _of_runs(config: Report) -> dict[str, Any]:
    from llamaduo.charts import svg
    from llamaduo.outcome.runs import load
    from llamaduo.report import sheets
    from llamaduo.report.as_json import of_runs

    if config.figures:
        svg.can_convert()
    reports = config.tracking.home / "reports"
    runs = load(config.runs, reports)
    if config.review is not None:
        return _hand_out(runs[0], config, config.review)
    if config.annotated is not None:
        runs = [_taken_back(runs[0], config, config.annotated)]
    page, text = _page(runs, reports)
    print(text)
    written = svg.write(sheets.of_runs(runs), page.parent / "figures", also=config.figures)
    names = ", ".join(path.name for path in written)
    print(f"{'figures':<15}{page.parent / 'figures'}: {names}" if names else "no figures")
    _log(runs, page, config.tracking)
    return of_runs(runs, reports, page, written)


def _page(runs: "list[Named]", reports: Path) -> tuple[Path, str]:
    """Write the page of one run again, or of several side by side; return its path and table."""
    from llamaduo.base.terminal import wrapped
    from llamaduo.report import compare, evaluation, terminal
    from llamaduo.report.page import write_page

    if len(runs) > 1:
        page = compare.write(runs, reports)
        return page, compare.table(runs, page)
    outcome = runs[0].outcome
    page = write_page(outcome, reports)
    lines = [row for line in evaluation.people(outcome) for row in wrapped(line, rest="  ")]
    return page, "\n".join([terminal.table(outcome, page), *lines])


def _hand_out(run: "Named", config: Report, path: Path) -> dict[str, Any]:
    from llamaduo.report import review

    held = review.kept(run.outcome, config.tracking.home)
    cases = review.choose(run.outcome, held, by=config.by, most=config.cases)
    facts = {"run": run.outcome.run_id, "cases": len(cases), "file": path if cases else None}
    if not cases:
        print(f"No case to look at: by={config.by}, there is no gap in any answer.")
        return facts
    review.write(cases, path)
    print(
        f"{len(cases)} cases in {path}, the widest gap first. Fill in similarity and precision, "
        "0 to 100, and a note, best before you read what the judges say; then: python -m "
        f"llamaduo.report runs=[{run.outcome.run_id[:8]}] annotated={path}"
    )
    return facts


def _taken_back(run: "Named", config: Report, path: Path) -> "Named":
    from llamaduo.outcome.runs import Named
    from llamaduo.report import review
    from llamaduo.report.annotated import joined

    held = review.kept(run.outcome, config.tracking.home)
    verdicts = review.read(path, run.outcome, held, person=config.person)
    return Named(run.label, joined(run.outcome, held, verdicts))


def _log(runs: "list[Named]", page: Path, tracking: TrackingConfig) -> None:
    """Keep the page and the figures with MLflow, in a run of their own that names the runs."""
    if not isinstance(tracking, MlflowTrackingConfig):
        return
    from llamaduo.tracking import build

    ids = [run.outcome.run_id for run in runs]
    name = " ".join(one[:8] for one in ids)
    with build(tracking).open(EXPERIMENT, name, {"llamaduo.runs": ",".join(ids)}) as tracked:
        tracked.files(page.parent)


def main() -> None:
    """Run the command line."""
    cli.launch("report", Report, report, words=cli.quoted(sys.argv[1:], "runs"))
