"""Titles and legends above a chart: nothing runs out of its width, no word is lost."""

from hypothesis import given
from hypothesis import strategies as st

from llamaduo.charts.head import SMALL, TITLE, Key, broken, head_of, width_of

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=120)


@given(WORDS, st.sampled_from([60, 200, 309]))
def test_broken_lines_fit_and_keep_every_letter(text: str, width: int) -> None:
    lines = broken(text, width, SMALL)
    assert lines
    assert all(width_of(line, SMALL) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.lists(WORDS, max_size=8))
def test_entries_stand_apart_and_within_the_width(words: list[str]) -> None:
    keys = [Key(text, "run1", dash="" if i % 2 else None) for i, text in enumerate(words)]
    head = head_of("a title", keys, 340)
    right: dict[int, float] = {}
    for entry in head.entries:
        for i, line in enumerate(entry.lines):
            end = entry.words + width_of(line, SMALL)
            assert end <= 340.1
            assert entry.x >= right.get(entry.y + 16 * i, 0.0)
            right[entry.y + 16 * i] = end
            assert entry.y + 16 * i < head.height


def test_a_long_title_takes_more_lines_and_more_height() -> None:
    short, long = (head_of(text, (), 340) for text in ("similarity", "similarity " * 12))
    assert len(short.title) == 1 < len(long.title)
    assert long.height > short.height
    assert all(width_of(line, TITLE) <= 340 for line in long.title)
