"""Sampling in batches; each answer is seeded by seed, prompt id and k alone, not by its batch."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from transformers import DynamicCache

from llamaduo.local.kv_cache import cache_for

_HEAD = 256


def uniforms(seed: int, prompt_id: str, k: int, n: int) -> np.ndarray[Any, Any]:
    """Return `n` uniform draws in [0, 1) for one row; the first m are the same for every n ≥ m."""
    key = hashlib.sha256(f"{seed}\n{k}\n{prompt_id}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16]))).random(n)


def pick(
    logits: torch.Tensor, draws: torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    """Draw a token for each row: the inverse of the distribution function at the row's draw.

    Args:
        logits: (rows, vocabulary).
        draws: (rows,) float64 in [0, 1).
        temperature: above 0.
        top_p: keep the smallest set of most likely tokens that has at least this probability.

    Returns:
        (rows,) token ids.
    """
    p = torch.softmax(logits.float() / temperature, dim=-1)
    if top_p >= 1:
        reached = p.double().cumsum(-1)
        return (reached > (draws * reached[:, -1])[:, None]).int().argmax(-1)
    # The kept set nearly always lies among the few most likely: sorting all 49,000 tokens of a
    # vocabulary for every row and step would cost more than a small model's forward pass.
    values, tokens = torch.topk(p, min(_HEAD, p.shape[-1]), dim=-1)
    if bool((values.double().sum(-1) < top_p).any()):
        values, tokens = torch.sort(p, descending=True, dim=-1)
    below = values.double().cumsum(-1)
    # A token is kept when the more likely ones have not reached top_p yet; the first always is.
    kept = torch.where(below - values < top_p, values.double(), 0.0).cumsum(-1)
    reached = kept > (draws * kept[:, -1])[:, None]
    return tokens.gather(-1, reached.int().argmax(-1, keepdim=True)).squeeze(-1)


@dataclass
class Answer:
    """An answer that is being sampled: `tokens` of its text, then those of the end marker.

    `prompt` is the place of its prompt in the batch, `marker` the number of tokens of the marker.
    `finish` says how the answer ended, and is None before.
    """

    prompt: int
    draws: "np.ndarray[Any, Any]"
    tokens: list[int] = field(default_factory=list)
    marker: int = 0
    finish: Literal["stop", "length"] | None = None

    def take(self, token: int, rules: "Rules") -> None:
        """Add a token, and finish the answer where that ends it."""
        self.tokens.append(token)
        if token in rules.stops:
            self.marker = 1
        elif self.tokens[-len(rules.end) :] == list(rules.end):
            self.marker = len(rules.end)
        if self.marker:
            self.finish = "stop"
        elif len(self.tokens) >= rules.max_new_tokens:
            self.finish = "length"

    @property
    def text_tokens(self) -> list[int]:
        """The tokens of the text, without the marker."""
        return self.tokens[: len(self.tokens) - self.marker]


@dataclass(frozen=True)
class Rules:
    """The settings by which tokens are drawn and an answer ends.

    It ends at a token of `stops`, at the sequence `end`, or after `max_new_tokens`.
    """

    temperature: float
    top_p: float
    max_new_tokens: int
    stops: Sequence[int]
    end: Sequence[int]
    pad: int


@torch.inference_mode()
def decode(
    model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Answer], rules: Rules
) -> Iterator[list[Answer]]:
    """Complete a batch of answers to `prompts`; yield after each step those that it ended.

    An answer that already has tokens is continued from there. A beginning that several answers
    share is read once. Rows that are done leave the batch.
    """
    starts = [(*prompts[answer.prompt], *answer.tokens) for answer in answers]
    place = {start: i for i, start in enumerate(dict.fromkeys(starts))}
    width = max(map(len, place))
    rows = [[rules.pad] * (width - len(start)) + list(start) for start in place]
    ids = torch.tensor(rows, device=model.device)
    mask = torch.tensor(
        [[0] * (width - len(start)) + [1] * len(start) for start in place], device=model.device
    )
    cache = cache_for(model.config, room=rules.max_new_tokens)
    logits = _forward(model, ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), cache)
    spread = torch.tensor([place[start] for start in starts], device=model.device)
    cache.batch_select_indices(spread)
    logits, mask = logits[spread], mask[spread]
    open_ = list(answers)
    while open_:
        tokens = _draw(logits, open_, rules)
        for answer, token in zip(open_, tokens.tolist(), strict=True):
            answer.take(token, rules)
        yield [answer for answer in open_ if answer.finish]
        stay = _packed([not answer.finish for answer in open_])
        open_ = [open_[i] for i in stay]
        if not open_:
            return
        if len(stay) < len(tokens):
            chosen = torch.tensor(stay, device=model.device)
            cache.batch_select_indices(chosen)
            tokens, mask = tokens[chosen], mask[chosen]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=-1)
        logits = _forward(model, tokens[:, None], mask, mask.sum(-1, keepdim=True) - 1, cache)


def _packed(stays: Sequence[bool]) -> list[int]:
    """Return the places of the rows that stay; the last ones fill the gaps, so that few move."""
    size = sum(stays)
    movers = (i for i in range(len(stays) - 1, -1, -1) if stays[i])
    return [i if stays[i] else next(movers) for i in range(size)]


def _forward(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits: torch.Tensor = output.logits[:, -1]
    return logits


def _draw(logits: torch.Tensor, rows: Sequence[Answer], rules: Rules) -> torch.Tensor:
    if rules.temperature == 0:
        return logits.argmax(-1)
    draws = torch.tensor([row.draws[len(row.tokens)] for row in rows])
    return pick(logits, draws.to(logits.device), rules.temperature, rules.top_p)


def batches(lengths: Sequence[int], new_tokens: int, most: int) -> Iterator[list[int]]:
    """Yield rows in batches of similar length, longest first, rows × (longest + new) ≤ `most`.

    A row that is too long by itself gets a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    at = 0
    while at < len(order):
        rows = max(1, most // (lengths[order[at]] + new_tokens))
        yield order[at : at + rows]
        at += rows
