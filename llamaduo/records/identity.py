"""What of a row or a configuration counts in an identity.

The one rule by which fields can be added without moving a fingerprint that is kept somewhere:

- A field that is added later has a value that means "as before", such as None for a column that
  older rows have not. The class names both in `LATER`; while the field has that value, it is left
  out of every identity and digest.
- A field that tells of a row and decides nothing, such as the time, the user or the model of a
  logged call, is named in `BESIDE`, and is never in one.

tests/test_identities.py holds fingerprints of before; one of them moves only in a commit that
raises a VERSION or changes shipped data.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel


def left_out(value: BaseModel) -> dict[str, Any]:
    """Return what pydantic shall exclude of a value for its identity, at any depth."""
    return _left_out(value) if _declares(type(value)) else {}


def _left_out(value: BaseModel) -> dict[str, Any]:
    kind = type(value)
    excluded: dict[str, Any] = {}
    later, beside = _rule(kind)
    for name in kind.model_fields:
        inner = getattr(value, name)
        if name in beside or (name in later and inner == later[name]):
            excluded[name] = True
        elif nested := _nested(inner):
            excluded[name] = nested
    return excluded


def _nested(value: Any) -> dict[Any, Any]:
    if isinstance(value, BaseModel):
        return _left_out(value)
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    return {key: excluded for key, inner in items if (excluded := _nested(inner))}


def _rule(kind: type[BaseModel]) -> tuple[Mapping[str, Any], frozenset[str]]:
    return getattr(kind, "LATER", {}), getattr(kind, "BESIDE", frozenset())


@cache
def _declares(kind: type[BaseModel]) -> bool:
    """Whether a class, or one that its fields hold, has fields that may be left out."""
    if any(_rule(kind)):
        return True
    inner = (model for field in kind.model_fields.values() for model in _models(field.annotation))
    return any(_declares(model) for model in inner if model is not kind)


def _models(annotation: Any) -> set[type[BaseModel]]:
    found = set()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        found.add(annotation)
    for part in get_args(annotation):
        found |= _models(part)
    return found
