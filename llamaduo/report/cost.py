"""What a report says of cost: so far, a month on each side, when it pays back, and the chart."""

from collections.abc import Iterator

from llamaduo.base.format import NOT_KNOWN, money
from llamaduo.charts.shapes import Chart
from llamaduo.cost import picture
from llamaduo.cost.text import MOVES_SHOWN, break_even_text, confidence_text, move_text
from llamaduo.money.decision import CostDecision
from llamaduo.money.energy import Energy
from llamaduo.money.machine_time import MachineTime
from llamaduo.money.spread import Band
from llamaduo.outcome import CostFacts, Outcome


def compute(taken: MachineTime | None) -> str:
    """Say what the machine's time cost."""
    return NOT_KNOWN if taken is None else money(taken.compute_usd, "usd")


def energy(taken: MachineTime | None) -> str:
    """Say what the machine drew, and whether that was measured."""
    return NOT_KNOWN if taken is None or taken.energy is None else kwh(taken.energy)


def kwh(found: Energy) -> str:
    """Energy with three significant digits, and where the figure comes from."""
    amount = f"{found.kwh:.3g} kWh" if found.kwh >= 0.001 else f"{1000 * found.kwh:.3g} Wh"
    return f"{amount} ({found})"


def decision(cost: CostFacts) -> str:
    """Say in a line when it pays back, or what is missing."""
    if cost.decision is None:
        return f"not decided: {cost.undecided or 'this outcome is older than the decision'}"
    nominal = "; at a nominal price, charged to nobody" if cost.decision.nominal else ""
    return f"{break_even_text(cost.decision)}{nominal}"


def rows(found: CostDecision) -> Iterator[tuple[str, str, str]]:
    """List what is shown of both sides: what it is, service, local."""
    coin = found.currency
    yield "a month", money(found.service_month, coin), money(found.local_month, coin)
    start = f"{money(found.servers_usd, coin)} servers, {money(found.one_off, coin)} the migration"
    yield "at the start", money(found.service_month * 0, coin), start
    last = found.months[-1]
    yield (
        f"all of {last.month} months",
        money(last.service_total, coin) + _band(last.service_band, coin),
        money(last.local_total, coin) + _band(last.local_band, coin),
    )
    if (each := found.per_1000) is not None:
        yield (
            f"1,000 requests, of {last.month} months",
            money(each.service, coin) + _band(each.service_band, coin),
            money(each.local, coin) + _band(each.local_band, coin),
        )


def savings(found: CostDecision) -> Iterator[tuple[str, str]]:
    """Say what local saves over some months, or costs more."""
    for one in found.savings:
        what = "saves" if one.amount >= 0 else "costs more by"
        amount = money(abs(one.amount), found.currency)
        yield f"{one.months} months", f"{what} {amount}{_band(one.band, found.currency)}"


def largest_moves(found: CostDecision) -> list[str]:
    """List the figures that move the break-even most."""
    return [move_text(move) for move in found.moves if move.months][:MOVES_SHOWN]


def confidence_note(found: CostDecision) -> str:
    """Say what stands behind the bands."""
    return confidence_text(found)


def command(outcome: Outcome) -> str:
    """Return the command that decides again, on another workload or hardware."""
    return (
        f"python -m llamaduo.cost run={outcome.run_id[:8]} "
        "workload.requests_per_day=<yours> hardware=<yours>"
    )


def _band(found: Band | None, coin: str) -> str:
    if found is None or found.low == found.high:
        return ""
    return f" [{money(found.low, coin)} to {money(found.high, coin)}]"


def accumulated(outcome: Outcome) -> Chart | None:
    """Return accumulated cost of both sides by month, and the break-even; None: undecided."""
    found = outcome.cost.decision
    return None if found is None else picture.accumulated([found])
