"""A fake judge: word overlap with the reference and with the prompt."""

from collections.abc import Iterator, Mapping, Sequence

from llamaduo.base.files import Json
from llamaduo.base.text import overlap
from llamaduo.config import FakeJudgeConfig
from llamaduo.judge.protocol import Item
from llamaduo.records import Judgement

VERSION = "1"


class FakeJudge:
    """Scores by shared neighbouring words; deterministic and fast.

    Words in the wrong order and answers that are too long score less, so that it ranks the anchors
    correctly.
    """

    repeats = 1

    def __init__(self, config: FakeJudgeConfig) -> None:
        self.name = config.name
        self.version = VERSION

    @property
    def identity(self) -> Mapping[str, Json]:
        """Kind, name and version."""
        return {"kind": "fake", "name": self.name, "version": VERSION}

    def assess(self, items: Sequence[Item]) -> Iterator[Judgement]:
        """Yield a verdict for each item, in order.

        Similarity is the overlap with the reference, precision that with reference and prompt.
        """
        for item in items:
            scores_and_reason = overlap(item.response.text, item.reference, item.prompt.user)
            yield item.verdict(self, *scores_and_reason)
