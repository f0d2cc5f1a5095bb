"""A recorder: it writes a service's answers into a file that `service=recorded` replays."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from llamaduo.base.errors import ConfigError
from llamaduo.base.files import Json
from llamaduo.records import Price
from llamaduo.service.protocol import Completion, Failure, Request, Service
from llamaduo.service.recorded import Recording, parse


class Recorder:
    """A service whose answers are also written to a file; in all else it is the one it wraps.

    An answer is in the file, as a line of JSON, before it is passed on. No request is in it twice,
    even when several processes write to it at once. Failures are not recorded.
    """

    def __init__(self, service: Service, path: Path) -> None:
        self._service = service
        self._file = _File(path)
        self.name = service.name

    @property
    def price(self) -> Price | None:
        """The service's price."""
        return self._service.price

    @property
    def identity(self) -> Mapping[str, Json]:
        """The service's identity: recording changes no answer."""
        return self._service.identity

    @property
    def replays(self) -> bool:
        """True where the service itself replays a file."""
        return self._service.replays

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion | Failure]:
        """Yield the service's outcomes, each once it is recorded.

        Raises:
            ConfigError: the file cannot be written to.
        """
        by_id = {request.id: request for request in requests}
        for outcome in self._service.complete(requests):
            if isinstance(outcome, Completion):
                self._file.add(_recording(by_id[outcome.request_id], outcome))
            yield outcome


def _recording(request: Request, answer: Completion) -> Recording:
    return Recording(
        request=request.key,
        purpose=request.purpose,
        of=request.id,
        sample=request.sample,
        text=answer.text,
        input_tokens=answer.bill.input_tokens,
        output_tokens=answer.bill.output_tokens,
        finish=answer.finish,
    )


class _File:
    """A recording that several processes append to, each row once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._known: set[str] = set()
        self._read = 0  # bytes of the file whose rows are known

    def add(self, row: Recording) -> None:
        """Append a row and flush it, unless the file has the answer to its request."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, self._path.open("a+b") as file:
                self._catch_up(file)
                if row.request not in self._known:
                    line = row.model_dump_json().encode() + b"\n"
                    file.write(line)
                    file.flush()
                    self._known.add(row.request)
                    self._read += len(line)
        except OSError as error:
            raise ConfigError(
                f"service.record={self._path}: {error.strerror}; give a file that can be written"
            ) from error

    def _catch_up(self, file: BinaryIO) -> None:
        """Read what others wrote meanwhile; remove a line that a killed process left unfinished.

        Writers hold the lock, so nobody is still writing an unfinished line.
        """
        if file.seek(0, os.SEEK_END) < self._read:
            self._known, self._read = set(), 0  # the file was replaced
        file.seek(self._read)
        new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        if len(complete) < len(new):
            file.truncate(self._read + len(complete))
        self._known |= {row.request for row in parse(complete, self._path)}
        self._read += len(complete)
