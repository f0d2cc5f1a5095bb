"""Text for a terminal: lines of at most `WIDTH` columns, and tables.

Names, prompts and error messages are other people's texts. They may hold control characters, which
a terminal would obey, so everything that is laid out here goes through `plain` first. Columns are
those of the screen, where a Chinese or Korean character takes two.

`rich` could do this too. It takes 0.25 s to import, which every command would pay; it reads
`[50.1, 60.2]` as markup, fills lines with spaces, breaks paths, and its result depends on the
environment. What is needed of it are the few functions below.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence

WIDTH = 100


def plain(text: str) -> str:
    """Return a text with a space in place of each character that cannot be printed."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def columns(text: str) -> int:
    """Return the number of columns that a text takes on the screen."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text filled with spaces to a width in columns; `right` puts them before it."""
    space = " " * (width - columns(text))
    return space + text if right else text + space


def cut(text: str, width: int) -> str:
    """Return a text of at most `width` columns; one that was cut ends with an ellipsis."""
    clean = plain(text)
    return clean if columns(clean) <= width else _fitting(clean, width - 1) + "…"


def _fitting(text: str, width: int) -> str:
    """Return the longest start of a text that fits."""
    taken = 0
    for at, character in enumerate(text):
        taken += _columns_of(character)
        if taken > width:
            return text[:at]
    return text


def wrapped(text: str, *, first: str = "", rest: str = "", width: int = WIDTH) -> list[str]:
    """Return a text in lines of at most `width` columns. Spaces at its ends are lost.

    The first line begins with `first`, the others with `rest`. A word that is too long for a line
    is broken, except for a path or an address: a broken one cannot be copied.
    """
    lines: list[str] = []
    line, bare = first, True
    for space, word in re.findall(r"( *)([^ ]+)", plain(text)):
        if not bare and columns(line + space + word) > width and not _breaks(word, rest, width):
            lines.append(line)
            line, bare = rest, True
        line += "" if bare else space
        bare = False
        while columns(line + word) > width and _breaks(word, rest, width):
            part = _fitting(word, max(0, width - columns(line)))
            lines.append((line + part).rstrip())
            line, word = rest, word[len(part) :]
        line += word
    return [*lines, line.rstrip()] if line.strip() else lines


def _breaks(word: str, rest: str, width: int) -> bool:
    return columns(rest + word) > width and "/" not in word


def item(head: str, text: str, head_width: int, *, width: int = WIDTH) -> list[str]:
    """Return a text in lines beside its head; a head that is too wide has a line of its own."""
    rest = " " * head_width
    if columns(head) < head_width:
        return wrapped(text, first=padded(plain(head), head_width), rest=rest, width=width)
    return [plain(head), *wrapped(text, first=rest, rest=rest, width=width)]


def table(
    rows: Sequence[Sequence[str]], *, right: Collection[int] = (), indent: int = 0
) -> list[str]:
    """Return a line for each row, its cells in columns; those numbered in `right` end flush."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
    return [
        (
            " " * indent
            + "  ".join(
                padded(cell, width, right=at in right)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in cells
    ]
