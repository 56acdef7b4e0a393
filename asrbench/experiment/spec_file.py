"""From YAML to typed cells: `extends`, `variants`, `grid`, `seeds`, `--set`; errors in one line."""

import itertools
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from asrbench.base.errors import UserError, nearest, pick
from asrbench.experiment.registry import MODELS
from asrbench.experiment.spec import Cell
from asrbench.experiment.spec_base import Impossible, Seed, Spec
from asrbench.experiment.strict_yaml import fault, parse, read_dumped, read_mapping

Mapping = dict[str, Any]
T = TypeVar("T", bound=BaseModel)

DEFAULTS: Mapping = {
    "features": {"kind": "log_mel"},
    "model": {"name": "ds2", "front_end": {"kind": "ds2"}},
    "train": {"optimizer": {"kind": "adamw"}, "schedule": {"kind": "cosine"}},
}
"""What a spec may leave unsaid although it chooses between kinds."""

SAME_KEYS = {"optimizer"}
"""Sections whose kinds have the same keys: another kind keeps what was set for the first."""

LABELS = frozenset({"experiment", "variant", "seed"})
"""Keys of a cell that the plan fills in."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+-]*")


class _Plan(Spec):
    """The keys that make several cells of one file."""

    name: str
    """Name of the experiment: the folder under results/."""
    seeds: tuple[Seed, ...] = (0,)
    """Seeds; each variant is run with each."""
    variants: dict[str, Mapping | None] | None = None
    """Named changes to the rest of the file; without it the model's name is the one variant."""
    grid: dict[str, tuple[Any, ...]] = Field(default={})
    """Dotted keys and the values each takes; every combination is a variant of its own."""

    @model_validator(mode="after")
    def _some_cells_no_two_alike(self) -> "_Plan":
        if self.variants is not None and not self.variants:
            raise Impossible("variants", "found {}, allowed: one variant or more")
        lists = {"seeds": self.seeds, **{f"grid.{key}": v for key, v in self.grid.items()}}
        for path, values in lists.items():
            if not values:
                raise Impossible(path, "found [], allowed: one value or more")
            for value in values:
                if values.count(value) > 1:
                    raise Impossible(path, f"found {value} twice, allowed: each value once")
        return self


@dataclass(frozen=True)
class Study:
    """The cells of one spec file, in the order they are run."""

    name: str
    cells: list[Cell]

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(cell.variant for cell in self.cells))


@dataclass(frozen=True)
class _Layer:
    """A mapping laid over those before it, and where its keys stand."""

    where: str
    keys: Mapping
    also: frozenset[str] = frozenset()
    """Names it may hold at its top beside the sections of a cell."""


def load_study(path: Path, sets: list[str] | None = None) -> Study:
    """The study that `path` describes, with each `a.b=value` of `sets` laid over it.

    Raises `UserError`: file, path of the key, what was found, what is allowed.
    """
    layers = [_Layer("default ", DEFAULTS), *_file_layers(path, ())]
    layers += [_set_layer(text) for text in sets or []]
    plan_layers = [_restrict(layer, inside=True) for layer in layers]
    cell_layers = [_restrict(layer, inside=False) for layer in layers]
    plan = _validated(_Plan, _merged(plan_layers), plan_layers)
    _check_name(_where(("name",), plan_layers), plan.name)
    set_layers = [layer for layer in cell_layers if layer.where.startswith("--set")]
    base_layers = [layer for layer in cell_layers if layer not in set_layers]
    cells = []
    for variant, extra in _variants(plan, plan_layers):
        merged_layers = [*base_layers, *extra, *set_layers]
        for seed in plan.seeds:
            cells.append(_cell(plan.name, variant, seed, merged_layers))
    return Study(plan.name, cells)


def load_cell(path: Path) -> Cell:
    """The resolved spec that a run folder holds."""
    keys = read_dumped(path)
    return _validated(Cell, keys, [_Layer(f"{path}: ", keys, LABELS)])


def dump_cell(cell: Cell) -> str:
    return yaml.safe_dump(cell.plain(), sort_keys=False, allow_unicode=True)


# Layers


