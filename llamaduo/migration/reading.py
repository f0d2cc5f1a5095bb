"""How test is read, once: the candidate, and the yardsticks that the configuration has."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from llamaduo.base.errors import BudgetReached
from llamaduo.migration.systems import Assessed, Systems
from llamaduo.migration.yardsticks import ASKED, SYSTEMS, copies, few_shot, shown_name
from llamaduo.records import Pair
from llamaduo.stages.finetune import Adapter

#: Reads a system on test; or the reason why it is not read.
Reader: TypeAlias = Callable[[], Assessed] | str


def read_test(
    systems: Systems, best: Adapter, train: Sequence[Pair], test: Sequence[Pair]
) -> tuple[dict[str, Assessed], dict[str, str], str | None]:
    """Read test with the adapter of the best round and with every yardstick.

    Returns the systems in the order of telling, why others are absent, and where the budget does
    not reach to all, what it says.
    """
    read: dict[str, Assessed] = {}
    absent: dict[str, str] = {}
    short = None
    for name in ASKED:
        reader = _reader(systems, name, best, train, test, read.get("service"))
        if isinstance(reader, str):
            absent[name] = reader
        elif short is None or not systems.exp.judge.clients():
            # Where an LLM judges, nothing more can be judged once the budget is spent.
            try:
                read[name] = reader()
            except BudgetReached as reached:
                short = str(reached)
    for name in ASKED:
        if name not in read:
            absent.setdefault(name, "budget.usd did not reach to it")
    return {name: read[name] for name in SYSTEMS if name in read}, absent, short


def _reader(
    systems: Systems,
    name: str,
    best: Adapter,
    train: Sequence[Pair],
    test: Sequence[Pair],
    service: Assessed | None,
) -> Reader:
    on = systems.exp.yardsticks
    if name == "tuned":
        return partial(systems.ask_local, "tuned", best, test, "test", service=service)
    if name == "service":
        ask_service = partial(systems.ask_service, test, "test")
        return ask_service if on.service else "yardsticks.service=false"
    if name == "base":
        ask_base = partial(systems.ask_local, "base", None, test, "test", service=service)
        return ask_base if on.base else "yardsticks.base=false"
    if name == "few_shot":
        if on.few_shot is None:
            return "yardsticks.few_shot=null"
        return _few_shot(systems, on.few_shot, train, test, service)
    copy = partial(systems.copy, name, copies(test)[name], test, service)
    return copy if on.copies else "yardsticks.copies=false"


def _few_shot(
    systems: Systems,
    wanted: int,
    train: Sequence[Pair],
    test: Sequence[Pair],
    service: Assessed | None,
) -> Reader:
    prompts, shown = few_shot(
        systems.local,
        train,
        [pair.prompt for pair in test],
        wanted,
        max_new_tokens=systems.exp.task.max_new_tokens,
        seed=systems.exp.seed,
    )
    if not shown:
        return "no training pair fits into the model's context beside a prompt"
    name = shown_name("few_shot", shown)
    return partial(systems.ask_local, name, None, test, "test", service=service, prompts=prompts)
