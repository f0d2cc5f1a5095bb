"""Anchors: answers whose right order is known, given to a judge before its scores are used.

They are made from each recorded pair: the recorded answer (gold), and texts that must score less. A
judge that ranks them in another order, or alike, would lead the whole migration wrongly, so it is
refused.
"""

import random
import re
import zlib
from collections.abc import Iterator, Sequence

from llamaduo.base.errors import JudgeError
from llamaduo.base.progress import bar
from llamaduo.base.text import sentences, words
from llamaduo.judge.facts import DAYS, MODALS, MONTHS, NUMBER_WORDS, names
from llamaduo.judge.protocol import Item, Judge
from llamaduo.records import Bill, JudgeFailure, Judgement, Pair, Record, Response, Verdict

#: The orders that must hold in both metrics, each from the best anchor to the worst.
ORDERS = (
    ("gold", "changed", "truncated", "shuffled", "empty"),
    ("gold", "first_two", "whole"),
)
NAMES = tuple(dict.fromkeys(name for order in ORDERS for name in order))
_SPARE_NAMES = ("Thorvald", "Ximena", "Quillan", "Oyelaran")


class Anchor(Record):
    """An answer to a pair's prompt; `name` says of which kind."""

    name: str
    pair: Pair
    text: str


class AnchorMean(Record):
    """A judge's mean scores of one kind of anchor over `n` pairs, 0 to 100."""

    name: str
    n: int
    similarity: float
    precision: float


class AnchorTable(Record):
    """A judge's mean scores of the anchors of `pairs` pairs; a kind that no pair has is left out.

    `failures` is the number of anchors without a verdict, `bill` the cost of all of them.
    """

    judge: str
    version: str
    pairs: int
    rows: tuple[AnchorMean, ...]
    failures: int = 0
    bill: Bill = Bill()

    def __str__(self) -> str:
        """Return the table as text, one line for each kind."""
        lines = [f"{'anchor':<10} {'similarity':>10} {'precision':>10} {'n':>4}"]
        lines += [
            f"{row.name:<10} {row.similarity:>10.1f} {row.precision:>10.1f} {row.n:>4}"
            for row in self.rows
        ]
        return "\n".join(lines)


def anchors(pairs: Sequence[Pair]) -> Iterator[Anchor]:
    """Yield the anchors of each pair, gold first.

    An anchor with the same text as an earlier one is left out: an answer of one word cannot be
    shuffled, and a prompt of two sentences is the same as its first two.
    """
    for pair in pairs:
        gold, user = pair.response.strip(), pair.prompt.user.strip()
        texts = {
            "gold": gold,
            "changed": _changed(gold, pair),
            "truncated": _truncated(gold),
            "shuffled": _shuffled(gold, pair.id),
            "empty": "",
            "first_two": " ".join(sentences(user)[:2]),
            "whole": user,
        }
        if texts["first_two"].split() == user.split():
            del texts["first_two"]
        seen: set[str] = set()
        for name, text in texts.items():
            if text not in seen:
                seen.add(text)
                yield Anchor(name=name, pair=pair, text=text)


