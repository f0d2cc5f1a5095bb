"""How far a run's figures can be believed, in words: what the section "evaluation" says."""

from collections.abc import Iterator

from llamaduo.base.format import NONE, count
from llamaduo.judge.pairwise import WinRate
from llamaduo.outcome import Checked, Outcome, Paired
from llamaduo.report.figures import estimate, score
from llamaduo.stats.agreement import Agreement
from llamaduo.stats.bias import LengthBias
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.table import METRICS, Metric
from llamaduo.stats.variance import Parts

PARTS = {
    "prompt": "between prompts",
    "sample": "between answers to one prompt",
    "judge": "between verdicts on one answer",
    "within": "within a prompt, in all",
}
KINDS = {
    "gold": "recorded answer",
    "changed": "one fact changed",
    "truncated": "cut short",
    "shuffled": "words shuffled",
    "empty": "empty",
    "first_two": "first two sentences of the prompt",
    "whole": "the whole prompt",
}


def p(value: float) -> str:
    """Write a p-value as people give it."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def paired(pair: Paired) -> tuple[str, str, str, str, str]:
    """Write a row of the table of differences: who, metric, difference, p and prompts."""
    comparison = pair.found
    who = f"{pair.system} less {pair.other}"
    prompts = f"{comparison.prompts:,}"
    return who, pair.metric, estimate(comparison.difference, sign=True), p(comparison.p), prompts


def preferred(wins: WinRate) -> str:
    """Say how often a judge prefers tuned's answer to the service's, in both orders."""
    rate = Estimate(
        value=100 * wins.rate.value,
        low=None if wins.rate.low is None else 100 * wins.rate.low,
        high=None if wins.rate.high is None else 100 * wins.rate.high,
    )
    first = "" if wins.for_first is None else f", {wins.for_first:.0%} of them for the first"
    return (
        f"win rate {estimate(rate)} %, wins and half the ties: {count(wins.wins, 'win')}, "
        f"{count(wins.ties, 'tie')}, {wins.losses} lost, {wins.failures} not judged; "
        f"{wins.flips} of the ties are flips under swap{first}"
    )


def variances(outcome: Outcome) -> list[tuple[str, Metric, list[str]]]:
    """List the standard deviation, in points, of each part of the spread, by system and metric."""
    rows: list[tuple[str, Metric, list[str]]] = []
    for system in outcome.systems:
        for metric in METRICS:
            parts = None if system.scores is None else system.scores.of(metric).variance
            if parts is not None:
                rows.append((system.name, metric, [_deviation(parts, name) for name in PARTS]))
    return rows


def _deviation(parts: Parts, name: str) -> str:
    """Take the root of a variance; an estimate may come out below 0 where the part is nearly 0."""
    value: float | None = getattr(parts, name)
    return NONE if value is None else score(max(0.0, value) ** 0.5)


def leniency(agreement: Agreement) -> Iterator[str]:
    """Say what each judge gives above the others, a sentence each."""
    for judge in agreement.leniency:
        if judge.constant:
            yield f"{judge.judge} gave one score to every answer, so it tells nothing apart"
        elif judge.shift is None:
            yield f"{judge.judge}: no answer was judged by all"
        else:
            points = estimate(judge.shift, sign=True)
            yield f"{judge.judge}: {points} points over {count(judge.responses, 'answer')}"


def correlations(agreement: Agreement) -> Iterator[str]:
    """Say how two judges rank the same answers, a sentence for each two."""
    for pair in agreement.correlations:
        yield f"{pair.judges[0]} and {pair.judges[1]}: {pair.words}"


def alphas(agreement: Agreement) -> str:
    """Say Krippendorff's alpha, and what it is once leniency is taken away."""
    if agreement.alpha is None:
        return f"alpha is not known: {agreement.words}"
    centred = NONE if agreement.centred is None else f"{agreement.centred:.2f}"
    return f"{agreement.words}; {centred} once each judge's leniency is taken away"


def length(bias: LengthBias) -> str:
    """Say how a judge's scores go with the length of an answer."""
    if bias.slope is None:
        return f"{bias.judge}: {bias.words}"
    where = "to the same prompt" if bias.within else "to different prompts"
    # A slope from answers of nearly one length leads off the scale at another.
    shown = {name: value for name, value in bias.controlled.items() if 0 <= value <= 100}
    held = ", ".join(f"{name} {score(value)}" for name, value in shown.items())
    beyond = ", ".join(name for name in bias.controlled if name not in shown)
    at = f"; at the reference's length: {held}" if held else ""
    lost = f"; too far from that length to tell: {beyond}" if beyond else ""
    return f"{bias.judge}: {bias.slope:+.1f} points for twice the words, answers {where}{at}{lost}"


def checked(row: Checked) -> tuple[str, ...]:
    """Write a row of the table of people: who, metric, Spearman, difference and answers."""
    rho = NONE if row.rho is None else f"{row.rho:.2f}"
    answers = f"{row.answers:,}"
    less = estimate(row.less, sign=True)
    return row.person, row.judge, row.metric, rho, less, answers


def people(outcome: Outcome) -> list[str]:
    """List the agreement of each judge with the people who looked, a line each."""
    lines = []
    for row in outcome.evaluation.people:
        rho = row.words if row.rho is None else f"Spearman {row.rho:.2f}"
        lines.append(
            f"{row.judge} against {row.person}, {row.metric}: {rho}; {row.judge} less "
            f"{row.person} {estimate(row.less, sign=True)} ({count(row.answers, 'answer')})"
        )
    return lines
