"""The fields of records and spec classes: types in words, and the docstrings below them."""

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from markdown_parts import code, plain, table

WORDS = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    Path: "text",
    Any: "anything",
    type(None): "null",
}
"""The types of JSON in words."""


class FieldAbout(NamedTuple):
    """A field of a class."""

    name: str
    type: Any
    about: str
    """Its docstring; empty without one."""


def fields_of(record: type) -> list[FieldAbout]:
    """Returns the fields of a dataclass or a named tuple in their order."""
    if is_dataclass(record):
        names = [field.name for field in fields(record)]
    else:
        names = list(record._fields)  # type: ignore[attr-defined]
    types_by_name, docs = get_type_hints(record), docstrings(record)
    return [FieldAbout(name, types_by_name[name], docs.get(name, "")) for name in names]


def docstrings(record: type) -> dict[str, str]:
    """Returns the docstrings of the fields and properties of a class, inherited ones included."""
    found: dict[str, str] = {}
    for each in reversed(record.__mro__):
        if each.__module__.startswith("asrbench."):
            found |= dict(_own_docstrings(each))
    return found


def _own_docstrings(record: type) -> Iterator[tuple[str, str]]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(record)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef):
            yield node.name, ast.get_docstring(node) or ""
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield node.target.id, inspect.cleandoc(text)


def is_record(kind: Any) -> bool:
    """Returns whether a type is one of our records, which has a table of its own."""
    return inspect.isclass(kind) and (is_dataclass(kind) or hasattr(kind, "_fields"))


def records_within(*roots: type) -> list[type]:
    """Returns the roots and every record in their fields, each once, in the order of reading."""
    found: dict[type, None] = {}
    waiting: list[Any] = list(reversed(roots))
    while waiting:
        kind = waiting.pop()
        if kind in found:
            continue
        if is_record(kind):
            found[kind] = None
            waiting += reversed([field.type for field in fields_of(kind)])
        else:
            waiting += reversed([each for each in get_args(kind) if not isinstance(each, str)])
    return list(found)


def type_words(kind: Any) -> str:
    """Returns a type in the words of JSON; a record is a link to its table."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_record(kind):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    if origin is Literal:
        return ", ".join(code(str(each)) for each in inner)
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return ", ".join(code(str(each.value)) for each in kind)
    if origin in (Union, types.UnionType):
        return ", or ".join(type_words(each) for each in inner)
    if origin is dict:
        return f"object: {type_words(inner[1])} by name"
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"list of {len(inner)}: {', '.join(dict.fromkeys(map(type_words, inner)))}"
    if origin in (tuple, list):
        return f"list: {type_words(inner[0])}"
    if hasattr(kind, "__metadata__"):
        return type_words(kind.__origin__)
    return WORDS[kind]


def record_table(record: type) -> str:
    """Returns the table of a record's fields."""
    rows = [
        [code(each.name), type_words(each.type), plain(each.about)] for each in fields_of(record)
    ]
    return table(["field", "value", "meaning"], rows)


def record_text(record: type, level: str = "##") -> str:
    """Returns a heading, the docstring of a record, and the table of its fields."""
    about = inspect.cleandoc(record.__doc__ or "").split("\n\n")
    words = "\n\n".join(map(plain, about))
    name = record.__name__
    return f"{level} {name}\n\n{words}\n\n{record_table(record)}\n"
