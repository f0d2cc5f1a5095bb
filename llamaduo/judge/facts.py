"""Facts of an answer that a prompt can support or not: figures, dates, names and negations.

There is no model here, only words. Number words, days, months, stop words and negations are
English; figures and names work in any language with capitals. A fact that is in the prompt in other
words ("a fortnight" for "two weeks") counts as unsupported. A fact that is there but belongs to
something else counts as supported.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from llamaduo.base.text import stems, words

FREE_COPY = 0.3  # share of the answer that names, dates and set phrases may take up
COPY_LEAVES = 0.3  # factor for an answer that is copied as a whole
REACH = 8  # stems of the prompt between two words that belong together, at most
TORN, WHOLE = 0.2, 0.55  # share of such neighbours in text without order, and in prose
DOUBT = 4  # neighbours added to every answer, so that two do not decide on a short one
UNFINISHED = 0.5  # factor for an answer that breaks off


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


DAYS = _listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _listed(
    "January February March April May June July August September October November December"
)
_UNITS = _listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_TENS = _listed("twenty thirty forty fifty sixty seventy eighty ninety")
NUMBER_WORDS = {word: n for n, word in enumerate(_UNITS)} | {
    word: 20 + 10 * n for n, word in enumerate(_TENS)
}
_TIMES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_DATE = {name.casefold(): name[:3].casefold() for name in (*DAYS, *MONTHS)} | {
    f"{name.casefold()}s": name[:3].casefold() for name in DAYS
}
MODALS = frozenset(
    _listed("is are was were has have had will would can could should must may might")
)
STOP = MODALS | frozenset(
    _listed(
        "a an the this that these those some any all each both and or but nor so if then than as of"
        " to in on at by for from with into onto over under about after before until while since"
        " because during between against be been being am having do does did done shall it its he"
        " him his she her hers they them their we us our you your i me my who whom whose which what"
        " when where why how there here not no up down out off again also just only very own same"
        " more most other such it's"
    )
)
_STOP_STEMS = frozenset(stem for word in STOP for stem in stems(word))
_NOTS = frozenset(_listed("not never cannot"))
_DENIERS = frozenset(
    _listed(
        "no without neither nor nobody nothing none hardly unable fail fails failed failing refuse"
        " refused stop stops stopped prevent prevented avoid lack lacked instead rather unless"
        " cancel cancelled miss missed missing"
    )
)
_FIGURE = re.compile(r"(\d+(?:[.,:]\d+)*)")


@dataclass(frozen=True)
class Claim:
    """A fact as the answer writes it, and the forms of which the prompt must hold one."""

    text: str
    forms: frozenset[str]


def _plain(word: str) -> str:
    """Return a word in small letters, without a possessive ending."""
    return re.sub(r"['’]s?$", "", word.casefold())


def figure_forms(figure: str) -> frozenset[str]:
    """Return the meanings of a figure: 6.30 is a decimal and a time, 0730 is 7:30 too."""
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", figure):
        figure = figure.replace(",", "")
    parts = re.split(r"[.,:]", figure)
    forms = set()
    if len(parts) == 1:
        forms.add(figure.lstrip("0") or "0")
        if len(figure) in (3, 4):
            parts = [figure[:-2], figure[-2:]]
    if len(parts) == 2:
        if ":" not in figure and parts != [figure[:-2], figure[-2:]]:
            forms.add(f"{int(parts[0])}.{parts[1].rstrip('0')}".rstrip("."))
        if len(parts[1]) == 2 and int(parts[0]) < 25 and int(parts[1]) < 60:
            forms.add(f"{int(parts[0])}:{parts[1]}")
            if parts[1] == "00":
                forms.add(str(int(parts[0])))
    return frozenset(forms or {figure})


def _spelled(tokens: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield numbers in words and their values: "thirty", "eight" is 38, "two", "hundred" is 200."""
    at = 0
    while at < len(tokens):
        start, value = at, None
        if tokens[at] in _TENS and at + 1 < len(tokens) and tokens[at + 1] in _UNITS[1:10]:
            value, at = NUMBER_WORDS[tokens[at]] + NUMBER_WORDS[tokens[at + 1]], at + 2
        elif tokens[at] in NUMBER_WORDS:
            value, at = NUMBER_WORDS[tokens[at]], at + 1
        while at < len(tokens) and tokens[at] in _TIMES:
            value, at = (value or 1) * _TIMES[tokens[at]], at + 1
        if value is not None:
            yield " ".join(tokens[start:at]), value
        at = max(at, start + 1)


def numbers(text: str) -> list[Claim]:
    """Return the figures and the numbers in words; not "one", which mostly stands for a thing."""
    claims = [Claim(figure, figure_forms(figure)) for figure in _FIGURE.findall(text)]
    tokens = [word.casefold() for word in words(text)]
    for spelling, value in _spelled(tokens):
        if spelling != "one":
            claims.append(Claim(spelling, frozenset({str(value)})))
    return claims


def dates(text: str) -> list[Claim]:
    """Return the days of the week and the months."""
    plain = ((word, _plain(word)) for word in words(text) if word[0].isupper())
    return [Claim(word, frozenset({_DATE[key]})) for word, key in plain if key in _DATE]


