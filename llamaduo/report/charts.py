"""The charts of one run: figures of an outcome in, shapes at positions out.

Scores always have the whole axis from 0 to 100, so that charts can be compared. `llamaduo.charts`
draws the shapes.
"""

import math
from collections.abc import Callable
from statistics import fmean

from llamaduo.base.format import count
from llamaduo.charts.head import Key, Tone
from llamaduo.charts.scales import Scale, Tick, nice, thinned
from llamaduo.charts.shapes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Bar,
    Chart,
    Level,
    Line,
    Mark,
    Row,
)
from llamaduo.outcome import Outcome, PromptScores, SystemFacts
from llamaduo.report.figures import estimate, score
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.table import METRICS, Metric

BIN = 5  # points of a score that share a bar
ROW = 62  # height of one system's bars, with the words above them
ABOVE = 19
MOST = 60  # prompts that can be told apart side by side
NAMED = 6  # rounds that the legend names one by one

SHOWN = ("tuned", "base", "service")


def each(chart: Callable[[Outcome, Metric], Chart | None], outcome: Outcome) -> list[Chart]:
    """Return one chart for each metric that there is something to show of."""
    charts = [chart(outcome, metric) for metric in METRICS]
    return [drawn for drawn in charts if drawn is not None]


def by_round(outcome: Outcome, metric: Metric) -> Chart | None:
    """Return a metric's mean on dev by round, with its interval, and the service's own level.

    None where no round has scores; a round without any leaves a gap.
    """
    found = [
        (one.number, one.scores.of(metric).mean) for one in outcome.rounds if one.scores is not None
    ]
    if not found:
        return None
    across = Scale(0, outcome.rounds[-1].number, LEFT + 26, WIDTH - RIGHT - 26)
    up = _scores()
    marks = tuple(_mark(across(n), mean, up, f"round {n}: {estimate(mean)}") for n, mean in found)
    said, levels = [mark.words for mark in marks], []
    legend = [Key("tuned, with interval", "tuned")]
    if outcome.yardstick is not None:
        own = outcome.yardstick.of(metric).mean
        held = _mark(0, own, up, "")
        levels.append(Level(held.y, held.low, held.high, "service"))
        legend.append(Key(f"service {score(own.value)}", "service"))
        said.append(f"the service's second answers: {estimate(own)}")
    return Chart(
        key=f"rounds-{metric}",
        title=f"{metric} on dev",
        says="; ".join(said),
        across="round",
        x=thinned([Tick(across(one.number), str(one.number)) for one in outcome.rounds]),
        y=up.ticks(20),
        lines=(Line(marks),),
        levels=tuple(levels),
        legend=tuple(legend),
    )


def losses(outcome: Outcome) -> Chart | None:
    """Return training loss by step, a line for each round; None where nothing was recorded."""
    rows = {
        one.number: [(step, loss) for step, loss in one.losses if math.isfinite(loss)]
        for one in outcome.rounds
    }
    rows = {number: found for number, found in rows.items() if found}
    if not rows:
        return None
    last = max(step for found in rows.values() for step, _ in found)
    top = max(loss for found in rows.values() for _, loss in found)
    step = nice(top / 4)
    across = Scale(0, max(1, last), LEFT + 4, WIDTH - RIGHT - 4)
    up = Scale(0, step * math.ceil(max(top, step) / step), HEIGHT - BOTTOM, TOP)
    lines, legend = [], []
    for place, (number, found) in enumerate(rows.items(), start=1):
        fade = round(0.4 + 0.6 * place / len(rows), 2)
        marks = tuple(
            Mark(across(s), up(v), None, None, f"round {number}, step {s}: {v:.3f}")
            for s, v in found
        )
        lines.append(Line(marks, dots=len(found) <= 40, fade=fade))
        legend.append(Key(f"round {number}", "tuned", fade))
    said = [
        f"round {number}: from {found[0][1]:.3f} to {found[-1][1]:.3f} in {found[-1][0]} steps"
        for number, found in rows.items()
    ]
    return Chart(
        key="losses",
        title="training loss, nats per token",
        says="; ".join(said),
        across="step",
        x=across.ticks(max(1, nice(last / 4))),
        y=up.ticks(step),
        lines=tuple(lines),
        legend=tuple(legend if len(legend) <= NAMED else [legend[0], legend[-1]]),
    )


