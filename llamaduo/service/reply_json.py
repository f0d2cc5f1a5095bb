"""The JSON objects in a service LLM's reply, and the scores in them.

A reply may have a code fence or words around its JSON, several objects, or an end that the token
limit cut off. What is plain is read; nothing is guessed.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from llamaduo.service.protocol import Completion, Request

NAMED = 40  # characters of an odd value that a cause repeats


@dataclass(frozen=True)
class JsonObjects:
    """The outermost complete objects of a text, in order.

    `broken` says what is wrong with the first that is not; None where all are complete.
    """

    objects: tuple[dict[str, Any], ...]
    broken: str | None = None


_START = re.compile(r'\{\s*"')
_FAILED_STARTS = 500


def objects_in(text: str) -> JsonObjects:
    """Return the JSON objects in a text, whatever stands around them.

    Of an object that is cut off or broken, the complete objects within it are returned, so that the
    complete entries of a truncated list are not lost. Line breaks within strings are allowed, two
    values for one key are not. The time is linear in the length of the text, whatever it holds.
    """
    objects: list[dict[str, Any]] = []
    broken: str | None = None
    at, failed, work = 0, 0, 0
    while match := _START.search(text, at):
        start = match.start()
        try:
            value, at = _DECODER.raw_decode(text, start)
            objects.append(value)
        except (ValueError, RecursionError) as error:
            broken = broken or _wrong(error)
            failed, at = failed + 1, start + 1
            work += error.pos - start if isinstance(error, json.JSONDecodeError) else 1000
            # A text of many opening braces would otherwise be read to its end from each of them.
            if failed > _FAILED_STARTS or work > 8 * len(text) + 100_000:
                break
    return JsonObjects(tuple(objects), broken)


def own_objects(request: Request, reply: Completion) -> JsonObjects:
    """Return the objects of a reply, without those that stand in its request.

    A repeated part of the request is not an answer: the example of the form, say, or an object in
    the text that the request is about.
    """
    written = objects_in(reply.text)
    if not written.objects:
        return written
    shown = {
        _canonical(item)
        for message in request.messages
        for item in objects_in(message.content).objects
    }
    own = tuple(item for item in written.objects if _canonical(item) not in shown)
    return JsonObjects(own, written.broken)


def _canonical(item: Mapping[str, Any]) -> str:
    try:
        return json.dumps(item, sort_keys=True)
    except RecursionError:  # nested almost too deep to be read, and no answer to anything
        return ""


def missing(reply: Completion, what: str, broken: str | None) -> NoReturn:
    """Raise the reason why a reply has no `what`.

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
    """An object that has two values for one key."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs) and any(values[key] != value for key, value in pairs):
        raise _TwiceError("its JSON has two values for one key")
    return values


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_once)


def _wrong(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its JSON is nested without end"
    if isinstance(error, json.JSONDecodeError):
        return f"its JSON is broken at character {error.pos} ({error.msg})"
    return str(error) if isinstance(error, _TwiceError) else "its JSON has a number without end"


_SCORE = re.compile(r"-?[0-9]+(\.[0-9]+)?(\s*/\s*100)?")


def score_of(item: Mapping[str, Any], name: str) -> float:
    """Return the score under a name: a number from 0 to 100, or a text with one, also "of 100".

    87, 87.5, "87" and "85/100" are scores. Numbers outside the scale, NaN, null, true, "8/10" and
    lists are not: their meaning is not certain, so they are not interpreted.

    Raises:
        ValueError: it is missing or not a score; the message has its value.
    """
    if name not in item:
        raise ValueError(f"{name} is missing")
    value = item[name]
    if isinstance(value, str):
        if not _SCORE.fullmatch(value.strip()):
            raise ValueError(f"{name} is {_named(value)}, not a number from 0 to 100")
        value = float(value.partition("/")[0])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is {_named(value)}, not a number from 0 to 100")
    if not 0 <= value <= 100:  # NaN too
        raise ValueError(f"{name} is {_named(item[name])}, outside 0 to 100")
    return float(value)


def _named(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= NAMED else text[:NAMED] + "…"
