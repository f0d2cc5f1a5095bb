"""The reply or rejection that each fault of a faulty server must become."""

from dataclasses import dataclass
from typing import Any

from llamaduo.intake.answers import Reply
from support.calls import VARIABLE
from support.faulty import CACHED_TOKENS, INPUT_TOKENS, LARGE, ODD, OUTPUT_TOKENS, TORN


@dataclass(frozen=True)
class Fails:
    """The rejection that is expected; `paid` where it has a reply, `says` words of its message."""

    says: str = ""
    retry: bool = False
    rate_limited: bool = False
    retry_after: float | None = None
    fatal: bool = False
    paid: bool = False


def answers(text: str, **more: Any) -> Reply:
    return Reply(text, "tiny-2026-01-01", INPUT_TOKENS, OUTPUT_TOKENS, CACHED_TOKENS, **more)


OUTCOMES: dict[str, Fails | Reply] = {
    "ok": answers("HELLO"),
    "429": Fails("429 from loopback: Rate limit reached", retry=True, rate_limited=True),
    "429 after": Fails(retry=True, rate_limited=True, retry_after=1),
    "429 after ms": Fails(retry=True, rate_limited=True, retry_after=1.5),
    "429 date": Fails(retry=True, rate_limited=True, retry_after=2),
    "429 skewed date": Fails(retry=True, rate_limited=True, retry_after=2),
    "429 nonsense": Fails(retry=True, rate_limited=True),
    "429 quota": Fails(VARIABLE, fatal=True),
    "408": Fails(retry=True),
    "409": Fails("Conflict", retry=True),
    "425": Fails(retry=True),
    "500": Fails("The server had an error", retry=True),
    "502": Fails("502 from loopback: Bad gateway", retry=True),
    "503": Fails(retry=True, rate_limited=True, retry_after=1),
    "529": Fails("Overloaded", retry=True, rate_limited=True),
    "hang": Fails("no whole answer within 0.7 s", retry=True),
    "slow drip": Fails("no whole answer within 0.7 s", retry=True),
    "reset": Fails(retry=True),
    "half a body": Fails(retry=True),
    "invalid json": Fails(retry=True),
    "wrong schema": Fails("choices"),
    "no object": Fails(),
    "empty choices": Fails("no choices", retry=True),
    "no text": Fails("without text", paid=True),
    "error in a 200": Fails("Provider returned error", retry=True),
    "refusal": Fails("I will not write that.", paid=True),
    "length": answers("cut sh", finish="length"),
    "content filter": Fails("content filter", paid=True),
    "filtered prompt": Fails("The prompt was filtered."),
    "wrong model": Fails("tiny and service.api_base=http://127.0.0.1", fatal=True),
    "wrong path": Fails("service.api_base=http://127.0.0.1", fatal=True),
    "expired key": Fails(f"provided: ${VARIABLE}.", fatal=True),
    "forbidden": Fails(VARIABLE, fatal=True),
    "flagged": Fails("flagged"),
    "no money": Fails("Insufficient credits", fatal=True),
    "low balance": Fails("credit balance", fatal=True),
    "bad request": Fails("Invalid schema for response_format 'pairs'."),
    "too long": Fails("maximum context length"),
    "speaks of rate limits": Fails("Unknown field"),
    "unprocessable": Fails("Input should be a valid string"),
    "moved": Fails("service.api_base", fatal=True),
    "10 MB": answers("x" * LARGE),
    "33 MB": Fails("32 MiB"),
    "unicode": answers(ODD),
    "torn unicode": answers(TORN.replace("\ud83d", "\ufffd")),
    "no usage": Reply("HELLO", "tiny-2026-01-01", None, None),
}


# litellm follows the redirection, and finds no server there.
BY_LITELLM = {"moved": Fails(retry=True)}
