"""What a tuned model is held against that needs some making: prompts with examples, and copies."""

import hashlib
from collections.abc import Sequence

from llamaduo.base.text import sentences
from llamaduo.local import Local
from llamaduo.records import Message, Pair, Prompt


def examples(train: Sequence[Pair], wanted: int, *, seed: int) -> list[Pair]:
    """The training pairs that a few-shot prompt shows: the same for a seed, by a hash of the id."""
    return sorted(train, key=lambda pair: _place(pair, seed))[:wanted]


def _place(pair: Pair, seed: int) -> str:
    return hashlib.sha256(f"few-shot {seed} {pair.id}".encode()).hexdigest()


def with_examples(prompt: Prompt, shown: Sequence[Pair]) -> Prompt:
    """The prompt with pairs before it as turns that went before; its id stays.

    A system message stays in front; those of the pairs are left out.
    """
    turns: list[Message] = []
    for pair in shown:
        turns += [turn for turn in pair.prompt.messages if turn.role != "system"]
        turns.append(Message(role="assistant", content=pair.response))
    front = 0
    while front < len(prompt.messages) and prompt.messages[front].role == "system":
        front += 1
    own = prompt.messages
    return Prompt(id=prompt.id, messages=(*own[:front], *turns, *own[front:]))


def few_shot(
    local: Local,
    train: Sequence[Pair],
    prompts: Sequence[Prompt],
    wanted: int,
    *,
    max_new_tokens: int,
    seed: int,
) -> tuple[list[Prompt], int]:
    """The prompts with `wanted` examples, or with as many as fit all of them; and how many.

    All prompts have the same examples, so that systems are compared and not their prompts.
    """
    shown = examples(train, wanted, seed=seed)
    while shown:
        asked = [with_examples(prompt, shown) for prompt in prompts]
        if all(local.fits(prompt, max_new_tokens) for prompt in asked):
            return asked, len(shown)
        shown = shown[:-1]
    return list(prompts), 0


def copies(pairs: Sequence[Pair]) -> dict[str, dict[str, str]]:
    """Answers that need no model, by name and prompt id."""
    return {
        "first two sentences": {
            pair.id: " ".join(sentences(pair.prompt.user)[:2]) for pair in pairs
        },
        "whole prompt": {pair.id: pair.prompt.user for pair in pairs},
    }
