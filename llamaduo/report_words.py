"""How a report says things: figures as text, and an outcome as sentences.

Both the terminal and the page say it with these, so they cannot differ. Unknown is never 0: what
there is no figure for reads `NONE` or "not known".
"""

import math
from decimal import ROUND_HALF_UP, Decimal

from llamaduo.cost import Bill
from llamaduo.gate import Check, Decision
from llamaduo.outcome import CostFacts, Outcome, RoundFacts
from llamaduo.scores import METRICS, Estimate

NONE = "–"
DEMO = "demo ratio: shows the mechanism, not a standard to switch a service off by"

_JUDGES = {
    "embedding": "It compares sentence embeddings and shared wording with the recorded answer, and "
    "looks the answer's sentences, numbers, dates and names up in the prompt.",
    "fake": "It counts shared words and is there to try the loop with.",
}


def score(value: float) -> str:
    """A score from 0 to 100."""
    return f"{value:.1f}" if math.isfinite(value) else NONE


def interval(found: Estimate | None, *, sign: bool = False) -> str:
    """The bounds of an estimate in brackets; empty where there are none to give."""
    if found is None or found.low is None or found.high is None:
        return ""
    kind = "+.1f" if sign else ".1f"
    return f"[{found.low:{kind}}, {found.high:{kind}}]"


def estimate(found: Estimate | None, *, sign: bool = False) -> str:
    """An estimate with its interval; `sign` is for differences."""
    if found is None:
        return NONE
    value = f"{found.value:+.1f}" if sign else score(found.value)
    return f"{value} {interval(found, sign=sign)}".rstrip()


def usd(amount: Decimal | None) -> str:
    """Dollars, small sums with two significant digits."""
    if amount is None:
        return "not known"
    if amount == 0 or abs(amount) >= 1:
        return f"${amount:,.2f}" if amount else "$0"
    least = Decimal(1).scaleb(amount.adjusted() - 1)
    return f"${amount.quantize(least, ROUND_HALF_UP):f}"


def duration(seconds: float) -> str:
    """A time as a person reads it."""
    if seconds < 9.95:
        return f"{seconds:.1g} s" if 0 < seconds < 0.1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def best(outcome: Outcome) -> RoundFacts:
    """The round whose model was read on test."""
    return next(one for one in outcome.rounds if one.number == outcome.best)


def headline(outcome: Outcome) -> str:
    """The result in one sentence or two, with what was missing."""
    number, gate = outcome.best, outcome.gate
    on_dev = _missing(best(outcome).decision)
    if outcome.result == "qualified":
        return f"Qualified: {outcome.local} met gate {gate} on dev (round {number}) and on test."
    if outcome.result == "not_confirmed":
        return (
            f"Not confirmed: passed on dev (round {number}), not on test; nothing is promoted. "
            f"On test, {_missing(outcome.decision)}."
        )
    if on_dev:
        return f"Not qualified: gate {gate} was not met. On dev (round {number}), {on_dev}."
    return (
        f"Not qualified: round {number} met gate {gate} on dev, but no round did once min_rounds "
        "were done."
    )


def conditions(decision: Decision) -> list[tuple[bool, str]]:
    """A gate's conditions, whether each is met and in words; what two share is said once."""
    found: dict[tuple[bool, str], list[Check]] = {}
    for check in decision.checks:
        rest = check.words.removeprefix(f"{check.metric}: ")
        found.setdefault((check.passed, rest), []).append(check)
    return [
        (met, f"{' and '.join(c.metric for c in same)}: {rest}" if same[1:] else same[0].words)
        for (met, rest), same in found.items()
    ]


def _missing(decision: Decision) -> str:
    return "; ".join(text for met, text in conditions(decision) if not met)


def verdict(met: bool) -> str:
    """Whether a condition is met."""
    return "met" if met else "not met"


def gate_note(outcome: Outcome) -> str | None:
    """What a reader must know of the gate, None where its name says it."""
    return DEMO if outcome.gate == "demo" else None


def judge(outcome: Outcome) -> str:
    """What the judge is, plainly."""
    name, _, version = outcome.judge.rpartition(" ")
    kind = "an LLM judge" if outcome.judge_is_llm else "not an LLM judge"
    return f"{name or version} judge: {kind}" + (f" (version {version})" if name else "")


def judge_note(outcome: Outcome) -> str:
    """What the judge's figures are good for."""
    if outcome.judge_is_llm:
        return "An LLM scored every answer; its own leanings are in every figure."
    how = _JUDGES.get(outcome.judge.rpartition(" ")[0], "It scores by rules.")
    return (
        f"No LLM read these answers. {how} Its figures compare systems on the same prompts; they "
        "are not what a person, or an LLM judge, would give."
    )


