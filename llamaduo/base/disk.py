"""A full disk: recognised in the errors that libraries make of it, and reported in one message."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llamaduo.base.errors import LabError, LlamaduoError

# The disk, a quota, and a limit of the process.
CAUSES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Writers that are not Python's report little more than that they failed: then the disk is asked.
FEW_BYTES = 1 << 20


def full_message(error: BaseException, place: Path | None = None) -> str | None:
    """Return the message for an error that a full disk caused, None for any other error.

    It names the file that could not be written; where the error does not know it, `place`.
    """
    cause = next(filter(None, map(_cause, _chain(error))), None)
    if cause is None:
        known = place is not None and isinstance(error, RuntimeError)
        if not known or shutil.disk_usage(place).free >= FEW_BYTES:  # type: ignore[arg-type]
            return None
        cause = str(error).partition("\n")[0]
    where = next(filter(None, map(_file, _chain(error))), place or "the disk")
    return (
        f"{where}: no room left ({cause}). Free some space, and the same command goes on from here"
    )


@contextmanager
def guarded(place: Path) -> Iterator[None]:
    """Turn an error that a full disk caused into one message; let other errors pass.

    Raises:
        LabError: there was no room.
    """
    try:
        yield
    except LlamaduoError:
        raise
    except Exception as error:
        message = full_message(error, place)
        if message is None:
            raise
        raise LabError(message) from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _cause(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in CAUSES:
        return os.strerror(error.errno)  # libraries put words of their own into theirs
    if isinstance(error, sqlite3.Error):
        # The code is missing where the connection itself failed.
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        return str(error) if full else None
    # safetensors has errors of its own, in Rust's words.
    return "No space left on device" if "(os error 28)" in str(error) else None


def _file(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in CAUSES:
        name = error.filename2 or error.filename  # of a copy, the second is the one written
        return None if name is None else str(name)
    return None
