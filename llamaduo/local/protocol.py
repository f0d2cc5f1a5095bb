"""The contract of a local LLM: it is trained on pairs, and it answers prompts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from llamaduo.base.files import Json
from llamaduo.config import HparamsConfig
from llamaduo.local.trial import Trial
from llamaduo.records import Pair, Prompt, Record, Response


class Training(Record):
    """The result of a training, without the adapter.

    `losses` are mean cross-entropies per completion token, (step, nats) in order; `tokens` counts
    the tokens of all rows that went through the model, `completion_tokens` those with loss.
    `too_long` is the number of synthesised pairs left out because they exceed `hparams.max_length`.
    `dev_losses` are the losses on dev that early stopping measured, in the same form as `losses`.
    `kept` is the step whose adapter was kept.
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
        """Return what decides its answers: weights by sha256, chat template, device, precision.

        The precision of the base follows from `hparams`, so that a model is judged and served as it
        was trained.

        Raises:
            ConfigError: this machine cannot train with `hparams`.
        """

    def fits(self, prompt: Prompt, max_new_tokens: int) -> bool:
        """Tell whether the context has room for a prompt and an answer of that many tokens."""

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

        Only completion tokens have loss. A training that was interrupted under `out` is resumed.
        `dev` is for early stopping and for reports to `trial`: the negative mean loss of its
        answers after the eighths that `llamaduo.local.early_stopping` names, as step 1 to 8.

        Raises:
            ConfigError: a coverage pair is longer than `hparams.max_length` tokens, or a setting
                does not fit the model.
            TrialPruned: `trial` was pruned; there is no adapter.
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
        """Yield a sampled response to each (prompt, k), as they are finished and in any order.

        Unfinished answers may be kept under `scratch`, so that the next call with the same settings
        resumes them after a kill; a call that finishes leaves nothing there.

        `adapter` None asks the untuned base. A response depends on seed, prompt id and k alone, not
        on the batch in which it was sampled (except for the rounding of floating point sums).
        A temperature of 0 takes the most likely token.
        """
