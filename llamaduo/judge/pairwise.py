"""Which of two answers to a prompt an LLM prefers: win, tie or loss, asked in both orders.

A judge that likes what it sees first, or last, would decide by position. So each pair of answers is
shown twice with places changed, and a preference that turns with the places is a tie.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from pydantic import Field

from llamaduo.base.files import Json
from llamaduo.config import PairwiseJudgeConfig
from llamaduo.judge.llm import PROMPTS, REASON, JudgePrompt
from llamaduo.records import Bill, JudgeFailure, Message, Prompt, Record, Response
from llamaduo.service import Completion, Failure, Request, Service, Setting
from llamaduo.service import build as build_service
from llamaduo.service.fence import fenced
from llamaduo.service.structured import Parsed, ask_for, form_of, missing, own_objects
from llamaduo.stats.intervals import Estimate, estimate

#: Raised whenever the same replies may make other preferences.
VERSION = 1

Place: TypeAlias = Literal["A", "B", "tie"]
ORDERS = 2  # the candidate as A, then as B


class Choice(Record):
    """What is asked for, in the order in which the model writes it."""

    reason: str = Field(description="One or two sentences: the difference that decides.")
    better: Place = Field(description="The better answer, or tie.")


FORM = form_of(Choice, "choice")


class AnswerPair(Record):
    """A response and the answer that it is held against, to one prompt."""

    prompt: Prompt
    response: Response
    against: str


class Preference(Record):
    """How a response fared: win, tie or loss, and what was chosen in either order.

    `first` was chosen with the response as A, `second` with it as B; both None where the two texts
    are one and nobody was asked. `flipped` says that the choice turned with the places.
    """

    prompt_id: str
    k: int = Field(ge=0)
    outcome: Literal["win", "tie", "loss"]
    first: Place | None
    second: Place | None
    reason: str
    judge: str
    version: str
    bill: Bill = Bill()

    @property
    def flipped(self) -> bool:
        """Whether the same place was chosen in both orders."""
        return self.first == self.second and self.first in ("A", "B")


class WinRate(Record):
    """Wins and half the ties over all, 0 to 1, with an interval clustered by prompt.

    `flips` are among the ties; `for_first` is the share of flips that chose what was shown first,
    None without flips. `failures` are in no figure.
    """

    rate: Estimate
    wins: int
    ties: int
    losses: int
    flips: int
    for_first: float | None
    failures: int
    words: str


def win_rate(
    rows: Sequence[Preference | JudgeFailure], *, confidence: float, seed: int
) -> WinRate | None:
    """The win rate of some preferences, or None where there is none."""
    found = [row for row in rows if isinstance(row, Preference)]
    if not found:
        return None
    worth = {"win": 1.0, "tie": 0.5, "loss": 0.0}
    clusters: dict[str, list[float]] = defaultdict(list)
    for row in found:
        clusters[row.prompt_id].append(worth[row.outcome])
    sums = [(sum(of), float(len(of))) for _, of in sorted(clusters.items())]
    rate = estimate(sums, confidence=confidence, seed=seed)
    if rate.low is not None and rate.high is not None:
        rate = Estimate(value=rate.value, low=max(0.0, rate.low), high=min(1.0, rate.high))
    count = Counter(row.outcome for row in found)
    flips = [row for row in found if row.flipped]
    between = "" if rate.low is None else f" ({rate.low:.0%} to {rate.high:.0%})"
    return WinRate(
        rate=rate,
        wins=count["win"],
        ties=count["tie"],
        losses=count["loss"],
        flips=len(flips),
        for_first=sum(row.first == "A" for row in flips) / len(flips) if flips else None,
        failures=len(rows) - len(found),
        words=f"win rate {rate.value:.0%}{between}: {count['win']} wins, {count['tie']} ties"
        f" ({len(flips)} of them flips with the order), {count['loss']} losses",
    )


class PairwiseJudge:
    """Asks a service LLM which of two answers is better, twice for each pair.

    Two answers that are the same but for white space are a tie, without asking.

    Raises (when made):
        ConfigError: there is no prompt of that name.
    """

    def __init__(self, config: PairwiseJudgeConfig, service: Service) -> None:
        self.name = config.name
        self._max_tokens = config.max_tokens
        self._service = service
        prompt = self._prompt = JudgePrompt.named(config.prompt, PROMPTS / "pairwise")
        self.version = f"{prompt.name} {prompt.version} {prompt.sha256[:8]}/{VERSION}"

    @property
    def identity(self) -> Mapping[str, Json]:
        """Kind, version, the service that is asked, the prompt and the cap on a reply."""
        prompt = self._prompt
        return {
            "kind": "pairwise",
            "version": VERSION,
            "service": self._service.identity,
            "prompt": {"name": prompt.name, "version": prompt.version, "sha256": prompt.sha256},
            "max_tokens": self._max_tokens,
        }

    def compare(self, matches: Sequence[AnswerPair]) -> Iterator[Preference | JudgeFailure]:
        """One row per match: a preference, or the cause why there is none.

        Raises:
            ServiceError: the service cannot be used, or not within the budget; the rows before it
                have been yielded.
        """
        requests: list[Request] = []
        asked: dict[str, tuple[AnswerPair, int]] = {}
        for match in matches:
            if match.response.text.split() == match.against.split():
                yield self._preference(match, None, None, "both answers are the same", Bill())
                continue
            for order, request in enumerate(self.requests(match)):
                requests.append(request)
                asked[request.id] = match, order
        half: dict[tuple[str, int], Parsed[Choice] | Failure] = {}
        for outcome in ask_for(self._service, requests, read) if requests else ():
            named = outcome.completion if isinstance(outcome, Parsed) else outcome
            match, order = asked[named.request_id]
            key = match.prompt.id, match.response.k
            if key not in half:
                half[key] = outcome
                continue
            other = half.pop(key)
            yield self._row(match, *((outcome, other) if order == 0 else (other, outcome)))

    def requests(self, match: AnswerPair) -> list[Request]:
        """The two requests for a match: its response as A, then as B."""
        both = match.response.text, match.against
        return [
            Request(
                id=f"{match.prompt.id}/{match.response.k}/{order}",
                messages=(Message(role="user", content=self._about(match.prompt, shown)),),
                max_tokens=self._max_tokens,
                form=FORM,
                purpose="judge",
            )
            for order, shown in enumerate((both, both[::-1]))
        ]

    def _about(self, prompt: Prompt, shown: tuple[str, str]) -> str:
        turns = prompt.messages
        names = ["task"] if len(turns) == 1 else [f"task, {turn.role} message" for turn in turns]
        texts = [(name, turn.content) for name, turn in zip(names, turns, strict=True)]
        mark, blocks = fenced([*texts, ("answer A", shown[0]), ("answer B", shown[1])])
        return self._prompt.filled(mark, blocks)

    def _row(
        self, match: AnswerPair, first: Parsed[Choice] | Failure, second: Parsed[Choice] | Failure
    ) -> Preference | JudgeFailure:
        bill = Bill.total(_bill(one) for one in (first, second))
        if isinstance(first, Parsed) and isinstance(second, Parsed):
            a, b = first.value, second.value
            reason = f"as A: {a.reason} as B: {b.reason}"
            return self._preference(match, a.better, b.better, reason, bill)
        failures = [one for one in (first, second) if isinstance(one, Failure)]
        return JudgeFailure(
            prompt_id=match.prompt.id,
            k=match.response.k,
            cause=failures[0].cause,
            judge=self.name,
            version=self.version,
            final=all(one.final for one in failures),
            bill=bill,
        )

    def _preference(
        self, match: AnswerPair, first: Place | None, second: Place | None, reason: str, bill: Bill
    ) -> Preference:
        return Preference(
            prompt_id=match.prompt.id,
            k=match.response.k,
            outcome=outcome_of(first, second),
            first=first,
            second=second,
            reason=reason,
            judge=self.name,
            version=self.version,
            bill=bill,
        )


def outcome_of(first: Place | None, second: Place | None) -> Literal["win", "tie", "loss"]:
    """How the response fared that was A first and B then: what both orders bear out, else a tie."""
    if (first, second) == ("A", "B"):
        return "win"
    return "loss" if (first, second) == ("B", "A") else "tie"


def _bill(one: Parsed[Choice] | Failure) -> Bill:
    return one.completion.bill if isinstance(one, Parsed) else one.bill


def read(request: Request, reply: Completion) -> Choice:
    """The choice in a reply.

    Raises:
        ValueError: there is none, more than one, or one of something that was not offered.
    """
    found = own_objects(request, reply)
    named = [one for one in found.objects if "better" in one]
    if found.broken or not named:
        missing(reply, "better answer", found.broken)
    chosen = {str(one["better"]).strip().casefold() for one in named}
    if len(chosen) > 1:
        raise ValueError(f"{len(chosen)} different choices in one reply")
    places: dict[str, Place] = {"a": "A", "b": "B", "tie": "tie"}
    said = chosen.pop().removeprefix("answer ").strip()
    if said not in places:
        raise ValueError(f'better is "{said[:40]}", not "A", "B" or "tie"')
    reason = named[-1].get("reason")
    text = reason.strip() if isinstance(reason, str) else ""
    text = text.encode("utf-8", "replace").decode()[: REASON // 2]
    return Choice(reason=text or "no reason given", better=places[said])


def build(config: PairwiseJudgeConfig, setting: Setting) -> PairwiseJudge:
    """The pairwise judge that the configuration names, with the service LLM that it asks."""
    return PairwiseJudge(config, build_service(config.client, setting))
