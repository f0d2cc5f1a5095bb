"""Biases of a judge: towards models of its own family, and towards long or short answers.

Besides verdict rows these figures need the families of models and the lengths of answers.
docs/judges.md has the definitions and their sources.
"""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from llamaduo.records import Judgement, Record
from llamaduo.stats.agreement import Unit, spearman, units
from llamaduo.stats.intervals import Estimate, estimate
from llamaduo.stats.table import Floats, Metric

_FAMILIES = {
    "gpt": r"gpt|chatgpt|\bo[134]\b",
    "claude": r"claude",
    "gemini": r"gemini",
    "gemma": r"gemma",
    "llama": r"llama",
    "mistral": r"mi[sx]tral|ministral",
    "qwen": r"qwen",
    "smollm": r"smollm",
    "deepseek": r"deepseek",
    "phi": r"\bphi\b",
}


def family_of(model: str) -> str | None:
    """Return the family in a model's name, or None; `gemini` and `gemma` are two families."""
    name = re.sub(r"[-_/.:]", " ", model.casefold().replace("ollama", " "))
    families = [family for family, pattern in _FAMILIES.items() if re.search(pattern, name)]
    return families[0] if len(families) == 1 else None


class SelfPreference(Record):
    """The extra points that a judge gives its own family, compared with the other judges.

    `gap` is (judge minus others) on its own family's answers, minus the same on all other answers.
    So neither leniency nor a family that is truly better counts. `words` say why it is None.
    """

    judge: str
    family: str | None
    gap: Estimate | None
    words: str


def self_preference(
    systems: Mapping[str, Sequence[Judgement]],
    metric: Metric,
    *,
    judges: Mapping[str, str | None],
    families: Mapping[str, str | None],
    confidence: float,
    seed: int,
) -> list[SelfPreference]:
    """Return the self-preference of each judge, given the families of the judges and the systems.

    A family that is not known is None. The interval is clustered by prompt, over the prompts with
    answers of both kinds.
    """
    scores = units(systems, metric)
    return [
        _preference(judge, scores, judges.get(judge), families, confidence, seed)
        for judge in scores
    ]


def _preference(
    judge: str,
    scores: Mapping[str, Mapping[Unit, float]],
    family: str | None,
    families: Mapping[str, str | None],
    confidence: float,
    seed: int,
) -> SelfPreference:
    def row(words: str, gap: Estimate | None = None) -> SelfPreference:
        return SelfPreference(judge=judge, family=family, gap=gap, words=words)

    if family is None:
        return row("it is no model of a known family")
    others = {name: other for name, other in scores.items() if name != judge}
    if not others:
        return row("there is no other judge to compare with")
    own: dict[str, list[float]] = defaultdict(list)
    rest: dict[str, list[float]] = defaultdict(list)
    for unit, score in scores[judge].items():
        system, prompt, _ = unit
        others_scores = [other[unit] for other in others.values() if unit in other]
        if len(others_scores) < len(others) or families.get(system) is None:
            continue
        side = own if families[system] == family else rest
        side[prompt].append(score - math.fsum(others_scores) / len(others_scores))
    if not own or not rest:
        lacking = f"of {family}" if not own else "of another known family"
        return row(f"no system {lacking} was judged by all")
    both = sorted(own.keys() & rest.keys())
    if not both:
        return row("no prompt has answers of its own family and of another")
    gaps = [(_mean(own[prompt]) - _mean(rest[prompt]), 1.0) for prompt in both]
    gap = estimate(gaps, confidence=confidence, seed=seed)
    return row(f"{gap.value:+.1f} points for {family} over {len(both)} prompts", gap)


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)


MANY = 10  # extra responses to prompts from which the slope is computed within prompts


class LengthBias(Record):
    """The relation of a judge's scores to the length of an answer, relative to the reference.

    `rho` is Spearman's over all `responses`. `slope` is in points for a doubling of length: among
    a system's answers to one prompt where K allows (`within`), else among its answers to all
    prompts, where it also contains the effect of harder prompts. `controlled` is each system's mean
    score at the length of the reference, by that slope. `words` say why they are None.
    """

    judge: str
    rho: float | None
    slope: float | None
    within: bool
    controlled: Mapping[str, float]
    responses: int
    words: str


def length_bias(
    systems: Mapping[str, Sequence[Judgement]],
    metric: Metric,
    *,
    lengths: Mapping[Unit, float],
) -> list[LengthBias]:
    """Return the length bias of each judge, given lengths relative to those of the references.

    Responses without a length, or of length 0, are left out.
    """
    return [_length(judge, own, lengths) for judge, own in units(systems, metric).items()]


def _length(judge: str, own: Mapping[Unit, float], lengths: Mapping[Unit, float]) -> LengthBias:
    known = [unit for unit in sorted(own) if lengths.get(unit, 0) > 0]
    score = np.array([own[unit] for unit in known])
    length = np.array([math.log2(lengths[unit]) for unit in known])
    rho = spearman(score.tolist(), length.tolist())
    if rho is None:
        why = (
            "too few answers with a length"
            if len(known) < 3
            else ("all scores, or all lengths, are the same")
        )
        return LengthBias(
            judge=judge,
            rho=None,
            slope=None,
            within=False,
            controlled={},
            responses=len(known),
            words=f"the effect of length is not known: {why}",
        )
    repeated = len(known) - len({unit[:2] for unit in known})
    groups = [unit[:2] if repeated >= MANY else unit[:1] for unit in known]
    x, y = _centred(length, groups), _centred(score, groups)
    where = "one prompt" if repeated >= MANY else "one system"
    slope = float((x @ y) / (x @ x)) if x @ x > 1e-9 else None
    controlled: dict[str, list[float]] = defaultdict(list)
    if slope is not None:
        for unit, points, doublings in zip(known, score, length, strict=True):
            controlled[unit[0]].append(float(points - slope * doublings))
    effect = "not known" if slope is None else f"{slope:+.1f} points"
    return LengthBias(
        judge=judge,
        rho=rho,
        slope=slope,
        within=repeated >= MANY,
        controlled={system: _mean(points) for system, points in controlled.items()},
        responses=len(known),
        words=f"twice the length among answers of {where}: {effect}; rank correlation {rho:.2f}",
    )


def _centred(column: Floats, groups: Sequence[object]) -> Floats:
    places: dict[object, int] = {}
    group = np.array([places.setdefault(name, len(places)) for name in groups])
    return np.asarray(column - (np.bincount(group, column) / np.bincount(group))[group])
