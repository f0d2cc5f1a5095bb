"""A lock that tells whether the process that opened a run still lives."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout


class ProcessLock:
    """A lock file that a process holds while it has work open in a store.

    The work is a run, a trial or a call; what is written of it bears `id`. The operating system
    frees the lock of a process that dies, however it dies. The file stays, so that the next process
    finds it and closes the work of that id. The file stays, too, while work that was `opened` has
    not been `closed`, as where a living process could not reach the store.
    """

    def __init__(self, folder: Path, store: str) -> None:
        self._folder = folder
        # One folder may serve several stores; each start looks after the work in its own.
        self._store = sha256(store.encode()).hexdigest()[:8]
        self.id = f"{self._store}-{uuid.uuid4().hex}"
        self._file = FileLock(folder / f"{self.id}.lock", thread_local=False)
        self._holders = 0
        self._open = 0
        self._mutex = threading.Lock()

    @contextmanager
    def held(self, close_work_of: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock, after closing the work of processes that died.

        `close_work_of` gets the id of each of them.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        # One process at a time: a file that is just being locked would pass for a dead process's.
        with self._mutex, FileLock(self._folder / "guard.lock"):
            self._reap(close_work_of)
            if self._holders == 0:
                self._file.acquire()
            self._holders += 1
        try:
            yield
        finally:
            with self._mutex:
                self._holders -= 1
                if self._holders == 0:
                    if self._open == 0:
                        Path(self._file.lock_file).unlink(missing_ok=True)
                    self._file.release()

    def opened(self) -> None:
        """Count one piece of work that is about to be opened."""
        with self._mutex:
            self._open += 1

    def closed(self) -> None:
        """Count one piece of work that has been closed."""
        with self._mutex:
            self._open -= 1

    def _reap(self, close_work_of: Callable[[str], None]) -> None:
        for path in self._folder.glob(f"{self._store}-*.lock"):
            if path.stem == self.id:
                continue
            with suppress(Timeout), FileLock(path, timeout=0):
                close_work_of(path.stem)
                path.unlink(missing_ok=True)
