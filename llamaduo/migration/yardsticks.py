"""The systems that test is read for: the tuned model, and what it is held against."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from llamaduo.base.text import sentences
from llamaduo.local import Local
from llamaduo.records import Message, Pair, Prompt

Role: TypeAlias = Literal["tuned", "base", "few_shot", "service", "copy"]


def _first_two_sentences(prompt: Prompt) -> str:
    return " ".join(sentences(prompt.user)[:2])


def _whole(prompt: Prompt) -> str:
    return prompt.user


#: Answers that need no model, by name.
COPIES: dict[str, Callable[[Prompt], str]] = {
    "first two sentences": _first_two_sentences,
    "whole prompt": _whole,
}
#: Every system with its role, in the order in which people are told of them.
SYSTEMS: dict[str, Role] = {
    "tuned": "tuned",
    "base": "base",
    "few_shot": "few_shot",
    "service": "service",
    **dict.fromkeys(COPIES, "copy"),
}
#: The systems in the order in which test is asked: what decides comes first, in case that the
#: budget ends.
ASKED = ("service", "tuned", *COPIES, "base", "few_shot")


def shown_name(system: str, shown: int | None) -> str:
    """Return the name under which people know a system; `shown` examples make a few-shot base."""
    if system != "few_shot":
        return system
    return "few-shot base" if shown is None else f"few-shot base ({shown})"


def examples(train: Sequence[Pair], wanted: int, *, seed: int) -> list[Pair]:
    """Choose the training pairs that a few-shot prompt shows: by a hash of seed and id."""
    return sorted(train, key=lambda pair: _place(pair, seed))[:wanted]


def _place(pair: Pair, seed: int) -> str:
    return hashlib.sha256(f"few-shot {seed} {pair.id}".encode()).hexdigest()


def with_examples(prompt: Prompt, shown: Sequence[Pair]) -> Prompt:
    """Put pairs before a prompt as turns that went before; its id stays.

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
    """Give the prompts `wanted` examples, or as many as fit all of them; return how many.

    All prompts have the same examples, so that systems are compared and not their prompts.
    """
    shown = examples(train, wanted, seed=seed)
    while shown:
        longer = [with_examples(prompt, shown) for prompt in prompts]
        if all(local.fits(prompt, max_new_tokens) for prompt in longer):
            return longer, len(shown)
        shown = shown[:-1]
    return list(prompts), 0


def copies(pairs: Sequence[Pair]) -> dict[str, dict[str, str]]:
    """Make the answers that need no model, by name and prompt id."""
    return {name: {pair.id: copy(pair.prompt) for pair in pairs} for name, copy in COPIES.items()}
