"""Words, sentences and ROUGE-L, for the judges and the dedup."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import snowballstemmer
from rapidfuzz.distance import LCSseq

_WORD = re.compile(r"\w+(?:['’.,:]\w+)*")
_LATIN = re.compile(r"[a-z0-9]+")
# A full stop ends a sentence only before a space; the CJK marks stand without one.
_END = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s|$)|[。！？]+[」』”’]*""")
_TITLES = re.compile(
    r"mrs?|ms|dr|prof|st|[sj]r|vs|fig|e\.?g|i\.?e|cf|approx|inc|ltd|co|dept|tel", re.IGNORECASE
)


def encodable(text: str) -> str:
    """Return a text that UTF-8 can encode: each half of a surrogate pair has become U+FFFD.

    JSON can name such a half, and no file or request can hold it. Two halves that stand together
    become the character that they mean.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def words(text: str) -> tuple[str, ...]:
    """Return the words and figures of a text as they are written, in any script.

    What is joined by an apostrophe, a point, a comma or a colon without a space is one: "didn't",
    "7.45", "1,900", "02:14". A hyphen separates.
    """
    return tuple(_WORD.findall(text))


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, in order, without the space around them.

    A line break ends one too, so that headings and list items stand alone. Full stops after titles
    ("Mr."), initials ("J. Smith") and within figures do not; neither does any before a small
    letter. Only white space is lost.
    """
    return [part for line in text.splitlines() for part in _of_line(line.strip())]


def _of_line(line: str) -> list[str]:
    parts, start = [], 0
    for mark in _END.finditer(line):
        rest = line[mark.end() :].lstrip()
        if rest and (rest[0].islower() or _abbreviates(line[start : mark.start()], mark[0], rest)):
            continue
        parts.append(line[start : mark.end()].strip())
        start = mark.end()
    parts.append(line[start:].strip())
    return [part for part in parts if part]


def _abbreviates(before: str, mark: str, rest: str) -> bool:
    if mark != "." or not before.split():
        return False
    last = before.split()[-1].lstrip("([\"'“‘")
    initial = len(last) == 1 and last.isupper() and last != "I"
    numero = last.lower() in ("no", "nr") and rest[0].isdigit()
    return initial or numero or bool(_TITLES.fullmatch(last))


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    # The stemmer is not safe to share between threads, and cheap to make; words repeat, so the
    # cache makes the cost of either vanish.
    return str(snowballstemmer.stemmer("porter").stemWord(word))


def stems(text: str) -> tuple[str, ...]:
    """Return the words of a text as ROUGE has them.

    They are lower-case runs of a-z and 0-9, with Porter stems of those over three letters. A text
    in another script has none.
    """
    return tuple(_stem(word) if len(word) > 3 else word for word in _LATIN.findall(text.lower()))


def rouge_l_of(a: Sequence[str], b: Sequence[str]) -> float:
    """Return ROUGE-L F of two texts as `stems` gives them, 0 to 1; 0 where either is empty."""
    if not a or not b:
        return 0.0
    common = LCSseq.similarity(a, b)
    return 2 * common / (len(a) + len(b))


def rouge_l(a: str, b: str) -> float:
    """Return ROUGE-L F of two texts, 0 to 1, by the longest common subsequence of stems.

    The definition is that of the `rouge_score` package with its stemmer. That package stems with
    NLTK's extension of Porter's rules, this one with Porter's own: about two words in a hundred of
    an English vocabulary come out differently ("play", "technology"), nearly always alike in both
    texts, so that most scores are the same and the rest differ by a hundredth or two.
    """
    return rouge_l_of(stems(a), stems(b))


class Overlap(NamedTuple):
    """The overlap of an answer with a reference, and with reference and task together.

    `similarity` and `precision` run from 0 to 100; `reason` gives the shared pairs in words.
    """

    similarity: float
    precision: float
    reason: str


def overlap(answer: str, reference: str, task: str) -> Overlap:
    """Score shared words and neighbouring words, as both fakes judge.

    Words in the wrong order and over-long answers lose.
    """
    ours, theirs = _pieces(answer), _pieces(reference)
    brevity = min(1.0, len(theirs) / len(ours)) if ours else 0.0
    shared = 2 * len(ours & theirs) / (len(ours) + len(theirs) or 1) * brevity
    supported = ours & (theirs | _pieces(task))
    grounded = len(supported) / len(theirs | ours) * brevity if ours else 0.0
    reason = f"{len(ours & theirs)} of {len(theirs)} word pairs shared"
    return Overlap(100 * shared, 50 * grounded + 50 * shared, reason)


def _pieces(text: str) -> set[str]:
    single = text.lower().split()
    return {*single, *(f"{a} {b}" for a, b in pairwise(single))}
