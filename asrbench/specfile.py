"""From YAML to typed cells: `extends`, `variants`, `grid`, `seeds`, `--set`; errors in one line."""

import itertools
import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from asrbench.errors import UserError, nearest, pick
from asrbench.registry import MODELS
from asrbench.spec import Cell, Impossible, Spec

Mapping = dict[str, Any]
T = TypeVar("T", bound=BaseModel)

DEFAULTS: Mapping = {
    "features": {"kind": "log_mel"},
    "model": {"name": "ds2"},
    "train": {"schedule": {"kind": "cosine"}},
}
"""What a spec may leave unsaid although it chooses between kinds."""

LABELS = {"experiment", "variant", "seed"}
"""Keys of a cell that the plan fills in."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+-]*")


class _Plan(Spec):
    """The keys that make several cells of one file."""

    name: str
    """Name of the experiment: the folder under results/."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Seeds; each variant is run with each."""
    baseline: str | None = None
    """Variant the others are compared to."""
    variants: dict[str, Mapping | None] | None = None
    """Named changes to the rest of the file; without it the model's name is the one variant."""
    grid: dict[str, tuple[Any, ...]] = Field(default={})
    """Dotted keys and the values each takes; every combination is a variant of its own."""


@dataclass(frozen=True)
class Study:
    """The cells of one spec file, in the order they are run."""

    name: str
    baseline: str | None
    cells: list[Cell]

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(cell.variant for cell in self.cells))


@dataclass(frozen=True)
class _Layer:
    """A mapping laid over those before it, and where its keys stand."""

    where: str
    keys: Mapping


def load_study(path: Path, sets: list[str] | None = None) -> Study:
    """The study that `path` describes, with each `a.b=value` of `sets` laid over it.

    Raises `UserError`: file, path of the key, what was found, what is allowed.
    """
    layers = [_Layer("default ", DEFAULTS), *_file_layers(path, ())]
    layers += [_set_layer(text) for text in sets or []]
    plan_layers = [_restrict(layer, inside=True) for layer in layers]
    cell_layers = [_restrict(layer, inside=False) for layer in layers]
    plan = _validated(_Plan, _merged(plan_layers), plan_layers)
    if not NAME.fullmatch(plan.name):
        raise UserError(f"{path}: name: found '{plan.name}', allowed: letters, digits, . _ = , + -")
    set_layers = [layer for layer in cell_layers if layer.where.startswith("--set")]
    base_layers = [layer for layer in cell_layers if layer not in set_layers]
    cells = []
    for variant, extra in _variants(path, plan):
        merged_layers = [*base_layers, *extra, *set_layers]
        for seed in plan.seeds:
            cells.append(_cell(plan.name, variant, seed, merged_layers))
    study = Study(plan.name, plan.baseline, cells)
    if plan.baseline is not None:
        pick(f"{path}: baseline", plan.baseline, study.variants)
    return study


def load_cell(path: Path) -> Cell:
    """The resolved spec that a run folder holds."""
    keys = _read_yaml(path)
    return _validated(Cell, keys, [_Layer(f"{path}: ", keys)])


def dump_cell(cell: Cell) -> str:
    return yaml.safe_dump(cell.plain(), sort_keys=False, allow_unicode=True)


# Layers


def _file_layers(path: Path, below: tuple[Path, ...]) -> list[_Layer]:
    """The layers of a file: those it extends first."""
    if path.resolve() in below:
        raise UserError(f"{path}: extends: found a circle back to this file")
    keys = _read_yaml(path)
    base = keys.pop("extends", None)
    layer = _Layer(f"{path}: ", keys)
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
        parsed = yaml.load(value, Loader=_Loader)
    except yaml.YAMLError:
        raise UserError(f"--set {text}: found a value that is no YAML") from None
    return _Layer("--set ", _nested(key.strip(), parsed))


def _nested(dotted: str, value: Any) -> Mapping:
    for part in reversed(dotted.split(".")):
        value = {part: value}
    return dict(value)


def _restrict(layer: _Layer, *, inside: bool) -> _Layer:
    """The keys of the plan (`inside`) or those of the cell."""
    keys = {k: v for k, v in layer.keys.items() if (k in _Plan.model_fields) == inside}
    return _Layer(layer.where, keys)


def _merged(layers: list[_Layer]) -> Mapping:
    keys: Mapping = {}
    for layer in layers:
        keys = _merge(keys, layer.keys)
    return keys


def _merge(base: Mapping, over: Mapping) -> Mapping:
    """`over` laid over `base`. Another `kind` replaces a section whole; another model drops the
    attention and decoder that belonged to the first."""
    if over.get("kind", base.get("kind")) != base.get("kind", over.get("kind")):
        return over
    if {"front_end", "recurrence", "attention", "decoder"} & base.keys() and (
        over.get("name", base.get("name")) != base.get("name")
    ):
        base = {k: v for k, v in base.items() if k not in ("attention", "decoder")}
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _variants(path: Path, plan: _Plan) -> list[tuple[str | None, list[_Layer]]]:
    """Name and extra layers of every variant; a name of None is the model's."""
    named: list[tuple[str | None, list[_Layer]]] = [(None, [])]
    if plan.variants is not None:
        named = [
            (name, [_Layer(f"{path}: variants.{name}.", keys or {})])
            for name, keys in plan.variants.items()
        ]
    points = list(
        itertools.product(*([(k, value) for value in values] for k, values in plan.grid.items()))
    )
    variants: list[tuple[str | None, list[_Layer]]] = []
    for (name, layers), point in itertools.product(named, points):
        label = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in point)
        grid = [_Layer(f"{path}: grid ", _nested(key, value)) for key, value in point]
        full = ",".join(part for part in (name, label) if part) or None
        if full is not None and not NAME.fullmatch(full):
            raise UserError(
                f"{path}: variants: found the name '{full}', allowed: letters, digits, . _ = , + -"
            )
        variants.append((full, [*layers, *grid]))
    return variants


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
    if len(path) == 1:
        names = (names | {"extends"} | _Plan.model_fields.keys()) - LABELS
    return (
        f"{_where(path, layers)}: found an unknown key, allowed: {', '.join(sorted(names))}"
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
    """Where `path`, or as much of it as was written, stands: the last layer that has it."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            node: Any = layer.keys
            for part in path[:length]:
                node = node.get(part, ...) if isinstance(node, dict) else ...
            if node is not ...:
                return layer.where + ".".join(path)
    files = [layer for layer in layers if not layer.where.startswith(("--set", "default"))]
    return (files or layers)[-1].where + ".".join(path)


# YAML


class _Loader(yaml.SafeLoader):
    """YAML with two traps closed: a duplicate key is an error, `3e-4` is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _DuplicateKey(key, key_node.start_mark.line + 1)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _DuplicateKey(Exception):
    def __init__(self, key: Any, line: int) -> None:
        self.key, self.line = key, line


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith(("timestamp", "float"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$|[-+]?\.inf$|\.nan$"),
    list("-+0123456789."),
)


def _read_yaml(path: Path) -> Mapping:
    try:
        keys = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: found a folder, allowed: a YAML file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: found bytes that are no UTF-8 ({error.reason})") from None
    except _DuplicateKey as error:
        raise UserError(f"{path}: line {error.line}: found the key '{error.key}' twice") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UserError(f"{path}: line {line}: {error.problem or 'not YAML'}") from None
    if not isinstance(keys, dict):
        raise UserError(f"{path}: found no mapping, allowed: the keys of an experiment")
    return {str(key): value for key, value in keys.items()}
