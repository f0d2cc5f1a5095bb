"""Rejections by their cause: whether to ask again, when, and what the user can do."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from llamaduo.base.redact import redacted
from llamaduo.config import ApiServiceConfig
from llamaduo.intake.answers import Rejection
from llamaduo.service.keys import names_of

SHOWN = 300  # characters of a service's message that are shown
READ = 2**16  # and that are read

TEMPORARY = {408, 409, 425}  # besides 5xx: the same call may succeed later
RATE_LIMITED = {429, 529}
PAYMENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}

_NO_MONEY = re.compile(r"credit balance is too low|insufficient (credits|balance|funds)", re.I)
_NO_MODEL = re.compile(
    r"not (found|exist|supported)|n't exist|not a valid model|unknown model", re.I
)
_DELAY = re.compile(r'"retryDelay":\s*"([\d.]+)s"')  # Google's, in the body


class _Words(NamedTuple):
    """The body of a failed call: its message, and its error codes."""

    message: str
    codes: frozenset[str]


def from_response(
    config: ApiServiceConfig, status: int, headers: Mapping[str, str], body: str
) -> Rejection:
    """Return the rejection for a response that is not 200. Names in `headers` are lower-case."""
    body = body[:READ]
    words = _words(body)
    cause = f"{status} from {config.name}" + (f": {words.message}" if words.message else "")
    fatal = _fatal(config, status, words)
    if fatal is not None:
        return Rejection(f"{cause} ({fatal})", fatal=True)
    seconds = retry_after(headers, body)
    limited = status in RATE_LIMITED or (status == 503 and seconds is not None)
    retry = limited or status in TEMPORARY or status >= 500
    return Rejection(
        cause, retry=retry, rate_limited=limited, retry_after=seconds if retry else None
    )


def broken(cause: str, *, sent: bool = True) -> Rejection:
    """Return the rejection for an answer that did not arrive whole.

    `sent`: the service may have got the call, and charged for it.
    """
    return Rejection(shown(cause), retry=True, maybe_charged=sent)


def timed_out(config: ApiServiceConfig) -> Rejection:
    """Return the rejection for a call that took longer than its timeout."""
    return Rejection(
        f"no whole answer within {config.runtime.timeout:g} s", retry=True, maybe_charged=True
    )


def missing_key(config: ApiServiceConfig, cause: str) -> Rejection:
    """Return the rejection for a call that failed because there is no key."""
    return Rejection(f"{shown(cause)} ({_about_key(config)})", fatal=True)


def shown(text: str) -> str:
    """Return a service's message on one line, shortened and without secrets."""
    words = " ".join(str(redacted(text)).split())
    return words if len(words) <= SHOWN else words[: SHOWN - 1] + "…"


def retry_after(headers: Mapping[str, str], body: str = "") -> float | None:
    """Return the seconds that the service asks to wait; None where it does not say.

    A date is compared with the response's own date, so a wrong clock here does no harm.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    header = headers.get("retry-after")
    seconds = _number(header)
    if seconds is None and header is not None:
        then = _date(header)
        now = _date(headers.get("date")) or datetime.now(UTC)
        seconds = None if then is None else max(0.0, (then - now).total_seconds())
    if seconds is None and (delay := _DELAY.search(body)):
        seconds = _number(delay[1])
    return seconds


def _fatal(config: ApiServiceConfig, status: int, words: _Words) -> str | None:
    """Return the user's next act where no call to this service can succeed, else None."""
    names = " and ".join(names_of(config))
    if status in {401, 407} or (status == 403 and "flagged" not in words.message):
        return _about_key(config)
    if _unpaid(status, words):
        return "check the credit of the account" + (f" of the key in {names}" if names else "")
    at = config.api_base or "its usual address"
    if (
        status in {404, 405, 410}
        or "model_not_found" in words.codes
        or (status == 400 and config.model in words.message and _NO_MODEL.search(words.message))
    ):
        return f"check service.model={config.model} and service.api_base={at}"
    if 300 <= status < 400:
        return f"{at} redirects to another address; set service.api_base to that address"
    return None


def _about_key(config: ApiServiceConfig) -> str:
    names = " and ".join(names_of(config))
    if not names:
        return "set service.key_env to the name of the variable that holds the key"
    return f"check that the key in {names} is valid and may use {config.model}"


def _unpaid(status: int, words: _Words) -> bool:
    if status == 402 or (status == 429 and words.codes & PAYMENT):
        return True
    return status == 400 and _NO_MONEY.search(words.message) is not None


def _words(body: str) -> _Words:
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        return _Words(shown(re.sub(r"<[^<>]*>", " ", body)), frozenset())
    if isinstance(content, list) and content:  # Google's is in a list
        content = content[0]
    if not isinstance(content, dict):
        return _Words(shown(body), frozenset())
    error = content.get("error", content)
    if not isinstance(error, dict):
        return _Words(shown(str(error)), frozenset())
    message = error.get("message") or error.get("detail") or content.get("message") or body
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
