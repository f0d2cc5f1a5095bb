"""A person's scores in a run's outcome: as one more judge, with the agreement of the others."""

from collections.abc import Iterator, Sequence

from llamaduo.outcome import Checked, Outcome, PromptScores, Reading
from llamaduo.records import Judgement, Verdict
from llamaduo.report.review import Kept
from llamaduo.stats.agreement import agreement
from llamaduo.stats.scores import by_prompt, difference, summarise
from llamaduo.stats.table import METRICS

CONFIDENCE = 0.95
SEED = 0


def joined(outcome: Outcome, held: Kept, verdicts: Sequence[Verdict]) -> Outcome:
    """The outcome with a person's verdicts in it; those of the same person before are replaced."""
    person = verdicts[0].judge
    pool = next((one.pool for one in outcome.rounds if one.number == outcome.best), 0)
    similarity, precision = (by_prompt(verdicts, metric) for metric in METRICS)
    reading = Reading(
        judge=person,
        system="tuned",
        split="test",
        round=None,
        pool=pool,
        scores=summarise(verdicts, confidence=CONFIDENCE, seed=SEED),
        prompts=tuple(
            PromptScores(prompt_id=key, similarity=found, precision=precision[key])
            for key, found in similarity.items()
        ),
    )
    readings = [one for one in outcome.readings if one.judge != person]
    people = [one for one in outcome.evaluation.people if one.person != person]
    people += check(held.verdicts.get("tuned", []), verdicts)
    evaluation = outcome.evaluation.model_copy(update={"people": tuple(people)})
    return outcome.model_copy(update={"readings": (*readings, reading), "evaluation": evaluation})


def check(judged: Sequence[Verdict], person: Sequence[Verdict]) -> Iterator[Checked]:
    """Of each judge and metric, how it does against a person on the answers that both scored."""
    looked_at = {(one.prompt_id, one.k) for one in person}
    for judge in dict.fromkeys(one.judge for one in judged):
        both = [v for v in judged if v.judge == judge and (v.prompt_id, v.k) in looked_at]
        shared = {(one.prompt_id, one.k) for one in both}
        theirs = [one for one in person if (one.prompt_id, one.k) in shared]
        if not both:
            continue
        rows: list[Judgement] = [*both, *theirs]
        for metric in METRICS:
            found = agreement({"tuned": rows}, metric, confidence=CONFIDENCE, seed=SEED)
            (rank,) = found.correlations
            yield Checked(
                person=person[0].judge,
                judge=judge,
                metric=metric,
                rho=rank.rho,
                less=difference(both, theirs, metric, confidence=CONFIDENCE, seed=SEED),
                answers=len(shared),
                words=rank.words,
            )
