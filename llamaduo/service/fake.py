"""A fake service LLM that answers by rule whatever llamaduo asks of one.

It answers a prompt, writes more pairs like one, judges an answer by a reference, and compares two.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence

from llamaduo.base.files import Json
from llamaduo.base.text import overlap
from llamaduo.config import FakeServiceConfig
from llamaduo.records import Bill
from llamaduo.service.fence import unfenced
from llamaduo.service.protocol import Completion, Failure, Request

VERSION = 2
ANSWER_WORDS = 24


class FakeService:
    """Shortens a prompt to answer it, and shuffles the words of a seed to write more pairs.

    It judges by word overlap, as `judge=fake` does, in whole numbers. Its answers depend only on
    the request and its sample number; its price is simulated.
    """

    replays = False

    def __init__(self, config: FakeServiceConfig) -> None:
        self.name = config.name
        self.price = config.price

    @property
    def identity(self) -> Mapping[str, Json]:
        """Its name and version."""
        return {"kind": "fake", "name": self.name, "version": VERSION}

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion | Failure]:
        """Yield one completion per request, at once and in order."""
        for request in requests:
            answer = reply_to(request)
            words = sum(len(message.content.split()) for message in request.messages)
            yield Completion(
                request_id=request.id,
                text=answer,
                model=self.name,
                bill=Bill.call(words, len(answer.split()), self.price),
            )


def reply_to(request: Request) -> str:
    """Return the fake's reply; a request to repair a reply gets the same one again."""
    prompt = next(message.content for message in request.messages if message.role == "user")
    if '"contents"' in prompt:
        return _more(request)
    if '"similarity"' in prompt and (texts := unfenced(prompt)):
        return _verdict(texts)
    if '"better"' in prompt and (texts := unfenced(prompt)):
        return _choice(texts)
    return _shorten(request.messages[-1].content)


def _shorten(text: str) -> str:
    return " ".join(text.split()[:ANSWER_WORDS])


def _more(request: Request) -> str:
    chance = random.Random(request.key)
    text = request.messages[0].content
    words, count_asked = text.split(), re.search(r"Write (\d+) new pair", text)
    count = int(count_asked[1]) if count_asked else 2
    passages = [" ".join(chance.sample(words, min(60, len(words)))) for _ in range(count)]
    return json.dumps(
        {"contents": [{"instruction": text, "response": _shorten(text)} for text in passages]}
    )


def _verdict(texts: Mapping[str, str]) -> str:
    task = "\n".join(text for name, text in texts.items() if name.startswith("task"))
    shared = overlap(texts["candidate answer"], texts["reference answer"], task)
    scores = {"similarity": round(shared.similarity), "precision": round(shared.precision)}
    return json.dumps({"reason": shared.reason, **scores})


def _choice(texts: Mapping[str, str]) -> str:
    """Choose the answer with more of the task's words, in whichever place it stands."""
    task = {
        word for name, text in texts.items() if name.startswith("task") for word in text.split()
    }

    def share(name: str) -> float:
        words = texts[name].split()
        return sum(word in task for word in words) / max(1, len(words))

    a, b = share("answer A"), share("answer B")
    better = "tie" if a == b else "A" if a > b else "B"
    return json.dumps({"reason": f"shares {a:.2f} and {b:.2f}", "better": better})
