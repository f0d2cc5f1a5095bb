"""judge: a verdict on every response, and the figures that follow from the verdicts."""

from collections.abc import Sequence
from pathlib import Path

from llamaduo.artifact import Artifact, Json
from llamaduo.errors import JudgeError
from llamaduo.judge import Item, Judge
from llamaduo.judge.anchors import AnchorTable, check
from llamaduo.progress import bar
from llamaduo.records import JudgeFailure, Pair, Response, RowFile, Verdict, read_rows
from llamaduo.scores import Scores, summarise
from llamaduo.stage import Stage
from llamaduo.stages import digest
from llamaduo.tracking import Run

VERSION = 2


class Judged(Artifact):
    """Verdicts and failures in `verdicts.jsonl`; `scores` is None where no judgement succeeded."""

    scores: Scores | None

    def rows(self) -> list[Verdict | JudgeFailure]:
        """All verdicts and failures, by prompt, k and m."""
        rows = read_rows(self.home / "verdicts.jsonl", Verdict, JudgeFailure)
        found = [row for row in rows if isinstance(row, Verdict | JudgeFailure)]
        return sorted(found, key=lambda row: (row.prompt_id, row.k, row.m))

    def publish(self, run: Run) -> None:
        """Log verdicts and failures as tables."""
        rows = self.rows()
        run.table("verdicts.json", [row for row in rows if isinstance(row, Verdict)])
        run.table("failures.json", [row for row in rows if isinstance(row, JudgeFailure)])


def assess(
    judge: Judge,
    pairs: Sequence[Pair],
    responses: Sequence[Response],
    *,
    confidence: float,
    seed: int,
    label: str,
) -> Stage[Judged]:
    """The stage that judges responses to the prompts of pairs, with their recorded responses."""
    identity: dict[str, Json] = {
        "version": VERSION,
        "judge": judge.identity,
        "pairs": digest(pairs),
        "responses": digest(responses),
        "confidence": confidence,
        "seed": seed,
    }

    def run(home: Path) -> Judged:
        by_id = {pair.id: pair for pair in pairs}
        with RowFile(home / "verdicts.jsonl", Verdict, JudgeFailure) as rows:
            done = {
                (row.prompt_id, row.k)
                for row in rows.done
                if isinstance(row, Verdict | JudgeFailure)
            }
            items = [
                Item(
                    prompt=by_id[response.prompt_id].prompt,
                    reference=by_id[response.prompt_id].response,
                    response=response,
                )
                for response in responses
                if (response.prompt_id, response.k) not in done
            ]
            verdicts = judge.assess(items)
            for row in bar(
                verdicts,
                total=len(responses),
                done=len(responses) - len(items),
                what=f"judge {label}",
                unit="verdicts",
            ):
                rows.add(row)
        judged = Judged(home=home, scores=None)
        scores = summarise(judged.rows(), confidence=confidence, seed=seed)
        metrics = {} if scores is None else scores.flat()
        return judged.model_copy(update={"scores": scores, "metrics": metrics})

    return Stage("judge", Judged, identity, run, label)


class Anchored(Artifact):
    """The judge's scores of answers whose order is known, in which it ranked them rightly."""

    table: AnchorTable

    def publish(self, run: Run) -> None:
        """Log the means as a table."""
        run.table("anchors.json", self.table.rows)


def anchor(judge: Judge, pairs: Sequence[Pair]) -> Stage[Anchored]:
    """The stage that has the judge rank the anchors of some pairs before it is believed.

    Raises (when run):
        JudgeError: it ranks them wrongly.
    """
    identity: dict[str, Json] = {
        "version": VERSION,
        "judge": judge.identity,
        "pairs": digest(pairs),
    }

    def run(home: Path) -> Anchored:
        if not pairs:
            raise JudgeError(f"judge={judge.name}: no pairs to make anchors of")
        return Anchored(home=home, table=check(judge, pairs))

    return Stage("anchor", Anchored, identity, run)
