"""Lines and tables for a terminal."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamaduo.base import terminal
from llamaduo.base.terminal import columns, cut, item, padded, plain, table, wrapped

# Red text, a new title for the window, a line that overwrites another, text from right to left.
ATTACK = "\x1b[31mred\x1b]0;title\x07 a\rb\tc\nd \u202eright to left"


def test_control_characters_never_get_out():
    shown = [
        plain(ATTACK),
        cut(ATTACK, 12),
        *wrapped(ATTACK, width=20),
        *item(ATTACK, ATTACK, 10),
        *table([("a", ATTACK), ("b", "c")]),
    ]
    assert all(line.isprintable() for line in shown)
    assert "right to left" in plain(ATTACK)


@pytest.mark.parametrize(
    ("text", "width"),
    [("abc", 3), ("한국어", 6), ("日本 a", 6), ("e\u0301", 1), ("ｱ", 1), ("–", 1)],
)
def test_columns_are_those_of_the_screen(text: str, width: int):
    assert columns(text) == width
    assert columns(padded(text, 8)) == columns(padded(text, 8, right=True)) == 8


@pytest.mark.parametrize(
    ("text", "shown"),
    [("short", "short"), ("too long a name", "too lo…"), ("한국어 모델", "한국어…")],
)
def test_a_text_is_cut_with_an_ellipsis(text: str, shown: str):
    assert cut(text, 7) == shown


@given(st.text(alphabet="abc de-", max_size=200), st.integers(4, 30))
def test_words_are_filled_into_lines_as_the_standard_library_does(text: str, width: int):
    lines = textwrap.wrap(
        text.strip(),
        width,
        initial_indent="> ",
        subsequent_indent="  ",
        break_on_hyphens=False,
    )
    expected = [line.rstrip() for line in lines] or [">"]
    assert wrapped(text, first="> ", rest="  ", width=width) == expected


@given(st.text(max_size=300), st.integers(6, 30))
def test_no_line_is_too_wide_and_no_word_is_lost(text: str, width: int):
    lines = wrapped(text.replace("/", ""), rest="  ", width=width)
    assert max(map(columns, lines), default=0) <= width
    assert "".join("".join(lines).split()) == "".join(plain(text).replace("/", "").split())


def test_a_path_is_not_broken_as_nobody_could_copy_it():
    path = "/a/folder/with/a/long/name/report.html"
    assert wrapped(f"it lies in {path} as before", width=20) == ["it lies in", path, "as before"]


def test_an_item_stands_beside_its_head():
    assert item("stop", "one two three", 8, width=16) == ["stop    one two", "        three"]
    assert item("a long head", "one two", 8, width=16) == ["a long head", "        one two"]
    assert item("stop", "", 8) == ["stop"]


def test_a_table_has_words_left_and_figures_right():
    rows = [("stage", "calls", "note"), ("한국어", "7", ""), ("b", "1,234", "x")]
    assert table(rows, right=(1,), indent=1) == [
        " stage   calls  note",
        " 한국어      7",
        " b       1,234  x",
    ]
    assert table([]) == []


def test_the_width_is_one_for_all():
    assert terminal.WIDTH == 100
    assert max(map(len, wrapped("word " * 60))) <= terminal.WIDTH
