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
    """A p-value as people give it."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def paired(one: Paired) -> tuple[str, str, str, str, str]:
    """A row of the table of differences: who, metric, difference, p and number of prompts."""
    found = one.found
    who = f"{one.system} less {one.other}"
    prompts = f"{found.prompts:,}"
    return who, one.metric, estimate(found.difference, sign=True), p(found.p), prompts


def preferred(found: WinRate) -> str:
    """How often a judge prefers tuned's answer to the service's, shown in both orders."""
    rate = Estimate(
        value=100 * found.rate.value,
        low=None if found.rate.low is None else 100 * found.rate.low,
        high=None if found.rate.high is None else 100 * found.rate.high,
    )
    first = "" if found.for_first is None else f", {found.for_first:.0%} of them for the first"
    return (
        f"win rate {estimate(rate)} %, wins and half the ties: {count(found.wins, 'win')}, "
        f"{count(found.ties, 'tie')}, {found.losses} lost, {found.failures} not judged; "
        f"{found.flips} of the ties are flips under swap{first}"
    )


def variances(outcome: Outcome) -> list[tuple[str, Metric, list[str]]]:
    """For each system and metric the standard deviation, in points, of each part of the spread."""
    found: list[tuple[str, Metric, list[str]]] = []
    for system in outcome.systems:
        for metric in METRICS:
            parts = None if system.scores is None else system.scores.of(metric).variance
            if parts is not None:
                found.append((system.name, metric, [_deviation(parts, name) for name in PARTS]))
    return found


def _deviation(parts: Parts, name: str) -> str:
    """An estimate of variance may come out below 0, where the part is 0 or nearly so."""
    value: float | None = getattr(parts, name)
    return NONE if value is None else score(max(0.0, value) ** 0.5)


def leniency(found: Agreement) -> Iterator[str]:
    """What each judge gives above the others, a sentence each."""
    for one in found.leniency:
        if one.constant:
            yield f"{one.judge} gave one score to every answer, so it tells nothing apart"
        elif one.shift is None:
            yield f"{one.judge}: no answer was judged by all"
        else:
            points = estimate(one.shift, sign=True)
            yield f"{one.judge}: {points} points over {count(one.responses, 'answer')}"


def correlations(found: Agreement) -> Iterator[str]:
    """How two judges rank the same answers, a sentence for each two."""
    for one in found.correlations:
        yield f"{one.judges[0]} and {one.judges[1]}: {one.words}"


def alphas(found: Agreement) -> str:
    """Krippendorff's alpha, and what it is once leniency is taken away."""
    if found.alpha is None:
        return f"alpha is not known: {found.words}"
    centred = NONE if found.centred is None else f"{found.centred:.2f}"
    return f"{found.words}; {centred} once each judge's leniency is taken away"


def length(one: LengthBias) -> str:
    """How a judge's scores go with the length of an answer."""
    if one.slope is None:
        return f"{one.judge}: {one.words}"
    where = "to the same prompt" if one.within else "to different prompts"
    # A slope from answers of nearly one length leads off the scale at another.
    told = {name: value for name, value in one.controlled.items() if 0 <= value <= 100}
    held = ", ".join(f"{name} {score(value)}" for name, value in told.items())
    beyond = ", ".join(name for name in one.controlled if name not in told)
    at = f"; at the reference's length: {held}" if held else ""
    lost = f"; too far from that length to tell: {beyond}" if beyond else ""
    return f"{one.judge}: {one.slope:+.1f} points for twice the words, answers {where}{at}{lost}"


def checked(one: Checked) -> tuple[str, ...]:
    """A row of the table of people: who, metric, Spearman, difference and number of answers."""
    rho = NONE if one.rho is None else f"{one.rho:.2f}"
    answers = f"{one.answers:,}"
    less = estimate(one.less, sign=True)
    return one.person, one.judge, one.metric, rho, less, answers


def people(outcome: Outcome) -> list[str]:
    """The agreement of each judge with the people who looked, a line each, for a terminal."""
    found = []
    for one in outcome.evaluation.people:
        rho = one.words if one.rho is None else f"Spearman {one.rho:.2f}"
        found.append(
            f"{one.judge} against {one.person}, {one.metric}: {rho}; {one.judge} less "
            f"{one.person} {estimate(one.less, sign=True)} ({count(one.answers, 'answer')})"
        )
    return found
