"""The origin of results: the commit of the folder in which a command ran."""

import subprocess
from functools import cache

PATIENCE = 2.0  # seconds: in a very large repository, no answer is better than a long wait


@cache
def commit() -> str | None:
    """Return the commit of this folder's git repository, `-dirty` where files were changed.

    None where there is no repository, no git, or no answer within `PATIENCE` seconds.
    """
    words = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(
            words, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
