"""Whose runs are orphans: a process's sign of life, which ends with it however it ends."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout


class Owner:
    """A lock file that a process holds while it has runs open.

    The operating system frees the lock of a process that dies. The file stays, and says whose runs
    are orphans until someone has closed them. It stays as well where a process that lives on could
    not close a run: what `begins` is to be `ended`.
    """

    def __init__(self, folder: Path, store: str) -> None:
        self._folder = folder
        # One folder may serve several databases; each start looks after the runs of its own.
        self._store = sha256(store.encode()).hexdigest()[:8]
        self.id = f"{self._store}-{uuid.uuid4().hex}"
        self._sign = FileLock(folder / f"{self.id}.lock", thread_local=False)
        self._open = 0
        self._runs = 0
        self._mutex = threading.Lock()

    @contextmanager
    def alive(self, close_runs_of: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock, after closing the runs of owners whose lock nobody holds."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # One process at a time: nobody takes a file for an orphan's that is just being locked.
        with self._mutex, FileLock(self._folder / "guard.lock"):
            self._reap(close_runs_of)
            if self._open == 0:
                self._sign.acquire()
            self._open += 1
        try:
            yield
        finally:
            with self._mutex:
                self._open -= 1
                if self._open == 0:
                    if self._runs == 0:
                        Path(self._sign.lock_file).unlink(missing_ok=True)
                    self._sign.release()

    def begins(self) -> None:
        """A run is about to be opened."""
        with self._mutex:
            self._runs += 1

    def ended(self) -> None:
        """A run has been closed."""
        with self._mutex:
            self._runs -= 1

    def _reap(self, close_runs_of: Callable[[str], None]) -> None:
        for path in self._folder.glob(f"{self._store}-*.lock"):
            if path.stem == self.id:
                continue
            with suppress(Timeout), FileLock(path, timeout=0):
                close_runs_of(path.stem)
                path.unlink(missing_ok=True)
