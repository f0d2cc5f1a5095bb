"""Cases to decide on, and the command as a user types it."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from llamaduo import cli
from llamaduo.config import Hardware, OneOff, Upkeep, Workload
from llamaduo.cost.command import Cost
from llamaduo.money.case import Case
from llamaduo.money.decision import CostDecision, decide
from llamaduo.money.spread import Draws
from llamaduo.records import Price
from support.experiments import called

NO_DRAWS = Draws(0, 1, 0.9)
DRAWS = Draws(2000, 1, 0.9)

WORKLOAD: dict[str, Any] = {
    "per": "day",
    "requests_per_day": None,
    "input_tokens": 10_000_000,
    "output_tokens": 1_000_000,
    "growth_per_month": 0,
    "peak_factor": 1,
    "cached_share": 0,
    "batch_share": 0,
    "batch_discount": 0,
    "price_change_per_month": 0,
    "days_per_month": 30,
}
HARDWARE: dict[str, Any] = {
    "name": "server",
    "kind": "buy",
    "usd": 2539,
    "usd_per_month": None,
    "usd_per_hour": None,
    "lifetime_months": None,
    "watts": None,
    "usd_per_kwh": None,
    "electricity_usd_per_month": 30,
    "hosting_usd_per_month": 0,
    "hours_per_month": 730,
    "input_tokens_per_second": None,
    "output_tokens_per_second": None,
    "measured_at_tokens": None,
    "context_tokens": None,
    "utilisation": 1,
    "servers": 1,
}
ONE_OFF: dict[str, Any] = {
    "finetuning_usd": 800,
    "sweeps_usd": None,
    "synthesis_usd": None,
    "judging_usd": None,
    "other_usd": None,
}
UPKEEP: dict[str, Any] = {
    "retrain_every_months": None,
    "retraining_usd": None,
    "people_usd_per_month": None,
}
PRICE = Price.model_validate({"input_usd": 5, "output_usd": 15, "simulated": False})


def a_case(price: Price = PRICE, **changes: Any) -> Case:
    """The paper's light case, with other values for some keys of its terms."""
    terms = []
    for values in (WORKLOAD, HARDWARE, ONE_OFF, UPKEEP):
        terms.append({key: changes.pop(key, value) for key, value in values.items()})
    assert not changes, changes
    return Case(
        "case",
        Workload.model_validate(terms[0]),
        price,
        Hardware.model_validate(terms[1]),
        OneOff.model_validate(terms[2]),
        Upkeep.model_validate(terms[3]),
    )


def decided(case: Case, months: int = 24, draws: Draws = NO_DRAWS) -> CostDecision:
    """The decision on a case, without draws where none are asked for."""
    return decide(case, months=months, draws=draws, currency="usd")


@cache
def composed(*words: str) -> Cost:
    """Return what these words on the command line ask for; the same words, the same."""
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        return cli.validated(compose("cost", overrides=cli.quoted(words, "run")), Cost)


def command(cwd: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m llamaduo.cost` in a folder."""
    return called("llamaduo.cost", cwd, *args, timeout=240, **env)
