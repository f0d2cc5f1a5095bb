"""The local LLM of transformers: a quantised or dense base, LoRA adapters by TRL and PEFT."""

import contextlib
import ctypes
import gc
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llamaduo.base.files import Json
from llamaduo.config import HfLocalConfig, HparamsConfig
from llamaduo.local import weights
from llamaduo.local.chat_template import Chat
from llamaduo.local.protocol import Training
from llamaduo.local.trial import Trial
from llamaduo.records import Pair, Prompt, Response

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llamaduo.local.drafts import Drafts
    from llamaduo.local.sampling import Rules

#: Raised when the same settings would give another adapter or other answers.
VERSION = 3


class HfLocal:
    """The `Local` of `kind: hf`.

    Its precision follows from device class and `hparams.quantization` by the rule of
    `llamaduo.local.precision`, never from a measurement.
    """

    def __init__(self, config: HfLocalConfig) -> None:
        self.name = config.name
        self._config = config
        self._loaded: tuple[tuple[str, bool, str], PreTrainedModel] | None = None

    def identity(self, hparams: HparamsConfig) -> Mapping[str, Json]:
        """Return weights, chat template, device class, and the precision rule in words."""
        from llamaduo.local.precision import RULE, device_class, refuse_impossible

        refuse_impossible(hparams)
        config, device = self._config, device_class()
        return {
            "kind": "hf",
            "version": VERSION,
            "weights": weights.identity(config.weights, config.hub_id, config.revision),
            "chat_template": config.chat_template,
            "system_role": config.system_role,
            "device": device,
            "quantization": hparams.quantization,
            "double_quantization": hparams.doubly_quantized,
            "precision": RULE[device, hparams.quantization],
        }

    def fits(self, prompt: Prompt, max_new_tokens: int) -> bool:
        """Tell by the number of positions in the model's configuration; True where it has none."""
        return len(self.chat.prompt_tokens(prompt)) + max_new_tokens <= self._context

    @cached_property
    def _context(self) -> float:
        from transformers import AutoConfig

        with weights.quiet_transformers():
            config = AutoConfig.from_pretrained(self.weights.path).get_text_config()
        positions = getattr(config, "max_position_embeddings", None)
        return float("inf") if positions is None else float(positions)

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
        """Train an adapter into `out/adapter`; resume a training that was interrupted."""
        from llamaduo.local import precision

        precision.refuse_impossible(hparams)
        precision.import_bitsandbytes()  # before TRL has PEFT import it
        from llamaduo.local import sft

        self._free()
        try:
            return sft.train(
                lambda: precision.load_for_training(
                    self.weights.path, hparams.quantization, hparams.double_quantization
                ),
                self.chat,
                pairs,
                hparams,
                seed=seed,
                out=out,
                base=self._config.hub_id,
                dev=dev,
                trial=trial,
            )
        finally:
            _give_back_memory()

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
        """Yield responses as they are finished, batch by batch, rows of similar length together."""
        from llamaduo.local.drafts import Drafts
        from llamaduo.local.sampling import Rules, batches

        if not asks:
            return
        drafts = Drafts(None if scratch is None else scratch / "drafts.json")
        model = self._model(hparams.quantization, adapter, hparams.double_quantization)
        rules = Rules(
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=max_new_tokens,
            stops=self.chat.stops(model.generation_config.eos_token_id),
            end=self.chat.end,
            pad=self.chat.tokenizer.pad_token_id,
        )
        # Rows of one prompt stand together, so that a batch reads it once.
        asks = sorted(asks, key=lambda ask: ask[0].id)
        prompts = [self.chat.prompt_tokens(prompt) for prompt, _ in asks]
        sizes = [len(tokens) for tokens in prompts]

        for rows in batches(sizes, max_new_tokens, self._config.runtime.batch_tokens):
            batch = [(asks[i], prompts[i]) for i in rows]
            yield from self._complete(model, batch, rules, seed, drafts)
        drafts.remove()

    @cached_property
    def weights(self) -> weights.Weights:
        """The base model's folder, fetched at first use."""
        return weights.fetch(self._config.weights, self._config.hub_id, self._config.revision)

    @cached_property
    def chat(self) -> Chat:
        """The tokenizer and its template."""
        from transformers import AutoTokenizer

        config = self._config
        with weights.quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(self.weights.path)
        return Chat.of(tokenizer, config.chat_template, config.system_role)

    def _model(
        self, quantization: str, adapter: Path | None, double: bool = True
    ) -> "PreTrainedModel":
        """Return the model to sample from; the last one is kept for the next call."""
        from llamaduo.local import precision

        key = (quantization, double, _stamp(adapter))
        if self._loaded is None or self._loaded[0] != key:
            self._free()  # before loading: there may be no memory for two models
            model = precision.load_for_sampling(self.weights.path, quantization, adapter, double)
            self._loaded = (key, model)
        return self._loaded[1]

    def _free(self) -> None:
        self._loaded = None
        _give_back_memory()

    def _complete(
        self,
        model: "PreTrainedModel",
        batch: Sequence[tuple[tuple[Prompt, int], list[int]]],
        rules: "Rules",
        seed: int,
        drafts: "Drafts",
    ) -> Iterator[Response]:
        """Yield the responses of one batch of asks with their prompts' tokens."""
        from llamaduo.local.sampling import Answer, decode, uniforms

        unique = {prompt.id: tokens for (prompt, _), tokens in batch}
        place = {prompt_id: i for i, prompt_id in enumerate(unique)}
        answers = {
            (prompt.id, k): Answer(
                place[prompt.id],
                uniforms(seed, prompt.id, k, rules.max_new_tokens),
                drafts.of((prompt.id, k)),
            )
            for (prompt, k), _ in batch
        }
        keys = {id(answer): key for key, answer in answers.items()}
        for ended in decode(model, list(unique.values()), list(answers.values()), rules):
            for answer in ended:
                prompt_id, k = keys[id(answer)]
                yield Response(
                    prompt_id=prompt_id,
                    k=k,
                    text=self.chat.text(answer.text_tokens),
                    prompt_tokens=len(unique[prompt_id]),
                    completion_tokens=len(answer.tokens),
                    finish=answer.finish,
                )
            drafts.keep(answers.items())


def _give_back_memory() -> None:
    """Give the memory of a freed model back to the system; the allocators would keep it."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _stamp(adapter: Path | None) -> str:
    """Return a text that differs between adapters, also two written to one folder in turn."""
    if adapter is None:
        return ""
    file = adapter / "adapter_model.safetensors"
    return f"{file.resolve()} {file.stat().st_mtime_ns}"
