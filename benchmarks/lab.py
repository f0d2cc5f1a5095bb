"""Milliseconds that the lab adds to a stage: fingerprint, locks, records and MLflow.

    python benchmarks/lab.py [--stages 40] [--rows 80] [--folder .]

The stages are alike a judge's: they write a row for each answer at once, and give the tracker a
table of all rows and some figures. What they take themselves is subtracted. The folder decides
which disk it is that has to keep what is written.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from llamaduo.config import MemoryTrackingConfig, MlflowTrackingConfig, TrackingConfig
from llamaduo.lab import Artifact, Lab, Stage
from llamaduo.records import RowFile, Verdict, read_jsonl
from llamaduo.tracking import Run, build


class Rows(Artifact):
    """Verdicts of no judge."""

    def publish(self, run: Run) -> None:
        """Log them as a table, as the judge's stage does."""
        run.table("verdicts.json", read_jsonl(self.home / "rows.jsonl", Verdict))


class Bench:
    """A lab, and stages that take next to nothing themselves."""

    def __init__(self, lab: Lab, rows: int) -> None:
        self._lab, self._rows = lab, rows
        self._own = 0.0

    def stage(self, number: int) -> Stage[Rows]:
        """The stage with this number."""

        def run(home: Path) -> Rows:
            start = time.perf_counter()
            with RowFile(home / "rows.jsonl", Verdict) as rows:
                for k in range(self._rows):
                    rows.add(
                        Verdict(
                            prompt_id=f"p{k}",
                            k=0,
                            similarity=50,
                            precision=50,
                            reason="as good as any other " * 5,
                            judge="none",
                            version="1",
                        )
                    )
            self._own = time.perf_counter() - start
            return Rows(home=home, metrics={f"figure_{i}": i for i in range(20)})

        return Stage("judge", Rows, {"number": number, "judge": {"kind": "none"}}, run)

    def milliseconds(self, number: int) -> float:
        """What the lab adds to this stage."""
        self._own = 0.0
        start = time.perf_counter()
        self._lab.run(self.stage(number))
        return 1000 * (time.perf_counter() - start - self._own)


def measure(config: TrackingConfig, stages: int, rows: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each stage when it is built, and when it is found again."""
    with build(config).open("bench", "lab", {}) as tracked:
        bench = Bench(Lab(config.home, tracked, say=lambda line: None), rows)
        bench.milliseconds(-1)  # what only a first stage pays
        built = [bench.milliseconds(number) for number in range(stages)]
        reused = [bench.milliseconds(number) for number in range(stages)]
    return built, reused


def main() -> None:
    """Measure with and without MLflow and print what came of it."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parse.add_argument("--stages", type=int, default=40)
    parse.add_argument("--rows", type=int, default=80)
    parse.add_argument("--folder", type=Path, default=Path())
    chosen = parse.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as home:
        configs = (
            MlflowTrackingConfig(
                kind="mlflow", home=Path(home) / "mlflow", uri=None, run_name=None
            ),
            MemoryTrackingConfig(kind="memory", home=Path(home) / "memory", run_name=None),
        )
        for config in configs:
            times = measure(config, chosen.stages, chosen.rows)
            for what, found in zip(("built", "reused"), times, strict=True):
                most = sorted(found)[int(0.95 * len(found))]
                print(
                    f"tracking={config.kind}: {what:<6} median {statistics.median(found):6.1f} ms, "
                    f"95% within {most:6.1f} ms"
                )


if __name__ == "__main__":
    main()
