"""A plan as JSON, for `dry_run=true format=json`."""

from math import ceil

from llamaduo.base.files import Json
from llamaduo.migration.estimate import Amount, Client, Money, Plan, Step

ENDS = ("low", "expected", "high")


def document_of(plan: Plan) -> dict[str, Json]:
    """Return the whole plan; estimates have `low`, `expected` and `high`, dollars are texts."""
    purse = plan.purse
    return {
        "name": plan.name,
        "rows": dict(plan.rows),
        "rounds": list(plan.rounds),
        "steps": [_step(plan, step) for step in plan.steps],
        "clients": [_client(plan, client) for client in plan.clients],
        "usd": _usd(plan.usd()),
        "budget": {
            "purse": purse.name,
            "cap": None if purse.cap is None else str(purse.cap),
            "spent": str(purse.spent),
            "reserved": str(purse.reserved),
        },
    }


def _step(plan: Plan, step: Step) -> dict[str, Json]:
    client = next((client for client in plan.clients if client.who == step.who), None)
    return {
        "stage": step.stage,
        "label": step.label,
        "round": step.round,
        "asks": step.who or None,
        "state": step.state,
        "needed": step.needed,
        "kept": step.kept,
        **_asked(step),
        "usd": None if client is None else _usd(client.usd(step)),
    }


def _client(plan: Plan, client: Client) -> dict[str, Json]:
    total = plan.total(client.who)
    slowest = client.seconds(total)
    return {
        "asks": client.who,
        "name": client.name,
        "model": client.model,
        "price": None if client.price is None else client.price.model_dump(mode="json"),
        "price_source": client.source,
        "problem": client.problem,
        "kept": total.kept,
        **_asked(total),
        "usd": _usd(client.usd(total)),
        "seconds": None if slowest is None else dict(zip(ENDS, slowest[0].each(), strict=True)),
    }


def _asked(step: Step) -> dict[str, Json]:
    return {
        "calls": _amount(step.calls),
        "tokens_in": _amount(step.read),
        "tokens_out": _amount(step.written),
    }


def _amount(amount: Amount) -> dict[str, Json]:
    """Return whole calls or tokens."""
    return {end: ceil(number) for end, number in zip(ENDS, amount.each(), strict=True)}


def _usd(money: Money | None) -> dict[str, Json] | None:
    if money is None:
        return None
    return {end: str(usd) for end, usd in zip(ENDS, money, strict=True)}
