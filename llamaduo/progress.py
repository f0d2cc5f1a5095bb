"""Progress bars for long work: rate and time left on a terminal, silence elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def bar(rows: Iterable[T], *, total: int, what: str, unit: str) -> Iterator[T]:
    """The rows as they come, with a bar that clears itself when they have all come."""
    yield from tqdm(
        rows,
        total=total,
        desc=what,
        unit=unit,
        disable=not sys.stderr.isatty(),
        leave=False,
        dynamic_ncols=True,
    )
