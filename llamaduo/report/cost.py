"""What a report says of cost: so far, a month on each side, when it pays back, and the picture."""

import math
from collections.abc import Iterator

from llamaduo.base.format import NOT_KNOWN, money
from llamaduo.cost.text import MOVES, chance, moved, pays_back
from llamaduo.money.decision import CostDecision
from llamaduo.money.energy import Energy
from llamaduo.money.machine_time import MachineTime
from llamaduo.money.spread import Band
from llamaduo.outcome import CostFacts, Outcome
from llamaduo.report.axes import (
    BOTTOM,
    HEIGHT,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Key,
    Line,
    Mark,
    Scale,
    Tick,
    Tone,
    nice,
)

LEFT = 46  # room for thousands of dollars
SERVICE_DASH = "6 3"
BAND_DASH = "1.5 3"


def compute(taken: MachineTime | None) -> str:
    """What the machine's time cost."""
    return NOT_KNOWN if taken is None else money(taken.compute_usd, "usd")


def energy(taken: MachineTime | None) -> str:
    """What the machine drew, and whether that was measured."""
    return NOT_KNOWN if taken is None or taken.energy is None else kwh(taken.energy)


def kwh(found: Energy) -> str:
    """Energy with three significant digits, and where the figure comes from."""
    amount = f"{found.kwh:.3g} kWh" if found.kwh >= 0.001 else f"{1000 * found.kwh:.3g} Wh"
    return f"{amount} ({found})"


def decision(cost: CostFacts) -> str:
    """When it pays back, in a line; what is missing where nobody can say."""
    if cost.decision is None:
        return f"not decided: {cost.undecided or 'this outcome is older than the decision'}"
    nominal = "; at a nominal price, charged to nobody" if cost.decision.nominal else ""
    return f"{pays_back(cost.decision)}{nominal}"


def rows(found: CostDecision) -> Iterator[tuple[str, str, str]]:
    """What is shown of both sides: what it is, service, local."""
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
    """What local saves over some months, or costs more."""
    for one in found.savings:
        what = "saves" if one.amount >= 0 else "costs more by"
        amount = money(abs(one.amount), found.currency)
        yield f"{one.months} months", f"{what} {amount}{_band(one.band, found.currency)}"


def moves(found: CostDecision) -> list[str]:
    """The figures that move the break-even most."""
    return [moved(move) for move in found.moves if move.months][:MOVES]


def sure(found: CostDecision) -> str:
    """What stands behind the bands."""
    return chance(found)


def again(outcome: Outcome) -> str:
    """The command that decides again, on another workload or hardware."""
    return (
        f"python -m llamaduo.cost run={outcome.run_id[:8]} "
        "workload.requests_per_day=<yours> hardware=<yours>"
    )


def _band(found: Band | None, coin: str) -> str:
    if found is None or found.low == found.high:
        return ""
    return f" [{money(found.low, coin)} to {money(found.high, coin)}]"


def accumulated(outcome: Outcome) -> Chart | None:
    """Accumulated cost of both sides by month with bands, and the break-even; None: undecided."""
    found = outcome.cost.decision
    if found is None:
        return None
    across = Scale(0, len(found.months) - 1, LEFT, WIDTH - RIGHT)
    most = max(max(_tops(found)), 0.01)
    step = nice(most / 4)
    up = Scale(0, step * math.ceil(most / step), HEIGHT - BOTTOM, TOP)
    lines = [
        *_side(found, "service", across, up),
        *_side(found, "local", across, up),
        *_crossing(found, across, up),
    ]
    last = found.months[-1]
    says = (
        f"after {last.month} months service {money(last.service_total, found.currency)}, local "
        f"{money(last.local_total, found.currency)}; break-even: {pays_back(found)}"
    )
    return Chart(
        key="accumulated",
        title="accumulated cost, dollars",
        says=says,
        across="month",
        x=across.ticks(max(1, nice(len(found.months) / 8))),
        y=tuple(Tick(tick.at, _short(step * i)) for i, tick in enumerate(up.ticks(step))),
        lines=tuple(lines),
        legend=(
            Key("service" + (" (nominal)" if found.nominal else ""), "service", 1.0, SERVICE_DASH),
            Key(f"local, {found.hardware} × {last.servers}", "tuned", 1.0, ""),
        ),
        left=LEFT,
    )


def _tops(found: CostDecision) -> Iterator[float]:
    for one in found.months:
        for total, band in (
            (one.service_total, one.service_band),
            (one.local_total, one.local_band),
        ):
            high = None if band is None else band.high
            yield float(total if high is None else max(total, high))


def _side(found: CostDecision, side: str, across: Scale, up: Scale) -> Iterator[Line]:
    tone: Tone = "service" if side == "service" else "tuned"
    marks = []
    for one in found.months:
        total = one.service_total if side == "service" else one.local_total
        words = f"{side}, month {one.month}: {money(total, found.currency)}"
        marks.append(Mark(across(one.month), up(float(total)), None, None, words))
    dash = SERVICE_DASH if side == "service" else ""
    yield Line(tuple(marks), tone, dots=False, dash=dash)
    for end in ("low", "high"):
        bounds = []
        for one in found.months:
            band = one.service_band if side == "service" else one.local_band
            at = None if band is None else (band.low if end == "low" else band.high)
            if at is not None:
                bounds.append(Mark(across(one.month), up(max(0.0, float(at))), None, None, ""))
        if len(bounds) == len(found.months):
            yield Line(tuple(bounds), tone, dots=False, fade=0.55, dash=BAND_DASH)


def _crossing(found: CostDecision, across: Scale, up: Scale) -> Iterator[Line]:
    if found.break_even is None or found.break_even > len(found.months) - 1:
        return
    at = float(found.break_even)
    before = min(int(at), len(found.months) - 2)
    start, end = (float(found.months[place].service_total) for place in (before, before + 1))
    y = start + (at - before) * (end - start)
    words = f"pays back after {at:.2f} months"
    yield Line((Mark(across(at), up(y), None, None, words),), "base", joined=False)


def _short(value: float) -> str:
    """A tick of dollars in little room."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
