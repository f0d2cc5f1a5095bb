"""The local LLM as callers see it: how it is trained and asked."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from llamaduo.base.files import Json
from llamaduo.config import HparamsConfig
from llamaduo.local.trial import Trial
from llamaduo.records import Pair, Prompt, Record, Response


class Training(Record):
    """What a training run reports.

    `losses` are mean cross-entropies per completion token, (step, nats) in order; `tokens` counts
    the tokens of all rows that went through the model, `completion_tokens` those with loss.
    `too_long` synthesised pairs were left out because they exceed `hparams.max_length`.
    `dev_losses` are what early stopping saw, alike, and `kept` is the step whose adapter was kept.
    """

    losses: tuple[tuple[int, float], ...]
    dev_losses: tuple[tuple[int, float], ...]
    kept: int
    tokens: int
    completion_tokens: int
    seconds: float
    too_long: int


class Local(Protocol):
    """A local LLM: a base model, and adapters that are trained on it."""

    name: str

    def identity(self, hparams: HparamsConfig) -> Mapping[str, Json]:
        """What decides its answers: weights by sha256, chat template, device class, precision.

        The base precision follows from `hparams`, so that a model is judged and served as it was
        trained.

        Raises:
            ConfigError: this machine cannot train with `hparams`.
        """

    def fits(self, prompt: Prompt, max_new_tokens: int) -> bool:
        """Whether a prompt and an answer of that many tokens are within the model's context."""

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
        """Train an adapter from the base on the pairs, and write it to `out/adapter`.

        Loss is on completion tokens only. Work that a kill interrupted under `out` is gone on with.
        `dev` is for early stopping and for reports to `trial`: the negative mean loss of its
        answers after the eighths that `llamaduo.local.early_stopping` names, as step 1 to 8.

        Raises:
            ConfigError: a coverage pair is longer than `hparams.max_length` tokens, or a setting
                does not fit the model.
            TrialPruned: `trial` need not go on; there is no adapter.
        """

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
        """A sampled response to each (prompt, k), as they are produced and in any order.

        Unfinished work may be kept under `scratch`, for the next call with the same settings to go
        on from after a kill; nothing stays there of a call that came to its end.

        `adapter` None asks the untuned base. A response depends on seed, prompt id and k alone, not
        on the batch that it was produced in (but for the rounding of floating point sums).
        A temperature of 0 takes the likeliest token.
        """
