"""What pruning saved and what it cost: two sweeps of the same space, of which one pruned nothing.

    python -m llamaduo -m +experiment=summarize +sweeps=qlora tracking.home=whole \\
        hydra/sweeper/pruner=median hydra.sweeper.pruner.startup_trials=12 \\
        hydra.sweeper.gate_best=false
    python -m llamaduo -m +experiment=summarize +sweeps=qlora tracking.home=pruned
    python benchmarks/pruning.py whole pruned

The first sweep reports as the second does, but its pruner waits for more trials than there are. A
folder for each, since what the first has trained the second would only find. Prints the trained
tokens and the best of both; for each share of the training after which a trial reports, Spearman's
rank correlation of what it reported with the score in the end; and what each pruner would have
ended of the first sweep, had its trials come in the same order.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import optuna
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import spearmanr

optuna.logging.set_verbosity(optuna.logging.ERROR)

PRUNERS: dict[str, optuna.pruners.BasePruner] = {
    "median": optuna.pruners.MedianPruner(4, 0),
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner(1, 2),
    "hyperband": optuna.pruners.HyperbandPruner(1, 8, 2),
}


def study_of(home: Path) -> optuna.Study:
    """The one study that a folder has."""
    return optuna.load_study(study_name=None, storage=f"sqlite:///{home.resolve()}/optuna.db")


def tokens_of(home: Path) -> dict[int, int]:
    """Trained tokens of each trial of a folder's sweep, by its number."""
    uri = f"sqlite:///{home.resolve()}/mlflow.db"
    client = MlflowClient(tracking_uri=uri)
    chosen = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(chosen, max_results=1000)
    return {
        int(run.data.tags["llamaduo.trial"]): int(run.data.metrics["train/tokens"])
        for run in runs
        if run.data.tags.get("llamaduo.trial", "").isdigit() and "train/tokens" in run.data.metrics
    }


def ended(trials: list[FrozenTrial], pruner: optuna.pruners.BasePruner) -> dict[int, int]:
    """The step at which a pruner would have ended each trial that it would not have let through."""
    again = optuna.create_study(direction="maximize", pruner=pruner, study_name="again")
    found = {}
    for one in trials:
        trial = again.ask()
        for step, value in sorted(one.intermediate_values.items()):
            trial.report(value, step)
            if trial.should_prune():
                found[one.number] = step
                break
        state = TrialState.PRUNED if one.number in found else TrialState.COMPLETE
        again.tell(trial, None if state == TrialState.PRUNED else one.value, state=state)
    return found


def replay(trials: list[FrozenTrial], tokens: Mapping[int, int]) -> None:
    """Print what each pruner would have kept."""
    whole = sum(tokens[one.number] for one in trials)
    for name, pruner in PRUNERS.items():
        out = ended(trials, pruner)
        used = sum(tokens[one.number] * out.get(one.number, 8) / 8 for one in trials)
        kept = [one for one in trials if one.number not in out]
        best = max(one.value or 0.0 for one in kept)
        print(
            f"{name:<19} would have ended {len(out)} of {len(trials)}, trained "
            f"{100 * used / whole:.0f} % of the tokens; best {best:.1f}"
        )


def main() -> None:
    """Read both and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("whole", type=Path)
    parser.add_argument("pruned", type=Path, nargs="?")
    args = parser.parse_args()
    used = {}
    for home in filter(None, (args.whole, args.pruned)):
        study = study_of(home)
        used[home] = sum(tokens_of(home).values())
        states = [t.state for t in study.trials]
        print(
            f"{home.name}: {len(states)} trials, {states.count(TrialState.PRUNED)} pruned, "
            f"{used[home]:,} trained tokens, best {study.best_value:.1f} "
            f"(trial {study.best_trial.number}), trial 0 {study.trials[0].value:.1f}"
        )
    if args.pruned:
        print(f"tokens: {100 * used[args.pruned] / used[args.whole]:.0f} %")
    trials = [t for t in study_of(args.whole).trials if t.state == TrialState.COMPLETE]
    for step in sorted(trials[0].intermediate_values):
        pairs = [(t.intermediate_values[step], t.value) for t in trials]
        found = spearmanr(*zip(*pairs, strict=True))
        print(
            f"after {step}/8: rank correlation {found.statistic:.2f} (p {found.pvalue:.3f}) "
            f"of {len(pairs)} trials"
        )
    replay(trials, tokens_of(args.whole))


if __name__ == "__main__":
    main()
