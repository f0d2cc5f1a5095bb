"""Standard output that belongs to one JSON document, for a command with `format=json`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from pydantic_core import to_json, to_jsonable_python

from llamaduo.base.redact import redacted

OUT, ERR = 1, 2


@contextmanager
def reserved() -> Iterator[Callable[[object], None]]:
    """Give a function that writes one document; whatever else is printed goes to standard error.

    The file itself is turned away, so that what libraries and other processes print goes there as
    well. The document is UTF-8. Decimals are texts, so that nothing is rounded; an infinite number
    is null; secrets are taken out.
    """
    sys.stdout.flush()
    kept = os.dup(OUT)
    os.dup2(ERR, OUT)

    def show(document: object) -> None:
        text = to_json(redacted(to_jsonable_python(document)), indent=1, inf_nan_mode="null")
        with os.fdopen(os.dup(kept), "wb") as out:
            out.write(text + b"\n")

    try:
        with redirect_stdout(sys.stderr):  # also where it is no longer the file
            yield show
    finally:
        sys.stdout.flush()
        os.dup2(kept, OUT)
        os.close(kept)
