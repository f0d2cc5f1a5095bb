"""The rows that files hold, and how they get in and out of JSONL.

Every record is frozen. A file of records is UTF-8, one JSON object a line, in the order in which
the rows were made, so a file that was being written when its process died is a valid beginning.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from llamaduo.cost import Bill


class Record(BaseModel):
    """A frozen row; unknown keys are refused, not dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    """One turn of a conversation, in the terms of the OpenAI chat format."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Record):
    """What a model is asked: every message up to the answer.

    `id` is unique within its dataset and stays with everything that is made from the prompt.
    """

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)

    @property
    def user(self) -> str:
        """The text of the last user message: what the answer is about."""
        return next(m.content for m in reversed(self.messages) if m.role == "user")


class Pair(Record):
    """A prompt and the service LLM's answer to it.

    `origin` tells the user's own rows from synthesised ones; a synthesised pair names the
    coverage pair that it was modelled on in `seed_id`.
    """

    prompt: Prompt
    response: str
    origin: Literal["coverage", "synthesis"] = "coverage"
    seed_id: str | None = None

    @property
    def id(self) -> str:
        """The id of the prompt."""
        return self.prompt.id


class Response(Record):
    """Answer k of K of a model to one prompt.

    `prompt_tokens` and `completion_tokens` are counted by the tokenizer of the model that answered
    (None where it has none, as a copy baseline). `finish` is "length" for a text cut by the limit.
    """

    prompt_id: str
    k: int = Field(ge=0)
    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish: Literal["stop", "length"] = "stop"


def _nothing(bill: Bill) -> bool:
    return bill == Bill()


class Verdict(Record):
    """What a judge says of one response: similarity and precision, 0 to 100 each.

    `m` of M repeats; `bill` is what it took, and is not written where that is nothing.
    """

    prompt_id: str
    k: int = Field(ge=0)
    m: int = Field(default=0, ge=0)
    similarity: float = Field(ge=0, le=100, allow_inf_nan=False)
    precision: float = Field(ge=0, le=100, allow_inf_nan=False)
    reason: str
    judge: str
    version: str
    bill: Bill = Field(default=Bill(), exclude_if=_nothing)


class JudgeFailure(Record):
    """A response that the judge could not score, and why: counted, never averaged in.

    `final` says that judging it again cannot help, and is written where it can.
    """

    prompt_id: str
    k: int = Field(ge=0)
    m: int = Field(default=0, ge=0)
    cause: str
    judge: str
    version: str
    final: bool = Field(default=True, exclude_if=bool)
    bill: Bill = Field(default=Bill(), exclude_if=_nothing)


R = TypeVar("R", bound=BaseModel)


def write_jsonl(path: Path, rows: Iterable[BaseModel]) -> None:
    """Write rows to a new file, one a line."""
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(row.model_dump_json(exclude_none=True) + "\n")


def read_jsonl(path: Path, kind: type[R]) -> list[R]:
    """Read a whole file of one kind of record."""
    with path.open(encoding="utf-8") as lines:
        return [kind.model_validate_json(line) for line in lines]


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Non-blank lines of a JSONL text with their numbers, from 1.

    Splits at newlines only: JSON strings may hold U+2028 and its kin, at which `splitlines` cuts.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def read_rows(path: Path, *kinds: type[Record]) -> list[Record]:
    """Read a whole file whose rows are of several kinds, told apart by their keys."""
    return _rows(path.read_bytes(), kinds)


def _rows(content: bytes, kinds: tuple[type[Record], ...]) -> list[Record]:
    found = []
    for _, line in lines_of(content.decode("utf-8")):
        keys = json.loads(line).keys()
        fits = [kind for kind in kinds if keys <= kind.model_fields.keys()]
        found.append((fits or list(kinds))[0].model_validate_json(line))
    return found


class RowFile:
    """A JSONL file that long work appends to, row by row, and that a later start goes on from.

    `with RowFile(path, Response) as rows: rows.done …; rows.add(row)`. A last line that a kill cut
    short is dropped at the next start.
    """

    def __init__(self, path: Path, *kinds: type[Record]) -> None:
        self.path = path
        self._kinds = kinds
        self.done: list[Record] = []
        self._out: IO[str] | None = None

    def __enter__(self) -> Self:
        """Read what is there, cut off a torn line, and open for appending."""
        if self.path.exists():
            whole = self.path.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]
            self.done = _rows(whole, self._kinds)
            with self.path.open("r+b") as torn:
                torn.truncate(len(whole))
        self._out = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        if self._out is not None:
            self._out.close()

    def add(self, row: Record) -> None:
        """Append one row and hand it to the operating system, so that a kill does not lose it."""
        assert self._out is not None, "RowFile is used as a context manager"
        self._out.write(row.model_dump_json() + "\n")
        self._out.flush()
        self.done.append(row)