def distribution(outcome: Outcome, metric: Metric) -> Chart | None:
    """Return the spread of single answers' scores on test, a row of bars for each system.

    The height of a bar is its share of the system's answers, on one scale for all rows.
    """
    found = [(system, _all(system, metric)) for system in _shown(outcome)]
    if not found:
        return None
    counts = {system.role: _binned(scores) for system, scores in found}
    most = max(max(counts[system.role]) / len(scores) for system, scores in found)
    across = Scale(0, 100, LEFT, WIDTH - RIGHT)
    rows, said = [], []
    for place, (system, scores) in enumerate(found):
        bottom = TOP + ROW * (place + 1)
        up = Scale(0, most, bottom, bottom - ROW + ABOVE)
        bars = tuple(
            Bar(
                x=across(BIN * i),
                width=round(across(BIN * (i + 1)) - across(BIN * i) - 0.8, 1),
                top=up(held / len(scores)),
                bottom=bottom,
                words=f"{system.name}, {BIN * i} to {BIN * (i + 1)}: {count(held, 'answer')}",
            )
            for i, held in enumerate(counts[system.role])
            if held
        )
        words = f"{system.name}: mean {score(fmean(scores))}, {count(len(scores), 'answer')}"
        said.append(f"{words}, {_middle(scores)}")
        rows.append(Row(bars, _tone(system), across(fmean(scores)), up(most), bottom, words))
    return Chart(
        key=f"spread-{metric}",
        title=f"{metric} of the answers on test",
        says="; ".join(said),
        across=f"{metric} (height of a bar: share of the answers)",
        x=across.ticks(20),
        rows=tuple(rows),
        height=TOP + ROW * len(found) + BOTTOM,
    )


def by_prompt(outcome: Outcome, metric: Metric) -> Chart | None:
    """Return each test prompt's mean, from lowest to highest, with the range of its answers.

    Beside tuned stands base on the same prompts. Of very many prompts some are shown, at even
    distances.
    """
    tuned, base = outcome.system("tuned"), outcome.system("base")
    if tuned is None or not tuned.prompts:
        return None
    ordered = sorted(tuned.prompts, key=lambda one: fmean(one.of(metric)))
    stride = math.ceil(len(ordered) / MOST)
    places = {one.prompt_id: i for i, one in enumerate(ordered[::stride])}
    across = Scale(0, max(1, len(places) - 1), LEFT + 8, WIDTH - RIGHT - 8)
    up = _scores()
    lines = []
    for system in (base, tuned):
        if system is not None:
            shown = [one for one in system.prompts if one.prompt_id in places]
            shown.sort(key=lambda one: places[one.prompt_id])
            marks = tuple(_range(one, metric, across(places[one.prompt_id]), up) for one in shown)
            lines.append(Line(marks, _tone(system), joined=False))
    means = [fmean(one.of(metric)) for one in ordered]
    some = f"{len(places)} of {len(ordered)} prompts" if stride > 1 else f"{len(ordered)} prompts"
    return Chart(
        key=f"prompts-{metric}",
        title=f"{metric} by prompt on test",
        says=f"tuned: means of {len(means)} prompts from {score(means[0])} to {score(means[-1])}",
        across=f"{some}, by the mean of tuned",
        x=(),
        y=up.ticks(20),
        lines=tuple(lines),
        legend=(
            Key("tuned: mean and range of the answers", "tuned"),
            *([Key("base", "base")] if base is not None and base.prompts else []),
        ),
    )


def _shown(outcome: Outcome) -> list[SystemFacts]:
    found = [outcome.system(role) for role in SHOWN]
    return [system for system in found if system is not None and system.prompts]


def _all(system: SystemFacts, metric: Metric) -> list[float]:
    return [value for one in system.prompts for value in one.of(metric)]


def _tone(system: SystemFacts) -> Tone:
    return "base" if system.role == "copy" or system.role == "few_shot" else system.role


def _binned(scores: list[float]) -> list[int]:
    counts = [0] * (100 // BIN)
    for value in scores:
        counts[min(int(value // BIN), len(counts) - 1)] += 1
    return counts


def _middle(scores: list[float]) -> str:
    ordered = sorted(scores)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.25, 0.75))
    return f"half of them from {score(low)} to {score(high)}"


def _scores() -> Scale:
    return Scale(0, 100, HEIGHT - BOTTOM, TOP)


def _range(one: PromptScores, metric: Metric, x: float, up: Scale) -> Mark:
    scores = one.of(metric)
    words = f"{one.prompt_id}: {', '.join(score(value) for value in scores)}"
    low, high = (up(min(scores)), up(max(scores))) if len(scores) > 1 else (None, None)
    return Mark(x, up(fmean(scores)), low, high, words)


def _mark(x: float, mean: Estimate, up: Scale, words: str) -> Mark:
    if mean.low is None or mean.high is None:
        return Mark(x, up(mean.value), None, None, words)
    return Mark(x, up(mean.value), up(mean.low), up(mean.high), words)
