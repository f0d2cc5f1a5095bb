"""What `python -m llamaduo.report format=json` prints: the runs in brief, and what differs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llamaduo.outcome.runs import Named
from llamaduo.outcome.summary import summary_of
from llamaduo.report import comparison, paper_table1
from llamaduo.report.page import page_of
from llamaduo.stats.scores import p_match


def of_runs(
    runs: Sequence[Named], reports: Path, page: Path, figures: Sequence[Path]
) -> dict[str, Any]:
    """Return one run, or several side by side, with the `page` and the `figures` on them.

    `people` has how the judges do against those who scored answers, for each run that has any.
    """
    several = len(runs) > 1
    return {
        "runs": [
            {"label": run.label, **dict(summary_of(run.outcome, page_of(run.outcome, reports)))}
            for run in runs
        ],
        "obstacles": comparison.obstacles(runs),
        "differences": [
            {
                "run": difference.run,
                "first": difference.first,
                "system": difference.system,
                "metric": difference.metric,
                **dict(difference.found),
            }
            for difference in (comparison.differences(runs) if several else ())
        ],
        "settings": [
            {"key": setting.key, "values": setting.values}
            for setting in (comparison.settings(runs) if several else ())
        ],
        "people": [
            {"label": run.label, **dict(checked)}
            for run in runs
            for checked in run.outcome.evaluation.people
        ],
        "page": page,
        "figures": list(figures),
    }


def of_paper() -> dict[str, Any]:
    """Return the paper's Table 1: P-Match as printed and recomputed, and the misprints."""
    table, matches = paper_table1.columns(), paper_table1.printed()
    rows = []
    for (task, judge, metric), cells in table.items():
        local, service = paper_table1.split(cells)
        again = p_match([model.cell for model in local], [model.cell for model in service])
        rows.append(
            {
                "task": task,
                "judge": judge,
                "metric": metric,
                "printed": matches[task, judge, metric],
                "recomputed": again,
            }
        )
    return {"p_match": rows, "misprints": [vars(m) for m in paper_table1.misprints(table, matches)]}