def _file_layers(path: Path, below: tuple[Path, ...]) -> list[_Layer]:
    """The layers of a file: those it extends first."""
    if path.resolve() in below:
        raise UserError(f"{path}: extends: found a circle back to this file")
    keys = read_mapping(path)
    base = keys.pop("extends", None)
    layer = _Layer(f"{path}: ", keys, frozenset({"extends", *_Plan.model_fields}))
    if base is None:
        return [layer]
    if not isinstance(base, str):
        raise UserError(f"{path}: extends: found {base!r}, allowed: the name of a file")
    return [*_file_layers(path.parent / base, (*below, path.resolve())), layer]


def _set_layer(text: str) -> _Layer:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text}: found no `key=value`, as in --set train.epochs=5")
    try:
        parsed = parse(value)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"--set {text}: {fault(error)}") from None
    return _Layer("--set ", _nested(key.strip(), parsed), frozenset(_Plan.model_fields))


def _nested(dotted: str, value: Any) -> Mapping:
    for part in reversed(dotted.split(".")):
        value = {part: value}
    return dict(value)


def _restrict(layer: _Layer, *, inside: bool) -> _Layer:
    """The keys of the plan (`inside`) or those of the cell."""
    keys = {k: v for k, v in layer.keys.items() if (k in _Plan.model_fields) == inside}
    return replace(layer, keys=keys)


def _merged(layers: list[_Layer]) -> Mapping:
    keys: Mapping = {}
    for layer in layers:
        keys = _merge(keys, layer.keys)
    return keys


def _merge(base: Mapping, over: Mapping, section: str = "") -> Mapping:
    """`over` laid over `base`. Another `kind` replaces a section whole, unless its kinds have the
    same keys; another model drops the attention and decoder that belonged to the first."""
    another = over.get("kind", base.get("kind")) != base.get("kind", over.get("kind"))
    if another and section not in SAME_KEYS:
        return over
    if {"front_end", "recurrence", "attention", "decoder"} & base.keys() and (
        over.get("name", base.get("name")) != base.get("name")
    ):
        base = {k: v for k, v in base.items() if k not in ("attention", "decoder")}
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value, key) if both else value  # type: ignore[arg-type]
    return merged


def _variants(plan: _Plan, plan_layers: list[_Layer]) -> list[tuple[str | None, list[_Layer]]]:
    """Name and extra layers of every variant; a name of None is the model's."""
    named: list[tuple[str | None, list[_Layer]]] = [(None, [])]
    if plan.variants is not None:
        named = [
            (name, [_Layer(_where(("variants", name), plan_layers) + ".", keys or {})])
            for name, keys in plan.variants.items()
        ]
    points = list(
        itertools.product(*([(k, value) for value in values] for k, values in plan.grid.items()))
    )
    variants: list[tuple[str | None, list[_Layer]]] = []
    for (name, layers), point in itertools.product(named, points):
        label = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in point)
        over = _where(("grid",), plan_layers) + " "
        grid = [_Layer(over, _nested(key, value)) for key, value in point]
        full = ",".join(part for part in (name, label) if part) or None
        if full is not None:
            _check_name(_where(("grid" if label else "variants",), plan_layers), full)
        variants.append((full, [*layers, *grid]))
    return variants


def _check_name(where: str, name: str) -> None:
    """Names become folders."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"{where}: found the name '{name}', allowed: letters, digits, . _ = , + -, "
            f"a letter or digit first"
        )


def _cell(experiment: str, variant: str | None, seed: int, layers: list[_Layer]) -> Cell:
    keys = _merged(layers)
    model = keys.get("model")
    if isinstance(model, dict) and isinstance(model.get("name"), str):
        keys["model"] = _from_registry(model, layers)
        variant = variant or model["name"]
    for label in LABELS & keys.keys():
        raise UserError(_unknown_key((label,), Cell, layers))
    labels = {"experiment": experiment, "variant": variant or "", "seed": seed}
    return _validated(Cell, keys | labels, layers)


def _from_registry(model: Mapping, layers: list[_Layer]) -> Mapping:
    """The registry's entry with the sizes of `model`; the kinds that define it stay its own."""
    pick(_where(("model", "name"), layers), model["name"], MODELS)
    entry = MODELS[model["name"]].model.model_dump(mode="json")
    for slot in ("attention", "decoder"):
        section = model.get(slot)
        own = entry[slot]["kind"]
        if isinstance(section, dict) and section.get("kind", own) != own:
            matching = [
                n for n, e in MODELS.items() if getattr(e.model, slot).kind == section["kind"]
            ]
            raise UserError(
                f"{_where(('model', slot, 'kind'), layers)}: found '{section['kind']}', allowed: "
                f"'{own}', which is what model {model['name']} means"
                + (f"; see {', '.join(matching)}" if matching else "")
            )
    return _merge(entry, model)


