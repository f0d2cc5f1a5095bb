"""Runs held against each other: what differs in them, and whether their figures can be compared."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llamaduo.base.format import NONE, count
from llamaduo.outcome import Outcome, SystemFacts
from llamaduo.outcome.runs import Named
from llamaduo.records import Verdict
from llamaduo.stats.scores import Comparison, compare
from llamaduo.stats.table import METRICS, Metric
from llamaduo.tracking import flat

CONFIDENCE = 0.95
SEED = 0


@dataclass(frozen=True)
class Difference:
    """How a system of one run differs from the same of the first, prompt by prompt."""

    run: str
    first: str
    system: str
    metric: Metric
    found: Comparison


@dataclass(frozen=True)
class Setting:
    """A key that is not the same in all runs, with its value in each."""

    key: str
    values: tuple[str, ...]


def systems(runs: Sequence[Named]) -> list[str]:
    """List the names of all systems, tuned first, then as the runs have them."""
    systems = [system for run in runs for system in run.outcome.systems]
    first = [system.name for system in systems if system.role == "tuned"]
    return list(dict.fromkeys([*first, *(system.name for system in systems)]))


def system(outcome: Outcome, name: str) -> SystemFacts | None:
    """Find a run's system by its name; None where the run did not read it on test."""
    return next((system for system in outcome.systems if system.name == name), None)


def obstacles(runs: Sequence[Named]) -> list[str]:
    """Say why figures of these runs cannot be compared; nothing where they can.

    Scores belong to a test set and a judge: with another of either a difference says nothing of the
    systems.
    """
    reasons = []
    tests = _tests(runs)
    if len(set(tests)) > 1:
        parts = [
            f"{who}: {count(runs[at].outcome.card.sizes.get('test', 0), 'prompt')} "
            f"of task {runs[at].outcome.task}, fingerprint {key}"
            for key, who, at in _groups(runs, tests)
        ]
        reasons.append(f"the test sets differ ({'; '.join(parts)})")
    judges = [_judge(run.outcome) for run in runs]
    if len(set(judges)) > 1:
        groups = _groups(runs, judges)
        names = [runs[at].outcome.judge for _, _, at in groups]
        alike = len(set(names)) < len(names)
        parts = [f"{who}: {name}" for (_, who, _), name in zip(groups, names, strict=True)]
        same = ", of one name but not of one content" if alike else ""
        reasons.append(f"the judges differ ({'; '.join(parts)}{same})")
    return reasons


def comparable(a: Named, b: Named) -> bool:
    """Return whether two runs were judged by the same judge on the same test set."""
    return not obstacles([a, b])


def groups(runs: Sequence[Named]) -> list[list[Named]]:
    """Group the runs with those that they are comparable with."""
    together: list[list[Named]] = []
    for run in runs:
        group = next((group for group in together if comparable(group[0], run)), None)
        if group is None:
            together.append([run])
        else:
            group.append(run)
    return together


def _tests(runs: Sequence[Named]) -> list[str]:
    """Name the test set of each run."""
    kept = [run.outcome.test_set for run in runs]
    if all(kept):
        return [str(part) for part in kept]
    # Outcomes of before the digest was kept: the same file, cut at the same places.
    cards = [run.outcome.card for run in runs]
    return [
        f"{card.sha256[:16]} seed {run.outcome.seed} of {card.sizes.get('test')}"
        for run, card in zip(runs, cards, strict=True)
    ]


def _judge(outcome: Outcome) -> str:
    return json.dumps([outcome.judge, outcome.identities.get("judge")], sort_keys=True, default=str)


def _groups(runs: Sequence[Named], keys: Sequence[str]) -> list[tuple[str, str, int]]:
    """Group runs by key: each key, the runs that have it, and the place of the first."""
    return [
        (
            key,
            ", ".join(run.label for run, own in zip(runs, keys, strict=True) if own == key),
            list(keys).index(key),
        )
        for key in dict.fromkeys(keys)
    ]


def differences(runs: Sequence[Named]) -> list[Difference]:
    """Subtract each system of the first run from the same of the others that are comparable."""
    first, results = runs[0], []
    for run in runs[1:]:
        if not comparable(first, run):
            continue
        for name in systems([first, run]):
            ours, theirs = system(run.outcome, name), system(first.outcome, name)
            for metric in METRICS:
                comparison = None if ours is None or theirs is None else less(ours, theirs, metric)
                if comparison is not None:
                    results.append(Difference(run.label, first.label, name, metric, comparison))
    return results


def alike(pair: Difference) -> bool:
    """Return whether every prompt has the same score in both runs, as of one stage."""
    difference = pair.found.difference
    return difference.value == 0 and difference.low == 0 == difference.high


def less(a: SystemFacts, b: SystemFacts, metric: Metric) -> Comparison | None:
    """Subtract one system from another on the prompts that both have; None without any."""
    return compare(rows_of(a), rows_of(b), metric, confidence=CONFIDENCE, seed=SEED)


def rows_of(of: SystemFacts) -> list[Verdict]:
    """Turn the scores of a system into verdicts, for the functions that compare them."""
    return [
        Verdict(
            prompt_id=prompt.prompt_id,
            k=k,
            similarity=similarity,
            precision=precision,
            reason="",
            judge="",
            version="",
        )
        for prompt in of.prompts
        for k, (similarity, precision) in enumerate(
            zip(prompt.similarity, prompt.precision, strict=True)
        )
    ]


def settings(runs: Sequence[Named]) -> list[Setting]:
    """List the keys in which the runs differ: configuration, identities, library versions."""
    held = [dict(_facts(run.outcome)) for run in runs]
    order = ("identity.", "version.")
    keys = sorted(
        dict.fromkeys(k for facts in held for k in facts), key=lambda k: k.startswith(order)
    )
    rows = [Setting(key, tuple(facts.get(key, NONE) for facts in held)) for key in keys]
    return [row for row in rows if len(set(row.values)) > 1]


def _facts(outcome: Outcome) -> Iterator[tuple[str, str]]:
    yield from flat(outcome.config)
    for name, values in (("identity", outcome.identities), ("version", outcome.versions)):
        yield from flat(values, f"{name}.")
