"""judge: a verdict on every response, and the figures that follow from the verdicts."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from llamaduo.base.errors import JudgeError
from llamaduo.base.files import Json
from llamaduo.base.progress import bar
from llamaduo.gate.sequential import Rule
from llamaduo.judge import Item, Judge
from llamaduo.judge.anchors import AnchorTable, check
from llamaduo.judge.panel import members
from llamaduo.lab import Artifact, Stage, label_of
from llamaduo.records import (
    Bill,
    JudgeFailure,
    Judgement,
    Pair,
    Record,
    Response,
    RowFile,
    Verdict,
    digest,
    read_rows,
)
from llamaduo.stages.asking import accounted
from llamaduo.stats import parquet
from llamaduo.stats.scores import Scores, summarise
from llamaduo.stats.table import VerdictTable
from llamaduo.tracking import Run

VERSION = 3
TABLE = "verdicts.parquet"


class Judged(Artifact):
    """Verdicts and failures in `verdicts.parquet`; `scores` is None where no judgement succeeded.

    `verdicts.jsonl` has them as they were given, those that were tried again included. `test_set`
    is the fingerprint of the pairs whose responses were judged.
    `left_out` counts the repeats that were not asked for, as the gate's decision was settled.
    """

    scores: Scores | None
    test_set: str
    left_out: int = 0

    def table(self, test_set: str | None = None) -> VerdictTable:
        """Read the last row of each response and repeat, of that test set where one is named.

        Raises:
            DataError: they are on another test set, or the file is not whole.
        """
        return parquet.read(self.home / TABLE, test_set)

    def rows(self) -> list[Judgement]:
        """Read the last row of each judge on a response and repeat, by prompt, k, judge and m."""
        rows = read_rows(self.home / "verdicts.jsonl", Verdict, JudgeFailure)
        last = _last(rows)
        return [last[key] for key in sorted(last)]

    def publish(self, run: Run) -> None:
        """Log verdicts and failures as tables."""
        rows = [row.model_copy(update={"bill": Bill()}) for row in self.rows()]
        run.table("verdicts.json", [row for row in rows if isinstance(row, Verdict)])
        run.table("failures.json", [row for row in rows if isinstance(row, JudgeFailure)])


#: What tells rows apart: prompt, k, the judge's name, m.
Key: TypeAlias = tuple[str, int, str, int]


def _last(rows: Iterable[Record]) -> dict[Key, Judgement]:
    """Keep the last row of each prompt, k, judge and m: a failure may have been tried again."""
    judgements = (row for row in rows if isinstance(row, Verdict | JudgeFailure))
    return {(r.prompt_id, r.k, r.judge, r.m): r for r in judgements}


def assess(
    judge: Judge,
    pairs: Sequence[Pair],
    responses: Sequence[Response],
    *,
    confidence: float,
    seed: int,
    system: str = "",
    split: str = "",
    rule: Rule | None = None,
) -> Stage[Judged]:
    """Define the stage that judges responses to the prompts of pairs by their recorded ones.

    With a `rule`, repeats are asked for look by look, of the prompts that it still wants them for;
    what it is made of then belongs to the identity.
    """
    identity: dict[str, Json] = {
        "version": VERSION,
        "judge": judge.identity,
        "pairs": digest(pairs),
        "responses": digest(responses),
        "confidence": confidence,
        "seed": seed,
    }
    if rule is not None:
        identity["rule"] = rule.identity

    def run(home: Path) -> Judged:
        wanted = len(responses) * judge.repeats
        with RowFile(home / "verdicts.jsonl", Verdict, JudgeFailure) as rows:
            before = _last(rows.done)
            asking = _Asking(judge, pairs, rows, rule)
            for row in bar(
                asking.rows(responses),
                total=wanted,
                done=len(asking.done),
                what=f"judge {label_of(system, split)}",
                unit="verdicts",
            ):
                rows.add(row)
            last = _last(rows.done)
        judgements = list(last.values())
        old = before if accounted(home) else {}
        bill = Bill.total(
            row.bill.kept() if row is old.get(key) else row.bill for key, row in last.items()
        )
        unfinished = sum(map(_may_yet_succeed, judgements))
        judged = Judged(
            home=home, scores=None, test_set=digest(pairs), bill=bill, unfinished=unfinished
        )
        table = VerdictTable.of(judged.rows(), judged.test_set)
        parquet.write(table, home / TABLE)
        scores = summarise(table, confidence=confidence, seed=seed)
        failures = sum(isinstance(row, JudgeFailure) for row in judgements)
        metrics = {"failures": failures} if scores is None else scores.flat()
        left_out = 0 if rule is None else wanted - len(judgements)
        if rule is not None:
            metrics = metrics | {"repeats_left_out": left_out, "repeats_of_all": wanted}
        return judged.model_copy(
            update={"scores": scores, "metrics": metrics, "left_out": left_out}
        )

    return Stage("judge", Judged, identity, run, system, split)


def _may_yet_succeed(row: Record) -> bool:
    return isinstance(row, JudgeFailure) and not row.final


class _Asking:
    """Asks the members of a judge for what is not done yet, each for its own rows.

    `done` are the keys that an earlier start has for good.
    """

    def __init__(
        self, judge: Judge, pairs: Sequence[Pair], rows: RowFile, rule: Rule | None
    ) -> None:
        self.done = {k for k, row in _last(rows.done).items() if not _may_yet_succeed(row)}
        self._members = members(judge)
        self._pairs = {pair.id: pair for pair in pairs}
        self._file = rows
        self._rule = rule

    def rows(self, responses: Sequence[Response]) -> Iterator[Judgement]:
        """Yield the rows that are left, as they come; each is kept before the next is asked for."""
        looks = {} if self._rule is None else self._rule.looks
        for member in self._members:
            if member.name not in looks:
                yield from self._asked(member, responses, range(member.repeats))
        if self._rule is None:
            return
        judges = [member for member in self._members if member.name in looks]
        for at in range(max(map(len, looks.values()))):
            for member in judges:
                ends = (0, *looks[member.name])
                if at + 1 < len(ends):
                    yield from self._asked(member, responses, range(ends[at], ends[at + 1]))
            wanting = self._rule.open(self._up_to(at))
            responses = [response for response in responses if response.prompt_id in wanting]
            if not responses:
                return

    def _asked(
        self, member: Judge, responses: Sequence[Response], repeats: range
    ) -> Iterator[Judgement]:
        return member.assess(_to_judge(member, self._pairs, responses, repeats, self.done))

    def _up_to(self, look: int) -> list[Judgement]:
        """List the rows that there were at a look, also where an earlier start went further."""
        assert self._rule is not None
        seen = {name: ends[: look + 1][-1] for name, ends in self._rule.looks.items()}
        last = _last(self._file.done).values()
        return [row for row in last if row.judge not in seen or row.m < seen[row.judge]]


def _to_judge(
    judge: Judge,
    pairs: Mapping[str, Pair],
    responses: Sequence[Response],
    repeats: Iterable[int],
    done: Container[Key],
) -> list[Item]:
    """List what of these repeats a judge has not done yet."""
    repeats = tuple(repeats)
    items = []
    for response in responses:
        known = (response.prompt_id, response.k, judge.name)
        wanted = tuple(m for m in repeats if (*known, m) not in done)
        if wanted:
            pair = pairs[response.prompt_id]
            items.append(
                Item(prompt=pair.prompt, reference=pair.response, response=response, wanted=wanted)
            )
    return items


class Anchored(Artifact):
    """The judge's scores of answers whose order is known, in which it ranked them rightly."""

    table: AnchorTable

    def publish(self, run: Run) -> None:
        """Log the means as a table."""
        run.table("anchors.json", self.table.rows)


def anchor(judge: Judge, pairs: Sequence[Pair]) -> Stage[Anchored]:
    """Define the stage that has one judge rank the anchors of some pairs before it is believed.

    A panel is checked member by member: in a mean, a sound one would hide an unsound one.

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
