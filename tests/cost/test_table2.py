"""The paper's Table 2 to the cent, the break-evens of its Figure 4, and what is wrong with both."""

from decimal import Decimal

import pytest
from support.cost_cases import composed

from llamaduo.base.errors import ConfigError
from llamaduo.cost.command import cases
from llamaduo.cost.table2 import Table2, compare

OURS = {
    ("light", "fine-tuning, USD"): "800",
    ("light", "servers, USD"): "2539",
    ("light", "electricity a month, USD"): "30",
    ("light", "input tokens a month, M"): "300",
    ("light", "output tokens a month, M"): "30",
    ("light", "GPT-4o a month, USD"): "1950",
    ("light", "local, 2 months, USD"): "3399",
    ("light", "GPT-4o, 2 months, USD"): "3900",
    ("light", "local, 12 months, USD"): "3699",
    ("light", "GPT-4o, 12 months, USD"): "23400",
    ("heavy", "fine-tuning, USD"): "800",
    ("heavy", "servers, USD"): "20312",
    ("heavy", "electricity a month, USD"): "240",
    ("heavy", "input tokens a month, M"): "1500",
    ("heavy", "output tokens a month, M"): "150",
    ("heavy", "GPT-4o a month, USD"): "9750",
    ("heavy", "local, 2 months, USD"): "21592",
    ("heavy", "GPT-4o, 2 months, USD"): "19500",
    ("heavy", "local, 12 months, USD"): "23992",
    ("heavy", "GPT-4o, 12 months, USD"): "117000",
}


def table2(*words: str) -> Table2:
    return compare(cases(composed("+scenario=paper_table2", *words)))


@pytest.mark.parametrize(("cell", "usd"), OURS.items(), ids=" ".join)
def test_each_cell_to_the_cent(cell: tuple[str, str], usd: str) -> None:
    found = next(c for c in table2().figures if (c.workload, c.item) == cell)
    assert found.ours == Decimal(usd)


def test_the_energy_to_the_unit_of_the_print() -> None:
    cells = {c.workload: c for c in table2().figures if c.item == "energy a month, kWh"}
    assert cells["light"].ours.quantize(Decimal(1)) == cells["light"].printed == 165
    assert cells["heavy"].ours.quantize(Decimal(1)) == cells["heavy"].printed == 1319


def test_one_cell_of_all_is_misprinted() -> None:
    wrong = [cell for cell in table2().figures if not cell.agrees]
    assert [(c.workload, c.item, c.printed) for c in wrong] == [
        ("light", "local, 2 months, USD", 3369)
    ]


def test_the_three_break_evens() -> None:
    found = {one.marker: one.months.quantize(Decimal("0.001")) for one in table2().crossings}
    assert found == {"A": Decimal("1.739"), "B": Decimal("2.220"), "C": Decimal("12.346")}


def test_the_four_discrepancies_by_name_and_figure() -> None:
    two_months, text, after_two, after_twelve = table2().discrepancies
    assert "3,369" in two_months
    assert "3,399" in two_months
    assert "one month of electricity (30)" in two_months
    for figure in ("10M", "150M a month", "5M a day", "12,000", "9,750", "1.80", "2.22"):
        assert figure in text
    for figure in ("19,500", "21,592", "2.22"):
        assert figure in after_two
    for figure in ("23,400", "23,992", "12.35"):
        assert figure in after_twelve


def test_discrepancies_are_computed() -> None:
    """With the text's 10M tokens out a day, GPT-4o does cost more after two months."""
    found = table2("beside.heavy.workload.output_tokens=10_000_000")
    assert not [one for one in found.discrepancies if one.startswith("“after two months")]
    assert {one.marker: round(one.months, 2) for one in found.crossings}["B"] == Decimal("1.80")


def test_other_workloads_are_no_table_2() -> None:
    with pytest.raises(ConfigError, match=r"\+scenario=paper_table2"):
        compare(cases(composed("+scenario=light", "paper=table2")))
