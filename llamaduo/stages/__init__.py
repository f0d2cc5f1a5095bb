"""The stages of a migration, one a file; each binds its inputs and says what identifies them."""

import hashlib
from collections.abc import Iterable

from pydantic import BaseModel


def digest(rows: Iterable[BaseModel]) -> str:
    """Stands for the content of rows, in their order: sha256, sixteen hex digits."""
    total = hashlib.sha256()
    for row in rows:
        total.update(row.model_dump_json().encode() + b"\n")
    return total.hexdigest()[:16]
