"""A service LLM of a few lines: it knows the two things that llamaduo asks, and answers by rule."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence

from llamaduo.artifact import Json
from llamaduo.config import FakeServiceConfig
from llamaduo.cost import Bill
from llamaduo.service import Completion, Failure, Request

VERSION = 1
ANSWER_WORDS = 24


class FakeService:
    """Shortens what it is asked to answer, and shuffles the seed where it is to write more.

    Deterministic per request and sample number; its price is simulated.
    """

    replays = False

    def __init__(self, config: FakeServiceConfig) -> None:
        self.name = config.name
        self._price = config.price

    @property
    def identity(self) -> Mapping[str, Json]:
        """Its name and version."""
        return {"kind": "fake", "name": self.name, "version": VERSION}

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion | Failure]:
        """One completion per request, at once and in order."""
        for request in requests:
            text = request.messages[-1].content
            answer = _more(request) if '"contents"' in text else _shorten(text)
            asked = sum(len(message.content.split()) for message in request.messages)
            yield Completion(
                request_id=request.id,
                text=answer,
                model=self.name,
                bill=Bill.call(asked, len(answer.split()), self._price),
            )


def _shorten(text: str) -> str:
    return " ".join(text.split()[:ANSWER_WORDS])


def _more(request: Request) -> str:
    chance = random.Random(request.key)
    words = request.messages[-1].content.split()
    passages = [" ".join(chance.sample(words, min(60, len(words)))) for _ in range(2)]
    return json.dumps(
        {"contents": [{"instruction": text, "response": _shorten(text)} for text in passages]}
    )
