"""A validator of the part of JSON Schema (draft 07) that the schema of a spec uses.

A keyword that it does not know is an error, so that no condition of a schema goes unchecked.
"""

from typing import Any

TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
LIMITS = {
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
    "exclusiveMinimum": lambda value, limit: value > limit,
    "exclusiveMaximum": lambda value, limit: value < limit,
}
LENGTHS = {
    "minLength": lambda value, limit: len(value) >= limit,
    "minItems": lambda value, limit: len(value) >= limit,
    "maxItems": lambda value, limit: len(value) <= limit,
}
ABOUT = {"$schema", "title", "description", "default", "definitions"}


def is_valid(value: Any, schema: Any, whole: Any = None) -> bool:
    """Returns whether `value` is valid against `schema`, a part of the schema `whole`."""
    whole = schema if whole is None else whole
    if isinstance(schema, bool):
        return schema
    return all(_holds(key, value, schema, whole) for key in schema.keys() - ABOUT)


def _holds(key: str, value: Any, schema: Any, whole: Any) -> bool:
    own = schema[key]
    if key in LIMITS:
        return not TYPES["number"](value) or LIMITS[key](value, own)
    if key in LENGTHS:
        kind = str if key == "minLength" else list
        return not isinstance(value, kind) or LENGTHS[key](value, own)
    match key:
        case "$ref":
            assert own.startswith("#/definitions/")
            return is_valid(value, whole["definitions"][own.removeprefix("#/definitions/")], whole)
        case "type":
            return any(TYPES[name](value) for name in ([own] if isinstance(own, str) else own))
        case "enum":
            return value in own
        case "const":
            return bool(value == own)
        case "anyOf":
            return any(is_valid(value, each, whole) for each in own)
        case "not":
            return not is_valid(value, own, whole)
        case "items":
            parts = own if isinstance(own, list) else [own] * len(value) if _is_list(value) else []
            pairs = zip(value, parts, strict=False) if _is_list(value) else []
            return all(is_valid(each, part, whole) for each, part in pairs)
        case "properties":
            known = own.keys() & value.keys() if isinstance(value, dict) else ()
            return all(is_valid(value[name], own[name], whole) for name in known)
        case "additionalProperties":
            named = schema.get("properties", {})
            others = value.keys() - named.keys() if isinstance(value, dict) else ()
            return all(is_valid(value[name], own, whole) for name in others)
    raise AssertionError(f"found the keyword {key}, which this validator does not know")


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
