"""The answers of a champion, in the OpenAI chat format, from a bundle on disk.

A bundle is a folder with the adapter under `adapter/` and everything else in `champion.json`. This
file knows no registry; MLflow loads a bundle by `mlflow_model.py` beside it.
"""

import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llamaduo.base.errors import RegistryError
from llamaduo.base.files import Json, fingerprint, write_atomically
from llamaduo.config import HparamsConfig, LocalConfig
from llamaduo.local import build as build_local
from llamaduo.local.revisions import by_branch
from llamaduo.records import Message, Prompt, Record, Response

log = logging.getLogger("llamaduo.champion")

#: The file by which MLflow loads a bundle; a copy is kept with each registered version.
MODEL_CODE = Path(__file__).with_name("mlflow_model.py")


class RequestError(ValueError):
    """A chat request that cannot be answered; the message says what the caller can change."""


class Bundle(Record):
    """The content of `champion.json`: all that the answers depend on, without the weights.

    `system` is the system message of the training prompts, used for requests that have none.
    `identity` is the identity of the local LLM when it was judged.
    """

    task: str
    system: str | None
    max_new_tokens: int
    seed: int
    local: LocalConfig
    hparams: HparamsConfig
    model: str
    identity: dict[str, Any]

    def save(self, home: Path) -> None:
        """Write `champion.json`; the adapter belongs in `home/adapter`."""
        write_atomically(home / "champion.json", self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, home: Path) -> "Bundle":
        """Return the bundle in a folder.

        Raises:
            RegistryError: the folder holds none that this version of llamaduo can read.
        """
        try:
            return cls.model_validate_json((home / "champion.json").read_bytes())
        except (OSError, ValidationError) as error:
            cause = _faults(error) if isinstance(error, ValidationError) else str(error)
            raise RegistryError(
                f"{home}: no champion that this version of llamaduo can read ({cause}); "
                "promote the model again"
            ) from error


class ChatRequest(BaseModel):
    """The part of an OpenAI chat request that decides the answer; other fields are ignored.

    Without a temperature the answer is greedy (0); without `max_tokens` it may be as long as when
    the model was judged. The same request gets the same answer; another `seed` gives another one at
    a temperature above 0.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    messages: tuple[Message, ...]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    n: int | None = None
    stream: bool | None = None
    stop: str | tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _can_be_answered(self) -> "ChatRequest":
        last = self.messages[-1].role if self.messages else "missing"
        if last != "user":
            raise ValueError(f"messages: the last one is {last}; end with one whose role is user")
        if self.n not in (None, 1):
            raise ValueError(f"n={self.n}: one answer to a request; ask again with another seed")
        if self.stream:
            raise ValueError("stream=true: answers come whole; leave it out")
        if self.stop:
            raise ValueError(f"stop={self.stop!r}: not supported; leave it out")
        return self

    @classmethod
    def parse(cls, request: object) -> "ChatRequest":
        """Return the request in a JSON object.

        Raises:
            RequestError: it is not a request; the message has each wrong field and its fault.
        """
        try:
            return cls.model_validate(request)
        except ValidationError as error:
            raise RequestError(_faults(error)) from error


class Answerer:
    """Answers chat requests with the model of a bundle, which it keeps in memory.

    Raises:
        RegistryError: the bundle cannot be read, or was made for other base weights.
    """

    def __init__(self, home: Path) -> None:
        self.bundle = Bundle.load(home)
        self._adapter = home / "adapter"
        self._local = build_local(self.bundle.local)
        self._refuse_other_weights()

    def _refuse_other_weights(self) -> None:
        then, now = self.bundle.identity, self._local.identity(self.bundle.hparams)
        if by_branch(now) == then:
            return  # the hub's model, under the name that its commit had
        before, today = dict(_hashes(then)), dict(_hashes(now))
        for where, made_for in before.items():
            if (present := today.get(where)) != made_for:
                raise RegistryError(
                    f"{self.bundle.model}: its adapter was trained on base weights with "
                    f"{where} {made_for}, here they have {present}; restore those weights, or "
                    "migrate and promote again"
                )
        changed = sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
        if changed:
            log.warning(
                "%s was judged under other conditions, answers may differ: %s",
                self.bundle.model,
                ", ".join(f"{key} {then.get(key)} -> {now.get(key)}" for key in changed),
            )

    def __call__(self, request: Mapping[str, Json]) -> dict[str, Json]:
        """Return the completion of one chat request.

        Raises:
            RequestError: the request cannot be answered.
        """
        return self.answer([request])[0]

    def answer(self, requests: Iterable[object]) -> list[dict[str, Json]]:
        """Return the completions of several chat requests, in their order.

        Requests with the same settings are generated together.

        Raises:
            RequestError: one of the requests cannot be answered.
        """
        parsed = [(ChatRequest.parse(request), i) for i, request in enumerate(requests)]
        answers: dict[int, dict[str, Json]] = {}
        by_settings = sorted(parsed, key=lambda pair: self._settings(pair[0]))
        for (limit, temperature, top_p, seed), alike in groupby(
            by_settings, key=lambda pair: self._settings(pair[0])
        ):
            prompts = {i: self._prompt(request) for request, i in alike}
            generated = self._local.generate(
                [(prompt, 0) for prompt in {p.id: p for p in prompts.values()}.values()],
                self.bundle.hparams,
                adapter=self._adapter,
                temperature=temperature,
                top_p=top_p,
                max_new_tokens=limit,
                seed=seed,
                scratch=None,
            )
            responses = {response.prompt_id: response for response in generated}
            answers |= {i: self._completion(responses[p.id]) for i, p in prompts.items()}
        return [answers[i] for _, i in parsed]

    def _settings(self, request: ChatRequest) -> tuple[int, float, float, int]:
        limit = request.max_completion_tokens or request.max_tokens or self.bundle.max_new_tokens
        seed = self.bundle.seed if request.seed is None else request.seed
        return limit, request.temperature or 0.0, request.top_p or 1.0, seed

    def _prompt(self, request: ChatRequest) -> Prompt:
        messages = request.messages
        has_system = any(message.role == "system" for message in messages)
        if self.bundle.system is not None and not has_system:
            messages = (Message(role="system", content=self.bundle.system), *messages)
        # A sampled answer depends on the prompt's id, so the id stands for the text alone.
        content = fingerprint("prompt", {"messages": [m.model_dump() for m in messages]})
        return Prompt(id=content, messages=messages)

    def _completion(self, response: Response) -> dict[str, Json]:
        tokens_in, tokens_out = response.prompt_tokens, response.completion_tokens
        usage: dict[str, Json] | None = None
        if tokens_in is not None and tokens_out is not None:
            usage = {
                "prompt_tokens": tokens_in,
                "completion_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
            }
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.bundle.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": response.text},
                    "finish_reason": response.finish,
                }
            ],
            "usage": usage,
        }


def _hashes(identity: Mapping[str, Json], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in identity.items():
        if isinstance(value, Mapping):
            yield from _hashes(value, f"{prefix}{key}.")
        elif "sha256" in prefix + key:
            yield prefix + key, str(value)


def _faults(error: ValidationError) -> str:
    """Return each wrong field with its fault, on one line."""
    faults = []
    for fault in error.errors(include_url=False, include_context=False):
        where = ".".join(map(str, fault["loc"]))
        what = fault["msg"].removeprefix("Value error, ")
        faults.append(f"{where}: {what}" if where else what)
    return "; ".join(faults)
