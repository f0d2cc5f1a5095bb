"""An outcome as sentences, for the terminal and the page alike, so that they cannot differ."""

import statistics
from collections.abc import Iterator

from llamaduo.base.format import NONE, NOT_KNOWN, count, duration, integer, money
from llamaduo.gate import Check, GateDecision
from llamaduo.outcome import CostFacts, Example, Outcome, RoundFacts, StageFacts, SystemFacts
from llamaduo.report.figures import estimate, score
from llamaduo.stages.collect import DataCard
from llamaduo.stats.table import METRICS, Metric
from llamaduo.tracking import flat

DEMO = "demo ratio {needed:.0%}: shows the mechanism, not a standard to switch a service off by"
DEMO_SOURCE = (
    "the shipped demo ratio is the largest step of 5 % that the default reached on test, by the "
    "lower bound and in both metrics, with each of the seeds 101, 102 and 103; it was fixed then "
    "and is moved for no other seed"
)
MEANING = {
    "similarity": "how close an answer comes to the recorded one",
    "precision": "how far what it says is borne out by the prompt, in words of its own",
}

_JUDGES = {
    "embedding": "It compares sentence embeddings and shared wording with the recorded answer, and "
    "looks the answer's sentences, numbers, dates and names up in the prompt.",
    "fake": "It counts shared words and is there to try the loop with.",
}


def best(outcome: Outcome) -> RoundFacts:
    """Return the round whose model was read on test."""
    return next(round for round in outcome.rounds if round.number == outcome.best)


def headline(outcome: Outcome) -> str:
    """Say the result in one sentence or two, with what was missing."""
    number, gate = outcome.best, outcome.gate
    on_dev = _missing(best(outcome).decision)
    if outcome.result == "qualified":
        return f"Qualified: {outcome.local} met gate {gate} on dev (round {number}) and on test."
    if outcome.result == "not_confirmed":
        return (
            f"Not confirmed: passed on dev (round {number}), not on test; nothing is promoted. "
            f"On test, {_missing(outcome.decision)}."
        )
    if outcome.stop == "budget" and outcome.system("tuned") is None:
        dev = f"the gate was not met: {on_dev}" if on_dev else "the gate was met"
        return (
            f"Not decided: budget.usd ended before round {number} was read on test. On dev, {dev}."
        )
    if on_dev:
        return f"Not qualified: gate {gate} was not met. On dev (round {number}), {on_dev}."
    return (
        f"Not qualified: round {number} met gate {gate} on dev, but no round did once min_rounds "
        "were done."
    )


def summary(outcome: Outcome) -> str:
    """Sum up test in figures, for a reader who reads nothing else."""
    prompts = outcome.card.sizes.get("test")
    where = f"On {count(prompts, 'test prompt')}" if prompts else "On test"
    scores_of = {
        role: " and ".join(f"{score(s.scores.of(m).mean.value)} in {m}" for m in METRICS)
        for role in ("tuned", "base", "service")
        if (s := outcome.system(role)) and s.scores
    }
    tuned = scores_of.get("tuned", "nothing that could be judged")
    parts = [f"{where} the tuned {outcome.local} scores {tuned}, of 100 each"]
    if "base" in scores_of:
        parts.append(f"untuned it scores {scores_of['base']}")
    service = scores_of.get("service", "nothing: it gave no second answer that could be judged")
    parts.append(f"the service LLM, asked a second time, scores {service}")
    return "; ".join(parts) + "."


def conditions(decision: GateDecision) -> list[tuple[bool, str]]:
    """List a gate's conditions, whether each is met and in words; what two share is said once."""
    shared: dict[tuple[bool, str], list[Check]] = {}
    for check in decision.checks:
        rest = check.words.removeprefix(f"{check.metric}: ")
        shared.setdefault((check.passed, rest), []).append(check)
    return [
        (met, f"{' and '.join(c.metric for c in same)}: {rest}" if same[1:] else same[0].words)
        for (met, rest), same in shared.items()
    ]


def _missing(decision: GateDecision) -> str:
    return "; ".join(text for met, text in conditions(decision) if not met)


def verdict(met: bool) -> str:
    """Say whether a condition is met."""
    return "met" if met else "not met"


def gate_note(outcome: Outcome) -> str | None:
    """Say what a reader must know of the gate; None where its name says it."""
    if outcome.gate != "demo":
        return None
    return DEMO.format(needed=outcome.decision.checks[0].needed)


def gate_source(outcome: Outcome) -> str | None:
    """Say where the gate's figure comes from; None where it needs no explanation."""
    return DEMO_SOURCE if outcome.gate == "demo" else None


def judge(outcome: Outcome) -> str:
    """Say plainly what kind of judge it is."""
    name, _, version = outcome.judge.partition(" ")
    kind = "an LLM judge" if outcome.judge_is_llm else "not an LLM judge"
    return f"{name} judge: {kind}" + (f" (version {version})" if version else "")


def judge_note(outcome: Outcome) -> str:
    """Say what the judge's figures are good for."""
    if outcome.judge_is_llm:
        return "An LLM scored every answer; its own leanings are in every figure."
    how = _JUDGES.get(outcome.judge.partition(" ")[0], "It scores by rules.")
    return (
        f"No LLM read these answers. {how} Its figures compare systems on the same prompts; they "
        "are not what a person, or an LLM judge, would give."
    )


def service_price(cost: CostFacts) -> str:
    """Say what a thousand answers of the service LLM cost."""
    if cost.service_usd_per_1000 is None:
        return NOT_KNOWN
    return money(cost.service_usd_per_1000) + (" simulated" if cost.simulated else "")


