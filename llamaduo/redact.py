"""Takes secrets out of what is written for others to read."""

import os
import re
from collections.abc import Mapping
from typing import Any

# As the names of variables end that hold a secret: OPENAI_API_KEY, HF_TOKEN, DB_PASSWORD.
ENDINGS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS")
LEAST = 8  # characters; a shorter value is a word like any other
_IN_ADDRESS = re.compile(r"(://[^/\s:@]*):[^/\s]+@")


def redacted(value: Any, environ: Mapping[str, str] = os.environ) -> Any:
    """A JSON value without the secrets in its texts, however deep they lie.

    The password of an address becomes `***`, and the value of an environment variable whose name
    ends as in `ENDINGS` becomes `$NAME`.
    """
    secrets = {
        held: name
        for name, held in environ.items()
        if name.upper().endswith(ENDINGS) and len(held) >= LEAST
    }
    return _without(value, dict(sorted(secrets.items(), key=lambda item: -len(item[0]))))


def _without(value: Any, secrets: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for held, name in secrets.items():
            value = value.replace(held, f"${name}")
        return _IN_ADDRESS.sub(r"\1:***@", value)
    if isinstance(value, Mapping):
        return {key: _without(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without(inner, secrets) for inner in value]
    return value
