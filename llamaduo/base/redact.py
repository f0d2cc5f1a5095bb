"""Secrets, taken out of everything that is written for others to read."""

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

# As the names of variables end that hold a secret: OPENAI_API_KEY, HF_TOKEN, DB_PASSWORD.
ENDINGS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS")
LEAST = 8  # characters; a shorter value is a word like any other
#: As the names of settings end that should hold none: they are to be variables.
SETTINGS = ("apikey", "accesskey", "secretkey", "token", "password", "passwd", "secret")
_IN_ADDRESS = re.compile(r"(://[^/\s:@]*):[^/\s]+@")
# What looks like a secret wherever it came from. Each needs a digit, so that words do not count.
_SHAPES = (
    re.compile(r"\b(sk-|xai-|gsk_|hf_|gh[pousr]_|github_pat_|AIza|AKIA)(?=[\w-]*\d)[\w-]{12,}"),
    re.compile(r"(?i)\b(bearer |basic )(?=[^\s\"']*\d)[\w.~+/=-]{12,}"),
    re.compile(
        r"(?i)((?:api|access|secret)[_-]?key[\"']?\s*[=:]\s*[\"']?)"
        r"(?=[^\s\"',;&]*\d)[^\s\"',;&}]{8,}"
    ),
)

HIDDEN = "***"

_known: dict[str, str] = {}  # secret -> name


def remember(name: str, secret: str) -> None:
    """Add a secret that is taken out from now on, whatever it is called."""
    if len(secret) >= LEAST:
        _known[secret] = name


def redacted(value: Any, environ: Mapping[str, str] = os.environ) -> Any:
    """Return a JSON value without the secrets in its texts, however deep they lie.

    The value of an environment variable whose name ends as in `ENDINGS`, and every secret that is
    to be remembered, becomes `$NAME`. The password of an address, what looks like a key, and the
    text of a setting whose name says that it is one, become `***`.
    """
    secrets = {
        held: name
        for name, held in environ.items()
        if name.upper().endswith(ENDINGS) and len(held) >= LEAST
    } | _known
    return _without(value, dict(sorted(secrets.items(), key=lambda item: -len(item[0]))))


def named(setting: object) -> bool:
    """Return True for the name of a setting that holds a secret: `api_key`, `headers.token`."""
    name = str(setting).lower().rpartition(".")[2]
    return name == "authorization" or re.sub("[^a-z]", "", name).endswith(SETTINGS)


def watch() -> None:
    """Redact log records, and tracebacks that end this process, from now on."""
    if logging.getLogRecordFactory() is not _log_record:
        logging.setLogRecordFactory(_log_record)
    if sys.excepthook is not _excepthook:
        sys.excepthook = _excepthook


def _log_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    with suppress(Exception):  # a message that does not fit its arguments: logging reports it
        message = record.getMessage()
        if (clean := redacted(message)) != message:
            record.msg, record.args = clean, None
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = redacted("".join(traceback.format_exception(*record.exc_info))).rstrip()
    return record


def _excepthook(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    text = redacted("".join(traceback.format_exception(kind, error, at)))
    print(text, end="", file=sys.stderr, flush=True)


def _without(value: Any, secrets: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for held, name in secrets.items():
            value = value.replace(held, f"${name}")
        value = _IN_ADDRESS.sub(r"\1:***@", value)
        for shape in _SHAPES:
            value = shape.sub(r"\1***", value)
        return value
    if isinstance(value, Mapping):
        return {
            key: HIDDEN
            if named(key) and isinstance(inner, str) and inner
            else _without(inner, secrets)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without(inner, secrets) for inner in value]
    return value
