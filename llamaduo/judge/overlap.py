"""The overlap judge: shared words and letters, and facts that the prompt supports; no model.

docs/judges.md says what it measures. It sees only the surface of a text. So it is a good second
judge beside `judge=embedding`, which works on any machine, and a poor only one.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from llamaduo.base.files import Json
from llamaduo.base.text import rouge_l_of, sentences, words
from llamaduo.config import OverlapJudgeConfig
from llamaduo.judge.facts import Evidence, penalised_precision
from llamaduo.judge.protocol import Item
from llamaduo.records import Judgement

#: Raised whenever a verdict may change; it stands for every number below.
VERSION = "1"

LETTERS, TERMS = 0.4, 0.3  # shares of similarity; the rest is ROUGE-L
LENGTHS = range(1, 7)  # letters in a row that are compared with the reference
SPARE_LENGTH = 1.25  # an answer may be this much longer than the reference without a penalty
PIECE = 4  # letters in a row that are looked for in the prompt
BACKED = 0.8  # share of a sentence's pieces in the prompt from which it counts as grounded
PER_FACT = 0.7  # factor of a sentence for each unsupported fact
RUN = 5  # stems in a row that make a copy


def _letters(text: str) -> str:
    return " ".join(text.casefold().split())


def _terms(text: str) -> list[str]:
    return [word.casefold() for word in words(text)]


def _runs(text: str, length: int) -> Counter[str]:
    return Counter(text[at : at + length] for at in range(len(text) - length + 1))


def letters_f(a: str, b: str) -> float:
    """Return the mean F of shared runs of one to six letters, 0 to 1.

    White space counts as one letter.
    """
    a, b = _letters(a), _letters(b)
    values = []
    for length in LENGTHS:
        ours, theirs = _runs(a, length), _runs(b, length)
        total = ours.total() + theirs.total()
        if total:
            values.append(2 * (ours & theirs).total() / total)
    return sum(values) / len(values) if values else 0.0


def terms_cosine(a: str, b: str) -> float:
    """Return the cosine of the words and neighbouring word pairs of two texts, 0 to 1.

    The weight of each is 1 + log of its count.
    """
    ours, theirs = _weights(a), _weights(b)
    shared = sum(weight * theirs.get(term, 0.0) for term, weight in ours.items())
    norms = math.sqrt(sum(w * w for w in ours.values()) * sum(w * w for w in theirs.values()))
    return min(1.0, shared / norms) if norms else 0.0


def _weights(text: str) -> dict[str, float]:
    terms = _terms(text)
    counts = Counter(terms) + Counter(f"{word} {following}" for word, following in pairwise(terms))
    return {term: 1 + math.log(count) for term, count in counts.items()}


@lru_cache(maxsize=64)  # the K answers to a prompt are judged one after the other
def _evidence(text: str) -> tuple[Evidence, frozenset[str]]:
    return Evidence(text), frozenset(_runs(_letters(text), PIECE))


class OverlapJudge:
    """Scores by counting: deterministic, without weights, about a millisecond for a verdict."""

    version = VERSION
    repeats = 1

    def __init__(self, config: OverlapJudgeConfig) -> None:
        self.name = config.name

    @property
    def identity(self) -> Mapping[str, Json]:
        """Kind and version; the version stands for the rules and their numbers."""
        return {"kind": "overlap", "version": self.version}

    def assess(self, items: Sequence[Item]) -> Iterator[Judgement]:
        """Yield for each item, in order, a verdict, or the cause why there is none."""
        for item in items:
            cause = _unfit(item)
            yield item.verdict(self, *score(item)) if cause is None else item.failure(self, cause)


def _unfit(item: Item) -> str | None:
    if cause := item.prompt_fault:
        return cause
    return None if words(item.reference) else "the reference has no words"


def score(item: Item) -> tuple[float, float, str]:
    """Return similarity to the reference and precision, 0 to 100 each, and the figures as text."""
    answer, reference = item.response.text, item.reference
    length, limit = len(words(answer)), len(words(reference))
    if not length:
        return 0.0, 0.0, "the answer has no words"
    brevity = min(1.0, SPARE_LENGTH * limit / length)
    letters, terms = letters_f(answer, reference), terms_cosine(answer, reference)
    rouge = rouge_l_of(_terms(answer), _terms(reference))
    alike = LETTERS * letters + TERMS * terms + (1 - LETTERS - TERMS) * rouge
    supported, why = precision_by_prompt(answer, item.prompt.user)
    reason = (
        f"{length} words for {limit}, letters {letters:.2f}, words {terms:.2f}, ROUGE-L"
        f" {rouge:.2f}; {why}"
    )
    return min(100.0, 100 * brevity * alike), min(100.0, 100 * brevity * supported), reason


def precision_by_prompt(answer: str, prompt: str) -> tuple[float, str]:
    """Return how far a prompt supports an answer with words, 0 to 1, and the figures as text.

    The length of the answer does not count here.
    """
    evidence, pieces = _evidence(prompt)
    total = backed = shares = 0.0
    wrong: list[str] = []
    for part in sentences(answer):
        weight = len(words(part))
        text = _letters(part)
        its_pieces = [text[at : at + PIECE] for at in range(max(1, len(text) - PIECE + 1))]
        share = sum(piece in pieces for piece in its_pieces) / len(its_pieces)
        facts = evidence.unsupported(part)
        wrong += facts
        total += weight
        shares += weight * share
        backed += weight * min(1.0, share / BACKED) * PER_FACT ** len(facts)
    left, manner = penalised_precision(backed / total, answer, evidence, RUN)
    why = f"in the prompt {shares / total:.0%}"
    if wrong:
        why += f", not in the prompt: {', '.join(wrong[:5])}"
    return left, f"{why}, {manner}"
