"""The OpenAI chat format: what a request says, and what is taken from an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from llamaduo.base.errors import ConfigError
from llamaduo.config import ApiServiceConfig
from llamaduo.service.protocol import Form, Request
from llamaduo.service.transport import Rejection, Reply

# What each request has of its own, what would change how many answers come and how, and the key,
# which is no part of a configuration.
RESERVED = ("messages", "response_format", "stream", "n", "api_key")

LARGEST = 32 * 2**20  # bytes of an answer that is read
TOO_LARGE = f"an answer of more than {LARGEST // 2**20} MiB"

# What strict schemas may say, for those services that enforce them.
_STRICT = {
    *("$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "format"),
    *("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf", "pattern"),
    *("items", "maxItems", "minItems", "properties", "required", "title", "type"),
}


def constant(config: ApiServiceConfig) -> dict[str, Any]:
    """What all requests to a service say: model, sampling where it is set, and `extra`.

    Raises:
        ConfigError: `extra` has what is not to be set there.
    """
    for name in RESERVED:
        if name in config.extra:
            raise ConfigError(f"service.extra.{name}: llamaduo sets that itself; leave it out")
    sampling = {"temperature": config.temperature, "top_p": config.top_p}
    set_ones = {name: value for name, value in sampling.items() if value is not None}
    return {"model": config.model} | set_ones | config.extra


def messages(request: Request) -> list[dict[str, str]]:
    """The messages as JSON, in which half a surrogate pair is replaced: no service takes one."""
    return [{"role": m.role, "content": whole(m.content)} for m in request.messages]


def response_format(form: Form, how: str) -> dict[str, Any] | None:
    """How a service is told the form of its answer; None where words alone tell it."""
    if how == "json_schema":
        schema = {
            "name": form.name,
            "schema": form.json_schema,
            "strict": strict(form.json_schema),
        }
        return {"type": "json_schema", "json_schema": schema}
    return {"type": "json_object"} if how == "json_object" else None


def strict(schema: Mapping[str, Any]) -> bool:
    """Whether a schema keeps the rules that a strict one has to.

    It is an object, every object in it is closed and requires all that it has, and it says nothing
    that those services do not know.
    """
    return schema.get("type") == "object" and "anyOf" not in schema and _closed(schema)


def reply(answer: Any, model: str) -> Reply:
    """The first choice of an answer, `model` being what was asked for.

    Raises:
        Rejection: there is no text in it, or a refusal in place of one.
    """
    choice = _choice(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Rejection("an answer without a message")
    said = message.get("content")
    finish = choice.get("finish_reason")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    # No prompt has no tokens: 0 stands for usage that the service did not send.
    counted = _count(usage, "prompt_tokens") or None
    text = _text(said)
    if len(text) > LARGEST:
        raise Rejection(TOO_LARGE)
    made = Reply(
        text=whole(text),
        model=answer.get("model") or model,
        input_tokens=counted,
        output_tokens=_count(usage, "completion_tokens") if counted else None,
        cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens") or 0,
        finish="length" if finish == "length" else "stop",
    )
    if message.get("refusal"):
        raise Rejection(f"refused: {_text(message['refusal'])[:200]}", reply=made)
    if finish == "content_filter":
        raise Rejection("stopped by the service's content filter", reply=made)
    if said is None and finish != "length":
        raise Rejection(f"an answer without text, finish_reason {finish!r}", reply=made)
    return made


def whole(text: str) -> str:
    """The text, in which each half of a surrogate pair has become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _choice(answer: Any) -> dict[str, Any]:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise Rejection("not an answer in the OpenAI chat format: no choices")
    if not choices:
        raise Rejection("an answer with no choices", again=True)
    if not isinstance(choices[0], dict):
        raise Rejection("not an answer in the OpenAI chat format: a choice that is no object")
    return choices[0]


def _text(content: Any) -> str:
    """The text of a message's content, which some services send in parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


def _count(usage: Any, name: str) -> int | None:
    found = usage.get(name) if isinstance(usage, dict) else None
    return found if isinstance(found, int) and found >= 0 else None


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
