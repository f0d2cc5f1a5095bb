"""How long a decision takes: draws by months, and the command's help and table.

    python benchmarks/cost.py [--draws 10000] [--months 36] [--repeats 5]

Prints medians: the draws of a case in which every figure has a range, projected month by month;
a whole decision (120 months looked through, bands, sensitivity); and the command in a process of
its own, for help and for a table without a picture.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial

from hydra import compose, initialize_config_dir

from llamaduo import cli
from llamaduo.config import Quantity
from llamaduo.cost.command import Cost, cases
from llamaduo.money.case import Case, choices_of, inputs_of
from llamaduo.money.decision import decide
from llamaduo.money.model import Inputs, accumulated, break_evens, project
from llamaduo.money.spread import Draws, drawn


def case() -> Case:
    """The rented H100 of conf/scenario, whose throughput, price and one-off costs have ranges."""
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = cli.validated(compose("cost", overrides=["+scenario=cloud_h100"]), Cost)
    return cases(config)[0]


def ranged(given: Inputs[Quantity]) -> Inputs[Quantity]:
    """Every figure with a range, of a tenth up and down."""

    def widen(_: str, figure: Quantity) -> Quantity:
        step = abs(figure.value) * Decimal("0.1")
        return Quantity(value=figure.value, low=figure.value - step, high=figure.value + step)

    return given.map(widen)


def median(repeats: int, act: Callable[[], object]) -> str:
    """The median of the seconds that something takes, with the least and the most."""
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        act()
        took.append(time.perf_counter() - start)
    return f"{statistics.median(took):.3f} s ({min(took):.3f} to {max(took):.3f})"


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description="Time of a cost decision.")
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--months", type=int, default=36)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    one, draws = case(), Draws(args.draws, 1, 0.9)
    given, choices = ranged(inputs_of(one)), choices_of(one)

    def drawn_months() -> None:
        series = project(drawn(given, draws), choices, args.months)
        accumulated(series)
        break_evens(series)

    print(f"{args.draws} draws × {args.months} months: {median(args.repeats, drawn_months)}")
    whole = median(args.repeats, lambda: decide(one, months=36, draws=draws, currency="usd"))
    print(f"a decision on {one.name}, {args.draws} draws: {whole}")
    for words in (["--help"], ["+scenario=light", "picture=false"]):
        command = [sys.executable, "-m", "llamaduo.cost", *words]
        act = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
        took = median(args.repeats, act)
        print(f"python -m llamaduo.cost {' '.join(words)}: {took}")


if __name__ == "__main__":
    main()