def _truncated(gold: str) -> str:
    """Return the first half by words, cut within a sentence; gold itself where it is too short.

    Cut at the end of a sentence, it would only be a shorter answer.
    """
    ends = [match.end() for match in re.finditer(r"\S+", gold)]
    for count in range(len(ends) // 2, 0, -1):
        if re.search(r"\w$", gold[: ends[count - 1]]):
            return gold[: ends[count - 1]]
    return gold


def _shuffled(gold: str, seed: str) -> str:
    parts = gold.split()
    random.Random(f"shuffled {seed}").shuffle(parts)
    return " ".join(parts)


def _changed(gold: str, pair: Pair) -> str:
    """Return gold with one figure, number, day, month or name that the prompt does not have.

    The pair's id decides which one is replaced. Where gold has none of them, a "not" goes in after
    the first auxiliary verb; without such a verb gold is returned as it is.
    """
    known = set(words(f"{pair.prompt.user} {gold}".casefold()))
    name_words = {
        word
        for sentence in sentences(gold)
        for name in names(sentence)
        for word in re.findall(r"\w+", name.text)
        if word[0].isupper()
    }
    replacements = [
        (match, other)
        for match in re.finditer(r"\w+", gold)
        if (other := _other_fact(match[0], known, name_words)) is not None
    ]
    if replacements:
        match, other = replacements[zlib.crc32(pair.id.encode()) % len(replacements)]
        return gold[: match.start()] + other + gold[match.end() :]
    verb = next((m for m in re.finditer(r"[a-z]+", gold) if m[0] in MODALS), None)
    return gold if verb is None else f"{gold[: verb.end()]} not{gold[verb.end() :]}"


def _other_fact(word: str, known: set[str], name_words: set[str]) -> str | None:
    """Return a fact of the same kind that is in neither text; None for a word that is no fact."""
    if match := re.fullmatch(r"(\d+)(st|nd|rd|th)?", word):
        number = int(match[1])
        others: Sequence[str] = [f"{number + step}{match[2] or ''}" for step in range(3, 999)]
    elif word.casefold() in NUMBER_WORDS and word.casefold() != "one":
        others = [other for other in NUMBER_WORDS if other not in ("zero", "one")]
        others = [other.capitalize() if word[0].isupper() else other for other in others]
    elif word in DAYS or word in MONTHS:
        others = DAYS if word in DAYS else MONTHS
    elif word in name_words:
        others = _SPARE_NAMES
    else:
        return None
    return next((other for other in others if other.casefold() not in known), None)


MAX_FAILURES = 0.1  # share of the anchors that may get no verdict


def check(judge: Judge, pairs: Sequence[Pair]) -> AnchorTable:
    """Have a judge score the anchors of the pairs, and refuse it where it ranks them wrongly.

    Every inequality of `ORDERS` must hold between means over the pairs that have both kinds, in
    similarity and in precision. It takes one verdict for each anchor, at most seven for a pair: the
    means are over pairs, so M repeats would cost much and show little.

    Raises:
        JudgeError: there are no pairs, an inequality fails, or more than a tenth of the anchors get
            no verdict; the message has the figures.
    """
    if not pairs:
        raise JudgeError("no coverage pairs to check the judge on: give at least one")
    given = list(anchors(pairs))
    outcomes = _outcomes(judge, given)
    scores = _scores(judge, given, outcomes)
    table = AnchorTable(
        judge=judge.name,
        version=judge.version,
        pairs=len(pairs),
        rows=tuple(_means(scores)),
        failures=sum(isinstance(row, JudgeFailure) for row in outcomes),
        bill=Bill.total(row.bill for row in outcomes),
    )
    if broken := list(_violations(scores)):
        raise JudgeError(
            f"judge={judge.name} (version {judge.version}) cannot be trusted with this task: on"
            f" {len(pairs)} anchor pairs {'; '.join(broken)}.\n{table}\nUse another judge with"
            " judge=<name>, or check that the recorded answers are good ones"
        )
    return table


#: Similarity and precision by kind of anchor, then by the id of the pair.
Scores = dict[str, dict[str, tuple[float, float]]]


def _outcomes(judge: Judge, given: Sequence[Anchor]) -> list[Judgement]:
    items = [
        Item(
            prompt=anchor.pair.prompt,
            reference=anchor.pair.response,
            response=Response(
                prompt_id=anchor.pair.id, k=NAMES.index(anchor.name), text=anchor.text
            ),
            wanted=(0,),
        )
        for anchor in given
    ]
    return list(bar(judge.assess(items), total=len(items), what="anchor", unit="verdicts"))


def _scores(judge: Judge, given: Sequence[Anchor], outcomes: Sequence[Judgement]) -> Scores:
    """Return the scores of the anchors with a verdict; refuse a judge with too many failures."""
    verdicts = {(row.prompt_id, row.k): row for row in outcomes if isinstance(row, Verdict)}
    causes = {(r.prompt_id, r.k): r.cause for r in outcomes if isinstance(r, JudgeFailure)}
    scores: Scores = {name: {} for name in NAMES}
    without: list[str] = []
    for anchor in given:
        key = (anchor.pair.id, NAMES.index(anchor.name))
        if key in verdicts:
            verdict = verdicts[key]
            scores[anchor.name][anchor.pair.id] = verdict.similarity, verdict.precision
        else:
            cause = causes.get(key, "the judge returned no row")
            without.append(f"{anchor.name!r} of {anchor.pair.id}: {cause}")
    if len(without) > MAX_FAILURES * len(given):
        raise JudgeError(
            f"judge={judge.name} gave no verdict on {len(without)} of {len(given)} anchors, such as"
            f" {without[0]}. Remove the cause, or use another judge with judge=<name>"
        )
    return scores


def _mean(rows: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(row[0] for row in rows) / len(rows), sum(row[1] for row in rows) / len(rows)


def _means(scores: Scores) -> Iterator[AnchorMean]:
    for name, rows in scores.items():
        if rows:
            similarity, precision = _mean(list(rows.values()))
            yield AnchorMean(name=name, n=len(rows), similarity=similarity, precision=precision)


def _violations(scores: Scores) -> Iterator[str]:
    """Yield each inequality that fails, in words with its figures.

    All pairs of an order are compared, not neighbours only, since a task may have no anchor of a
    kind in between.
    """
    for order in ORDERS:
        for at, better in enumerate(order):
            for worse in order[at + 1 :]:
                both = scores[better].keys() & scores[worse].keys()
                if not both:
                    continue
                high = _mean([scores[better][key] for key in both])
                low = _mean([scores[worse][key] for key in both])
                for metric, more, less in zip(("similarity", "precision"), high, low, strict=True):
                    if not more > less:
                        yield (
                            f"{metric} of {better} ({more:.1f}) is not above that of {worse}"
                            f" ({less:.1f})"
                        )
