"""The OpenAI chat format: the body of a request, and the reply in an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from llamaduo.base.errors import ConfigError
from llamaduo.base.text import encodable
from llamaduo.config import ApiServiceConfig
from llamaduo.service.protocol import Form, Request
from llamaduo.service.transport import Rejection, Reply

# Fields that llamaduo sets for each request, that would change the number or the form of answers,
# and the key, which does not belong into a configuration.
RESERVED = ("messages", "response_format", "stream", "n", "api_key")

LARGEST = 32 * 2**20  # bytes of the longest answer that is read
TOO_LARGE = f"an answer of more than {LARGEST // 2**20} MiB"

# Keywords that strict schemas may use, for those services that enforce them.
_STRICT = {
    *("$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "format"),
    *("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf", "pattern"),
    *("items", "maxItems", "minItems", "properties", "required", "title", "type"),
}


def constant(config: ApiServiceConfig) -> dict[str, Any]:
    """Return the fields that all requests have: model, sampling where it is set, and `extra`.

    Raises:
        ConfigError: `extra` has a field that llamaduo sets.
    """
    for name in RESERVED:
        if name in config.extra:
            raise ConfigError(f"service.extra.{name}: llamaduo sets that itself; leave it out")
    sampling = {"temperature": config.temperature, "top_p": config.top_p}
    given = {name: value for name, value in sampling.items() if value is not None}
    return {"model": config.model} | given | config.extra


def messages(request: Request) -> list[dict[str, str]]:
    """Return the messages for JSON. Half a surrogate pair is replaced: no service takes one."""
    return [{"role": m.role, "content": encodable(m.content)} for m in request.messages]


def response_format(form: Form, how: str) -> dict[str, Any] | None:
    """Return the field that asks for a form of answer; None where only the prompt asks for it."""
    if how == "json_schema":
        schema = {
            "name": form.name,
            "schema": form.json_schema,
            "strict": strict(form.json_schema),
        }
        return {"type": "json_schema", "json_schema": schema}
    return {"type": "json_object"} if how == "json_object" else None


def strict(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema follows the rules for a strict one.

    It is an object; every object in it forbids other fields and requires all of its own; and it
    uses no keyword that those services do not know.
    """
    return schema.get("type") == "object" and "anyOf" not in schema and _closed(schema)


def reply(answer: Any, model: str) -> Reply:
    """Return the first choice of an answer; `model` is the one that was asked for.

    Raises:
        Rejection: it has no text, or a refusal in its place.
    """
    choice = _choice(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Rejection("an answer without a message")
    content = message.get("content")
    finish = choice.get("finish_reason")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    # Every prompt has tokens: 0 means that the service did not send its usage.
    counted = _count(usage, "prompt_tokens") or None
    text = _text(content)
    if len(text) > LARGEST:
        raise Rejection(TOO_LARGE)
    result = Reply(
        text=encodable(text),
        model=answer.get("model") or model,
        input_tokens=counted,
        output_tokens=_count(usage, "completion_tokens") if counted else None,
        cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens") or 0,
        finish="length" if finish == "length" else "stop",
    )
    if message.get("refusal"):
        raise Rejection(f"refused: {_text(message['refusal'])[:200]}", reply=result)
    if finish == "content_filter":
        raise Rejection("stopped by the service's content filter", reply=result)
    if content is None and finish != "length":
        raise Rejection(f"an answer without text, finish_reason {finish!r}", reply=result)
    return result


def _choice(answer: Any) -> dict[str, Any]:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise Rejection("not an answer in the OpenAI chat format: no choices")
    if not choices:
        raise Rejection("an answer with no choices", retry=True)
    if not isinstance(choices[0], dict):
        raise Rejection("not an answer in the OpenAI chat format: a choice that is not an object")
    return choices[0]


def _text(content: Any) -> str:
    """Return the text of a message's content, which some services send in parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


def _count(usage: Any, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else None


def _closed(schema: Any) -> bool:
    if not isinstance(schema, Mapping) or not schema.keys() <= _STRICT:
        return False
    if "$ref" in schema:
        return len(schema) == 1
    named = schema.get("properties", {})
    inner = [*named.values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    if "items" in schema:
        inner.append(schema["items"])
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != named.keys()
    ):
        return False
    return all(_closed(part) for part in inner)
