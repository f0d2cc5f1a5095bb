"""Table 1 of the paper, from its figures: P-Match again, and the two figures that cannot be."""

import shutil
from pathlib import Path

import pytest

from llamaduo.report import paper_table1
from llamaduo.report.paper_table1 import Column, bounds, columns, misprints, printed, split
from llamaduo.stats.scores import TableCell, p_match

DIGIT_SLIP: Column = ("coding", "Gemini", "sim")


def test_the_table_is_whole() -> None:
    table = columns()
    assert len(table) == 24
    assert {len(cells) for cells in table.values()} == {7}
    assert {len(split(cells)[1]) for cells in table.values()} == {3}
    assert printed().keys() == table.keys()


@pytest.mark.parametrize("key", columns(), ids="-".join)
def test_p_match_comes_out_as_printed_but_for_the_digit_slip(key: Column) -> None:
    local, service = split(columns()[key])
    again = p_match([one.cell for one in local], [one.cell for one in service])
    expected = printed()[key]
    assert again.mean == pytest.approx(expected.mean, abs=0.01)
    assert again.coverage_50 == pytest.approx(expected.coverage_50, abs=0.01)
    slip = 87.80 if key == DIGIT_SLIP else expected.coverage_70
    assert again.coverage_70 == pytest.approx(slip, abs=0.01)


def test_exactly_the_two_misprints_are_found_with_their_arithmetic() -> None:
    slip, mean = misprints(columns(), printed())
    assert slip.where == "coding, judge Gemini, similarity, P-Match of cov@70"
    assert slip.printed == 97.80
    assert "36 / 41 = 87.80" in slip.arithmetic
    assert mean.where == "classification, judge Claude, similarity, mean of Gemma2B"
    assert mean.printed == 36.31
    assert "= 38.82, more than 36.31" in mean.arithmetic


def test_a_mean_above_what_its_coverages_allow_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "table1.csv"
    text = (paper_table1.PAPER / "table1.csv").read_text(encoding="utf-8")
    assert "summ,Gemma2B,Gemini,sim,42.15,38,12" in text
    path.write_text(text.replace("sim,42.15,38,12", "sim,82.15,38,12"), encoding="utf-8")
    found = misprints(columns(path), printed())
    assert any("is at most" in one.arithmetic and "Gemma2B" in one.where for one in found)


def test_bounds_are_the_means_of_the_extremes() -> None:
    cell = TableCell(mean=60.0, coverage_50=75.0, coverage_70=25.0)
    low, high = bounds(cell)
    assert low == pytest.approx((70 + 50 + 50 + 1) / 4)
    assert high == pytest.approx((100 + 70 + 70 + 50) / 4)


def test_the_text_shows_all_columns_and_marks_the_slip() -> None:
    text = paper_table1.text()
    lines = text.split("\n")
    assert max(map(len, lines)) <= 100
    (marked,) = [line for line in lines if "*" in line]
    assert "97.80" in marked
    assert "87.80*" in marked
    assert sum(line.startswith("  G") or line.startswith("  C") for line in lines) == 24
    assert "2 misprints:" in text
    assert "84.20 / 95.88 / 78.13    84.20 / 95.88 / 78.13" in text


def test_a_column_without_printed_figures_is_a_fault_not_a_guess(tmp_path: Path) -> None:
    path = shutil.copy(paper_table1.PAPER / "table1_pmatch.csv", tmp_path)
    kept = Path(path).read_text(encoding="utf-8").replace("summ,GPT4o,prec", "summ,Nobody,prec")
    Path(path).write_text(kept, encoding="utf-8")
    with pytest.raises(KeyError):
        misprints(columns(), printed(Path(path)))
