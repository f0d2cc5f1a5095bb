"""A judge of a few lines: word overlap with the reference, and with the prompt."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from llamaduo.artifact import Json
from llamaduo.config import FakeJudgeConfig
from llamaduo.judge import Item
from llamaduo.records import JudgeFailure, Verdict

VERSION = "1"


class FakeJudge:
    """Scores shared neighbouring words; deterministic and quick, and fooled by little in a test.

    Words in the wrong order and over-long answers lose, so that it ranks the anchors rightly.
    """

    repeats = 1

    def __init__(self, config: FakeJudgeConfig) -> None:
        self.name = config.name
        self.version = VERSION

    @property
    def identity(self) -> Mapping[str, Json]:
        """Its name and version."""
        return {"kind": "fake", "name": self.name, "version": VERSION}

    def assess(self, items: Sequence[Item]) -> Iterator[Verdict | JudgeFailure]:
        """Overlap with the reference as similarity; with reference and prompt as precision."""
        for item in items:
            yield item.verdict(self, *score(item))


def score(item: Item) -> tuple[float, float, str]:
    """Similarity, precision, and why."""
    answer, reference = _pieces(item.response.text), _pieces(item.reference)
    brevity = min(1.0, len(reference) / len(answer)) if answer else 0.0
    overlap = 2 * len(answer & reference) / (len(answer) + len(reference) or 1) * brevity
    told = answer & (reference | _pieces(item.prompt.user))
    grounded = len(told) / len(reference | answer) * brevity if answer else 0.0
    reason = f"{len(answer & reference)} of {len(reference)} word pairs shared"
    return 100 * overlap, 50 * grounded + 50 * overlap, reason


def _pieces(text: str) -> set[str]:
    words = text.lower().split()
    return {*words, *(f"{a} {b}" for a, b in pairwise(words))}
