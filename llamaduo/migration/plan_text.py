"""A plan as text: a table of its stages, and what each service is asked in all."""

from collections.abc import Iterator
from decimal import Decimal

from llamaduo.base import terminal
from llamaduo.base.format import NOT_KNOWN, exact_dollars, money, rough_duration, short_count
from llamaduo.config import Experiment
from llamaduo.migration.estimate import Amount, Client, Money, Plan, Step
from llamaduo.records import Price

HEAD = ("stage", "", "asks", "calls", "in", "out", "dollars", "")
SHORT = {"service": "service", "judge.client": "judge", "": ""}
FIGURES = (3, 4, 5, 6)  # the columns that hold figures
HEAD_WIDTH = 14


def page(plan: Plan, exp: Experiment) -> str:
    """Return the whole plan as text for a terminal; only a very long name makes a longer line."""
    low, high = plan.rounds
    rows = ", ".join(f"{name} {count}" for name, count in plan.rows.items())
    between = f"{low}" if low == high else f"{low} to {high}"
    lines = [
        f"Plan of {plan.name}. Nothing is asked, built or written.",
        *terminal.wrapped(
            f"Rows: {rows}. Rounds: {between}. Tokens are estimated from the texts: the table has "
            "what is expected, and the sums below it also what is low and high. A stage is stored "
            "already (reused), to be made (new), or that is not known before the ones above are "
            "made."
        ),
        "",
        *terminal.table([HEAD, *(_row(plan, step) for step in plan.steps)], right=FIGURES),
        "",
    ]
    for client in plan.clients:
        lines += [*_client(plan, client), ""]
    lines += _money(plan)
    if exp.budget.minutes is not None:
        lines.append(f"budget.minutes={exp.budget.minutes:g} ends the loop after a round")
    return "\n".join(lines)


def _row(plan: Plan, step: Step) -> tuple[str, ...]:
    """Return the expected figures of a stage; of a stored one, none."""
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
        cost = client.usd(step)
        figures = (
            short_count(step.calls.expected),
            short_count(step.read.expected),
            short_count(step.written.expected),
            "?" if cost is None else money(cost[1]),
        )
    return (step.stage, where, SHORT[step.who], *figures, ", ".join(notes))


def _client(plan: Plan, client: Client) -> Iterator[str]:
    total = plan.total(client.who)
    yield f"{client.who}={client.name}, {client.model}"
    yield from _item("price", _price(client))
    if client.price is not None:
        yield from _item("", client.source)
    kept = f", and {total.kept} that the ledger answers" if total.kept else ""
    yield from _item("calls", f"{_range(total.calls)}{kept}")
    yield from _item("tokens in", _range(total.read))
    thoughts = "what the model thinks is only in the high one"
    yield from _item("tokens out", f"{_range(total.written)}; {thoughts}")
    nominal = client.price is not None and client.price.simulated
    charged = ", nominal: nobody is charged" if nominal else ""
    yield from _item("dollars", f"{_dollars(client.usd(total))}{charged}")
    if client.limits is not None:
        yield from _item("time", _time(client, total))


def _item(head: str, text: str) -> list[str]:
    return terminal.item(f"  {head}", text, HEAD_WIDTH)


def _price(client: Client) -> str:
    if client.price is None:
        return NOT_KNOWN
    price: Price = client.price
    cached = price.cached_input_usd
    less = "" if cached is None else f" ({exact_dollars(cached)} if cached)"
    fresh, out = exact_dollars(price.input_usd), exact_dollars(price.output_usd)
    return f"{fresh} in{less}, {out} out per million tokens"


def _time(client: Client, total: Step) -> str:
    limits = client.limits
    assert limits is not None
    together = f"{limits.concurrency} calls at once"
    found = client.seconds(total)
    if found is None:
        return f"{NOT_KNOWN}: no rate is set in runtime.limits, and {together}"
    low, expected, high = map(rough_duration, found[0].each())
    return f"at least {expected} ({low} to {high}) at {found[1]}"


def _money(plan: Plan) -> Iterator[str]:
    total, purse = plan.usd(), plan.purse
    yield f"Money in all: {_dollars(total)}"
    if purse.cap is None:
        yield "budget.usd=null: no limit is set"
        return
    left = purse.cap - purse.spent - purse.reserved
    yield (
        f"budget.usd={purse.cap:f}: {money(purse.spent + purse.reserved)} of purse {purse.name} "
        f"is spent or reserved, {money(max(left, Decimal(0)))} is left"
    )
    if total is None:
        return
    if total[2] > left:
        which = "even the low" if total[0] > left else "the high"
        yield f"{which} estimate exceeds what is left: the run would stop there, reason `budget`"
    else:
        yield "the high estimate is within what is left"


def _dollars(cost: Money | None) -> str:
    if cost is None:
        return f"{NOT_KNOWN}, as a price is missing"
    low, expected, high = map(money, cost)
    return f"{expected} ({low} to {high})"


def _range(amount: Amount) -> str:
    low, expected, high = map(short_count, amount.each())
    return expected if low == high else f"{expected} ({low} to {high})"
