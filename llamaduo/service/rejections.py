"""What it means that a call failed: whether to ask again, when, and what to tell the user."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from llamaduo.base.redact import redacted
from llamaduo.config import ApiServiceConfig
from llamaduo.service.keys import names_of
from llamaduo.service.transport import Rejection

SHOWN = 300  # characters of a service's own words that are told
READ = 2**16  # and of those that are looked at

PASSING = {408, 409, 425}  # beside 5xx: the same call may succeed later
ASKED_TOO_MUCH = {429, 529}
PAYMENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}

_NO_MONEY = re.compile(r"credit balance is too low|insufficient (credits|balance|funds)", re.I)
_NO_MODEL = re.compile(
    r"not (found|exist|supported)|n't exist|not a valid model|unknown model", re.I
)
_DELAY = re.compile(r'"retryDelay":\s*"([\d.]+)s"')  # Google's, in the body


class _Words(NamedTuple):
    """What the body of a failed call says: for people, and by code."""

    message: str
    codes: frozenset[str]


def answered(
    config: ApiServiceConfig, status: int, headers: Mapping[str, str], body: str
) -> Rejection:
    """What an answer that is not 200 means. The names in `headers` are in lower case."""
    body = body[:READ]
    words = _words(body)
    said = f"{status} from {config.name}" + (f": {words.message}" if words.message else "")
    fatal = _fatal(config, status, words)
    if fatal is not None:
        return Rejection(f"{said} ({fatal})", fatal=True)
    after = wait(headers, body)
    limited = status in ASKED_TOO_MUCH or (status == 503 and after is not None)
    again = limited or status in PASSING or status >= 500
    return Rejection(said, again=again, limited=limited, after=after if again else None)


def broken(cause: str, *, sent: bool = True) -> Rejection:
    """A call whose answer never came whole; the next one may. `sent`: the service may have it."""
    return Rejection(shown(cause), again=True, unsure=sent)


def late(config: ApiServiceConfig) -> Rejection:
    """A call that took longer than it may; the next one may be faster."""
    return Rejection(
        f"no whole answer within {config.runtime.timeout:g} s", again=True, unsure=True
    )


def keyless(config: ApiServiceConfig, cause: str) -> Rejection:
    """A call that was not made, or not heard, for want of a key."""
    return Rejection(f"{shown(cause)} ({_about_key(config)})", fatal=True)


def shown(text: str) -> str:
    """A service's words on one line, short and without secrets."""
    words = " ".join(str(redacted(text)).split())
    return words if len(words) <= SHOWN else words[: SHOWN - 1] + "…"


def wait(headers: Mapping[str, str], body: str = "") -> float | None:
    """Seconds for which the service wants to be left alone; None where it does not say.

    A date is compared with the answer's own date, so that a wrong clock here does no harm.
    """
    said = _number(headers.get("retry-after-ms"))
    if said is not None:
        return said / 1000
    held = headers.get("retry-after")
    said = _number(held)
    if said is None and held is not None:
        then = _date(held)
        now = _date(headers.get("date")) or datetime.now(UTC)
        said = None if then is None else max(0.0, (then - now).total_seconds())
    if said is None and (delay := _DELAY.search(body)):
        said = _number(delay[1])
    return said


def _fatal(config: ApiServiceConfig, status: int, words: _Words) -> str | None:
    """What to do, where no call to this service can succeed; None where one may."""
    names = " and ".join(names_of(config))
    if status in {401, 407} or (status == 403 and "flagged" not in words.message):
        return _about_key(config)
    if _unpaid(status, words):
        return "see the account" + (f" of the key in {names}" if names else "") + " for its credit"
    at = config.api_base or "its usual address"
    if (
        status in {404, 405, 410}
        or "model_not_found" in words.codes
        or (status == 400 and config.model in words.message and _NO_MODEL.search(words.message))
    ):
        return f"see service.model={config.model} and service.api_base={at}"
    if 300 <= status < 400:
        return f"{at} sends elsewhere; set service.api_base to where"
    return None


def _about_key(config: ApiServiceConfig) -> str:
    names = " and ".join(names_of(config))
    if not names:
        return "set service.key_env to the name of the variable that holds the key"
    return f"see whether the key in {names} is valid and may use {config.model}"


def _unpaid(status: int, words: _Words) -> bool:
    if status == 402 or (status == 429 and words.codes & PAYMENT):
        return True
    return status == 400 and _NO_MONEY.search(words.message) is not None


def _words(body: str) -> _Words:
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        return _Words(shown(re.sub(r"<[^<>]*>", " ", body)), frozenset())
    if isinstance(said, list) and said:  # as Google's, which is in a list
        said = said[0]
    if not isinstance(said, dict):
        return _Words(shown(body), frozenset())
    error = said.get("error", said)
    if not isinstance(error, dict):
        return _Words(shown(str(error)), frozenset())
    message = error.get("message") or error.get("detail") or said.get("message") or body
    codes = [error.get(name) for name in ("code", "type", "status")]
    return _Words(shown(str(message)), frozenset(code for code in codes if isinstance(code, str)))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, TypeError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
