"""Whether 95 % intervals hold the truth, and how often the whole loop passes what it should not.

    python benchmarks/intervals.py [--simulations 1000] [--looks 6] [--seed 1]

A simulated world has prompts of differing difficulty, K responses to each and M noisy verdicts on a
response; its truth is the mean over a million prompts. Nothing but the judging is simulated: the
figures come from `llamaduo.stats.scores` and `llamaduo.gate`, as in a migration.

For the second table the gate stands exactly at the truth in similarity, with precision out of the
way, so that every pass is a false one. Dev is looked at after each of up to six rounds; the first
that passes is read on test, once. Prompts stay the same from look to look, the model does not.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr

from llamaduo.config import GateConfig, NonInferiorGateConfig, RelativeGateConfig
from llamaduo.gate import decide
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.scores import difference, ratio, summarise
from llamaduo.stats.table import VerdictTable

K, M = 4, 3
SAMPLE, JUDGE = 6.0, 4.0  # standard deviations, points: of a response, of a verdict
SIZES = (20, 40)
SHAPES = ("normal", "skewed")
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Prompts, a candidate and a service of which the truth is known, in one metric.

    Half of what makes a prompt hard for the one makes it hard for the other.
    """

    shape: str

    def draw(
        self, rng: np.random.Generator, n: int, rounds: int = 1, k: int = K, m: int = M
    ) -> tuple[list[Scores], Scores]:
        """The candidate's scores in each round, shaped (n, K, M), and the service's, (n, 1, M)."""
        hard, own = rng.normal(size=(2, n))
        candidate = []
        for _ in range(rounds):
            latent = 0.6 * hard + 0.6 * own + 0.53 * rng.normal(size=n)
            candidate.append(self._judged(rng, self._candidate(latent), k, m))
        service = self._service(0.6 * hard + 0.8 * rng.normal(size=n))
        return candidate, self._judged(rng, service, 1, m)

    def _candidate(self, latent: Scores) -> Scores:
        if self.shape == "normal":
            return 64 + 10 * latent
        return np.asarray(100 * betaincinv(4, 1.5, ndtr(latent)))

    def _service(self, latent: Scores) -> Scores:
        if self.shape == "normal":
            return 74 + 8 * latent
        return np.asarray(100 * betaincinv(9, 2, ndtr(latent)))

    def _judged(self, rng: np.random.Generator, prompts: Scores, k: int, m: int) -> Scores:
        n = len(prompts)
        answers = prompts[:, None, None] + SAMPLE * rng.normal(size=(n, k, 1))
        return np.clip(answers + JUDGE * rng.normal(size=(n, k, m)), 0, 100)

    @cached_property
    def truth(self) -> tuple[float, float]:
        """The means of candidate and service over all prompts there are."""
        (candidate,), service = self.draw(np.random.default_rng(0), 1_000_000, k=1, m=1)
        return float(candidate.mean()), float(service.mean())


def table(scores: Scores, precision: Scores | None = None) -> VerdictTable:
    """Scores as a table; precision the same where none is given."""
    return VerdictTable.of_scores(scores, scores if precision is None else precision, "simulated")


def intervals(world: World, n: int, simulations: int, seed: int) -> dict[str, tuple[float, float]]:
    """By statistic: the shares of intervals that lie above the truth, and that lie below it."""
    ours, own = world.truth
    truth = {"mean": ours, "difference": ours - own, "ratio": ours / own}
    missed = {name: [0, 0] for name in truth}
    rng = np.random.default_rng(seed)
    for trial in range(simulations):
        (candidate,), service = world.draw(rng, n)
        a, b = table(candidate), table(service)
        whole = summarise(a, confidence=0.95, seed=trial)
        found = {
            "mean": whole.similarity.mean if whole is not None else None,
            "difference": difference(a, b, "similarity", confidence=0.95, seed=trial),
            "ratio": ratio(a, b, "similarity", confidence=0.95, seed=trial),
        }
        for name, one in found.items():
            low, high = _bounds(one)
            missed[name][0] += low > truth[name]
            missed[name][1] += high < truth[name]
    return {
        name: (above / simulations, below / simulations) for name, (above, below) in missed.items()
    }


def _bounds(found: Estimate | None) -> tuple[float, float]:
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def gates(world: World) -> Iterator[GateConfig]:
    """Gates that stand exactly where the candidate does."""
    ours, own = world.truth
    yield RelativeGateConfig(
        kind="relative",
        name="relative",
        ratio=ours / own,
        coverage_at=50,
        coverage_share=0,
        confidence=0.95,
    )
    yield NonInferiorGateConfig(
        kind="non_inferior", name="non_inferior", margin=own - ours, confidence=0.95
    )


def loop(
    world: World, gate: GateConfig, n: int, looks: int, simulations: int, seed: int
) -> tuple[float, float]:
    """The shares of loops that pass on dev at some look, and that pass on test as well."""
    rng = np.random.default_rng(seed)
    on_dev = on_test = 0
    for trial in range(simulations):
        rounds, service = world.draw(rng, n, looks)
        passed = any(_passes(gate, scores, service, trial) for scores in rounds)
        on_dev += passed
        if passed:
            (candidate,), service = world.draw(rng, n)
            on_test += _passes(gate, candidate, service, trial)
    return on_dev / simulations, on_test / simulations


def _passes(gate: GateConfig, candidate: Scores, service: Scores, seed: int) -> bool:
    """Precision is flawless, so that similarity alone decides."""
    flawless = (np.full_like(scores, 100.0) for scores in (candidate, service))
    a, b = (table(s, p) for s, p in zip((candidate, service), flawless, strict=True))
    return decide(gate, a, b, seed=seed).passed


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Simulated intervals and gates.")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--looks", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"95 % intervals, {args.simulations} simulations, K = {K}, M = {M}\n")
    print("| truths | prompts | statistic | interval holds the truth | lies above it | below it |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        for n in SIZES:
            found = intervals(World(shape), n, args.simulations, args.seed)
            for name, (above, below) in found.items():
                held = f"{1 - above - below:.1%} | {above:.1%} | {below:.1%}"
                print(f"| {shape} | {n} | {name} | {held} |", flush=True)
    print(f"\nFalse passes at the boundary, up to {args.looks} looks at dev, then test\n")
    print("| gate | truths | prompts on dev, on test | passes dev | passes dev and test |")
    print("|---|---|---|---|---|")
    for shape in SHAPES:
        world = World(shape)
        for gate in gates(world):
            for n in SIZES:
                dev, test = loop(world, gate, n, args.looks, args.simulations, args.seed)
                print(f"| {gate.name} | {shape} | {n}, {n} | {dev:.1%} | {test:.1%} |", flush=True)


if __name__ == "__main__":
    main()
