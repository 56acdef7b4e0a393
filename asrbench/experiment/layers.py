"""Layers of a spec: mappings that override one another, and the places where keys were written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrbench.experiment.registry import MODELS, kinds_of

Mapping = dict[str, Any]

SAME_KEYS = {"optimizer"}
"""Sections whose kinds have the same keys, so that a change of kind keeps the other keys."""

SHORT = {"init_from": "run"}
"""Sections that may be written as one text, and the key that the text is the value of."""


@dataclass(frozen=True)
class Layer:
    """A mapping that overrides the layers before it, and the place where its keys were written."""

    where: str
    keys: Mapping
    folder: Path = Path()
    """The folder that paths of plug-ins are relative to."""
    also: frozenset[str] = frozenset()
    """Names that are allowed at its top level besides the sections of a cell."""


def merged(layers: list[Layer]) -> Mapping:
    keys: Mapping = {}
    for layer in layers:
        keys = merge(keys, _written_out(layer.keys))
    return keys


def _written_out(keys: Mapping) -> Mapping:
    """Returns `keys` with each section of `SHORT` as one, so that layers can add other keys."""
    short = {key: SHORT[key] for key in SHORT if isinstance(keys.get(key), str)}
    return keys | {section: {key: keys[section]} for section, key in short.items()}


def merge(base: Mapping, over: Mapping, section: str = "") -> Mapping:
    """Returns `base` overridden by `over`.

    A section with another `kind` replaces the old one, unless its kinds have the same keys. Another
    model name drops the sections whose kinds are not the new model's.
    """
    another = over.get("kind", base.get("kind")) != base.get("kind", over.get("kind"))
    if another and section not in SAME_KEYS:
        return over
    if section == "model":
        base = _of_another_model(base, over.get("name", base.get("name")))
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = merge(old, value, key) if both else value  # type: ignore[arg-type]
    return merged


def _of_another_model(model: Mapping, name: Any) -> Mapping:
    """Returns the keys of `model` that mean the same in the model `name`."""
    before = model.get("name")
    if not isinstance(before, str) or not isinstance(name, str):
        return model
    if before == name or before not in MODELS or name not in MODELS:
        return model
    old, new = kinds_of(before), kinds_of(name)
    # Dropping a section also drops the sections within it.
    for path in [path for path in old if new.get(path) != old[path]]:
        model = _dropped(model, path)
    return model


def _dropped(node: Mapping, path: tuple[str, ...]) -> Mapping:
    """Returns `node` without the section at `path`."""
    first, *rest = path
    if first not in node:
        return node
    if rest and isinstance(node[first], dict):
        return node | {first: _dropped(node[first], tuple(rest))}
    return {key: value for key, value in node.items() if key != first}


def nested(dotted: str, value: Any) -> Mapping:
    for part in reversed(dotted.split(".")):
        value = {part: value}
    return dict(value)


def where_of(path: tuple[str, ...], layers: list[Layer]) -> str:
    return layer_of(path, layers).where + ".".join(path)


def layer_of(path: tuple[str, ...], layers: list[Layer]) -> Layer:
    """Returns the last layer that has `path`, or its longest part that was written."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            node: Any = layer.keys
            for part in path[:length]:
                node = node.get(part, ...) if isinstance(node, dict) else ...
            if node is not ...:
                return layer
    files = [layer for layer in layers if not layer.where.startswith(("--set", "default"))]
    return (files or layers)[-1]
