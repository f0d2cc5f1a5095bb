"""What a run's report says of cost: so far, both sides, the pay-back, and the picture."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.cost_cases import DRAWS, a_case, decided
from support.report_facts import COST, OUTCOME, but, page_of

from llamaduo.money.energy import Energy
from llamaduo.money.machine_time import MachineTime
from llamaduo.outcome import Outcome
from llamaduo.report import terminal
from llamaduo.report.cost import accumulated

PAGE = Path("report.html")
INPUT = {"value": 10_000_000, "low": 6_000_000, "high": 20_000_000}


def outcome(**changes: Any) -> Outcome:
    return but(cost=COST.model_copy(update=changes))


def test_the_page_has_both_sides_the_pay_back_and_the_picture(tmp_path: Path) -> None:
    found = decided(a_case(input_tokens=INPUT), draws=DRAWS)
    page = page_of(outcome(decision=found), tmp_path)
    for words in ("Break-even: 1.74 months [", "$1,950.00", "$30.00", "accumulated cost"):
        assert words in page.words
    assert "12 months local saves $19,701.00 [" in page.words
    assert "workload.input_tokens" in page.words
    assert "one_off.synthesis_usd" in page.words, "what is not counted"
    assert f"python -m llamaduo.cost run={OUTCOME.run_id[:8]}" in page.words
    said = terminal.table(outcome(decision=found), PAGE)
    assert "break-even     1.74 months [" in said


def test_undecided_says_what_is_missing(tmp_path: Path) -> None:
    lacks = outcome(undecided="workload.requests_per_day is not known: set it")
    for said in (page_of(lacks, tmp_path).words, " ".join(terminal.table(lacks, PAGE).split())):
        assert "not decided: workload.requests_per_day is not known" in said
    assert accumulated(lacks) is None
    assert "older than the decision" in terminal.table(OUTCOME, PAGE).replace("\n" + " " * 15, " ")


def test_compute_and_energy_or_that_they_are_unknown(tmp_path: Path) -> None:
    used = MachineTime(
        seconds=755.0,
        compute_usd=Decimal("0.0123"),
        energy=Energy(kwh=0.00944, measured=False, by="45 W"),
    )
    page = page_of(outcome(taken_spent=used, taken_embodied=used), tmp_path)
    assert "compute, dollars $0.012 $0.012" in page.words
    assert "0.00944 kWh (estimated: 45 W)" in page.words
    blank = MachineTime(seconds=1.0, compute_usd=None, energy=None)
    page = page_of(outcome(taken_spent=blank, taken_embodied=blank), tmp_path)
    assert "compute, dollars not known not known" in page.words
    assert "energy not known not known" in page.words


def test_never_is_said_and_nothing_is_marked(tmp_path: Path) -> None:
    found = decided(a_case(electricity_usd_per_month=9000))
    page = page_of(outcome(decision=found), tmp_path)
    assert "Break-even: never within 120 months" in page.words
    chart = accumulated(outcome(decision=found))
    assert chart is not None
    assert {line.tone for line in chart.lines} == {"service", "tuned"}


@pytest.mark.parametrize("input_tokens", [INPUT, 10_000_000, 1])
def test_the_picture_lies_within_its_box_and_marks_the_break_even(input_tokens: Any) -> None:
    found = decided(a_case(input_tokens=input_tokens), draws=DRAWS)
    chart = accumulated(outcome(decision=found))
    assert chart is not None
    for line in chart.lines:
        for mark in line.marks:
            assert chart.left <= mark.x <= chart.right
            assert chart.top <= mark.y <= chart.bottom
    marks = [line for line in chart.lines if line.tone == "base"]
    within = found.break_even is not None and found.break_even <= 24
    assert len(marks) == int(within)
    assert len({tick.label for tick in chart.y}) == len(chart.y) >= 3
