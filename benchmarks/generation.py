"""Tokens a second of our sampling against `generate` of transformers, side by side on this machine.

    python benchmarks/generation.py [--prompts 24] [--repeats 3]

Both answer the same prompts K times with the same base, temperature and limit, in batches of the
same size. First the greedy texts are compared; then whole sets are timed in turns, so that a busy
machine slows both. Sampled answers differ in length, so the rate counts the tokens of each.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from training import CONF, hparams, local, pairs

from llamaduo.local.hf import HfLocal
from llamaduo.local.sampling import batches
from llamaduo.records import Prompt

DATA = CONF.parent / "llamaduo" / "data" / "summarize" / "coverage.jsonl"
NEW = 96

Said = list[tuple[str, int]]  # text and its tokens


class Bench:
    """Our sampling and that of transformers over the same prompts."""

    def __init__(self, model: HfLocal, prompts: Sequence[Prompt], adapter: Path) -> None:
        self._local, self._prompts, self._adapter = model, prompts, adapter
        self._hparams = hparams()
        self._sampling = model._config.sampling
        self._model: Any = model._model(self._hparams.quantization, adapter)

    def ours(self, temperature: float, k: int, seed: int) -> Said:
        """What `HfLocal.generate` says."""
        asks = [(prompt, n) for prompt in self._prompts for n in range(k)]
        rows = self._local.generate(
            asks,
            self._hparams,
            adapter=self._adapter,
            temperature=temperature,
            top_p=self._sampling.top_p,
            max_new_tokens=NEW,
            seed=seed,
            scratch=None,
        )
        by_ask = {(row.prompt_id, row.k): (row.text, row.completion_tokens or 0) for row in rows}
        return [by_ask[prompt.id, n] for prompt, n in asks]

    def theirs(self, temperature: float, k: int, seed: int) -> Said:
        """What `generate` says, batches of the same size, K copies of a prompt side by side."""
        chat = self._local.chat
        rows = [chat.prompt_tokens(p) for p in self._prompts for _ in range(k)]
        said: dict[int, tuple[str, int]] = {}
        torch.manual_seed(seed)
        sampling: dict[str, Any] = {"do_sample": temperature > 0}
        if temperature > 0:
            sampling |= {"temperature": temperature, "top_k": 0, "top_p": self._sampling.top_p}
        most = self._local._config.runtime.batch_tokens
        for chosen in batches([len(row) for row in rows], NEW, most):
            width = max(len(rows[i]) for i in chosen)
            pad = chat.tokenizer.pad_token_id
            ids = torch.tensor([[pad] * (width - len(rows[i])) + rows[i] for i in chosen])
            mask = torch.tensor([[0] * (width - len(rows[i])) + [1] * len(rows[i]) for i in chosen])
            out: Any = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=NEW,
                pad_token_id=pad,
                **sampling,
            )
            stops = chat.stops(self._model.generation_config.eos_token_id)
            for i, row in zip(chosen, out[:, width:].tolist(), strict=True):
                end = next((n for n, token in enumerate(row) if token in stops), len(row))
                said[i] = (chat.text(row[:end]), min(end + 1, len(row)))
        return [said[i] for i in range(len(rows))]


def rate(say: Callable[[float, int, int], Said], temperature: float, k: int, seed: int) -> float:
    """Tokens a second of one whole set."""
    begun = time.perf_counter()
    said = say(temperature, k, seed)
    return sum(tokens for _, tokens in said) / (time.perf_counter() - begun)


def main() -> None:
    """Compare texts, then time in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    model, rows = local(), pairs(DATA, args.prompts)
    with tempfile.TemporaryDirectory() as folder:
        model.train(rows, hparams(), seed=1, out=Path(folder))
        bench = Bench(model, [row.prompt for row in rows], Path(folder) / "adapter")
        greedy = list(zip(bench.ours(0.0, 1, 0), bench.theirs(0.0, 1, 0), strict=True))
        same = sum(a == b for (a, _), (b, _) in greedy)
        print(f"greedy texts alike: {same} of {len(greedy)}")
        sampling = model._config.sampling
        rates: dict[str, list[float]] = {"generate": [], "llamaduo": []}
        for turn in range(args.repeats):
            for name, say in (("generate", bench.theirs), ("llamaduo", bench.ours)):
                rates[name].append(rate(say, sampling.temperature, sampling.k, turn))
                print(f"turn {turn} {name:<9} {rates[name][-1]:6.1f} tokens/s", flush=True)
        plain, ours = (statistics.median(rates[name]) for name in ("generate", "llamaduo"))
        print(f"medians {plain:.1f} and {ours:.1f} tokens/s, ratio {ours / plain:.2f}")


if __name__ == "__main__":
    main()
