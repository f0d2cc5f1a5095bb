"""A plan as text: a table of its stages, and what each service is asked in all."""

import textwrap
from collections.abc import Iterator
from decimal import Decimal
from math import ceil

from llamaduo.config import Experiment
from llamaduo.migration.estimate import Amount, Client, Money, Plan, Step
from llamaduo.records import Price

HEAD = ("stage", "", "asks", "calls", "in", "out", "dollars", "")
SHORT = {"service": "service", "judge.client": "judge", "": ""}
#: Columns of words stand left, columns of figures right.
LEFT = (0, 1, 2, 7)


def page(plan: Plan, exp: Experiment) -> str:
    """The whole plan, in lines of at most 100 characters unless a name is very long."""
    low, high = plan.rounds
    rows = ", ".join(f"{name} {count}" for name, count in plan.rows.items())
    between = f"{low}" if low == high else f"{low} to {high}"
    lines = [
        f"Plan of {plan.name}. Nothing is asked, built or written.",
        f"Rows: {rows}. Rounds: {between}. Tokens are estimated from the texts: the table",
        "has what is expected, and the sums below it also what is low and high. A stage is stored",
        "already (reused), to be made (new), or that is not known before the ones above are made.",
        "",
        *_table(plan),
        "",
    ]
    for client in plan.clients:
        lines += [*_client(plan, client), ""]
    lines += _money(plan)
    if exp.budget.minutes is not None:
        lines.append(f"budget.minutes={exp.budget.minutes:g} ends the loop after a round")
    return "\n".join(lines)


def _table(plan: Plan) -> Iterator[str]:
    rows = [HEAD, *(_row(plan, step) for step in plan.steps)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    for row in rows:
        cells = [
            cell.ljust(width) if at in LEFT else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _row(plan: Plan, step: Step) -> tuple[str, ...]:
    """The expected figures of a stage; of a stored one, none."""
    where = step.label if step.round is None else f"r{step.round} {step.label}".rstrip()
    client = next((client for client in plan.clients if client.who == step.who), None)
    notes: list[str] = [] if step.state == "not known before" else [step.state]
    if step.kept:
        notes.append(f"{step.kept} in the ledger")
    if not step.needed:
        notes.append("if needed")
    asked = step.state != "reused" and client is not None
    figures = ("",) * 4
    if asked and client is not None:
        money = client.usd(step)
        figures = (
            _count(step.calls.expected),
            _count(step.read.expected),
            _count(step.written.expected),
            "?" if money is None else _usd(money[1]),
        )
    return (step.stage, where, SHORT[step.who], *figures, ", ".join(notes))


def _client(plan: Plan, client: Client) -> Iterator[str]:
    total = plan.total(client.who)
    yield f"{client.who}={client.name}, {client.model}"
    yield f"  price       {_price(client)}"
    kept = f", and {total.kept} that the ledger answers" if total.kept else ""
    yield f"  calls       {_range(total.calls)}{kept}"
    yield f"  tokens in   {_range(total.read)}"
    yield f"  tokens out  {_range(total.written)}; what the model thinks is only in the high one"
    money = client.usd(total)
    nominal = client.price is not None and client.price.simulated
    yield f"  dollars     {_dollars(money)}{', nominal: nobody is charged' if nominal else ''}"
    if client.limits is not None:
        yield f"  time        {_time(client, total)}"


def _price(client: Client) -> str:
    if client.price is None:
        return "not known"
    price: Price = client.price
    cached = price.cached_input_usd
    less = "" if cached is None else f" (${_plain(cached)} if cached)"
    gap = " " * 14
    source = textwrap.fill(client.source, 100, initial_indent=gap, subsequent_indent=gap)
    fresh, out = f"${_plain(price.input_usd)} in{less}", f"${_plain(price.output_usd)} out"
    return f"{fresh}, {out} per million tokens\n{source}"


def _time(client: Client, total: Step) -> str:
    limits = client.limits
    assert limits is not None
    flight = f"{limits.concurrency} calls at once"
    found = client.seconds(total)
    if found is None:
        return f"not known: no rate is set in runtime.limits, and {flight}"
    low, expected, high = found[0].each()
    return f"at least {_duration(expected)} ({_duration(low)} to {_duration(high)}) at {found[1]}"


def _money(plan: Plan) -> Iterator[str]:
    total, purse = plan.usd(), plan.purse
    yield f"Money in all: {_dollars(total)}"
    if purse.cap is None:
        yield "budget.usd=null: no limit is set"
        return
    left = purse.cap - purse.spent - purse.reserved
    yield (
        f"budget.usd={purse.cap:f}: {_usd(purse.spent + purse.reserved)} of purse {purse.name} "
        f"is spent or reserved, {_usd(max(left, Decimal(0)))} is left"
    )
    if total is None:
        return
    if total[2] > left:
        which = "even the low" if total[0] > left else "the high"
        yield f"{which} estimate exceeds what is left: the run would stop there, reason `budget`"
    else:
        yield "the high estimate is within what is left"


def _dollars(money: Money | None) -> str:
    if money is None:
        return "not known, as a price is missing"
    low, expected, high = money
    return f"{_usd(expected)} ({_usd(low)} to {_usd(high)})"


def _range(amount: Amount) -> str:
    low, expected, high = (_count(one) for one in amount.each())
    return expected if low == high else f"{expected} ({low} to {high})"


def _plain(usd: Decimal) -> str:
    whole = usd == usd.to_integral()
    return f"{usd.quantize(Decimal(1)) if whole else usd.normalize():f}"


def _usd(sum: Decimal) -> str:
    """Dollars with cents, or three digits that say something."""
    if sum == 0 or sum >= 1:
        return f"${sum:,.2f}"
    return f"${sum:.{max(2, 2 - sum.adjusted())}f}"


def _count(number: float) -> str:
    whole = ceil(number)
    if whole < 10_000:
        return f"{whole:,}"
    size, letter = next(
        (size, letter)
        for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k"))
        if whole >= size
    )
    value = whole / size
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}{letter}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{ceil(seconds)} s"
    minutes = ceil(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
