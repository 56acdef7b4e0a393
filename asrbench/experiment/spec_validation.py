"""Validation of a spec, with every error as one line: place, what was found, what is allowed."""

import json
import re
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from asrbench.base.errors import UserError, nearest
from asrbench.experiment.kinds import KindSpec
from asrbench.experiment.layers import Layer, Mapping, layer_of, where_of
from asrbench.experiment.spec_base import Impossible

T = TypeVar("T", bound=BaseModel)

LABELS = frozenset({"experiment", "variant", "seed", "fold"})
"""Keys of a cell that the plan fills in."""


class UnknownKey(UserError):
    """A key that its section does not have, and the layer that wrote it.

    As other errors, it can be made of its line alone: so ranks share it, and commands print it.
    """

    def __init__(self, line: str, layer: Layer | None = None) -> None:
        super().__init__(line)
        self.layer = layer


def validated(kind: type[T], keys: Mapping, layers: list[Layer]) -> T:
    """Returns `keys` as an instance of `kind`.

    Validates JSON, because strict pydantic models accept lists for tuples only in JSON. Raises
    `UserError`, as `UnknownKey` for a key that is unknown, or whose section has no kind.
    """
    try:
        return kind.model_validate_json(json.dumps(keys, default=str))
    except ValidationError as error:
        first, *others = error.errors()
        more = f" (and {len(others)} more)" if others else ""
        line = _one_line(first, kind, keys, layers) + more
        if first["type"] in ("extra_forbidden", "union_tag_not_found"):
            path = _without_tags(first["loc"], keys)
            raise UnknownKey(line, layer_of(path, layers)) from None
        raise UserError(line) from None


def _one_line(
    error: ErrorDetails, kind: type[BaseModel], keys: Mapping, layers: list[Layer]
) -> str:
    path = _without_tags(error["loc"], keys)
    context = error.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Impossible):
        return f"{where_of((*path, *cause.path), layers)}: {cause}"
    where = where_of(path, layers)
    match error["type"]:
        case "extra_forbidden":
            return unknown_key(path, _class_at(kind, keys, path[:-1]), layers)
        case "missing":
            return f"{where}: missing; it has no default"
        case "union_tag_invalid":
            tags = re.findall(r"'([^']*)'", context["expected_tags"])
            tag = context["tag"]
            return f"{where}.kind: found '{tag}', allowed: {', '.join(tags)}{nearest(tag, tags)}"
        case "union_tag_not_found":
            return f"{where}: found no `kind`"
        case "string_too_short":
            return f"{where}: found an empty text, allowed: any other"
    found = json.dumps(error["input"], ensure_ascii=False)
    if error["type"] == "value_error":  # of a validator, which says in words what it found
        return f"{where}: {cause}"
    allowed = error["msg"].removeprefix("Input should be ")
    close = nearest(str(error["input"]), re.findall(r"'([^']*)'", str(context.get("expected", ""))))
    return f"{where}: found {found}, allowed: {allowed}{close}"


def unknown_key(path: tuple[str, ...], kind: type[BaseModel], layers: list[Layer]) -> str:
    names = set(kind.model_fields)
    layer = layer_of(path, layers)
    if len(path) == 1:
        names = (names - LABELS) | layer.also
    return (
        f"{layer.where}{'.'.join(path)}: found an unknown key, allowed: {', '.join(sorted(names))}"
        f"{nearest(path[-1], names)}"
    )


def _without_tags(loc: tuple[int | str, ...], keys: Mapping) -> tuple[str, ...]:
    """Returns the path of `loc` without the tags of unions, which pydantic adds to it."""
    path: list[str] = []
    node: Any = keys
    for part in loc:
        if isinstance(node, dict) and node.get("kind") == part and part not in node:
            continue
        path.append(str(part))
        node = node.get(part) if isinstance(node, dict) else None
    return tuple(path)


def _class_at(kind: type[BaseModel], keys: Mapping, path: tuple[str, ...]) -> type[BaseModel]:
    """Returns the spec class of the mapping at `path`, which may pass through lists."""
    node: Any = keys
    options: list[type] = [kind]
    for part in path:
        if isinstance(node, list):
            node = node[int(part)]
        else:
            options = _types(_of_kind(options, node).model_fields[part].annotation)
            node = node[part]
    return _of_kind(options, node)


def _of_kind(options: list[type], node: Any) -> type[BaseModel]:
    """Returns the one of `options` that the `kind` of the mapping `node` chooses."""
    models = [each for each in options if issubclass(each, BaseModel)]
    if issubclass(models[0], KindSpec) and models[0].table.base is models[0]:
        chosen: type[BaseModel] = models[0].table.of(node["kind"]).spec
        return chosen
    if len(models) == 1:
        return models[0]
    return next(m for m in models if m.model_fields["kind"].default == node.get("kind"))


def _types(annotation: Any) -> list[type]:
    """Returns the classes of an annotation, which may be a union."""
    if isinstance(annotation, type):
        return [annotation]
    return [each for part in get_args(annotation) for each in _types(part)]
