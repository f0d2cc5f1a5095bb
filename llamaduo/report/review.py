"""Cases for a person to look at, and what the person says of them as one more judge.

A case is one answer of the tuned model on test. `choose` picks cases, `write` hands them out,
`read` takes them back and refuses what does not belong to the run.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationError

from llamaduo.base.errors import DataError
from llamaduo.outcome import Outcome, StageFacts
from llamaduo.records import Pair, Record, Response, Verdict, digest, lines_of
from llamaduo.report.figures import score
from llamaduo.stages.collect import Coverage
from llamaduo.stages.infer import Answers
from llamaduo.stages.judge import Judged
from llamaduo.stats.table import METRICS

By: TypeAlias = Literal["service", "base", "disagreement"]
Score: TypeAlias = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Answer: TypeAlias = tuple[str, int]


class Opinion(Record):
    """What a judge says of an answer: means of its repeats, and the reason of the first."""

    judge: str
    similarity: float
    precision: float
    reason: str


class Case(Record):
    """One answer to look at. A person fills in `similarity`, `precision` (0 to 100) and `note`.

    `run` and `test_set` say what the case belongs to; `why` says what it was chosen for.
    """

    run: str
    test_set: str
    prompt_id: str
    k: int
    prompt: str
    reference: str
    answer: str
    similarity: Score | None = None
    precision: Score | None = None
    note: str = ""
    why: str
    judges: tuple[Opinion, ...]


@dataclass(frozen=True)
class Kept:
    """What the stages of a run hold of test: pairs, tuned's answers, and verdicts by system."""

    pairs: dict[str, Pair]
    answers: dict[Answer, Response]
    verdicts: dict[str, list[Verdict]]
    test_set: str


def kept(outcome: Outcome, home: Path) -> Kept:
    """Read the stages of a run again from the folder of stages.

    Raises:
        DataError: one of them is not there any more.
    """
    pairs = Coverage.load(_folder(outcome, home, "collect")).split("test")
    answers = Answers.load(_folder(outcome, home, "infer", "tuned")).responses()
    verdicts = {}
    for system in ("tuned", "base", "service"):
        if _stages(outcome, "judge", system):
            rows = Judged.load(_folder(outcome, home, "judge", system)).rows()
            verdicts[system] = [row for row in rows if isinstance(row, Verdict)]
    return Kept(
        pairs={pair.id: pair for pair in pairs},
        answers={(answer.prompt_id, answer.k): answer for answer in answers},
        verdicts=verdicts,
        test_set=digest(pairs),
    )


def _stages(outcome: Outcome, name: str, system: str) -> list[StageFacts]:
    """List the stages of a name that are of a system on test, or of none."""
    split = "test" if system else ""
    return [s for s in outcome.stages if (s.name, s.system, s.split) == (name, system, split)]


def _folder(outcome: Outcome, home: Path, name: str, system: str = "") -> Path:
    stages = _stages(outcome, name, system)
    if not stages:
        raise DataError(
            f"run {outcome.run_id[:8]} has no stage {name} of {system or 'the data'}: it ended "
            "before the tuned model was read on test, so there are no answers to look at"
        )
    folder = home / "stages" / f"{name}-{stages[-1].fingerprint}"
    if not (folder / "artifact.json").is_file():
        raise DataError(
            f"{folder}: not there any more, and with it what run {outcome.run_id[:8]} answered; "
            "the command that made the run makes it again, or tracking.home=… says where it is"
        )
    return folder


def choose(outcome: Outcome, held: Kept, *, by: By, most: int) -> list[Case]:
    """Choose the cases with the largest gaps, largest first, each prompt once.

    The gap of `service` and `base` is how far tuned's answer lies below the mean of that system's
    answers to the prompt, of `disagreement` how far the judges lie apart, in the metric in which it
    is widest.

    Raises:
        DataError: the run has no such system, or only one judge where two would have to disagree.
    """
    judged = _opinions(held.verdicts.get("tuned", []))
    if by == "disagreement":
        if len({case.judge for opinions in judged.values() for case in opinions}) < 2:
            raise DataError(
                f"by=disagreement: run {outcome.run_id[:8]} has one judge; by=service and by=base "
                "need no second, and annotated=… brings one"
            )
        gaps = {answer: _apart(opinions) for answer, opinions in judged.items()}
    elif by not in held.verdicts or not held.verdicts[by]:
        raise DataError(f"by={by}: run {outcome.run_id[:8]} has no judged answers of {by} on test")
    else:
        gaps = _behind(judged, held.verdicts[by], by)
    widest: dict[str, tuple[float, Answer, str]] = {}
    for answer, (gap, why) in sorted(gaps.items()):
        if gap > 0 and gap > widest.get(answer[0], (0.0, answer, ""))[0]:
            widest[answer[0]] = (gap, answer, why)
    chosen = sorted(widest.values(), key=lambda case: (-case[0], case[1]))[:most]
    return [_case(outcome, held, answer, why, judged[answer]) for _, answer, why in chosen]