def stop(outcome: Outcome) -> str:
    """Why the loop ended."""
    if outcome.stop == "qualified":
        return f"qualified: gate {outcome.gate} was met on dev in round {outcome.rounds[-1].number}"
    return f"{outcome.stop}: {outcome.stop_words}"


def switch(outcome: Outcome) -> str | None:
    """How to go on when the service LLM could write nothing; None where it could."""
    if outcome.stop != "no_service":
        return None
    return (
        "Recorded answers exist only for the shipped data, so switch to service=<your service>. So "
        "far there are service=recorded (service.recording=<file> replays a file of yours) and "
        "service=fake (for trying the loop)."
    )


def following(outcome: Outcome) -> str:
    """What to do next: a command, or the choice that is left."""
    rounds = len(outcome.rounds)
    if outcome.champion is not None and outcome.champion.model.endswith("-fake"):
        return "the same command with the service, local LLM and judge that you mean"
    if outcome.result == "qualified":
        return f'echo "text" | python -m llamaduo.ask task={outcome.task}'
    if outcome.result == "not_confirmed":
        return (
            "more coverage pairs (task.coverage=<file>): they narrow the interval, and make a test "
            "set that has not been read yet"
        )
    if outcome.stop == "no_service":
        return "the same command with service=<your service>; finished stages are reused"
    if outcome.stop == "max_rounds":
        return f"another round: the same command with max_rounds={rounds + 1}"
    if outcome.stop == "budget":
        return "the same command with more budget.minutes or budget.usd; finished stages are reused"
    return (
        "more rounds no longer help: a larger local LLM (local=…), other hparams, or more coverage "
        "pairs of your own (task.coverage=<file>)"
    )


def champion(outcome: Outcome) -> str:
    """Where the champion is."""
    if outcome.champion is None:
        return "none from this run; an earlier champion stays where it is"
    return f"{outcome.champion.uri} (version {outcome.champion.version})"


def money(bill: Bill) -> str:
    """What calls cost: real money, and apart from it what is only simulated."""
    if not bill.calls:
        return "no calls"
    real = f"{usd(bill.usd)} spent" if bill.usd is not None else "real cost not known"
    parts = [count(bill.calls, "call"), real]
    if bill.simulated_usd:
        parts.append(f"{usd(bill.simulated_usd)} simulated")
    return ", ".join(parts)


def service_price(cost: CostFacts) -> str:
    """What a thousand answers of the service LLM take."""
    if cost.service_usd_per_1000 is None:
        return "not known"
    return usd(cost.service_usd_per_1000) + (" simulated" if cost.simulated else "")


def local_price(cost: CostFacts) -> str:
    """What a thousand answers of the local LLM take."""
    if cost.local_seconds_per_1000 is None:
        return "not known"
    time = f"{duration(cost.local_seconds_per_1000)} of this machine"
    if cost.local_usd_per_1000 is None:
        return f"{time}; dollars not known: set local.usd_per_hour"
    return f"{time}; {usd(cost.local_usd_per_1000)}"


def rounds(outcome: Outcome) -> str:
    """Mean similarity on dev, round by round; the middle of a long series is left out."""
    means = [
        score(one.scores.similarity.mean.value) if one.scores else NONE for one in outcome.rounds
    ]
    if len(means) > 12:
        means = [*means[:3], "…", *means[-6:]]
    return f"dev similarity {', '.join(means)}; round {outcome.best} was read on test"


def sentence(text: str) -> str:
    """A phrase as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def caveats(outcome: Outcome) -> list[str]:
    """What to know before the scores are believed: missing ones, and copies that do as well."""
    found = []
    tuned = outcome.system("tuned")
    for system in outcome.systems:
        if system.scores is None:
            found.append(f"{system.name}: missing, as it has no answer that was judged")
        elif system.scores.failures:
            failures = count(system.scores.failures, "judgement")
            found.append(f"{system.name}: {failures} failed and not counted")
        if system.role == "copy" and system.scores and tuned and tuned.scores:
            ours, copied = tuned.scores, system.scores
            if all(copied.of(m).mean.value >= ours.of(m).mean.value for m in METRICS):
                found.append(f"{system.name}: a plain copy scores no lower than tuned")
    return found


def over_base(outcome: Outcome) -> str | None:
    """How the tuned model differs from its untuned self, None where that is not known."""
    tuned = outcome.system("tuned")
    if tuned is None or not tuned.over_base:
        return None
    parts = [
        f"{metric} {estimate(tuned.over_base[metric], sign=True)}"
        for metric in METRICS
        if metric in tuned.over_base
    ]
    return f"tuned over base: {', '.join(parts)}"