def names(sentence: str) -> list[Claim]:
    """Return the names: words with a capital, without dates.

    The first word of the sentence counts only before a modal or auxiliary, as in "Priya will …".
    """
    claims = []
    tokens = words(sentence)
    for at, word in enumerate(tokens):
        key = _plain(word)
        if not word[0].isupper() or key in _DATE or key in STOP or key in NUMBER_WORDS:
            continue
        if key in ("mr", "mrs", "ms", "dr"):
            continue
        if at or (len(tokens) > 1 and tokens[1] in MODALS and not key.endswith(("s", "ing"))):
            claims.append(Claim(word, frozenset(stems(key) or {key})))
    return claims


@dataclass(frozen=True)
class Polarity:
    """The stems of a text, by whether the text denies them.

    `nots` are those right after a plain "not"; `denied` are all that a negation of any kind may
    reach, which is the next three words of content in its clause; `affirmed` are the others. There
    are two widths because a fault of an answer must be certain, while its excuse need only be
    possible.
    """

    nots: frozenset[str]
    denied: frozenset[str]
    affirmed: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "Polarity":
        """Return the polarity of a text, read clause by clause."""
        nots: set[str] = set()
        denied: set[str] = set()
        affirmed: set[str] = set()
        for clause in re.split(r"[.,;:!?()—–]+(?=\s|$)", text.casefold()):
            reach, plain = 0, 0
            for word in words(clause):
                is_not = word in _NOTS or word.endswith(("n't", "n’t"))
                if is_not or word in _DENIERS:
                    reach, plain = 3, 3 if is_not else plain
                    continue
                plain -= 1  # "not because the plan was …" does not deny the plan
                if word in STOP:
                    continue
                content = [stem for stem in stems(word) if not stem.isdigit()]
                (denied if reach else affirmed).update(content)
                if plain >= 0:
                    nots.update(content)
                reach, plain = max(0, reach - 1), 0
        return cls(frozenset(nots), frozenset(denied), frozenset(affirmed))


class Evidence:
    """The words and facts of a prompt, computed once for all answers to it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stems = stems(text)

    @cached_property
    def _forms(self) -> set[str]:
        forms = {form for claim in numbers(self.text) for form in claim.forms}
        plain = [_plain(word) for word in words(self.text)]
        forms |= set(self.stems) | set(plain)
        return forms | {short for word, short in _DATE.items() if {word, short} & set(plain)}

    @cached_property
    def _polarity(self) -> Polarity:
        return Polarity.of(self.text)

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for at, stem in enumerate(self.stems):
            places.setdefault(stem, []).append(at)
        return places

    def unsupported(self, sentence: str) -> list[str]:
        """Return the figures, dates, names and negations of a sentence that the prompt has not.

        A "not" needs a prompt that denies the same word; a word that the prompt has only with a
        "not" needs one in the answer.
        """
        claims = numbers(sentence) + dates(sentence) + names(sentence)
        wrong = [claim.text for claim in claims if not claim.forms & self._forms]
        here, there = Polarity.of(sentence), self._polarity
        wrong += [f"not {stem}" for stem in sorted(here.nots - there.denied)]
        missed = (here.affirmed & there.nots) - there.affirmed - here.denied
        return wrong + [f"{stem} without its not" for stem in sorted(missed)]

    def copied(self, answer: Sequence[str], run: int) -> float:
        """Return the share of an answer's stems that are copied in runs of at least `run`."""
        if not answer:
            return 0.0
        runs = {self.stems[at : at + run] for at in range(len(self.stems) - run + 1)}
        in_run = [False] * len(answer)
        for at in range(len(answer) - run + 1):
            if tuple(answer[at : at + run]) in runs:
                in_run[at : at + run] = [True] * run
        return sum(in_run) / len(answer)

    def neighbours(self, answer: Sequence[str], reach: int) -> tuple[int, int]:
        """Count the answer's neighbouring words that are near in the prompt too, and all of them.

        Only words of content that the prompt has are used. Near is no more than `reach` stems
        apart. Words that belong together in the prompt stay together in an honest answer, and not
        in one with its words in a random order.
        """
        shared = [stem for stem in answer if stem in self._places and stem not in _STOP_STEMS]
        pairs = [(a, b) for a, b in pairwise(shared) if a != b]
        near = sum(
            any(abs(i - j) <= reach for i in self._places[a] for j in self._places[b])
            for a, b in pairs
        )
        return near, len(pairs)


def penalised_precision(
    precision: float, answer: str, evidence: Evidence, run: int
) -> tuple[float, str]:
    """Return a precision lowered for copying, disorder and breaking off, and the figures as text.

    `run` stems in a row make a copy. The constants belong to the versions of the judges that use
    this.
    """
    answer_stems = stems(answer)
    copied = evidence.copied(answer_stems, run)
    own = 1 - (1 - COPY_LEAVES) * max(0.0, copied - FREE_COPY) / (1 - FREE_COPY)
    near, pairs = evidence.neighbours(answer_stems, REACH)
    together = (near + DOUBT * WHOLE) / (pairs + DOUBT)
    order = min(1.0, max(0.0, (together - TORN) / (WHOLE - TORN)))
    ended = UNFINISHED if unfinished(answer) else 1.0
    why = f"copied {copied:.0%}, in order {order:.2f}" + ", breaks off" * (ended < 1)
    return precision * own * order * ended, why


def unfinished(text: str) -> bool:
    """Tell whether a text breaks off: its last line has no end mark.

    List items, code and lines of up to three words need none.
    """
    line = (text.rstrip().splitlines() or [""])[-1].rstrip("*_ ")
    ended = re.search(r"[.!?…。！？:;}\])>`\"'”’»|]$", line)
    is_list_item = re.match(r"\s*([-*•|#]|\d+[.)])\s", line)
    return not ended and not is_list_item and len(words(line)) > 3
