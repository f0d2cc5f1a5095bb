"""JSON answers: found in what a service LLM wrote, checked, and asked for once more if need be.

A reply may have a code fence or words around its JSON, several objects, or an end that the token
limit cut off. What it says is taken where it is plain; the rest gets one request to mend it, and
becomes a `Failure` with its cause where that does not help either.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

from pydantic import BaseModel

from llamaduo.base.errors import ServiceError
from llamaduo.records import Bill, Message
from llamaduo.service.protocol import Completion, Failure, Form, Request, Service

T = TypeVar("T")

SHOWN = 20_000  # characters of an unusable reply that the request to mend it shows
NAMED = 40  # characters of an odd value that a cause repeats
CUT = ", and it is cut off by the token limit"


@dataclass(frozen=True)
class Parsed(Generic[T]):
    """What a reply was read as.

    `completion` is the reply that could be read, with the bill of both calls where it was the
    second (`repaired`).
    """

    completion: Completion
    value: T
    repaired: bool


@dataclass(frozen=True)
class _Fault:
    """A reply that cannot be used, and why."""

    reply: Completion
    cause: str

    def failure(self, also: str = "", *, final: bool, bill: Bill | None = None) -> Failure:
        return Failure(
            request_id=self.reply.request_id,
            cause=self.cause + (f"; asked again: {also}" if also else ""),
            final=final,
            bill=self.reply.bill if bill is None else self.reply.bill + bill,
        )


def ask_for(
    service: Service,
    requests: Sequence[Request],
    read: Callable[[Request, Completion], T],
) -> Iterator[Parsed[T] | Failure]:
    """One outcome per request, as they come: its reply as `read` understands it, or a `Failure`.

    `read` raises ValueError with the reason where a reply cannot be used. Each such reply gets one
    request to mend it, when the others have been answered. The ids of the requests are distinct.

    Raises:
        ServiceError: as `Service.complete` does. Rows whose reply could not be read by then have
            been yielded as failures that are not final.
    """
    asked = {request.id: request for request in requests}
    faults: dict[str, _Fault] = {}
    try:
        for outcome in service.complete(requests):
            read_one = _read(read, asked, outcome)
            if isinstance(read_one, _Fault):
                faults[outcome.request_id] = read_one
            else:
                yield read_one
        # Only now: a service makes calls while its outcomes are asked for, so those of the first
        # stream would stand still, and run out of time, while a second one is read.
        mends = [_mend(asked[id], fault) for id, fault in faults.items()]
        for outcome in service.complete(mends) if mends else ():
            fault = faults.pop(outcome.request_id)
            yield _mended(service, fault, outcome, _read(read, asked, outcome))
    except ServiceError:
        for fault in faults.values():
            yield fault.failure(final=False)
        raise


def _read(
    read: Callable[[Request, Completion], T],
    asked: Mapping[str, Request],
    outcome: Completion | Failure,
) -> Parsed[T] | Failure | _Fault:
    if isinstance(outcome, Failure):
        return outcome
    try:
        value = read(asked[outcome.request_id], outcome)
    except ValueError as error:
        return _Fault(outcome, str(error))
    return Parsed(outcome, value, repaired=False)


def _mend(request: Request, fault: _Fault) -> Request:
    """The request to answer once more: the first one, the reply, and what is wrong with it."""
    reply = fault.reply.text.encode("utf-8", "replace").decode()[:SHOWN]
    shorter = ", shorter than before" if fault.reply.finish == "length" else ""
    wrong = (
        f"That answer cannot be used: {fault.cause}. Answer the request again{shorter}, with the"
        " JSON object that it asks for and nothing else: no words around it and no code fence."
    )
    turns = (
        # Some services refuse a turn without a text.
        Message(role="assistant", content=reply if reply.strip() else "(no text)"),
        Message(role="user", content=wrong),
    )
    return request.model_copy(
        update={"messages": (*request.messages, *turns), "purpose": "repair"},
    )


def _mended(
    service: Service,
    fault: _Fault,
    outcome: Completion | Failure,
    second: Parsed[T] | Failure | _Fault,
) -> Parsed[T] | Failure:
    if isinstance(second, Parsed):
        whole = second.completion.model_copy(update={"bill": fault.reply.bill + outcome.bill})
        return Parsed(whole, second.value, repaired=True)
    if isinstance(second, _Fault):
        return fault.failure(second.cause, final=True, bill=outcome.bill)
    # A recording need not have this request, and that it has not is no news.
    told = "" if service.replays and second.final else second.cause
    return fault.failure(told, final=second.final, bill=second.bill)


@dataclass(frozen=True)
class Found:
    """The outermost whole objects of a text, in order; `broken` says what is wrong with another.

    None where every object that begins also ends.
    """

    objects: tuple[dict[str, Any], ...]
    broken: str | None = None


_START = re.compile(r'\{\s*"')
_FAILED_STARTS = 500


def objects_in(text: str) -> Found:
    """The JSON objects in a text, whatever stands around them.

    Of an object that is cut off or broken, the whole objects within it are found, so that the
    complete entries of a truncated list are not lost. Line breaks within strings are allowed, two
    values for one key are not. The time is linear in the length of the text, whatever it holds.
    """
    found: list[dict[str, Any]] = []
    broken: str | None = None
    at, failed, work = 0, 0, 0
    while match := _START.search(text, at):
        start = match.start()
        try:
            value, at = _DECODER.raw_decode(text, start)
            found.append(value)
        except (ValueError, RecursionError) as error:
            broken = broken or _wrong(error)
            failed, at = failed + 1, start + 1
            work += error.pos - start if isinstance(error, json.JSONDecodeError) else 1000
            # A text made of beginnings would be read to its end from each of them.
            if failed > _FAILED_STARTS or work > 8 * len(text) + 100_000:
                break
    return Found(tuple(found), broken)


def own_objects(request: Request, reply: Completion) -> Found:
    """The objects of a reply, without those that stand in its request.

    What a reply repeats of its request, such as the example of the form or an object in a text that
    it is asked about, is not an answer.
    """
    found = objects_in(reply.text)
    if not found.objects:
        return found
    shown = {
        _spelt(one) for message in request.messages for one in objects_in(message.content).objects
    }
    return Found(tuple(one for one in found.objects if _spelt(one) not in shown), found.broken)


def _spelt(found: Mapping[str, Any]) -> str:
    try:
        return json.dumps(found, sort_keys=True)
    except RecursionError:  # nested so deep that it could just be read, and no answer to anything
        return ""


def missing(reply: Completion, what: str, broken: str | None) -> NoReturn:
    """Says why a reply has no `what`.

    Raises:
        ValueError: always.
    """
    if not reply.text.strip():
        cause = "the reply is empty"
    elif broken:
        cause = f"no {what} in the reply: {broken}"
    else:
        cause = f"no {what} in the reply"
    raise ValueError(
        cause + (", and it is cut off by the token limit" * (reply.finish == "length"))
    )


class _TwiceError(ValueError):
    """One key has two values."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs) and any(made[key] != value for key, value in pairs):
        raise _TwiceError("its JSON has two values for one key")
    return made


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_once)


