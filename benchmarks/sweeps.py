"""What a study costs over Hydra's own sweeper, and what a second worker brings.

    python benchmarks/sweeps.py [--trials 50] [--repeats 3] [--tracking memory]

First the same number of jobs, round 0 of a migration on fakes, by Hydra's BasicSweeper and as a
study of the QLoRA settings, whole commands in turns; the difference by the trials is what one
costs. Then eight trials that sleep for a second by one worker, by two workers on one study, and by
one worker with two processes of joblib's: from the first trial's begin to the last one's end, and
the whole command.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from llamaduo import cli
from llamaduo.__main__ import caller
from llamaduo.config import Experiment

HERE = Path(__file__).resolve()
FAKES = ("service=fake", "local=fake", "judge=fake")
QUIET = ("hydra/job_logging=disabled", "hydra/hydra_logging=disabled")
SLEEP = "SECONDS_PER_TRIAL"
STUDY = ("+sweeps=qlora", "hydra/sweeper/pruner=none", "hydra.sweeper.gate_best=false")


def job(exp: Experiment) -> dict[str, float | None]:
    """A trial, or the same work under a sweeper that knows of none."""
    if seconds := os.environ.get(SLEEP):
        time.sleep(float(seconds))
        return {"similarity": exp.hparams.learning_rate}
    from llamaduo.run import try_out
    from llamaduo.sweep import handle
    from llamaduo.sweep.handle import Handle

    alone = Handle(
        study="", storage="", trial=None, number=0, pruner=None, better="maximize", run=None
    )
    return try_out(exp, handle.current() or alone, None, say=lambda line: None)


def words(home: str, tracking: str, *more: str) -> list[str]:
    """A sweep in a folder of its own."""
    start = [sys.executable, str(HERE), "-m", "+experiment=summarize", *FAKES, *QUIET]
    return [*start, f"tracking={tracking}", f"tracking.home={home}", *more]


def seconds(commands: Sequence[Sequence[str]], **environ: str) -> float:
    """How long commands take that run at the same time."""
    begun = time.perf_counter()
    running = [
        subprocess.Popen(one, stdout=subprocess.DEVNULL, env={**os.environ, **environ})
        for one in commands
    ]
    if any([one.wait() for one in running]):
        raise SystemExit("a command failed")
    return time.perf_counter() - begun


def span(home: str) -> float:
    """Seconds from the first trial's begin to the last one's end."""
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{home}/optuna.db")
    [name] = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    starts = [one.datetime_start for one in trials if one.datetime_start is not None]
    ends = [one.datetime_complete for one in trials if one.datetime_complete is not None]
    return (max(ends) - min(starts)).total_seconds()


def overhead(trials: int, repeats: int, tracking: str) -> None:
    """Print what a trial costs over a job of the BasicSweeper."""
    rates = ",".join(f"{1e-4 * 1.05**i:.3g}" for i in range(trials))
    ways = {
        "BasicSweeper": (f"hparams.learning_rate={rates}",),
        "study": (*STUDY, f"hydra.sweeper.n_trials={trials}"),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name, more in ways.items():
            with tempfile.TemporaryDirectory() as home:
                times[name].append(seconds([words(home, tracking, *more)]))
            print(f"turn {turn} {name:<12} {times[name][-1]:6.1f} s", flush=True)
    basic, study = (statistics.median(times[name]) for name in ways)
    print(
        f"tracking={tracking}: {trials} jobs, medians {basic:.1f} and {study:.1f} s: "
        f"{1000 * (study - basic) / trials:+.0f} ms a trial"
    )


def workers(repeats: int) -> None:
    """Print what a second worker brings."""
    ways: dict[str, tuple[int, tuple[str, ...]]] = {
        "one worker": (1, ()),
        "two workers": (2, ()),
        "two of joblib's": (1, ("hydra/launcher=joblib", "hydra.sweeper.n_jobs=2")),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (count, more) in ways.items():
            with tempfile.TemporaryDirectory() as home:
                sweep = words(home, "memory", *STUDY, "hydra.sweeper.n_trials=8", *more)
                whole = seconds([sweep] * count, **{SLEEP: "1"})
                found[name].append((span(home), whole))
    one = [statistics.median(times) for times in zip(*found["one worker"], strict=True)]
    for name, runs in found.items():
        trials, whole = (statistics.median(times) for times in zip(*runs, strict=True))
        print(
            f"{name:<16} trials {trials:5.1f} s ({one[0] / trials:.2f}×), "
            f"whole command {whole:5.1f} s ({one[1] / whole:.2f}×)"
        )


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tracking", choices=("memory", "mlflow"), default="memory")
    args = parser.parse_args()
    overhead(args.trials, args.repeats, args.tracking)
    workers(args.repeats)


if __name__ == "__main__":
    if "-m" in sys.argv:
        cli.launch("config", Experiment, job, caller=caller)
    else:
        main()
