"""collect: the user's recorded pairs, checked row by row, described and split."""

import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llamaduo.base import shipped
from llamaduo.base.errors import DataError
from llamaduo.base.files import Json, write_atomically
from llamaduo.config import Dedup, TaskConfig
from llamaduo.lab import Artifact, Stage
from llamaduo.records import Message, Pair, Prompt, Record, read_jsonl, write_jsonl
from llamaduo.stages.dedup import decontaminate
from llamaduo.tracking import Run

VERSION = 2
SPLITS = ("train", "dev", "test")
REJECTS = "rejects.jsonl"
LEAST = 2  # prompts in each split: below, no interval can be had


class Reject(Record):
    """A row that cannot be used: its line number, from 1, and the reason."""

    line: int
    reason: str


class Lengths(Record):
    """Words per text: fewest, mean, most."""

    least: int
    mean: float
    most: int


class DataCard(Record):
    """What the coverage data are; written for the people who decide on them.

    `near_copies` counts the dev and test prompts that are near copies of a training prompt.
    """

    task: str
    source: str
    sha256: str
    note: str
    rows: int
    rejected: int
    system: str | None
    sizes: dict[str, int]
    near_copies: int
    prompt_words: Lengths
    response_words: Lengths


class Coverage(Artifact):
    """The coverage dataset of a task: `train.jsonl`, `dev.jsonl`, `test.jsonl`, `rejects.jsonl`."""

    card: DataCard

    def split(self, name: str) -> list[Pair]:
        """Read the pairs of train, dev or test."""
        return read_jsonl(self.home / f"{name}.jsonl", Pair)

    def publish(self, run: Run) -> None:
        """Log each split as a dataset, and the card and the rejects as files."""
        for name in SPLITS:
            pairs = self.split(name)
            rows = [{"prompt": pair.prompt.user, "response": pair.response} for pair in pairs]
            run.dataset(f"{self.card.task}-{name}", rows, name, self.card.source, self.fingerprint)
        for name in ("card.json", REJECTS):
            run.files(self.home / name)


def source_of(task: TaskConfig) -> Path:
    """Find the coverage file that the configuration names.

    Raises:
        DataError: there is no such file.
    """
    name = task.coverage
    path = shipped.path_of(name)
    if not path.is_file():
        known = ", ".join(shipped.named("cov*"))
        raise DataError(
            f"task.coverage={name}: no such file. Give the path of a JSONL file of chat messages "
            f"or of {task.prompt_column}/{task.response_column} columns, or one of: {known}"
        )
    return path


def collect(task: TaskConfig, *, near: Dedup, seed: int) -> Stage[Coverage]:
    """Define the stage that turns the task's coverage file into train, dev and test.

    `near` says what a near copy is. One across the splits is counted and left: where prompts follow
    a template, all would be each other's.
    """
    path = source_of(task)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"task.coverage={path}: {error.strerror}; make it readable") from error
    sha256 = hashlib.sha256(content).hexdigest()
    identity: dict[str, Json] = {
        "version": VERSION,
        "sha256": sha256,
        "source": task.coverage,
        "columns": [task.prompt_column, task.response_column],
        "split": task.split.identity(),
        "near": near.identity(),
        "seed": seed,
        "task": task.name,
    }

    def run(home: Path) -> Coverage:
        pairs, rejects = read_pairs(content, task)
        write_jsonl(home / REJECTS, rejects)
        splits = split(pairs, rejects, task, seed=seed, kept=home / REJECTS)
        for name, rows in splits.items():
            write_jsonl(home / f"{name}.jsonl", rows)
        note = path.with_name("README.md")
        ours = task.coverage.startswith(shipped.PREFIX) and note.is_file()
        card = DataCard(
            task=task.name,
            source=task.coverage,
            sha256=sha256,
            note=note.read_text(encoding="utf-8").strip() if ours else "",
            rows=len(pairs),
            rejected=len(rejects),
            system=_shared_system(pairs),
            sizes={name: len(rows) for name, rows in splits.items()},
            near_copies=_near_copies(splits, near),
            prompt_words=_lengths(pair.prompt.user for pair in pairs),
            response_words=_lengths(pair.response for pair in pairs),
        )
        write_atomically(home / "card.json", card.model_dump_json(indent=1) + "\n")
        counts = {f"{name}_rows": len(rows) for name, rows in splits.items()}
        counts |= {"rejected": len(rejects), "near_copies": card.near_copies}
        return Coverage(home=home, card=card, metrics=counts)

    return Stage("collect", Coverage, identity, run)


def _near_copies(splits: Mapping[str, list[Pair]], near: Dedup) -> int:
    held_out = [*splits["dev"], *splits["test"]]
    return len(held_out) - len(decontaminate(held_out, splits["train"], near))


def read_pairs(content: bytes, task: TaskConfig) -> tuple[list[Pair], list[Reject]]:
    """Read the usable pairs of a coverage file, and a reject for every other row."""
    reader = _Reader(task)
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            reader.take(number, line)
    return reader.pairs, reader.rejects


