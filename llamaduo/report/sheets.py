"""The charts of a report by the sheet that they stand on: a part of the page, and a file."""

from collections.abc import Sequence

from llamaduo.charts.shapes import Chart
from llamaduo.outcome import Outcome
from llamaduo.outcome.runs import Named
from llamaduo.report import charts, cost, curves
from llamaduo.stats.table import METRICS


def of_run(outcome: Outcome) -> dict[str, list[Chart]]:
    """Return the charts of one run; a sheet of which nothing is known is empty."""
    alone = [Named("", outcome)]
    losses, accumulated = charts.losses(outcome), cost.accumulated(outcome)
    return {
        "rounds": [
            *charts.each(charts.by_round, outcome),
            *([] if losses is None else [losses]),
        ],
        "spread": [
            *charts.each(charts.distribution, outcome),
            *charts.each(charts.by_prompt, outcome),
        ],
        "density": curves.curves(alone),
        "volume": curves.volumes(alone),
        "cost": [] if accumulated is None else [accumulated],
    }


def of_runs(runs: Sequence[Named]) -> dict[str, list[Chart]]:
    """Return the charts of runs side by side, or of the one run where there is but one."""
    if len(runs) == 1:
        return of_run(runs[0].outcome)
    rounds = [curves.by_round(runs, metric) for metric in METRICS]
    return {
        "density": curves.curves(runs),
        "volume": curves.volumes(runs),
        "rounds": [chart for chart in rounds if chart is not None],
    }
