"""A service LLM that replays a file of answers, found by the full request.

A request that differs from all recorded ones, in prompt, limit or sample number, is refused: no
answer is ever given to another question than its own.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from llamaduo.base import shipped
from llamaduo.base.errors import DataError
from llamaduo.base.files import Json
from llamaduo.config import RecordedServiceConfig
from llamaduo.records import Bill, Record, lines_of
from llamaduo.service.protocol import Completion, Failure, Request


class Recording(Record):
    """One recorded answer: the key of its request, the text, and its tokens.

    `of` is the coverage row that it belongs to, `purpose` what was asked about it. Both are for
    people and for making the keys anew; a look-up ignores them. `finish` is "length" for a text
    that was cut off.
    """

    request: str
    purpose: str
    of: str
    sample: int = Field(ge=0)
    text: str
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    finish: Literal["stop", "length"] = "stop"


class RecordedService:
    """Answers from a recording, at once and at a nominal price."""

    replays = True

    def __init__(self, config: RecordedServiceConfig) -> None:
        self.name = config.name
        self.price = config.price
        self._path = recording_path(config)
        content = _read(self._path, config.recording)
        self._sha256 = hashlib.sha256(content).hexdigest()
        self._rows = {row.request: row for row in parse(content, self._path)}

    @property
    def identity(self) -> Mapping[str, Json]:
        """The recording's content."""
        return {"kind": "recorded", "sha256": self._sha256}

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion | Failure]:
        """Yield the recorded answers, in order; a final `Failure` where none was recorded."""
        for request in requests:
            row = self._rows.get(request.key)
            if row is None:
                cause = f"{self._path.name} has no answer to the request for {request.id}"
                yield Failure(request_id=request.id, cause=cause, final=True)
            else:
                bill = Bill.call(row.input_tokens, row.output_tokens, self.price)
                yield Completion(
                    request_id=request.id,
                    text=row.text,
                    model=self.name,
                    bill=bill,
                    finish=row.finish,
                )


def recording_path(config: RecordedServiceConfig) -> Path:
    """Return the path of the recording."""
    return shipped.path_of(config.recording)


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"service.recording={name}: {error.strerror}. Give the path of a recording, "
            "or choose another service"
        ) from error


def parse(content: bytes, path: Path) -> list[Recording]:
    """Return the rows of a recording.

    Raises:
        DataError: a row is not a recorded answer; the message has its line number.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; record it again") from None
    rows = []
    for number, line in lines_of(text):
        try:
            rows.append(Recording.model_validate_json(line))
        except ValidationError as error:
            what = error.errors(include_url=False)[0]
            where = ".".join(map(str, what["loc"]))
            raise DataError(
                f"{path} line {number}: {where} {what['msg']}; record it again"
            ) from None
    return rows
