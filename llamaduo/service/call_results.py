"""What a call came to: an answer, another attempt, a failure, or the end of all calls."""

import asyncio
import random
from dataclasses import dataclass, field
from decimal import Decimal

from llamaduo.base.errors import LlamaduoError, ServiceError
from llamaduo.base.redact import redacted
from llamaduo.config import Limits
from llamaduo.records import Bill, Price
from llamaduo.service.ledger import KeptAnswer
from llamaduo.service.pace import Pace, Size, Tokens
from llamaduo.service.protocol import Request
from llamaduo.service.transport import Rejection, Reply

BACKOFF = 0.5  # seconds before the second attempt; doubles each time
LONGEST_BACKOFF = 30.0
BYTES_PER_TOKEN = 4  # where a service does not count them


@dataclass
class CallCounts:
    """What has become of calls: `sent` to the service, each attempt counted, and how those went.

    `kept` requests were answered without a call. `retried` calls failed and were made again,
    `limited` ones were refused as too many. `failures` have no answer. `expired` calls were under
    way when a run died, and may be paid for again.
    """

    sent: int = 0
    kept: int = 0
    retried: int = 0
    limited: int = 0
    failures: int = 0
    expired: int = 0


@dataclass(frozen=True)
class CallPolicy:
    """What calls to a service have to keep to.

    `service` stands for what the limits and the pace belong to, `keeps` says whether answers go
    into the ledger. `cap` dollars are what all that spends from the `purse` may spend.
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
    """A request that needs a call, with those like it. `worst` is what one call costs at most."""

    key: str
    requests: list[Request]
    size: Size
    worst: Decimal
    tried: int = 0
    sent: float = 0.0
    taken: Tokens = field(default_factory=lambda: Tokens(0, 0))
    bill: Bill = field(default_factory=Bill)


@dataclass(frozen=True)
class CallResult:
    """What one call took, and what it came to.

    That is an `answer`, which may be a failure; or another attempt in `again` seconds (0: as soon
    as the pace allows); or a reason to `stop` all calls. `unsure` calls may have been charged for
    without a word, so that the purse is held to have paid their worst case.
    """

    bill: Bill
    answer: KeptAnswer | None = None
    again: float | None = None
    stop: LlamaduoError | None = None
    unsure: bool = False


def settle(
    call: Call, task: "asyncio.Task[Reply]", policy: CallPolicy, pace: Pace, chance: random.Random
) -> CallResult:
    """What became of a call that is over; the pace is told."""
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if error is None:
        reply = task.result()
        bill = _paid(reply, call, policy, pace)
        whole = bill if call.tried == 1 else call.bill + bill
        return CallResult(
            bill, KeptAnswer(encodable(reply.text), None, reply.model, reply.finish, whole)
        )
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
    if rejection.limited:
        pace.refused(call.sent, rejection.after)
    elif rejection.reply is None:
        pace.passed(call.sent)
    if rejection.reply is not None:
        bill = _paid(rejection.reply, call, policy, pace)
    if rejection.fatal:
        cause = f"service={policy.name}: {redacted(str(rejection))}"
        return CallResult(bill, stop=ServiceError(cause))
    if not rejection.again:
        return CallResult(bill, _failure(call, str(rejection), policy, bill, final=True))
    if call.tried >= policy.attempts:
        cause = f"{rejection} (asked {call.tried} times)"
        failure = _failure(call, cause, policy, bill, final=False)
        return CallResult(bill, failure, unsure=rejection.unsure)
    if rejection.limited:
        return CallResult(bill, again=0.0)  # the pace waits, for all calls
    wait = min(LONGEST_BACKOFF, BACKOFF * 2.0 ** min(call.tried - 1, 10))
    wait = max(wait * chance.uniform(0.5, 1.0), rejection.after or 0.0)
    return CallResult(bill, again=wait, unsure=rejection.unsure)


def _failure(call: Call, cause: str, policy: CallPolicy, bill: Bill, *, final: bool) -> KeptAnswer:
    cause = encodable(redacted(cause))
    return KeptAnswer(None, cause, policy.name, "stop", call.bill + bill, final)


def _paid(reply: Reply, call: Call, policy: CallPolicy, pace: Pace) -> Bill:
    read, written = reply.input_tokens, reply.output_tokens
    estimated = read is None or written is None
    if read is None:
        read = max(1, call.size.read // BYTES_PER_TOKEN)
    if written is None:
        written = -(-len(encodable(reply.text).encode()) // BYTES_PER_TOKEN)
    pace.accepted(call.sent, call.size, call.taken, Tokens(read, written))
    bill = Bill.call(read, written, policy.price, reply.cached_tokens)
    return bill.model_copy(update={"estimated_calls": 1}) if estimated else bill


def encodable(text: str) -> str:
    """The text without halves of characters, which JSON can name and no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def came_in(task: "asyncio.Task[Reply]") -> bool:
    """Whether a call ended by itself, and not because all is broken off."""
    return not task.cancelled() and isinstance(task.exception() or Exception(), Exception)


def refused(task: "asyncio.Task[Reply]") -> bool:
    """Whether the service said that it is asked too much."""
    error = None if task.cancelled() else task.exception()
    return isinstance(error, Rejection) and error.limited
