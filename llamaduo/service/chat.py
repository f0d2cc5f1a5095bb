"""The OpenAI chat format of a request; `llamaduo.intake.answers` reads the answer."""

from collections.abc import Mapping
from typing import Any

from llamaduo.base.errors import ConfigError
from llamaduo.base.text import encodable
from llamaduo.config import ApiServiceConfig
from llamaduo.service.protocol import Form, Request

# Fields that llamaduo sets for each request, that would change the number or the form of answers,
# and the key, which does not belong into a configuration.
RESERVED = ("messages", "response_format", "stream", "n", "api_key")

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
