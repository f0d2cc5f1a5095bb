"""Sequential judging against a fixed M, with judges of known noise: calls, errors, disagreements.

    python benchmarks/sequential.py --trials 1000

Each trial draws prompts, K responses and M = 10 verdicts of either metric, and puts them to the
relative gate twice: with all repeats, and with those that `llamaduo.sequential` asks for. `true` is
what the candidate's mean is of the service's: at 0.95, the gate's ratio, every pass is a false one.
"""

import argparse
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.random import Generator

from llamaduo.config import RelativeGateConfig
from llamaduo.gate import decide
from llamaduo.gate.sequential import Rule, looks
from llamaduo.records import Verdict

K, M, RATIO, SERVICE = 4, 10, 0.95, 75.0
TRUE = (0.95, 1.0, 1.05)


@dataclass(frozen=True)
class World:
    """How far scores lie apart: prompts, responses to one, verdicts on one; `odd` for skewed."""

    prompts: int
    prompt: float
    response: float
    judge: float
    odd: bool = False


WORLDS = {
    "N=20, noise 8": World(20, 9, 7, 8),
    "N=40, noise 8": World(40, 9, 7, 8),
    "N=20, noise 15": World(20, 9, 7, 15),
    "N=20, noise 8, skewed": World(20, 9, 7, 8, odd=True),
}


@dataclass(frozen=True)
class Outcome:
    """Of one trial: what either decided, and the calls of either for the candidate."""

    fixed: bool
    sequential: bool
    calls: int
    all_calls: int


def draw(world: World, rng: Generator, *size: int) -> np.ndarray:
    """Standardised numbers, normal or with a long tail to the left."""
    if not world.odd:
        return rng.standard_normal(size)
    return np.asarray(1 - rng.exponential(size=size))


def verdicts(world: World, rng: Generator, mean: float, easy: np.ndarray, k: int) -> list[Verdict]:
    """M verdicts on each of k responses to each prompt, with scores within the scale."""
    n = world.prompts
    truth = mean + world.prompt * easy[:, None] + world.response * draw(world, rng, 2, n, k)
    # Some prompts are judged unsteadily, others nearly alike each time.
    unsteady = world.judge * np.sqrt(rng.gamma(2.0, 0.5, size=(1, n, 1, 1)))
    scores = truth[..., None] + unsteady * draw(world, rng, 2, n, k, M)
    scores = np.clip(scores, 0, 100)
    return [
        Verdict.model_construct(
            prompt_id=f"{i:03}",
            k=r,
            m=m,
            similarity=float(scores[0, i, r, m]),
            precision=float(scores[1, i, r, m]),
            reason="",
            judge="llm",
            version="1",
        )
        for i, r, m in product(range(n), range(k), range(M))
    ]


def trial(world: World, true: float, seed: int, error: float) -> Outcome:
    """One candidate, decided both ways on the same verdicts."""
    rng = np.random.default_rng(seed)
    easy = draw(world, rng, world.prompts)
    service = verdicts(world, rng, SERVICE, easy, 1)
    rows = verdicts(world, rng, SERVICE * true, easy, K)
    gate = RelativeGateConfig(
        kind="relative",
        name="relative",
        ratio=RATIO,
        coverage_at=50,
        coverage_share=RATIO,
        confidence=0.95,
    )
    rule = Rule(gate, service, {"llm": looks(M)}, {"llm": M}, error, seed)
    seen = judged(rule, rows)
    whole, part = (decide(gate, found, service, seed=seed).passed for found in (rows, seen))
    return Outcome(whole, part, len(seen), len(rows))


def judged(rule: Rule, rows: list[Verdict]) -> list[Verdict]:
    """The verdicts that the rule asks for, look by look."""
    seen: list[Verdict] = []
    wanting = frozenset(row.prompt_id for row in rows)
    start = 0
    for end in rule.looks["llm"]:
        seen += [r for r in rows if start <= r.m < end and r.prompt_id in wanting]
        wanting &= rule.open(seen)
        start = end
        if not wanting:
            break
    return seen


@dataclass(frozen=True)
class Figures:
    """Shares over trials: passes of either way, decisions that differ, calls needed."""

    fixed: float
    sequential: float
    differ: float
    calls: float


def figures(world: World, true: float, trials: int, error: float, seed: int = 0) -> Figures:
    """The figures of many trials."""
    found = [trial(world, true, seed + i, error) for i in range(trials)]
    return Figures(
        fixed=sum(one.fixed for one in found) / trials,
        sequential=sum(one.sequential for one in found) / trials,
        differ=sum(one.fixed != one.sequential for one in found) / trials,
        calls=sum(one.calls for one in found) / sum(one.all_calls for one in found),
    )


def main() -> None:
    """Print a table of all worlds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--error", type=float, default=0.05)
    args = parser.parse_args()
    print(f"{args.trials} trials each, error {args.error}, gate {RATIO}, K={K}, M={M}")
    print(
        f"{'world':<24}{'true':>6}{'fixed passes':>14}{'sequential':>12}{'differ':>8}{'calls':>8}"
    )
    for name, world in WORLDS.items():
        for true in TRUE:
            one = figures(world, true, args.trials, args.error)
            print(
                f"{name:<24}{true:>6.2f}{one.fixed:>14.1%}{one.sequential:>12.1%}"
                f"{one.differ:>8.1%}{one.calls:>8.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
