"""The pairwise judge: an LLM prefers one of two answers to a prompt; a win, a tie or a loss.

A judge that prefers the first or the last place would decide by position. So each pair of answers
is shown in both orders, and a preference that changes with the order is a tie.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from pydantic import Field

from llamaduo.base.files import Json
from llamaduo.base.text import encodable
from llamaduo.config import PairwiseJudgeConfig
from llamaduo.judge.llm import PROMPTS, REASON, JudgePrompt
from llamaduo.records import Bill, JudgeFailure, Message, Prompt, Record, Response
from llamaduo.service import Completion, Failure, Request, Service, ServiceContext
from llamaduo.service import build as build_service
from llamaduo.service.fence import fenced
from llamaduo.service.reply_json import missing, own_objects
from llamaduo.service.structured import Parsed, ask_for, form_of
from llamaduo.stats.intervals import Estimate, estimate

#: Raised whenever the same replies may make other preferences.
VERSION = 1

Place: TypeAlias = Literal["A", "B", "tie"]


class Choice(Record):
    """The form of a choice that is asked for; the model writes the fields in this order."""

    reason: str = Field(description="One or two sentences: the difference that decides.")
    better: Place = Field(description="The better answer, or tie.")


FORM = form_of(Choice, "choice")


class AnswerPair(Record):
    """A response, and the answer to the same prompt that it is compared with."""

    prompt: Prompt
    response: Response
    against: str


class Preference(Record):
    """A response's win, tie or loss, and the choice in each order.

    `first` was chosen with the response as A, `second` with the response as B. Both are None where
    the two texts are the same and there was no request.
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
        """True where the same place was chosen in both orders."""
        return self.first == self.second and self.first in ("A", "B")


