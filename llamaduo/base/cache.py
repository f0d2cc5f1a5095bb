"""The folder of files that take long to make and are the same for every project."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the folder that `LLAMADUO_CACHE` names, or one in the user's cache folder."""
    named = os.environ.get("LLAMADUO_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("llamaduo")