# Validation


def _validated(kind: type[T], keys: Mapping, layers: list[_Layer]) -> T:
    """`keys` as a `kind`. JSON on the way, so that strictness knows lists only."""
    try:
        return kind.model_validate_json(json.dumps(keys, default=str))
    except ValidationError as error:
        first, *others = error.errors()
        more = f" (and {len(others)} more)" if others else ""
        raise UserError(_one_line(first, kind, keys, layers) + more) from None


def _one_line(
    error: ErrorDetails, kind: type[BaseModel], keys: Mapping, layers: list[_Layer]
) -> str:
    path = _without_tags(error["loc"], keys)
    context = error.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Impossible):
        return f"{_where((*path, *cause.path), layers)}: {cause}"
    where = _where(path, layers)
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(path, _class_at(kind, keys, path[:-1]), layers)
        case "missing":
            return f"{where}: missing; it has no default"
        case "union_tag_invalid":
            tags = re.findall(r"'([^']*)'", context["expected_tags"])
            tag = context["tag"]
            return f"{where}.kind: found '{tag}', allowed: {', '.join(tags)}{nearest(tag, tags)}"
        case "union_tag_not_found":
            return f"{where}: found no `kind`"
    found = json.dumps(error["input"], ensure_ascii=False)
    allowed = error["msg"].removeprefix("Input should be ")
    close = nearest(str(error["input"]), re.findall(r"'([^']*)'", str(context.get("expected", ""))))
    return f"{where}: found {found}, allowed: {allowed}{close}"


def _unknown_key(path: tuple[str, ...], kind: type[BaseModel], layers: list[_Layer]) -> str:
    names = set(kind.model_fields)
    layer = _layer(path, layers)
    if len(path) == 1:
        names = (names - LABELS) | layer.also
    return (
        f"{layer.where}{'.'.join(path)}: found an unknown key, allowed: {', '.join(sorted(names))}"
        f"{nearest(path[-1], names)}"
    )


def _without_tags(loc: tuple[int | str, ...], keys: Mapping) -> tuple[str, ...]:
    """pydantic puts the tag of a union into the location; the user's file has no such level."""
    path: list[str] = []
    node: Any = keys
    for part in loc:
        if isinstance(node, dict) and node.get("kind") == part and part not in node:
            continue
        path.append(str(part))
        node = node.get(part) if isinstance(node, dict) else None
    return tuple(path)


def _class_at(kind: type[BaseModel], keys: Mapping, path: tuple[str, ...]) -> type[BaseModel]:
    """The model that types the mapping at `path`."""
    node: Any = keys
    for part in path:
        node = node[part]
        annotation = kind.model_fields[part].annotation
        options = [o for o in get_args(annotation) or (annotation,) if isinstance(o, type)]
        models = [o for o in options if issubclass(o, BaseModel)]
        kind = next(
            m
            for m in models
            if len(models) == 1 or m.model_fields["kind"].default == node.get("kind")
        )
    return kind


def _where(path: tuple[str, ...], layers: list[_Layer]) -> str:
    return _layer(path, layers).where + ".".join(path)


def _layer(path: tuple[str, ...], layers: list[_Layer]) -> _Layer:
    """Where `path`, or as much of it as was written, stands: the last layer that has it."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            node: Any = layer.keys
            for part in path[:length]:
                node = node.get(part, ...) if isinstance(node, dict) else ...
            if node is not ...:
                return layer
    files = [layer for layer in layers if not layer.where.startswith(("--set", "default"))]
    return (files or layers)[-1]
