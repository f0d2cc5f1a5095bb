"""Fences around other people's texts within a prompt: marks that the texts cannot contain."""

import re
from collections.abc import Sequence
from hashlib import sha256

MARK_DIGITS = 12


def fenced(texts: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    """Return the mark, and each (name, text) as a block between lines with the mark.

    The mark is part of a hash of all names and texts, in hexadecimal digits. The same texts get the
    same mark, and no text contains it, so nothing in a text can end its block or begin another.
    """
    mark = _mark(texts)
    blocks = [f"[{mark} {name}]\n{text}\n[{mark} end of {name}]" for name, text in texts]
    return mark, blocks


def unfenced(prompt: str) -> dict[str, str]:
    """Return the texts of a prompt by name, as `fenced` put them there.

    The first mark in the prompt counts: it is named before the first text.
    """
    mark = re.search(rf"\[([0-9a-f]{{{MARK_DIGITS}}})\b", prompt)
    if mark is None:
        return {}
    block = rf"\[{mark[1]} (.+)\]\n([\s\S]*?)\n\[{mark[1]} end of \1\]"
    return {name: text for name, text in re.findall(block, prompt)}


def _mark(texts: Sequence[tuple[str, str]]) -> str:
    facts = sha256()
    for part in (part for pair in texts for part in pair):
        content = part.encode("utf-8", "surrogatepass")
        facts.update(b"%d " % len(content))
        facts.update(content)
    while True:
        mark = facts.hexdigest()[:MARK_DIGITS]
        if not any(mark in text for _, text in texts):
            return mark
        facts.update(b"again")
