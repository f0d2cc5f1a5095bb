"""compare: which of two answers a judge prefers, response by response."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from llamaduo.base.files import Json
from llamaduo.base.progress import bar
from llamaduo.judge.pairwise import AnswerPair, PairwiseJudge, Preference, WinRate, win_rate
from llamaduo.lab import Artifact, Stage, label_of
from llamaduo.records import (
    Bill,
    JudgeFailure,
    Prompt,
    Record,
    Response,
    RowFile,
    digest,
    read_rows,
)
from llamaduo.stages.asking import accounted
from llamaduo.tracking import Run

VERSION = 1


class Compared(Artifact):
    """Preferences and failures in `preferences.jsonl`; `rate` is None where there is no preference.

    Responses to a prompt without another answer are not in it.
    """

    rate: WinRate | None

    def rows(self) -> list[Preference | JudgeFailure]:
        """Read the last row of each response, by prompt and k."""
        last = _last(read_rows(self.home / "preferences.jsonl", Preference, JudgeFailure))
        return [last[key] for key in sorted(last)]

    def publish(self, run: Run) -> None:
        """Log preferences and failures as tables."""
        rows = [row.model_copy(update={"bill": Bill()}) for row in self.rows()]
        run.table("preferences.json", [row for row in rows if isinstance(row, Preference)])
        run.table("failures.json", [row for row in rows if isinstance(row, JudgeFailure)])


def _last(rows: Sequence[Record]) -> dict[tuple[str, int], Preference | JudgeFailure]:
    return {(r.prompt_id, r.k): r for r in rows if isinstance(r, Preference | JudgeFailure)}


def compare(
    judge: PairwiseJudge,
    prompts: Sequence[Prompt],
    responses: Sequence[Response],
    against: Mapping[str, str],
    *,
    confidence: float,
    seed: int,
    system: str = "",
    split: str = "",
) -> Stage[Compared]:
    """Define the stage that compares responses with another answer to each prompt, by its id."""
    by_id = {prompt.id: prompt for prompt in prompts}
    matches = [
        AnswerPair(
            prompt=by_id[response.prompt_id], response=response, against=against[response.prompt_id]
        )
        for response in responses
        if response.prompt_id in against
    ]
    identity: dict[str, Json] = {
        "version": VERSION,
        "judge": judge.identity,
        "matches": digest(matches),
        "confidence": confidence,
        "seed": seed,
    }

    def run(home: Path) -> Compared:
        with RowFile(home / "preferences.jsonl", Preference, JudgeFailure) as rows:
            before = _last(rows.done)
            done = {key for key, row in before.items() if not _may_yet_succeed(row)}
            left = [
                response
                for response in matches
                if (response.prompt.id, response.response.k) not in done
            ]
            for row in bar(
                judge.compare(left),
                total=len(matches),
                done=len(matches) - len(left),
                what=f"compare {label_of(system, split)}",
                unit="pairs",
            ):
                rows.add(row)
            last = _last(rows.done)
        old = before if accounted(home) else {}
        bill = Bill.total(
            row.bill.kept() if row is old.get(key) else row.bill for key, row in last.items()
        )
        compared = Compared(
            home=home, rate=None, bill=bill, unfinished=sum(map(_may_yet_succeed, last.values()))
        )
        rate = win_rate(compared.rows(), confidence=confidence, seed=seed)
        return compared.model_copy(update={"rate": rate, "metrics": _metrics(rate, len(matches))})

    return Stage("compare", Compared, identity, run, system, split)


def _may_yet_succeed(row: Record) -> bool:
    return isinstance(row, JudgeFailure) and not row.final


def _metrics(rate: WinRate | None, matches: int) -> dict[str, float]:
    if rate is None:
        return {"failures": matches}
    counts = {"win_rate": rate.rate.value, "wins": rate.wins, "ties": rate.ties}
    return counts | {"losses": rate.losses, "flips": rate.flips, "failures": rate.failures}
