"""How long all statistics of 100,000 verdicts take.

    python benchmarks/scores.py [--rows 100000] [--repeats 5]

Two systems of half the rows each (K = 4, M = 10, so 1,250 prompts) are read from their parquet
files and analysed: means, medians, coverages, variance parts, per-prompt means, P-Match, paired
differences with permutation p-values, and the relative and the non-inferiority gate. Every interval
and every p-value takes `RESAMPLES` draws. Then the same from rows in memory, as a judge gives them.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from llamaduo.config import NonInferiorGateConfig, RelativeGateConfig
from llamaduo.gate import decide
from llamaduo.stats import intervals, parquet
from llamaduo.stats.scores import TableCell, Verdicts, compare, p_match, prompt_means, summarise
from llamaduo.stats.table import METRICS, VerdictTable

K, M = 4, 10
GATES = (
    RelativeGateConfig(
        kind="relative",
        name="relative",
        ratio=0.9,
        coverage_at=50,
        coverage_share=0.9,
        confidence=0.95,
    ),
    NonInferiorGateConfig(kind="non_inferior", name="non_inferior", margin=5, confidence=0.95),
)


def system(rng: np.random.Generator, prompts: int, mean: float) -> VerdictTable:
    """Verdicts with spread from prompts, responses and the judge; one in two hundred failed."""
    scores = (
        mean
        + 10 * rng.normal(size=(2, prompts, 1, 1))
        + 6 * rng.normal(size=(2, prompts, K, 1))
        + 4 * rng.normal(size=(2, prompts, K, M))
    ).clip(0, 100)
    scores[:, rng.uniform(size=scores.shape[1:]) < 0.005] = np.nan
    return VerdictTable.of_scores(scores[0], scores[1], "simulated")


def analyse(ours: Verdicts, theirs: Verdicts) -> None:
    """Every statistic there is of two systems."""
    a, b = VerdictTable.of(ours), VerdictTable.of(theirs)
    first, second = (summarise(table, confidence=0.95, seed=1) for table in (a, b))
    assert first is not None
    assert second is not None
    for metric in METRICS:
        prompt_means(a, metric)
        prompt_means(b, metric)
        compare(a, b, metric, confidence=0.95, seed=1)
        p_match([TableCell.of(first.of(metric))], [TableCell.of(second.of(metric))])
    for gate in GATES:
        decide(gate, a, b, seed=1)


def timed(work: Callable[[], None], repeats: int) -> str:
    """The median of several times and the range, in seconds; and the median of processor time."""
    took, busy = [], []
    for _ in range(repeats):
        _keep_nothing()
        start, before = time.perf_counter(), time.process_time()
        work()
        took.append(time.perf_counter() - start)
        busy.append(time.process_time() - before)
    words = f"{statistics.median(took):.2f} s ({min(took):.2f} to {max(took):.2f})"
    return f"{words}, of the processor {statistics.median(busy):.2f} s"


def _keep_nothing() -> None:
    """Forget the draws of the last time, which another process would not have either."""
    intervals._kept.cache_clear()


def main() -> None:
    """Print both times."""
    parser = argparse.ArgumentParser(description="Time the statistics of many verdicts.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    prompts = args.rows // (2 * K * M)
    tables = [system(rng, prompts, mean) for mean in (70, 75)]
    print(f"{sum(map(len, tables)):,} rows, {prompts:,} prompts, {intervals.RESAMPLES:,} draws")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.parquet" for i in range(len(tables))]
        for table, path in zip(tables, paths, strict=True):
            parquet.write(table, path)
        print(f"parquet: {sum(path.stat().st_size for path in paths) / 1e6:.1f} MB")
        first, second = paths
        both = timed(lambda: analyse(parquet.read(first), parquet.read(second)), args.repeats)
        print(f"from parquet files: {both}")
    rows = [table.rows() for table in tables]
    print(f"from rows in memory: {timed(lambda: analyse(*rows), args.repeats)}")


if __name__ == "__main__":
    main()