class _Reader:
    def __init__(self, task: TaskConfig) -> None:
        self._columns = (task.prompt_column, task.response_column)
        self._lines: dict[str, int] = {}  # prompt text or id → the line that has it
        self.pairs: list[Pair] = []
        self.rejects: list[Reject] = []

    def take(self, number: int, line: bytes) -> None:
        try:
            pair = self._pair(line)
            self._refuse_repeats(pair, number)
        except _RowError as error:
            self.rejects.append(Reject(line=number, reason=str(error)))
        else:
            self.pairs.append(pair)

    def _pair(self, line: bytes) -> Pair:
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise _RowError(f"not UTF-8: byte 0x{line[error.start]:02x} at {error.start}") from None
        except json.JSONDecodeError as error:
            raise _RowError(f"not JSON: {error.msg} at column {error.colno}") from None
        except (ValueError, RecursionError) as error:  # a number or a nesting without end
            raise _RowError(f"not JSON that can be read: {error}") from None
        if not isinstance(row, dict):
            raise _RowError("not a JSON object")
        messages = row["messages"] if "messages" in row else self._from_columns(row)
        turns = tuple(_message(turn) for turn in _list(messages))
        if len(turns) < 2 or turns[-1].role != "assistant":
            raise _RowError("no response: the last message is not the assistant's")
        if not any(turn.role == "user" for turn in turns[:-1]):
            raise _RowError("no prompt: there is no user message")
        prompt_id = _text(str(row.get("id") or _hash(turns[:-1])))
        return Pair(prompt=Prompt(id=prompt_id, messages=turns[:-1]), response=turns[-1].content)

    def _from_columns(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        prompt, response = self._columns
        for what, column in (("prompt", prompt), ("response", response)):
            if column not in row:
                raise _RowError(f"no {what}: neither messages nor the column {column!r}")
        turns = [("user", row[prompt]), ("assistant", row[response])]
        if row.get("system"):
            turns.insert(0, ("system", row["system"]))
        return [{"role": role, "content": content} for role, content in turns]

    def _refuse_repeats(self, pair: Pair, number: int) -> None:
        for what, key in (("prompt", _hash(pair.prompt.messages)), ("id", f"id {pair.id}")):
            first = self._lines.get(key)
            if first is not None:
                raise _RowError(f"duplicate: the same {what} as on line {first}")
        self._lines[_hash(pair.prompt.messages)] = number
        self._lines[f"id {pair.id}"] = number


class _RowError(Exception):
    pass


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _RowError("messages is not a list")
    return value


def _message(turn: Any) -> Message:
    if not isinstance(turn, dict) or turn.get("role") not in ("system", "user", "assistant"):
        raise _RowError("a message without a role of system, user or assistant")
    content = turn.get("content")
    if isinstance(content, list):
        raise _RowError("a message of parts: only texts can be used")
    if not isinstance(content, str) or not content.strip():
        what = "response" if turn["role"] == "assistant" else f"{turn['role']} message"
        raise _RowError(f"empty {what}")
    return Message(role=turn["role"], content=_text(content))


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _RowError("half a surrogate pair in a text: it is no Unicode") from None
    return text


def _hash(messages: tuple[Message, ...]) -> str:
    text = json.dumps([(turn.role, turn.content) for turn in messages])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def split(
    pairs: list[Pair],
    rejects: list[Reject],
    task: TaskConfig,
    *,
    seed: int,
    kept: Path | None = None,
) -> dict[str, list[Pair]]:
    """Split the pairs into train, dev and test, in an order that the seed decides.

    Raises:
        DataError: too few for each; the message names the file in which the rejects are `kept`.
    """

    # Ordered by a hash of seed and id, so that a few rows more move few of the others.
    def place(pair: Pair) -> str:
        return hashlib.sha256(f"{seed} {pair.id}".encode()).hexdigest()

    shuffled = sorted(pairs, key=place)
    dev, test = (round(len(pairs) * share) for share in (task.split.dev, task.split.test))
    sizes = {"dev": dev, "test": test, "train": len(pairs) - dev - test}
    if min(sizes.values()) < LEAST:
        raise DataError(_too_few(pairs, rejects, sizes, task, kept))
    return {
        "test": shuffled[:test],
        "dev": shuffled[test : test + dev],
        "train": shuffled[test + dev :],
    }


def _too_few(
    pairs: list[Pair],
    rejects: list[Reject],
    sizes: Mapping[str, int],
    task: TaskConfig,
    kept: Path | None,
) -> str:
    got = ", ".join(f"{name} {size}" for name, size in sizes.items())
    text = (
        f"task.coverage={task.coverage}: {len(pairs)} usable rows make {got}; "
        f"each needs {LEAST} or more. Add rows or change task.split."
    )
    if rejects:
        first = rejects[0]
        text += (
            f" {len(rejects)} rows were rejected, the first on line {first.line} ({first.reason})"
        )
    if rejects and kept is not None:
        text += f"; all are in {kept}"
    return text


def _shared_system(pairs: list[Pair]) -> str | None:
    found = {
        next((m.content for m in pair.prompt.messages if m.role == "system"), None)
        for pair in pairs
    }
    return found.pop() if len(found) == 1 else None


def _lengths(texts: Iterator[str]) -> Lengths:
    words = [len(text.split()) for text in texts]
    return Lengths(least=min(words), mean=round(statistics.mean(words), 1), most=max(words))