def _opinions(verdicts: Sequence[Verdict]) -> dict[Answer, list[Opinion]]:
    by_judge: dict[tuple[Answer, str], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_judge[(verdict.prompt_id, verdict.k), verdict.judge].append(verdict)
    opinions: dict[Answer, list[Opinion]] = defaultdict(list)
    for (answer, judge), rows in by_judge.items():
        means = {metric: fmean(getattr(row, metric) for row in rows) for metric in METRICS}
        opinions[answer].append(Opinion(judge=judge, reason=rows[0].reason, **means))
    return dict(opinions)


def _apart(opinions: Sequence[Opinion]) -> tuple[float, str]:
    def gap(metric: str) -> tuple[float, str]:
        ordered = sorted(opinions, key=lambda opinion: float(getattr(opinion, metric)))
        least, most = getattr(ordered[0], metric), getattr(ordered[-1], metric)
        who = f"{ordered[-1].judge} {score(most)}, {ordered[0].judge} {score(least)}"
        return most - least, f"{metric}: {who}"

    return max(map(gap, METRICS))


def _behind(
    judged: Mapping[Answer, Sequence[Opinion]], other: Sequence[Verdict], name: str
) -> dict[Answer, tuple[float, str]]:
    levels: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in other:
        for metric in METRICS:
            levels[row.prompt_id, row.judge, metric].append(getattr(row, metric))
    gaps_by_answer: dict[Answer, tuple[float, str]] = {}
    for answer, opinions in judged.items():
        gaps = []
        for metric in METRICS:
            # Judge by judge: a lenient one's tuned against a strict one's service says nothing.
            pairs = [
                (fmean(level), float(getattr(row, metric)))
                for row in opinions
                if (level := levels.get((answer[0], row.judge, metric)))
            ]
            if pairs:
                theirs, ours = (fmean(side) for side in zip(*pairs, strict=True))
                words = f"{metric}: tuned {score(ours)}, {name} {score(theirs)}"
                gaps.append((theirs - ours, words))
        if gaps:
            gaps_by_answer[answer] = max(gaps)
    return gaps_by_answer


def _case(
    outcome: Outcome, held: Kept, answer: Answer, why: str, opinions: Sequence[Opinion]
) -> Case:
    pair = held.pairs[answer[0]]
    return Case(
        run=outcome.run_id,
        test_set=held.test_set,
        prompt_id=answer[0],
        k=answer[1],
        prompt=pair.prompt.user,
        reference=pair.response,
        answer=held.answers[answer].text,
        why=why,
        judges=tuple(opinions),
    )


def write(cases: Sequence[Case], path: Path) -> None:
    """Write cases, one a line, to a file that is not there yet.

    Raises:
        DataError: the file is there; it may hold somebody's work.
    """
    try:
        with path.open("x", encoding="utf-8") as out:
            for case in cases:
                out.write(json.dumps(case.model_dump(mode="json"), ensure_ascii=False) + "\n")
    except FileExistsError:
        raise DataError(
            f"review={path}: is there already and is left as it is; annotated={path} reads the "
            "scores in it, or name another file"
        ) from None


def read(path: Path, outcome: Outcome, held: Kept, *, person: str) -> list[Verdict]:
    """Read a person's verdicts on the cases that have both scores; the rest are passed over.

    Raises:
        DataError: the file cannot be read, a line has a score that is none, belongs to another test
            set or to another answer, or stands twice; or no case has scores.
    """
    if person in {row.judge for rows in held.verdicts.values() for row in rows}:
        raise DataError(f"person={person}: a judge of the run is called that; choose another name")
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"annotated={path}: is not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise DataError(f"annotated={path}: {error.strerror}; review=<file> writes one") from None
    verdicts: dict[Answer, Verdict] = {}
    for number, line in lines_of(content):
        where = f"annotated={path}, line {number}"
        case = _parsed(line, where)
        _belongs(case, outcome, held, where)
        if case.similarity is None or case.precision is None:
            _refuse_half(case, where)
            continue
        answer = (case.prompt_id, case.k)
        if answer in verdicts:
            raise DataError(f"{where}: {case.prompt_id} (answer {case.k}) stands twice; keep one")
        verdicts[answer] = Verdict(
            prompt_id=case.prompt_id,
            k=case.k,
            similarity=case.similarity,
            precision=case.precision,
            reason=case.note,
            judge=person,
            version="1",
        )
    if not verdicts:
        raise DataError(f"annotated={path}: no case has scores; fill in similarity and precision")
    return list(verdicts.values())


def _parsed(line: str, where: str) -> Case:
    try:
        return Case.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        given = "" if not name or isinstance(first["input"], dict) else f"={first['input']!r}"
        words = first["msg"].removeprefix("Input ")
        raise DataError(f"{where}: {f'{name}{given}: ' if name else ''}{words}") from None


def _belongs(case: Case, outcome: Outcome, held: Kept, where: str) -> None:
    if case.test_set != held.test_set:
        raise DataError(
            f"{where}: of test set {case.test_set}, but run {outcome.run_id[:8]} has "
            f"{held.test_set}; scores of other prompts say nothing here: name the run "
            f"{case.run[:8]} that the file was written for"
        )
    answer = held.answers.get((case.prompt_id, case.k))
    if answer is None:
        raise DataError(
            f"{where}: run {outcome.run_id[:8]} has no answer {case.k} to {case.prompt_id}; "
            "leave prompt_id and k as they were written"
        )
    if answer.text != case.answer:
        raise DataError(
            f"{where}: that is not what run {outcome.run_id[:8]} answered to {case.prompt_id}; "
            f"name the run {case.run[:8]} that the file was written for"
        )


def _refuse_half(case: Case, where: str) -> None:
    missing = [metric for metric in METRICS if getattr(case, metric) is None]
    if len(missing) == 1:
        raise DataError(
            f"{where}: {missing[0]} has no score; give both, or neither to pass it over"
        )
