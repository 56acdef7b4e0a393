"""Typed records as JSON, and JSON that is read back as the record that it must be."""

import json
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asrbench.base.errors import UserError
from asrbench.base.files import read_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


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


def read_record(path: Path, kind: type[T], remedy: str) -> T:
    """Returns the JSON document in a file as `kind`, a dataclass or another type.

    `remedy` says what to do. Raises `UserError` with the key of the first value that is not what
    `kind` has there.
    """
    return checked(read_json(path), kind, str(path), remedy)


def checked(value: Any, kind: type[T], where: str, remedy: str) -> T:
    """Returns `value`, which was read from `where`, as `kind`, as `read_record` does."""
    from pydantic import ValidationError  # slow to import, and few commands read records

    try:
        found: T = _adapter(cast(Any, kind)).validate_python(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(map(str, fault["loc"]))
        at = f", '{key}'" if key else ""
        if fault["type"] == "missing":
            raise UserError(f"{where}{at}: missing; {remedy}") from None
        raise UserError(
            f"{where}{at}: found {_shown(fault['input'])}, allowed: {_wanted(fault['msg'])}; "
            f"{remedy}"
        ) from None
    return found


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


_WORDS = {
    "dictionary": "an object",
    "a dictionary": "an object",
    "string": "text",
    "integer": "a whole number",
}


def _wanted(message: str) -> str:
    """Returns what pydantic asks for in the words of JSON, as `text`."""
    wanted = message.removeprefix("Input should be ").removeprefix("a valid ")
    wanted, _, _ = wanted.partition(" or an instance of ")
    return _WORDS.get(wanted, wanted)


def _shown(value: Any, limit: int = 40) -> str:
    """Returns the beginning of a value on one line."""
    text = ascii(value) if isinstance(value, (dict, list)) else repr(value)
    return text if len(text) <= limit else text[:limit] + "..."
