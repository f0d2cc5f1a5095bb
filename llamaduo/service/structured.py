"""JSON answers of a service LLM: asked for in a form, read, and asked for once more if need be.

A reply that cannot be read gets one request to repair it. Where that does not help either, the
outcome is a `Failure` with its cause.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from llamaduo.base.errors import ServiceError
from llamaduo.base.text import encodable
from llamaduo.records import Bill, Message
from llamaduo.service.protocol import Completion, Failure, Form, Request, Service

T = TypeVar("T")

SHOWN = 20_000  # characters of an unusable reply that the request to repair it shows


@dataclass(frozen=True)
class Parsed(Generic[T]):
    """The value of a reply that could be read.

    `completion` is that reply. Where it is the second one (`repaired`), its bill is that of both.
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
    """Yield one outcome per request, as they come: the value that `read` returns, or a `Failure`.

    `read` raises ValueError with the reason where a reply cannot be used. Each such reply gets one
    request to repair it, after the others have been answered. The requests' ids are distinct.

    Raises:
        ServiceError: as `Service.complete` does. Rows whose reply could not be read by then have
            been yielded as failures that are not final.
    """
    by_id = {request.id: request for request in requests}
    faults: dict[str, _Fault] = {}
    try:
        for outcome in service.complete(requests):
            result = _read(read, by_id, outcome)
            if isinstance(result, _Fault):
                faults[outcome.request_id] = result
            else:
                yield result
        # Only now: a service makes calls only while its outcomes are read. While a second iterator
        # is read, the calls of the first would stand still and time out.
        repairs = [_repair(by_id[id], fault) for id, fault in faults.items()]
        for outcome in service.complete(repairs) if repairs else ():
            fault = faults.pop(outcome.request_id)
            yield _repaired(service, fault, outcome, _read(read, by_id, outcome))
    except ServiceError:
        for fault in faults.values():
            yield fault.failure(final=False)
        raise


def _read(
    read: Callable[[Request, Completion], T],
    by_id: Mapping[str, Request],
    outcome: Completion | Failure,
) -> Parsed[T] | Failure | _Fault:
    if isinstance(outcome, Failure):
        return outcome
    try:
        value = read(by_id[outcome.request_id], outcome)
    except ValueError as error:
        return _Fault(outcome, str(error))
    return Parsed(outcome, value, repaired=False)


def _repair(request: Request, fault: _Fault) -> Request:
    """Return the request to answer once more: the first, its reply, and what is wrong with it."""
    reply = encodable(fault.reply.text)[:SHOWN]
    shorter = ", shorter than before" if fault.reply.finish == "length" else ""
    wrong = (
        f"That answer cannot be used: {fault.cause}. Answer the request again{shorter}, with the"
        " JSON object that it asks for and nothing else: no words around it and no code fence."
    )
    messages = (
        # Some services refuse a message without text.
        Message(role="assistant", content=reply if reply.strip() else "(no text)"),
        Message(role="user", content=wrong),
    )
    return request.model_copy(
        update={"messages": (*request.messages, *messages), "purpose": "repair"},
    )


def _repaired(
    service: Service,
    fault: _Fault,
    outcome: Completion | Failure,
    second: Parsed[T] | Failure | _Fault,
) -> Parsed[T] | Failure:
    if isinstance(second, Parsed):
        bill = fault.reply.bill + outcome.bill
        completion = second.completion.model_copy(update={"bill": bill})
        return Parsed(completion, second.value, repaired=True)
    if isinstance(second, _Fault):
        return fault.failure(second.cause, final=True, bill=outcome.bill)
    # A recording need not have this request: that it is missing is not worth a message.
    also = "" if service.replays and second.final else second.cause
    return fault.failure(also, final=second.final, bill=second.bill)


_KEPT = {"type", "description", "enum", "items", "anyOf", "properties", "const"}


def form_of(record: type[BaseModel], name: str) -> Form:
    """Return the form of a record, in the part of JSON Schema that strict output allows.

    Every field is required, no other is allowed, and the order of the fields is kept. Bounds and
    patterns are left out, because many providers refuse them: the reader of a reply checks them.
    The descriptions of fields are sent.

    Raises:
        ValueError: a field may hold any keys; there is no strict form for it.
    """
    schema = record.model_json_schema()
    return Form(name=name, json_schema=_strict(schema, schema.get("$defs", {}), top=True))


def _strict(schema: Mapping[str, Any], defs: Mapping[str, Any], *, top: bool = False) -> Any:
    if "$ref" in schema:
        return _strict(defs[schema["$ref"].rpartition("/")[2]], defs, top=True)
    # The description of a record is its docstring, which is for programmers.
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
