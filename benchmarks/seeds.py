"""The main job on several seeds: how it ends, what test says, and what all of it comes to.

    python benchmarks/seeds.py 1 2 3 4 5 [--home mlruns] [word …]

Runs `python -m llamaduo +experiment=summarize seed=<seed> <words>` for each seed, one after the
other, and prints a table in Markdown. Stages that lie in the folder are reused, so that the same
command again prints the table in a minute. Besides the scores it says of each claim how many seeds
bear it out: tuned above base by 10 points of similarity and 5 of precision, and above both copies,
with paired intervals above 0; round 1 above round 0 on dev.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import fmean

from llamaduo.outcome import Outcome
from llamaduo.report.comparison import rows_of
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.scores import difference
from llamaduo.stats.table import METRICS

ROWS = ("tuned", "base", "service", "first two sentences", "whole prompt")


def outcome_of(seed: int, home: Path, words: list[str]) -> Outcome:
    """Run the main job, or find it done, and read how it ended."""
    command = [sys.executable, "-m", "llamaduo", "+experiment=summarize", f"seed={seed}"]
    command += [f"tracking.home={home}", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    page = Path(done.stdout.strip().splitlines()[-1].split(maxsplit=1)[1])
    return Outcome.model_validate_json(page.with_name("outcome.json").read_text(encoding="utf-8"))


def over(outcome: Outcome, other: str) -> dict[str, Estimate | None]:
    """Tuned minus another system, prompt by prompt, at 95 %."""
    named = {system.name: system for system in outcome.systems}
    rows = rows_of(named["tuned"]), rows_of(named[other])
    return {
        metric: difference(*rows, metric, confidence=0.95, seed=outcome.seed) for metric in METRICS
    }


def shown(found: Estimate | None, sign: str = "") -> str:
    """A figure with its interval."""
    if found is None or found.low is None:
        return "–"
    return f"{found.value:{sign}.1f} [{found.low:{sign}.1f}, {found.high:{sign}.1f}]"


def on_dev(outcome: Outcome) -> list[float]:
    """Mean similarity on dev, round by round."""
    return [one.scores.similarity.mean.value for one in outcome.rounds if one.scores]


def main() -> None:
    """Run the seeds and print the table."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parse.add_argument("seeds", type=int, nargs="+")
    parse.add_argument("--home", type=Path, default=Path("mlruns"))
    chosen, words = parse.parse_known_args()
    outcomes = [outcome_of(seed, chosen.home, words) for seed in chosen.seeds]

    print("| seed | stop, result | ratios on test, at least | dev, round 0 and 1 |")
    print("|---|---|---|---|")
    for outcome in outcomes:
        lows = [
            f"{100 * c.seen.low:.1f} %" for c in outcome.decision.checks if c.seen and c.seen.low
        ]
        dev = ", ".join(f"{value:.1f}" for value in on_dev(outcome))
        print(f"| {outcome.seed} | {outcome.stop}, {outcome.result} | {', '.join(lows)} | {dev} |")
    print("\n| seed | system | similarity | precision | tuned over it, similarity | precision |")
    print("|---|---|---|---|---|---|")
    for outcome in outcomes:
        named = {system.name: system for system in outcome.systems}
        for name in ROWS:
            scores = named[name].scores
            means = [shown(scores.of(m).mean) if scores else "–" for m in METRICS]
            more = ["–", "–"]
            if name != "tuned":
                more = [shown(found, "+") for found in over(outcome, name).values()]
            print(f"| {outcome.seed} | {name} | {' | '.join(means)} | {' | '.join(more)} |")
    print()
    for name in ("base", "first two sentences", "whole prompt"):
        for metric, least in zip(METRICS, (10.0, 5.0), strict=True):
            found = [over(outcome, name)[metric] for outcome in outcomes]
            clear = sum(one is not None and (one.low or 0) > 0 for one in found)
            values = [one.value for one in found if one is not None]
            enough = f", by {least:g} or more on {sum(v >= least for v in values)}"
            print(
                f"tuned over {name} in {metric}: interval above 0 on {clear} of {len(outcomes)}"
                f" seeds{enough if name == 'base' else ''}; least {min(values):+.1f}"
            )
    gains = [dev[1] - dev[0] for dev in map(on_dev, outcomes) if len(dev) > 1]
    if gains:
        print(f"round 1 over round 0 on dev: mean {fmean(gains):+.1f}, least {min(gains):+.1f}")


if __name__ == "__main__":
    main()
