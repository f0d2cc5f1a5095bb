"""The LLM judge: M independent verdicts of a service LLM on each response, each with a reason."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import Template

from pydantic import Field

from llamaduo.base.errors import ConfigError
from llamaduo.base.files import Json
from llamaduo.base.text import encodable
from llamaduo.config import LlmJudgeConfig
from llamaduo.judge.protocol import Item
from llamaduo.records import Bill, Judgement, Message, Record, Verdict
from llamaduo.service import Completion, Request, Service
from llamaduo.service.fence import fenced
from llamaduo.service.reply_json import missing, own_objects, score_of
from llamaduo.service.structured import Parsed, ask_for, form_of

PROMPTS = Path(__file__).parent / "prompts"

#: Raised whenever the same replies may make other verdicts.
VERSION = 1

REASON = 2000  # characters of a reason that are kept, at most


class VerdictForm(Record):
    """The form of a verdict that is asked for; the model writes the fields in this order."""

    reason: str = Field(description="One or two sentences: the largest difference or error.")
    similarity: int = Field(description="0 to 100: how much it says the same as the reference.")
    precision: int = Field(description="0 to 100: how well it does the task.")


FORM = form_of(VerdictForm, "verdict")


@dataclass(frozen=True)
class ReadVerdict:
    """The verdict that was read from a reply; its scores may be fractions."""

    reason: str
    similarity: float
    precision: float


EMPTY = ReadVerdict("the answer is empty", 0, 0)


@dataclass(frozen=True)
class JudgePrompt:
    """A file of `judge/prompts`: its name, the version in its first line, and the text after it."""

    name: str
    version: str
    template: str

    @classmethod
    def named(cls, name: str, folder: Path | None = None) -> "JudgePrompt":
        """Return the prompt with a name, from `folder` where it is not one for single answers.

        Raises:
            ConfigError: there is no such file, or it does not begin with its version.
        """
        folder = PROMPTS if folder is None else folder
        known = sorted(path.stem for path in folder.glob("*.md"))
        if name not in known:
            raise ConfigError(f"judge.prompt={name}: no such prompt. Use one of {', '.join(known)}")
        text = (folder / f"{name}.md").read_text(encoding="utf-8")
        head = re.match(r"version: (\S+)\n\n", text)
        if head is None:
            raise ConfigError(
                f"judge.prompt={name}: {name}.md does not begin with its version. Begin it with"
                ' "version: 1" and an empty line'
            )
        return cls(name, head[1], text[head.end() :])

    @property
    def sha256(self) -> str:
        """The hash of the text, which shows a change without a new version."""
        return sha256(self.template.encode()).hexdigest()

    def about(self, item: Item) -> str:
        """Return the prompt for an item, each of its texts between marks that no text contains."""
        turns = item.prompt.messages
        names = ["task"] if len(turns) == 1 else [f"task, {turn.role} message" for turn in turns]
        mark, blocks = fenced(
            [
                *((name, turn.content) for name, turn in zip(names, turns, strict=True)),
                ("reference answer", item.reference),
                ("candidate answer", item.response.text),
            ]
        )
        return self.filled(mark, blocks)

    def filled(self, mark: str, blocks: Sequence[str]) -> str:
        """Return the prompt with its texts, each between the marks."""
        return Template(self.template).substitute(mark=mark, material="\n\n".join(blocks)).strip()


class LlmJudge:
    """Asks a service LLM for each verdict, as a separate sample.

    An empty answer gets 0 and 0 without a request. `version` has the prompt's name, version and
    hash, and the version of the rules by which replies are read.

    Raises (when made):
        ConfigError: there is no prompt of that name.
    """

    def __init__(self, config: LlmJudgeConfig, service: Service) -> None:
        self.name = config.name
        self.repeats = config.repeats
        self._max_tokens = config.max_tokens
        self._service = service
        prompt = self._prompt = JudgePrompt.named(config.prompt)
        self.version = f"{prompt.name} {prompt.version} {prompt.sha256[:8]}/{VERSION}"

    @property
    def identity(self) -> Mapping[str, Json]:
        """Kind, version, the service, the prompt, M and the most tokens of a verdict."""
        prompt = self._prompt
        return {
            "kind": "llm",
            "version": VERSION,
            "service": self._service.identity,
            "prompt": {"name": prompt.name, "version": prompt.version, "sha256": prompt.sha256},
            "repeats": self.repeats,
            "max_tokens": self._max_tokens,
        }

    def assess(self, items: Sequence[Item]) -> Iterator[Judgement]:
        """Yield M rows for each item, or those wanted, as the replies come.

        Raises:
            ServiceError: the service cannot be used, or not within the budget; the rows before
                that have been yielded.
        """
        requests: list[Request] = []
        asked: dict[str, tuple[Item, int]] = {}
        for item in items:
            repeats = range(self.repeats) if item.wanted is None else item.wanted
            if not item.response.text.strip():
                yield from (self._verdict(item, m, EMPTY, Bill()) for m in repeats)
                continue
            for request, m in zip(self.requests(item, repeats), repeats, strict=True):
                requests.append(request)
                asked[request.id] = item, m
        if not requests:
            return
        for outcome in ask_for(self._service, requests, read):
            if isinstance(outcome, Parsed):
                item, m = asked[outcome.completion.request_id]
                yield self._verdict(item, m, outcome.value, outcome.completion.bill)
            else:
                item, m = asked[outcome.request_id]
                yield item.failure(self, outcome.cause, m=m, final=outcome.final, bill=outcome.bill)

    def requests(self, item: Item, repeats: Sequence[int]) -> list[Request]:
        """Return the requests for some repeats of the verdict on an item; only `sample` differs."""
        messages = (Message(role="user", content=self._prompt.about(item)),)
        return [
            Request(
                id=f"{item.prompt.id}/{item.response.k}/{m}",
                messages=messages,
                max_tokens=self._max_tokens,
                sample=m,
                form=FORM,
                purpose="judge",
            )
            for m in repeats
        ]

    def _verdict(self, item: Item, m: int, read: ReadVerdict, bill: Bill) -> Verdict:
        return item.verdict(self, read.similarity, read.precision, read.reason, m=m, bill=bill)


def read(request: Request, reply: Completion) -> ReadVerdict:
    """Return the verdict in a reply.

    An object that also stands in the request, such as one in the candidate, is not a verdict. A
    reply with a broken object has none either, since a whole object might be a quotation within the
    broken one.

    Raises:
        ValueError: there is no verdict, more than one, or one with something that is no score.
    """
    own = own_objects(request, reply)
    verdicts = [value for value in own.objects if value.keys() & {"similarity", "precision"}]
    if own.broken or not verdicts:
        missing(reply, "similarity and precision", own.broken)
    scores = {(score_of(value, "similarity"), score_of(value, "precision")) for value in verdicts}
    if len(scores) > 1:
        raise ValueError(f"{len(scores)} different verdicts in one reply")
    similarity, precision = scores.pop()
    return ReadVerdict(_reason(verdicts[-1].get("reason")), similarity, precision)


def _reason(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return encodable(text)[:REASON] or "no reason given"