def _wrong(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its JSON is nested without end"
    if isinstance(error, json.JSONDecodeError):
        return f"its JSON is broken at character {error.pos} ({error.msg})"
    return str(error) if isinstance(error, _TwiceError) else "its JSON has a number without end"


_SCORE = re.compile(r"-?[0-9]+(\.[0-9]+)?(\s*/\s*100)?")


def score_of(found: Mapping[str, Any], name: str) -> float:
    """The score under a name: a number from 0 to 100, or a text that is one, alone or "of 100".

    87, 87.5, "87" and "85/100" are scores. What lies outside the scale, NaN, null, true, "8/10" and
    lists are not: no one knows what was meant, so nothing is made of them.

    Raises:
        ValueError: it is missing or no score; the message has its value.
    """
    if name not in found:
        raise ValueError(f"{name} is missing")
    value = found[name]
    if isinstance(value, str):
        if not _SCORE.fullmatch(value.strip()):
            raise ValueError(f"{name} is {_named(value)}, not a number from 0 to 100")
        value = float(value.partition("/")[0])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is {_named(value)}, not a number from 0 to 100")
    if not 0 <= value <= 100:  # NaN neither
        raise ValueError(f"{name} is {_named(found[name])}, outside 0 to 100")
    return float(value)


def _named(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= NAMED else text[:NAMED] + "…"


_KEPT = {"type", "description", "enum", "items", "anyOf", "properties", "const"}


def form_of(record: type[BaseModel], name: str) -> Form:
    """The form of a record, in the part of JSON Schema that strict structured output takes.

    Every field is required, no other is allowed, and the order of the fields is kept. Bounds and
    patterns are left out, as many providers refuse them: who reads the reply checks it. The
    descriptions of fields are sent.

    Raises:
        ValueError: a field may hold any keys, for which there is no strict form.
    """
    schema = record.model_json_schema()
    return Form(name=name, json_schema=_strict(schema, schema.get("$defs", {}), top=True))


def _strict(schema: Mapping[str, Any], defs: Mapping[str, Any], *, top: bool = False) -> Any:
    if "$ref" in schema:
        return _strict(defs[schema["$ref"].rpartition("/")[2]], defs, top=True)
    # The description of a record is its docstring, which speaks to programmers.
    kept = {k: v for k, v in schema.items() if k in _KEPT and not (top and k == "description")}
    if kept.get("type") == "object" and "properties" not in kept:
        raise ValueError(f"{schema.get('title', 'a field')}: an object of any keys has no form")
    if "properties" in kept:
        fields = {name: _strict(inner, defs) for name, inner in kept["properties"].items()}
        kept |= {"properties": fields, "required": [*fields], "additionalProperties": False}
    if "items" in kept:
        kept["items"] = _strict(kept["items"], defs)
    if "anyOf" in kept:
        kept["anyOf"] = [_strict(inner, defs) for inner in kept["anyOf"]]
    return kept
