"""Where llamaduo keeps what is dear to make and the same for every project."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """`LLAMADUO_CACHE`, or the user's cache folder."""
    named = os.environ.get("LLAMADUO_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("llamaduo")
