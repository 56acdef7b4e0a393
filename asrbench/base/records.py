"""Frozen dataclasses as JSON."""

import json
from dataclasses import fields, is_dataclass
from typing import Any


def to_json(record: object) -> str:
    """Returns a dataclass, with all that it holds, as indented JSON.

    A dataclass becomes an object of its fields, a tuple a list and a string enum its value. Raises
    `TypeError` for anything else that JSON does not know.
    """
    return json.dumps(record, ensure_ascii=False, indent=2, default=field_values)


def field_values(record: object) -> dict[str, Any]:
    """Returns the fields of a dataclass by name, without copying what they hold."""
    if not is_dataclass(record) or isinstance(record, type):
        raise TypeError(f"{type(record).__name__} is no dataclass")
    return {field.name: getattr(record, field.name) for field in fields(record)}