class WinRate(Record):
    """The share of wins, with a tie as half a win, 0 to 1, with an interval clustered by prompt.

    `flips` are among the ties; `for_first` is the share of flips that chose the first place, None
    without flips. `failures` are in no figure.
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
    """Return the win rate of some preferences, or None where there are none."""
    preferences = [row for row in rows if isinstance(row, Preference)]
    if not preferences:
        return None
    worth = {"win": 1.0, "tie": 0.5, "loss": 0.0}
    clusters: dict[str, list[float]] = defaultdict(list)
    for row in preferences:
        clusters[row.prompt_id].append(worth[row.outcome])
    sums = [(sum(points), float(len(points))) for _, points in sorted(clusters.items())]
    rate = estimate(sums, confidence=confidence, seed=seed)
    if rate.low is not None and rate.high is not None:
        rate = Estimate(value=rate.value, low=max(0.0, rate.low), high=min(1.0, rate.high))
    count = Counter(row.outcome for row in preferences)
    flips = [row for row in preferences if row.flipped]
    between = "" if rate.low is None else f" ({rate.low:.0%} to {rate.high:.0%})"
    return WinRate(
        rate=rate,
        wins=count["win"],
        ties=count["tie"],
        losses=count["loss"],
        flips=len(flips),
        for_first=sum(row.first == "A" for row in flips) / len(flips) if flips else None,
        failures=len(rows) - len(preferences),
        words=f"win rate {rate.value:.0%}{between}: {count['win']} wins, {count['tie']} ties"
        f" ({len(flips)} of them flips with the order), {count['loss']} losses",
    )


class PairwiseJudge:
    """Asks a service LLM which of two answers is better, twice for each pair.

    Two answers that differ in white space only are a tie, without a request.

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
        """Kind, version, the service, the prompt and the most tokens of a reply."""
        prompt = self._prompt
        return {
            "kind": "pairwise",
            "version": VERSION,
            "service": self._service.identity,
            "prompt": {"name": prompt.name, "version": prompt.version, "sha256": prompt.sha256},
            "max_tokens": self._max_tokens,
        }

    def compare(self, pairs: Sequence[AnswerPair]) -> Iterator[Preference | JudgeFailure]:
        """Yield one row for each pair: a preference, or the cause why there is none.

        Raises:
            ServiceError: the service cannot be used, or not within the budget; the rows before
                that have been yielded.
        """
        requests: list[Request] = []
        asked: dict[str, tuple[AnswerPair, int]] = {}
        for pair in pairs:
            if pair.response.text.split() == pair.against.split():
                yield self._preference(pair, None, None, "both answers are the same", Bill())
                continue
            for order, request in enumerate(self.requests(pair)):
                requests.append(request)
                asked[request.id] = pair, order
        #: By prompt id and k, the outcome of the order whose reply came first.
        half: dict[tuple[str, int], Parsed[Choice] | Failure] = {}
        for outcome in ask_for(self._service, requests, read) if requests else ():
            reply = outcome.completion if isinstance(outcome, Parsed) else outcome
            pair, order = asked[reply.request_id]
            key = pair.prompt.id, pair.response.k
            if key not in half:
                half[key] = outcome
                continue
            other = half.pop(key)
            yield self._row(pair, *((outcome, other) if order == 0 else (other, outcome)))

    def requests(self, pair: AnswerPair) -> list[Request]:
        """Return the two requests for a pair: its response as A, then as B."""
        both = pair.response.text, pair.against
        return [
            Request(
                id=f"{pair.prompt.id}/{pair.response.k}/{order}",
                messages=(Message(role="user", content=self._about(pair.prompt, shown)),),
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
        self, pair: AnswerPair, first: Parsed[Choice] | Failure, second: Parsed[Choice] | Failure
    ) -> Preference | JudgeFailure:
        bill = Bill.total(_bill(outcome) for outcome in (first, second))
        if isinstance(first, Parsed) and isinstance(second, Parsed):
            a, b = first.value, second.value
            reason = f"as A: {a.reason} as B: {b.reason}"
            return self._preference(pair, a.better, b.better, reason, bill)
        failures = [outcome for outcome in (first, second) if isinstance(outcome, Failure)]
        return JudgeFailure(
            prompt_id=pair.prompt.id,
            k=pair.response.k,
            cause=failures[0].cause,
            judge=self.name,
            version=self.version,
            final=all(failure.final for failure in failures),
            bill=bill,
        )

    def _preference(
        self, pair: AnswerPair, first: Place | None, second: Place | None, reason: str, bill: Bill
    ) -> Preference:
        return Preference(
            prompt_id=pair.prompt.id,
            k=pair.response.k,
            outcome=outcome_of(first, second),
            first=first,
            second=second,
            reason=reason,
            judge=self.name,
            version=self.version,
            bill=bill,
        )


def outcome_of(first: Place | None, second: Place | None) -> Literal["win", "tie", "loss"]:
    """Return the outcome for the response that was A, then B: a tie unless both orders agree."""
    if (first, second) == ("A", "B"):
        return "win"
    return "loss" if (first, second) == ("B", "A") else "tie"


def _bill(outcome: Parsed[Choice] | Failure) -> Bill:
    return outcome.completion.bill if isinstance(outcome, Parsed) else outcome.bill


def read(request: Request, reply: Completion) -> Choice:
    """Return the choice in a reply.

    Raises:
        ValueError: there is none, more than one, or one that was not offered.
    """
    own = own_objects(request, reply)
    choices = [value for value in own.objects if "better" in value]
    if own.broken or not choices:
        missing(reply, "better answer", own.broken)
    chosen = {str(value["better"]).strip().casefold() for value in choices}
    if len(chosen) > 1:
        raise ValueError(f"{len(chosen)} different choices in one reply")
    places: dict[str, Place] = {"a": "A", "b": "B", "tie": "tie"}
    better = chosen.pop().removeprefix("answer ").strip()
    if better not in places:
        raise ValueError(f'better is "{better[:40]}", not "A", "B" or "tie"')
    reason = choices[-1].get("reason")
    text = reason.strip() if isinstance(reason, str) else ""
    text = encodable(text)[: REASON // 2]
    return Choice(reason=text or "no reason given", better=places[better])


def build(config: PairwiseJudgeConfig, context: ServiceContext) -> PairwiseJudge:
    """Return the pairwise judge of the configuration, with the service LLM that it asks."""
    return PairwiseJudge(config, build_service(config.client, context))
