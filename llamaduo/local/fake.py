"""A local LLM of a few lines: it learns how long answers are, and mumbles less with practice."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llamaduo.artifact import Json
from llamaduo.config import FakeLocalConfig, HparamsConfig
from llamaduo.local import Training
from llamaduo.records import Pair, Prompt, Response

VERSION = 1


class FakeLocal:
    """Copies the prompt; trained on n pairs, it stops at their mean length and mumbles ever less.

    Deterministic, and quick enough to run a whole migration in a test.
    """

    def __init__(self, config: FakeLocalConfig) -> None:
        self.name = config.name

    def identity(self, hparams: HparamsConfig) -> Mapping[str, Json]:
        """Its name and version; no hyperparameter changes what it answers."""
        return {"kind": "fake", "name": self.name, "version": VERSION}

    def fits(self, prompt: Prompt, max_new_tokens: int) -> bool:
        """Nothing is too long for it."""
        return True

    def train(
        self, pairs: Sequence[Pair], hparams: HparamsConfig, *, seed: int, out: Path
    ) -> Training:
        """Remember how many pairs there were and how long their responses are."""
        lengths = [len(pair.response.split()) for pair in pairs]
        adapter = out / "adapter"
        adapter.mkdir(exist_ok=True)
        learned = {"pairs": len(pairs), "words": round(sum(lengths) / len(lengths))}
        (adapter / "adapter.json").write_text(json.dumps(learned), encoding="utf-8")
        words = sum(lengths) + sum(len(pair.prompt.user.split()) for pair in pairs)
        losses = tuple((step, 4 / (1 + step / 10)) for step in range(1, len(pairs) + 1, 10))
        return Training(
            losses=losses,
            tokens=words,
            completion_tokens=sum(lengths),
            seconds=0.01,
            too_long=0,
        )

    def generate(
        self,
        asks: Sequence[tuple[Prompt, int]],
        hparams: HparamsConfig,
        *,
        adapter: Path | None,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        seed: int,
        scratch: Path | None,
    ) -> Iterator[Response]:
        """The first words of each prompt, with a stumble here and there unless greedy."""
        learned = {"pairs": 0, "words": max_new_tokens}
        if adapter is not None:
            learned = json.loads((adapter / "adapter.json").read_text(encoding="utf-8"))
        stumble = 4 / (8 + learned["pairs"]) if temperature > 0 else 0.0
        for prompt, k in asks:
            chance = random.Random(f"{seed} {prompt.id} {k}")
            source = prompt.user.split()
            wanted = min(learned["words"], max_new_tokens)
            words = ["erm" if chance.random() < stumble else word for word in source[:wanted]]
            yield Response(
                prompt_id=prompt.id,
                k=k,
                text=" ".join(words),
                prompt_tokens=len(source),
                completion_tokens=len(words),
                finish="length" if len(source) > max_new_tokens >= wanted else "stop",
            )
