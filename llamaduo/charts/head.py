"""What stands above a chart: its title and its legend, broken into lines that fit its width.

SVG does not break lines, and which font a reader has is not known, so widths are estimated, on the
wide side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Tone: TypeAlias = Literal[
    "tuned", "base", "service", "run1", "run2", "run3", "run4", "run5", "run6"
]

TITLE, SMALL = 14, 12  # pixels of the fonts; chart.css has the same
TITLE_LINE, LINE = 18, 16
SAMPLE, PATCH = 26, 10  # widths of the piece of line, or the patch, before an entry
BESIDE = 5  # between that and the words
GAP = 12  # between entries


@dataclass(frozen=True)
class Key:
    """An entry of the legend: a patch, or with a `dash` a piece of the line."""

    words: str
    tone: Tone
    fade: float = 1.0
    dash: str | None = None


@dataclass(frozen=True)
class Entry:
    """An entry of the legend at its place: `y` is the base of the first of its `lines`."""

    key: Key
    x: float
    y: int
    lines: tuple[str, ...]

    @property
    def sample(self) -> int:
        """The width of what stands before the words."""
        return PATCH if self.key.dash is None else SAMPLE

    @property
    def words(self) -> float:
        """Where the words begin."""
        return round(self.x + self.sample + BESIDE, 1)


@dataclass(frozen=True)
class Head:
    """Title and legend above a chart, and the height that they take."""

    title: tuple[str, ...]
    entries: tuple[Entry, ...]
    height: int


def head_of(title: str, legend: Sequence[Key], width: int) -> Head:
    """Return the title and the entries of a legend in lines of at most that width."""
    titles = broken(title, width, TITLE)
    y, x = TITLE_LINE * len(titles) - 3, 0.0
    entries: list[Entry] = []
    free = True  # nothing stands on the line yet
    for key in legend:
        start = (PATCH if key.dash is None else SAMPLE) + BESIDE
        lines = broken(key.words, width - start, SMALL)
        wide = start + max(width_of(line, SMALL) for line in lines)
        if free or x + wide > width:
            y, x = y + LINE, 0.0
        entries.append(Entry(key, round(x, 1), y, lines))
        x, free = x + wide + GAP, len(lines) > 1
        y += LINE * (len(lines) - 1)
    return Head(titles, tuple(entries), y + 4)


def broken(text: str, width: float, size: float) -> tuple[str, ...]:
    """Return a text in lines of at most that width; a word that is longer is cut in two."""
    lines, line = [], ""
    for word in text.split():
        rest = word
        while rest:
            joined = f"{line} {rest}" if line else rest
            if width_of(joined, size) <= width:
                line, rest = joined, ""
            elif line:
                lines.append(line)
                line = ""
            else:
                fits = next(
                    n for n in range(len(rest), 0, -1) if n == 1 or _fits(rest[:n], width, size)
                )
                lines.append(rest[:fits])
                rest = rest[fits:]
    return tuple([*lines, line] if line or not lines else lines)


def _fits(text: str, width: float, size: float) -> bool:
    return width_of(text, size) <= width


def width_of(text: str, size: float) -> float:
    """Return about how wide a text is in a wide font without serifs, in the unit of its size."""
    return size * sum(map(_em, text))


def _em(letter: str) -> float:
    if letter in " .,:;'|!()[]/fijlrtI·-":
        return 0.4
    if letter in "mwMW%@…—":
        return 0.95
    if ord(letter) >= 0x1100:  # scripts whose letters fill a square
        return 1.0
    return 0.7 if letter.isupper() else 0.62
