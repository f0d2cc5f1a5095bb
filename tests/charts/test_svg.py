"""Charts as files: whole and valid by themselves, the same twice, and what is made of them."""

import re
import struct
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from llamaduo.base.errors import ConfigError
from llamaduo.charts import svg
from llamaduo.charts.head import Key
from llamaduo.charts.scales import Tick
from llamaduo.charts.shapes import RUNS, Area, Bar, Chart, Level, Line, Mark, Row, Text

NAMESPACE = "{http://www.w3.org/2000/svg}"


def a_chart(key: str = "a", words: str = "a word") -> Chart:
    marks = (Mark(40.0, 90.0, 95.0, 80.0, words), Mark(80.0, 60.0, None, None, words))
    return Chart(
        key=key,
        title=f"title {words}",
        says=words,
        across=words,
        x=(Tick(40.0, words),),
        y=(Tick(90.0, words),),
        rails=(50.0,),
        areas=(Area((*marks, Mark(90.0, 70.0, None, None, "")), "tuned"),),
        lines=tuple(Line(marks, tone, dash="6 2", hollow=True) for tone in RUNS),
        levels=(Level(50.0, 55.0, 45.0, "service"),),
        rows=(Row((Bar(40.0, 9.0, 50.0, 60.0, words),), "base", 44.0, 40.0, 60.0, words),),
        texts=(Text(50.0, 50.0, words),),
        legend=(Key(words, "tuned", 0.5), Key(words, "run1", dash="2 2")),
    )


def test_a_file_has_all_that_it_needs_within_itself() -> None:
    text = svg.sheet([a_chart("a"), a_chart("b"), a_chart("c")])
    root = ElementTree.fromstring(text)
    assert root.tag == f"{NAMESPACE}svg"
    assert "var(" not in text
    assert "@" not in text, "no rule that depends on who looks"
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert set(re.findall(r"font-family: ([^;]+)", text)) == {"sans-serif"}
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(ids) == len(set(ids)) == 6


def test_every_shape_has_looks() -> None:
    text = svg.sheet([a_chart()])
    classes = {name for found in re.findall(r'class="([^"]+)"', text) for name in found.split()}
    for name in classes - {"chart", "run"}:
        assert re.search(rf"\.{name}\b", svg.styles()), name


def test_other_peoples_words_stay_words() -> None:
    words = "</text><script>alert(1)</script> & \"'\x00\x0b\x1b\ufffe ]]> <"
    root = ElementTree.fromstring(svg.sheet([a_chart(words=words)]))
    assert not list(root.iter(f"{NAMESPACE}script"))
    said = next(root.iter(f"{NAMESPACE}desc")).text
    assert said is not None
    assert said.startswith("</text><script>alert(1)</script> &")


def test_nothing_overlaps_and_all_lies_within_the_sheet() -> None:
    charts = [a_chart(key, "word " * n) for key, n in (("a", 1), ("b", 60), ("c", 2))]
    root = ElementTree.fromstring(svg.sheet(charts))
    width, height = (int(root.get(name, "")) for name in ("width", "height"))
    placed = re.findall(r'class="chart".*?translate\((\d+) (\d+)\)', svg.sheet(charts))
    boxes = [
        (int(x), int(y), int(x) + chart.width, int(y) + chart.whole)
        for (x, y), chart in zip(placed, charts, strict=True)
    ]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert 0 < left < right < width
        assert 0 < top < bottom < height
        for other in boxes[i + 1 :]:
            assert right < other[0] or bottom < other[1]


def test_the_same_charts_give_the_same_bytes(tmp_path: Path) -> None:
    sheets = {"one": [a_chart()], "none": []}
    for name in ("first", "again"):
        assert svg.write(sheets, tmp_path / name) == [tmp_path / name / "one.svg"]
    first, again = (tmp_path / name / "one.svg" for name in ("first", "again"))
    assert first.read_bytes() == again.read_bytes()


def test_pdf_and_png_are_made_of_the_svg(tmp_path: Path) -> None:
    written = svg.write({"one": [a_chart()]}, tmp_path, also=True)
    assert [path.name for path in written] == ["one.svg", "one.pdf", "one.png"]
    pdf, png = (path.read_bytes() for path in written[1:])
    assert pdf.startswith(b"%PDF")
    assert b"/ToUnicode" in pdf, "text stays text"
    root = ElementTree.fromstring(written[0].read_text(encoding="utf-8"))
    wide, high = struct.unpack(">II", png[16:24])
    assert wide == pytest.approx(int(root.get("width", "")) * 200 / 96, abs=1)
    assert high == pytest.approx(int(root.get("height", "")) * 200 / 96, abs=1)


def test_without_the_library_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(ConfigError, match=r"pip install 'llamaduo\[figures\]'"):
        svg.write({"one": [a_chart()]}, tmp_path / "figures", also=True)
    assert not (tmp_path / "figures").exists()
    assert svg.write({"one": [a_chart()]}, tmp_path / "figures")
