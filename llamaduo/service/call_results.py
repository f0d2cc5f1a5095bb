"""The end of one call: an answer, another attempt, a failure, or the end of all calls."""

import asyncio
import random
from dataclasses import dataclass, field
from decimal import Decimal

from llamaduo.base.errors import LlamaduoError, ServiceError
from llamaduo.base.redact import redacted
from llamaduo.base.text import encodable
from llamaduo.config import Limits
from llamaduo.intake.answers import Rejection, Reply
from llamaduo.records import Bill, Price
from llamaduo.service.kept_answers import KeptAnswer
from llamaduo.service.pace import Pace
from llamaduo.service.protocol import Request
from llamaduo.service.rate_limits import Size, Tokens

BACKOFF = 0.5  # seconds before the second attempt; doubles each time
LONGEST_BACKOFF = 30.0
BYTES_PER_TOKEN = 4  # where a service does not count them


@dataclass
class CallCounts:
    """The numbers of calls by their end. `sent` counts each attempt.

    `kept` requests were answered without a call. `retried` calls failed and were made again,
    `limited` ones were rejected by a rate limit. `failures` have no answer. `expired` calls were in
    flight when a run died, and may be paid for again.
    """

    sent: int = 0
    kept: int = 0
    retried: int = 0
    limited: int = 0
    failures: int = 0
    expired: int = 0


@dataclass(frozen=True)
class CallPolicy:
    """The rules for calls to a service.

    Limits and pace are kept for `service`, a fingerprint of where the calls go. `keeps` says
    whether answers go into the ledger. All that spends from the `purse` may together spend `cap`
    US dollars; None: no limit.
    """

    name: str
    service: str
    limits: Limits
    attempts: int
    price: Price | None
    purse: str
    cap: Decimal | None
    keeps: bool


@dataclass(slots=True)
class Call:
    """A call to make, for all requests with the same key.

    `worst` is the highest cost of one attempt in US dollars. Of the last attempt: `sent` is when it
    began (monotonic seconds), `estimate` the tokens that the pace counted it as. `bill` is that of
    the attempts before.
    """

    key: str
    requests: list[Request]
    size: Size
    worst: Decimal
    attempts: int = 0
    sent: float = 0.0
    estimate: Tokens = field(default_factory=lambda: Tokens(0, 0))
    bill: Bill = field(default_factory=Bill)


@dataclass(frozen=True)
class CallResult:
    """The cost of one attempt and its result.

    The result is an `answer`, which may be a failure; or another attempt after `retry_after`
    seconds (0: as soon as the pace allows); or a reason to `stop` all calls. `maybe_charged`
    attempts may have been paid for without a bill, so their highest cost counts as spent.
    """

    bill: Bill
    answer: KeptAnswer | None = None
    retry_after: float | None = None
    stop: LlamaduoError | None = None
    maybe_charged: bool = False


def settle(
    call: Call, task: "asyncio.Task[Reply]", policy: CallPolicy, pace: Pace, chance: random.Random
) -> CallResult:
    """Return the result of an attempt that is over, and report it to the pace."""
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if error is None:
        reply = task.result()
        bill = _paid(reply, call, policy, pace)
        whole = bill if call.attempts == 1 else call.bill + bill
        answer = KeptAnswer(encodable(reply.text), None, reply.model, reply.finish, whole)
        return CallResult(bill, answer)
    if isinstance(error, Rejection):
        return _rejected(call, error, policy, pace, chance)
    pace.passed(call.sent)
    if isinstance(error, LlamaduoError):
        return CallResult(Bill(), stop=error)
    cause = f"{type(error).__name__}: {error}"
    return CallResult(Bill(), _failure(call, cause, policy, Bill(), final=False))


def _rejected(
    call: Call, rejection: Rejection, policy: CallPolicy, pace: Pace, chance: random.Random
) -> CallResult:
    bill = Bill()
    if rejection.rate_limited:
        pace.refused(call.sent, rejection.retry_after)
    elif rejection.reply is None:
        pace.passed(call.sent)
    if rejection.reply is not None:
        bill = _paid(rejection.reply, call, policy, pace)
    if rejection.fatal:
        cause = f"service={policy.name}: {redacted(str(rejection))}"
        return CallResult(bill, stop=ServiceError(cause))
    if not rejection.retry:
        return CallResult(bill, _failure(call, str(rejection), policy, bill, final=True))
    if call.attempts >= policy.attempts:
        cause = f"{rejection} (asked {call.attempts} times)"
        failure = _failure(call, cause, policy, bill, final=False)
        return CallResult(bill, failure, maybe_charged=rejection.maybe_charged)
    if rejection.rate_limited:
        return CallResult(bill, retry_after=0.0)  # the pace waits, for all calls
    wait = min(LONGEST_BACKOFF, BACKOFF * 2.0 ** min(call.attempts - 1, 10))
    wait = max(wait * chance.uniform(0.5, 1.0), rejection.retry_after or 0.0)
    return CallResult(bill, retry_after=wait, maybe_charged=rejection.maybe_charged)


def _failure(call: Call, cause: str, policy: CallPolicy, bill: Bill, *, final: bool) -> KeptAnswer:
    cause = encodable(redacted(cause))
    return KeptAnswer(None, cause, policy.name, "stop", call.bill + bill, final)


def _paid(reply: Reply, call: Call, policy: CallPolicy, pace: Pace) -> Bill:
    """Return the bill of a reply, with estimated tokens where the service counted none."""
    read, written = reply.input_tokens, reply.output_tokens
    estimated = read is None or written is None
    if read is None:
        read = max(1, call.size.read // BYTES_PER_TOKEN)
    if written is None:
        written = -(-len(encodable(reply.text).encode()) // BYTES_PER_TOKEN)
    pace.accepted(call.sent, call.size, call.estimate, Tokens(read, written))
    bill = Bill.call(read, written, policy.price, reply.cached_tokens)
    return bill.model_copy(update={"estimated_calls": 1}) if estimated else bill


def completed(task: "asyncio.Task[Reply]") -> bool:
    """Return whether a call ended by itself, rather than by being cancelled."""
    return not task.cancelled() and isinstance(task.exception() or Exception(), Exception)


def rate_limited(task: "asyncio.Task[Reply]") -> bool:
    """Return whether a rate limit of the service rejected a call."""
    error = None if task.cancelled() else task.exception()
    return isinstance(error, Rejection) and error.rate_limited
