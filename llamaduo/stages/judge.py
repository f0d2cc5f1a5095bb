"""judge: a verdict on every response, and the figures that follow from the verdicts."""

from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from llamaduo.artifact import Artifact, Json
from llamaduo.cost import Bill
from llamaduo.errors import JudgeError
from llamaduo.judge import Item, Judge
from llamaduo.judge.anchors import AnchorTable, check
from llamaduo.progress import bar
from llamaduo.records import JudgeFailure, Pair, Record, Response, RowFile, Verdict, read_rows
from llamaduo.scores import Scores, summarise
from llamaduo.stage import Stage
from llamaduo.stages import digest
from llamaduo.stages.ask import accounted
from llamaduo.tracking import Run

VERSION = 2


Row: TypeAlias = Verdict | JudgeFailure


class Judged(Artifact):
    """Verdicts and failures in `verdicts.jsonl`; `scores` is None where no judgement succeeded."""

    scores: Scores | None

    def rows(self) -> list[Row]:
        """The last that was said of each response and repeat, by prompt, k and m."""
        rows = read_rows(self.home / "verdicts.jsonl", Verdict, JudgeFailure)
        last = _last(rows)
        return [last[key] for key in sorted(last)]

    def publish(self, run: Run) -> None:
        """Log verdicts and failures as tables."""
        rows = [row.model_copy(update={"bill": Bill()}) for row in self.rows()]
        run.table("verdicts.json", [row for row in rows if isinstance(row, Verdict)])
        run.table("failures.json", [row for row in rows if isinstance(row, JudgeFailure)])


def _last(rows: Iterable[Record]) -> dict[tuple[str, int, int], Row]:
    """By prompt, k and m: a failure that was not final may have been tried again."""
    return {(r.prompt_id, r.k, r.m): r for r in rows if isinstance(r, Verdict | JudgeFailure)}


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
        with RowFile(home / "verdicts.jsonl", Verdict, JudgeFailure) as rows:
            before = _last(rows.done)
            done = {key for key, row in before.items() if not _may_yet_succeed(row)}
            items, left = _to_judge(judge, pairs, responses, done)
            for row in bar(
                judge.assess(items),
                total=len(responses) * judge.repeats,
                done=len(responses) * judge.repeats - left,
                what=f"judge {label}",
                unit="verdicts",
            ):
                rows.add(row)
            last = _last(rows.done)
        found = list(last.values())
        old = before if accounted(home) else {}
        bill = Bill.total(
            row.bill.kept() if row is old.get(key) else row.bill for key, row in last.items()
        )
        unfinished = sum(map(_may_yet_succeed, found))
        judged = Judged(home=home, scores=None, bill=bill, unfinished=unfinished)
        scores = summarise(judged.rows(), confidence=confidence, seed=seed)
        failures = sum(isinstance(row, JudgeFailure) for row in found)
        metrics = {"failures": failures} if scores is None else scores.flat()
        return judged.model_copy(update={"scores": scores, "metrics": metrics})

    return Stage("judge", Judged, identity, run, label)


def _may_yet_succeed(row: Record) -> bool:
    return isinstance(row, JudgeFailure) and not row.final


def _to_judge(
    judge: Judge,
    pairs: Sequence[Pair],
    responses: Sequence[Response],
    done: Container[tuple[str, int, int]],
) -> tuple[list[Item], int]:
    """What is not done yet, and how many verdicts that is."""
    by_id = {pair.id: pair for pair in pairs}
    items = []
    for response in responses:
        repeats = range(judge.repeats)
        wanted = tuple(m for m in repeats if (response.prompt_id, response.k, m) not in done)
        if wanted:
            pair = by_id[response.prompt_id]
            item = Item(
                prompt=pair.prompt, reference=pair.response, response=response, wanted=wanted
            )
            items.append(item)
    return items, sum(len(item.wanted or ()) for item in items)


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
        table = check(judge, pairs)
        metrics = {"failures": table.failures}
        return Anchored(home=home, table=table, bill=table.bill, metrics=metrics)

    return Stage("anchor", Anchored, identity, run)
