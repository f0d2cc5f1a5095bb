"""A local LLM of a few lines: it learns how long answers are, and mumbles less with practice."""

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llamaduo.base.files import Json
from llamaduo.config import FakeLocalConfig, HparamsConfig
from llamaduo.local import early_stopping
from llamaduo.local.protocol import Training
from llamaduo.local.trial import Trial
from llamaduo.records import Pair, Prompt, Response

VERSION = 2

#: The learning rate at which it learns best; ten times as much or as little, and it mumbles twice
#: as often.
BEST_RATE = 2e-3


class FakeLocal:
    """Copies the prompt; trained on n pairs, it stops at their mean length and mumbles ever less.

    How much less depends on the learning rate, so that there is something to search for.
    Deterministic, and quick enough to run a whole migration in a test.
    """

    def __init__(self, config: FakeLocalConfig) -> None:
        self.name = config.name

    def identity(self, hparams: HparamsConfig) -> Mapping[str, Json]:
        """Its name and version; no hyperparameter changes what it answers untrained."""
        return {"kind": "fake", "name": self.name, "version": VERSION}

    def fits(self, prompt: Prompt, max_new_tokens: int) -> bool:
        """Nothing is too long for it."""
        return True

    def train(
        self,
        pairs: Sequence[Pair],
        hparams: HparamsConfig,
        *,
        seed: int,
        out: Path,
        dev: Sequence[Pair] = (),
        trial: Trial | None = None,
    ) -> Training:
        """Remember how many pairs there were and how long their responses are."""
        off = 1 + abs(math.log10(hparams.learning_rate / BEST_RATE))
        total = len(pairs) if hparams.steps is None else hparams.steps
        rule, seen = hparams.early_stopping, []
        if rule.patience is not None or trial is not None:
            early_stopping.watched(dev, rule.pairs)
        look_at = (
            early_stopping.steps_of(rule.looks, total) if rule.patience is not None else frozenset()
        )
        report = {} if trial is None else early_stopping.reports(total)
        last = total
        for step in range(1, total + 1):
            for eighth in report.get(step, ()):
                assert trial is not None
                trial.report(-off * _loss(step), eighth)
            if step in look_at:
                seen.append((step, off * _loss(step)))
                if early_stopping.is_over(seen, rule):
                    last = step
                    break
        kept = early_stopping.best_of(seen) if seen else last
        lengths = [len(pair.response.split()) for pair in pairs]
        adapter = out / "adapter"
        adapter.mkdir(exist_ok=True)
        learned = {"pairs": len(pairs), "words": round(sum(lengths) / len(lengths)), "off": off}
        (adapter / "adapter.json").write_text(json.dumps(learned), encoding="utf-8")
        words = sum(lengths) + sum(len(pair.prompt.user.split()) for pair in pairs)
        return Training(
            losses=tuple((step, _loss(step)) for step in range(1, last + 1, 10)),
            dev_losses=tuple(seen),
            kept=kept,
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
        learned: dict[str, Any] = {"pairs": 0, "words": max_new_tokens, "off": 1.0}
        if adapter is not None:
            learned |= json.loads((adapter / "adapter.json").read_text(encoding="utf-8"))
        stumble = learned["off"] * 4 / (8 + learned["pairs"]) if temperature > 0 else 0.0
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


def _loss(step: int) -> float:
    return 4 / (1 + step / 10)
