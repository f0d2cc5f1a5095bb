"""Drawing answers in batches, where each is its own: seeded by seed, prompt id and k alone."""

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
    """`n` uniform draws in [0, 1) for one row; the first m of n are the same for every n ≥ m."""
    key = hashlib.sha256(f"{seed}\n{k}\n{prompt_id}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16]))).random(n)


def pick(
    logits: torch.Tensor, draws: torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    """The token of each row: inverse of the distribution function at the row's draw.

    Args:
        logits: (rows, vocabulary).
        draws: (rows,) float64 in [0, 1).
        temperature: above 0.
        top_p: keep the smallest set of likeliest tokens that has at least this probability.

    Returns:
        (rows,) token ids.
    """
    p = torch.softmax(logits.float() / temperature, dim=-1)
    if top_p >= 1:
        reached = p.double().cumsum(-1)
        return (reached > (draws * reached[:, -1])[:, None]).int().argmax(-1)
    # The kept set nearly always lies among the few likeliest: sorting all 49,000 tokens of a
    # vocabulary for every row and step would cost more than a small model's forward pass.
    values, tokens = torch.topk(p, min(_HEAD, p.shape[-1]), dim=-1)
    if bool((values.double().sum(-1) < top_p).any()):
        values, tokens = torch.sort(p, descending=True, dim=-1)
    below = values.double().cumsum(-1)
    # A token is kept when the likelier ones have not reached top_p yet; the first always is.
    kept = torch.where(below - values < top_p, values.double(), 0.0).cumsum(-1)
    reached = kept > (draws * kept[:, -1])[:, None]
    return tokens.gather(-1, reached.int().argmax(-1, keepdim=True)).squeeze(-1)


@dataclass
class Answer:
    """An answer in the making: `tokens` of its text, then those of the marker that ended it.

    `finish` says how it ended, once it has.
    """

    prompt: int
    draws: "np.ndarray[Any, Any]"
    tokens: list[int] = field(default_factory=list)
    marker: int = 0
    finish: Literal["stop", "length"] | None = None

    def take(self, token: int, rules: "Rules") -> None:
        """Add a token, and note whether that ended the answer."""
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
    def said(self) -> list[int]:
        """The tokens of the text, without the marker."""
        return self.tokens[: len(self.tokens) - self.marker]


@dataclass(frozen=True)
class Rules:
    """How tokens are drawn, and when an answer is over: at a stop token, an `end`, or the limit."""

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
    """Complete a batch of answers to `prompts`; after each step, those that it ended.

    What has been said of an answer already is read and gone on with. Each beginning is read once,
    however many answers go on from it; rows that are done leave the batch.
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
    """The places of the rows that stay: the last ones fill the gaps, so that few have to move."""
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
    """Rows in batches of like length, longest first, each rows × (longest + new) ≤ `most`.

    A row that is too long by itself gets a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    at = 0
    while at < len(order):
        rows = max(1, most // (lengths[order[at]] + new_tokens))
        yield order[at : at + rows]
        at += rows
