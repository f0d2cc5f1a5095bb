"""The test prompts that a report shows: those that tuning helped most and least."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from llamaduo.base.redact import redacted
from llamaduo.migration.loop import Migration
from llamaduo.migration.systems import Assessed
from llamaduo.outcome.outcome import (
    Example,
    Said,
)
from llamaduo.records import JudgeFailure, Judgement, Pair, Verdict

EXAMPLES = 10


UNANSWERED = Said(text=None, scores=None, reason="no answer")


def examples(migration: Migration) -> list[Example]:
    """Test prompts by what tuning gained, largest first: the first few and the last few.

    By the similarity of the first answers, which are those shown; a prompt is left out where tuned
    or base has none that was judged.
    """
    firsts = {
        name: _firsts(migration.test[name]) if name in migration.test else {}
        for name in ("base", "tuned", "service")
    }
    rows = [_example(pair, firsts) for pair in migration.coverage.split("test")]
    ordered = sorted((row for row in rows if row is not None), key=lambda row: -row.gain)
    if len(ordered) <= EXAMPLES:
        return ordered
    half = EXAMPLES // 2
    return [*ordered[:half], *ordered[-half:]]


def _example(pair: Pair, firsts: dict[str, dict[str, Said]]) -> Example | None:
    answers = {name: first.get(pair.id, UNANSWERED) for name, first in firsts.items()}
    base, tuned = answers["base"].scores, answers["tuned"].scores
    if base is None or tuned is None:
        return None
    return Example(
        prompt_id=pair.id,
        prompt=pair.prompt.user,
        reference=pair.response,
        gain=tuned[0] - base[0],
        **answers,
    )


def _firsts(read: Assessed) -> dict[str, Said]:
    """Read the first answer to each prompt, with the judge's scores and reason, or its cause."""
    judged: dict[str, list[Judgement]] = defaultdict(list)
    for row in read.judged.rows():
        if row.k == 0:
            judged[row.prompt_id].append(row)
    return {r.prompt_id: _said(r.text, judged[r.prompt_id]) for r in read.responses if r.k == 0}


def _said(text: str, rows: Sequence[Judgement]) -> Said:
    verdicts = [row for row in rows if isinstance(row, Verdict)]
    if not verdicts:
        causes = [row.cause for row in rows if isinstance(row, JudgeFailure)]
        return Said(text=text, scores=None, reason=redacted(causes[0] if causes else "not judged"))
    scores = fmean(v.similarity for v in verdicts), fmean(v.precision for v in verdicts)
    return Said(text=text, scores=scores, reason=verdicts[0].reason)
