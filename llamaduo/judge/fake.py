"""A judge of a few lines: word overlap with the reference, and with the prompt."""

from collections.abc import Iterator, Mapping, Sequence

from llamaduo.base.files import Json
from llamaduo.base.text import overlap
from llamaduo.config import FakeJudgeConfig
from llamaduo.judge.protocol import Item
from llamaduo.records import Judgement

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

    def assess(self, items: Sequence[Item]) -> Iterator[Judgement]:
        """Overlap with the reference as similarity; with reference and prompt as precision."""
        for item in items:
            shared = overlap(item.response.text, item.reference, item.prompt.user)
            yield item.verdict(self, *shared)
