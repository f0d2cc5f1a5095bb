"""A fake local LLM: it learns the length of answers, and makes fewer errors with more pairs."""

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

#: The learning rate at which it learns best. At ten times or a tenth of it, it makes twice as many
#: errors.
BEST_RATE = 2e-3


class FakeLocal:
    """Copies the prompt; trained on pairs, it stops at their mean length, with fewer errors.

    An error is a word replaced by "erm". Their number falls with the number of pairs and depends on
    the learning rate, so that a sweep has something to search for. Deterministic, and fast enough
    to run a whole migration in a test.
    """

    def __init__(self, config: FakeLocalConfig) -> None:
        self.name = config.name

    def identity(self, hparams: HparamsConfig) -> Mapping[str, Json]:
        """Return its kind, name and version; no hyperparameter changes its answers untrained."""
        return {"kind": "fake", "name": self.name, "version": VERSION}

    def fits(self, prompt: Prompt, max_new_tokens: int) -> bool:
        """Return True: its context has no end."""
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
        """Write the number of pairs and the mean length of their responses."""
        off = 1 + abs(math.log10(hparams.learning_rate / BEST_RATE))
        total = len(pairs) if hparams.steps is None else hparams.steps
        rule, looks = hparams.early_stopping, []
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
                looks.append((step, off * _loss(step)))
                if early_stopping.is_over(looks, rule):
                    last = step
                    break
        kept = early_stopping.best_of(looks) if looks else last
        lengths = [len(pair.response.split()) for pair in pairs]
        adapter = out / "adapter"
        adapter.mkdir(exist_ok=True)
        learned = {"pairs": len(pairs), "words": round(sum(lengths) / len(lengths)), "off": off}
        (adapter / "adapter.json").write_text(json.dumps(learned), encoding="utf-8")
        words = sum(lengths) + sum(len(pair.prompt.user.split()) for pair in pairs)
        return Training(
            losses=tuple((step, _loss(step)) for step in range(1, last + 1, 10)),
            dev_losses=tuple(looks),
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
        """Yield the first words of each prompt, with errors unless greedy."""
        learned: dict[str, Any] = {"pairs": 0, "words": max_new_tokens, "off": 1.0}
        if adapter is not None:
            learned |= json.loads((adapter / "adapter.json").read_text(encoding="utf-8"))
        error_rate = learned["off"] * 4 / (8 + learned["pairs"]) if temperature > 0 else 0.0
        for prompt, k in asks:
            rng = random.Random(f"{seed} {prompt.id} {k}")
            source = prompt.user.split()
            wanted = min(learned["words"], max_new_tokens)
            words = ["erm" if rng.random() < error_rate else word for word in source[:wanted]]
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
