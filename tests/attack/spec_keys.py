"""Every key that a spec can have, with the values at the bounds of its schema and beyond them."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

LABELS = ("experiment", "variant", "seed", "fold")
"""Keys of a run that its spec file writes in another way."""


@dataclass(frozen=True)
class Key:
    """A key of the schema: its dotted path, its JSON schema, and the `--set`s that choose it."""

    path: str
    schema: dict[str, Any]
    choice: tuple[str, ...]


@cache
def keys_of(spec: Path) -> tuple[Key, ...]:
    """Returns every key that a spec can have, under every kind of its sections."""
    from small_models import small

    from asrbench.experiment.registry import MODELS
    from asrbench.experiment.spec_file import load_study

    # As small as the rest of the study, so that only the key of an attempt is extreme.
    choices = [f"model={small(name).model_dump_json()}" for name in MODELS]
    choices += [f"features.kind={k}" for k in ("log_spectrogram", "mfcc", "fbank")]
    choices += [f"train.schedule.kind={k}" for k in ("constant", "one_cycle", "tri_stage", "noam")]
    choices += ["train.weights={kind: average, epochs: 2}", "train.optimizer.kind=adam"]
    choices += ["augment.noise={folders: [.]}", "augment.rooms={folders: [.]}"]
    found: dict[tuple[str, str], Key] = {}
    for choice in ((), *((each,) for each in choices)):
        cell = load_study(spec, [*choice]).cells[0]
        for path, schema in _schemas(cell, ""):
            if path not in LABELS:
                found.setdefault((path, json.dumps(schema)), Key(path, schema, choice))
    return tuple(found.values())


def _schemas(section: BaseModel, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the path and the schema of every key of a section and of the sections within it."""
    own = type(section).model_json_schema()
    for name in type(section).model_fields:
        value, at = getattr(section, name), f"{path}.{name}".lstrip(".")
        if isinstance(value, BaseModel):
            yield from _schemas(value, at)
        else:
            yield at, {"$defs": own.get("$defs", {}), **own["properties"][name]}


def options_of(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the schemas of the types that a value may have."""
    return list(schema["anyOf"]) if "anyOf" in schema else [schema]


def numbers_of(schema: dict[str, Any]) -> tuple[dict[str, Any], Callable[[Any], Any]] | None:
    """Returns the schema of the number of a key, and a function from a number to a value.

    The value of a key with several numbers is a list of the same number. None for other keys.
    """
    for each in options_of(schema):
        if each.get("type") in ("integer", "number"):
            return each, lambda number: number
        if each.get("type") == "array":
            items = each.get("prefixItems") or [each.get("items", {})]
            if items[0].get("type") in ("integer", "number"):
                return items[0], partial(_repeat, len(items))
    return None


def _repeat(times: int, number: Any) -> list[Any]:
    return [number] * times


def extremes(schema: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Returns numbers at the bounds of a schema and numbers beyond them."""
    whole = schema["type"] == "integer"
    step = 1 if whole else 1e-9
    inside, outside = [], [math.inf, -math.inf, math.nan]
    for lower, upper in (("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")):
        own = lower == "minimum"
        for name, sign, far in ((lower, -1, -(10**30)), (upper, 1, 10**30)):
            if name in schema:
                bound = schema[name]
                at, beyond = bound, bound + sign * step * max(1, abs(bound))
                inside.append(at if own else bound - sign * (1 if whole else _tiny(bound)))
                outside += [beyond if own else at, far if whole else float(far)]
    if "maximum" not in schema and "exclusiveMaximum" not in schema:
        inside += [10**9, 2**31, 2**63, 10**30] if whole else [1e9, 1e30, 1e308]
    if not any(name in schema for name in ("minimum", "exclusiveMinimum")):
        inside += [-(10**9)] if whole else [-1e9, -1e308]
    if whole:
        outside.append(1.5)
    return inside, outside


def _tiny(bound: float) -> float:
    return 5e-324 if bound == 0 else abs(bound) * 2**-52


def is_of(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value may have the right type for a key; what it must not have is refused."""
    types = {
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "null": type(None),
        "array": list,
        "object": dict,
    }
    for each in options_of(schema):
        name = each.get("type", "object" if "$ref" in each else None)
        if name is None:
            return True
        if isinstance(value, types[name]) and (name == "boolean" or not isinstance(value, bool)):
            return True
    # One folder needs no list around it.
    return isinstance(value, str) and any("folders" in key for key in (schema.get("title", ""),))
