"""A person's scores in a run's outcome: as one more judge, with the agreement of the others."""

from collections.abc import Iterator, Sequence

from llamaduo.outcome import Checked, Outcome, PromptScores, Reading
from llamaduo.records import Judgement, Verdict
from llamaduo.report.comparison import CONFIDENCE, SEED
from llamaduo.report.review import Kept
from llamaduo.stats.agreement import agreement
from llamaduo.stats.scores import by_prompt, difference, summarise
from llamaduo.stats.table import METRICS


def joined(outcome: Outcome, held: Kept, verdicts: Sequence[Verdict]) -> Outcome:
    """Put a person's verdicts into an outcome; those of the same person before are replaced."""
    person = verdicts[0].judge
    pool = next((row.pool for row in outcome.rounds if row.number == outcome.best), 0)
    similarity, precision = (by_prompt(verdicts, metric) for metric in METRICS)
    reading = Reading(
        judge=person,
        system="tuned",
        split="test",
        round=None,
        pool=pool,
        scores=summarise(verdicts, confidence=CONFIDENCE, seed=SEED),
        prompts=tuple(
            PromptScores(prompt_id=key, similarity=scores, precision=precision[key])
            for key, scores in similarity.items()
        ),
    )
    readings = [row for row in outcome.readings if row.judge != person]
    people = [row for row in outcome.evaluation.people if row.person != person]
    people += check(held.verdicts.get("tuned", []), verdicts)
    evaluation = outcome.evaluation.model_copy(update={"people": tuple(people)})
    return outcome.model_copy(update={"readings": (*readings, reading), "evaluation": evaluation})


def check(judged: Sequence[Verdict], person: Sequence[Verdict]) -> Iterator[Checked]:
    """Compare each judge with a person, by metric, on the answers that both scored."""
    looked_at = {(row.prompt_id, row.k) for row in person}
    for judge in dict.fromkeys(row.judge for row in judged):
        both = [v for v in judged if v.judge == judge and (v.prompt_id, v.k) in looked_at]
        shared = {(row.prompt_id, row.k) for row in both}
        theirs = [row for row in person if (row.prompt_id, row.k) in shared]
        if not both:
            continue
        rows: list[Judgement] = [*both, *theirs]
        for metric in METRICS:
            agreed = agreement({"tuned": rows}, metric, confidence=CONFIDENCE, seed=SEED)
            (rank,) = agreed.correlations
            yield Checked(
                person=person[0].judge,
                judge=judge,
                metric=metric,
                rho=rank.rho,
                less=difference(both, theirs, metric, confidence=CONFIDENCE, seed=SEED),
                answers=len(shared),
                words=rank.words,
            )