def local_price(cost: CostFacts) -> str:
    """Say what a thousand answers of the local LLM take in time and cost."""
    if cost.local_seconds_per_1000 is None:
        return NOT_KNOWN
    time = f"{duration(cost.local_seconds_per_1000)} of this machine"
    if cost.local_usd_per_1000 is None:
        return f"{time}; dollars not known: set local.usd_per_hour"
    return f"{time}; {money(cost.local_usd_per_1000)}"


def rounds(outcome: Outcome) -> str:
    """List mean similarity on dev by round; the middle of a long series is left out."""
    means = [
        score(round.scores.similarity.mean.value) if round.scores else NONE
        for round in outcome.rounds
    ]
    if len(means) > 12:
        means = [*means[:3], "…", *means[-6:]]
    return f"dev similarity {', '.join(means)}; round {outcome.best} was read on test"


def as_sentence(text: str) -> str:
    """Turn a phrase into a sentence of its own."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def near_copies(card: DataCard) -> str:
    """Count the held-out prompts that training has as good as seen."""
    held_out = sum(card.sizes.get(name, 0) for name in ("dev", "test"))
    if not card.near_copies:
        return f"none of the {integer(held_out)} prompts of dev and test in train"
    return (
        f"{integer(card.near_copies)} of the {integer(held_out)} prompts of dev and test are near "
        "copies of training prompts, which flatters the tuned model"
    )


def caveats(outcome: Outcome) -> list[str]:
    """List what to know before the scores are believed: gaps, and copies that do as well."""
    notes = []
    if outcome.card.near_copies:
        notes.append(near_copies(outcome.card))
    tuned = outcome.system("tuned")
    for system in outcome.systems:
        if system.absent is not None:
            notes.append(f"{system.name}: missing, as it was not asked ({system.absent})")
        elif system.scores is None:
            notes.append(f"{system.name}: missing, as it has no answer that was judged")
        elif system.scores.failures:
            failures = count(system.scores.failures, "judgement")
            lost = system.scores.unjudged
            whole = f"; {count(lost, 'answer')} got no verdict at all" if lost else ""
            notes.append(f"{system.name}: {failures} failed and not counted{whole}")
        if system.role == "copy" and system.scores and tuned and tuned.scores:
            ours, copied = tuned.scores, system.scores
            if all(copied.of(m).mean.value >= ours.of(m).mean.value for m in METRICS):
                notes.append(f"{system.name}: a plain copy scores no lower than tuned")
    return notes


def over_base(outcome: Outcome) -> str | None:
    """Say how the tuned model differs from its untuned self; None where it is not known."""
    tuned = outcome.system("tuned")
    if tuned is None or not tuned.over_base:
        return None
    parts = [
        f"{metric} {estimate(tuned.over_base[metric], sign=True)}"
        for metric in METRICS
        if metric in tuned.over_base
    ]
    return f"tuned over base: {', '.join(parts)}"


def spread(system: SystemFacts, metric: Metric) -> tuple[str, str]:
    """Return standard deviations: of the means of prompts, and of the answers to one prompt."""
    scores = [prompt.of(metric) for prompt in system.prompts]
    between, within = NONE, NONE
    if len(scores) > 1:
        between = score(statistics.stdev(statistics.fmean(of) for of in scores))
    if repeated := [statistics.variance(of) for of in scores if len(of) > 1]:
        within = score(statistics.fmean(repeated) ** 0.5)
    return between, within


def best_and_worst(outcome: Outcome) -> list[tuple[str, tuple[Example, ...]]]:
    """Split the examples by gain: best first and worst first, each half under words true of it."""
    shown = outcome.examples
    middle = (len(shown) + 1) // 2
    best, worst = shown[:middle], shown[middle:][::-1]
    parts = []
    if best:
        parts.append(("Biggest gains" if best[0].gain > 0 else "Smallest losses", best))
    if worst:
        hurt = all(example.gain < 0 for example in worst)
        helped = all(example.gain >= 0 for example in worst)
        mixed = "Biggest losses and smallest gains"
        words = "Biggest losses" if hurt else "Smallest gains" if helped else mixed
        parts.append((words, worst))
    return parts


def stage_name(stage: StageFacts) -> str:
    """Name which of several runs of a stage it is: by its round and its label."""
    number = [] if stage.round is None else [f"round {stage.round}"]
    return " · ".join([*number, *([stage.label] if stage.label else [])])


def tokens(stage: StageFacts) -> str:
    """Say what became of the tokens of a stage, as far as they were counted."""
    parts = [f"{integer(number)} {became}" for became, number in stage.tokens.items()]
    return ", ".join(parts) or NONE


def trained(outcome: Outcome) -> str:
    """Count the tokens that went through the model in training, over all rounds."""
    return integer(sum(round.tokens for round in outcome.rounds))


def other_versions(outcome: Outcome) -> list[str]:
    """List the libraries that have changed since reused stages were made."""
    changed: dict[str, list[str]] = {}
    for stage in outcome.stages:
        for name, then in stage.other_versions.items():
            now = outcome.versions.get(name, "not installed")
            changed.setdefault(f"{name} {then}, now {now}", []).append(stage.name)
    return [f"made with {what}: {', '.join(dict.fromkeys(of))}" for what, of in changed.items()]


def settings(outcome: Outcome) -> Iterator[str]:
    """List the whole configuration, a line for each value, as one would type it."""
    return (f"{key}={value}" for key, value in flat(outcome.config))


def identities(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """List what the parts of the run are, by content: dotted names and values."""
    return flat(outcome.identities)
