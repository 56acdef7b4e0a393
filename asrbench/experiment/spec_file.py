"""Reads spec files into typed cells: `extends`, `variants`, `grid`, `seeds`, `folds`, `--set`."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from asrbench.base.errors import UserError, pick
from asrbench.experiment import plugins
from asrbench.experiment.folder_names import folder_name, nfc, refuse_one_folder
from asrbench.experiment.layers import Layer, Mapping, layer_of, merge, merged, nested, where_of
from asrbench.experiment.registry import MODELS, kinds_of, nearest_with
from asrbench.experiment.spec import Cell, DecodeSpec, PluginFile, RecordedCell, TextSpec
from asrbench.experiment.spec_base import Spec
from asrbench.experiment.spec_study import StudyKeys
from asrbench.experiment.spec_validation import LABELS, UnknownKey, unknown_key, validated
from asrbench.experiment.strict_yaml import fault, parse, read_dumped, read_mapping, read_mappings

DEFAULTS: Mapping = {
    "features": {"kind": "log_mel"},
    "model": {"name": "ds2", "encoder": {"front_end": {"kind": "ds2"}}},
    "train": {
        "optimizer": {"kind": "adamw"},
        "schedule": {"kind": "cosine"},
        "weights": {"kind": "best"},
    },
}
"""The kinds of sections for which a spec need not choose one."""


@dataclass(frozen=True)
class StudySpec:
    """The cells of one spec file, in the order they are run."""

    name: str
    cells: list[Cell]
    not_applied: tuple["NotApplied", ...] = ()

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(cell.variant for cell in self.cells))


@dataclass(frozen=True)
class NotApplied:
    """A `--set` that a variant is without, because its model does not have the key."""

    text: str
    """The text after `--set`."""
    variant: str
    reason: str
    """The error that it would have been."""


def load_study(path: Path, sets: list[str] | None = None) -> StudySpec:
    """Returns the study in the spec file `path`, with each `a.b=value` of `sets` applied.

    The file may also hold complete specs, as `dump_cell` writes them. A key that only some of the
    models have is applied to these, and `not_applied` names the others; one that none of them has
    is an error. Raises `UserError`, in one line: file, path of the key, what was found, what is
    allowed.
    """
    documents = read_mappings(path)
    if documents[0].keys() >= {*_FOLDERS, "seed"}:
        return _recorded_study(path, documents, sets or [])
    if documents[1:]:
        raise UserError(f"{path}: found {len(documents)} YAML documents, allowed: one experiment")
    layers = [Layer("default ", DEFAULTS), *_file_layers(path, ())]
    layers += [_set_layer(text) for text in sets or []]
    layers = [_with_plugins(layer) for layer in layers]
    plan_layers = [_restrict(layer, to_plan=True) for layer in layers]
    cell_layers = [_restrict(layer, to_plan=False) for layer in layers]
    plan = validated(StudyKeys, merged(plan_layers), plan_layers)
    name = folder_name(where_of(("name",), plan_layers), plan.name)
    set_layers = [layer for layer in cell_layers if layer.where.startswith("--set")]
    base_layers = [layer for layer in cell_layers if layer not in set_layers]
    variants = _variants(plan, plan_layers)
    only = None if plan.only is None else [nfc(each) for each in plan.only]
    for each in only or ():
        pick(where_of(("only",), plan_layers), each, [str(variant) for variant, _ in variants])
    cells, not_applied = [], []
    for variant, extra in variants:
        if only is not None and variant not in only:
            continue
        variant_layers = [*base_layers, *map(_with_plugins, extra)]
        labels = itertools.product(plan.seeds, _folds(plan))
        first, refused = _cell_with_sets(name, variant, *next(labels), variant_layers, set_layers)
        applied = [layer for layer in set_layers if id(layer) not in refused]
        cells.append(first)
        cells += [_cell(name, variant, *each, [*variant_layers, *applied]) for each in labels]
        not_applied += [
            NotApplied(text, first.variant, refused[id(layer)])
            for text, layer in zip(sets or [], set_layers, strict=True)
            if id(layer) in refused
        ]
    study = StudySpec(name, cells, tuple(not_applied))
    for absent in not_applied:
        if {n.variant for n in not_applied if n.text == absent.text} == {*study.variants}:
            raise UserError(absent.reason)
    return study


def _cell_with_sets(
    experiment: str,
    variant: str | None,
    seed: int,
    fold: Mapping | None,
    layers: list[Layer],
    set_layers: list[Layer],
) -> tuple[Cell, dict[int, str]]:
    """Returns the cell, and the errors of those of `set_layers` whose key its model does not have.

    The errors are found by the `id` of the layer.
    """
    refused: dict[int, str] = {}
    while True:
        applied = [layer for layer in set_layers if id(layer) not in refused]
        try:
            return _cell(experiment, variant, seed, fold, [*layers, *applied]), refused
        except UnknownKey as error:
            if not any(error.layer is layer for layer in applied):
                raise
            refused[id(error.layer)] = str(error)


def merged_with_sets(keys: Mapping, sets: list[str], where: str = "") -> Cell:
    """Returns the cell of the complete `keys`, with each `a.b=value` of `sets` applied."""
    sets_layers = [replace(_set_layer(text), also=LABELS) for text in sets]
    layers = [Layer(where, keys, also=LABELS), *sets_layers]
    return validated(Cell, merged(layers), layers)


def _recorded_study(path: Path, documents: list[Mapping], sets: list[str]) -> StudySpec:
    """Returns the study of the cells in `documents`, each with every key of a cell.

    Paths of plug-ins are relative to the current folder, or else to that of the file.
    """
    cells = []
    for keys in documents:
        where = f"{path}: "
        named = {"plugins": keys.get("plugins", [])}
        for plugin in validated(_Plugins, named, [Layer(where, named)]).plugins:
            beside = path.parent / plugin.path
            found = plugin.path if Path(plugin.path).is_file() else str(beside)
            plugins.load(plugin.model_copy(update={"path": found}))
        cell = merged_with_sets(keys, sets, where)
        _from_registry(cell.plain()["model"], [Layer(where, keys)])  # its kinds are the name's
        names = {key: folder_name(where + key, getattr(cell, key)) for key in _FOLDERS}
        cells.append(cell.model_copy(update=names))
    experiments = list(dict.fromkeys(cell.experiment for cell in cells))
    if len(experiments) > 1:
        raise UserError(
            f"{path}: experiment: found {' and '.join(experiments[:2])}, allowed: one in a file"
        )
    return StudySpec(experiments[0], cells)


_FOLDERS = ("experiment", "variant")
"""Keys of a cell that are names of folders."""


class _Plugins(Spec):
    """The part of a cell that must be read first, because it registers the kinds of the rest."""

    plugins: tuple[PluginFile, ...] = ()
    """Plug-ins of the model."""


class _Decode(Spec):
    """The part of a cell that can be changed after training."""

    decode: DecodeSpec
    """Search and its options."""


def decode_with_sets(decode: DecodeSpec, sets: Iterable[str]) -> DecodeSpec:
    """Returns `decode` with each `decode.key=value` of `sets` applied.

    Raises `UserError` for any other key: the rest of a spec is as the run was trained.
    """
    layers = [Layer("", {"decode": decode.model_dump()}), *map(_set_layer, sets)]
    for layer in layers:
        for key in layer.keys.keys() - _Decode.model_fields.keys():
            raise UserError(
                f"{layer.where}{key}: found a key that training has used; allowed: decode.KEY, as "
                f"in --set decode.beam=20"
            )
    return validated(_Decode, merged(layers), layers).decode


def text_of(**keys: Any) -> TextSpec:
    """Returns the section `text` with the given keys. Raises `UserError` as `load_study` does."""
    return validated(TextSpec, keys, [Layer("text.", keys)])


def load_cell(path: Path) -> RecordedCell:
    """Returns the resolved spec of a run folder, with its model as plain data.

    This needs neither torch nor plug-ins. The checkpoint holds the typed cell.
    """
    keys = read_dumped(path)
    return validated(RecordedCell, keys, [Layer(f"{path}: ", keys, also=LABELS)])


def dump_cell(cell: Cell) -> str:
    """Returns the text of `spec.yaml` for `cell`."""
    return yaml.safe_dump(cell.plain(), sort_keys=False, allow_unicode=True)


# Layers


def _file_layers(path: Path, below: tuple[Path, ...]) -> list[Layer]:
    """Returns the layers of a file, beginning with those of the file that it extends."""
    if path.resolve() in below:
        raise UserError(f"{path}: extends: found a circle back to this file")
    keys = read_mapping(path)
    base = keys.pop("extends", None)
    also = frozenset({"extends", *StudyKeys.model_fields})
    layer = Layer(f"{path}: ", keys, path.parent, also)
    if base is None:
        return [layer]
    if not isinstance(base, str):
        raise UserError(f"{path}: extends: found {base!r}, allowed: the name of a file")
    return [*_file_layers(path.parent / base, (*below, path.resolve())), layer]


def _set_layer(text: str) -> Layer:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text}: found no `key=value`, as in --set train.epochs=5")
    try:
        parsed = parse(value)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"--set {text}: {fault(error)}") from None
    return Layer("--set ", nested(key.strip(), parsed), also=frozenset(StudyKeys.model_fields))


def _with_plugins(layer: Layer) -> Layer:
    """Runs the plug-ins that a layer names, so that its other keys can name their kinds.

    Returns the layer with the digest of each beside its path.
    """
    named = layer.keys.get("plugins")
    if not isinstance(named, list):
        return layer
    for path in named:
        if not isinstance(path, str):
            raise UserError(f"{layer.where}plugins: found {path!r}, allowed: paths of Python files")
    found = [plugins.read(layer.folder / path) for path in named]
    plugins.check_names(found)
    for plugin in found:
        plugins.load(plugin)
    return replace(layer, keys=layer.keys | {"plugins": [each.model_dump() for each in found]})


def _restrict(layer: Layer, *, to_plan: bool) -> Layer:
    """Returns the layer with the keys of the plan only, or with those of the cell only."""
    keys = {k: v for k, v in layer.keys.items() if (k in StudyKeys.model_fields) == to_plan}
    return replace(layer, keys=keys)


def _variants(plan: StudyKeys, plan_layers: list[Layer]) -> list[tuple[str | None, list[Layer]]]:
    """Returns the name and the extra layers of every variant; None stands for the model's name."""
    named: list[tuple[str | None, list[Layer]]] = [(None, [])]
    if plan.variants is not None:
        folder = layer_of(("variants",), plan_layers).folder
        named = [
            (name, [Layer(where_of(("variants", name), plan_layers) + ".", keys or {}, folder)])
            for name, keys in plan.variants.items()
        ]
    points = list(
        itertools.product(*([(k, value) for value in values] for k, values in plan.grid.items()))
    )
    variants: list[tuple[str | None, list[Layer]]] = []
    for (name, layers), point in itertools.product(named, points):
        label = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in point)
        over = where_of(("grid",), plan_layers) + " "
        grid = [Layer(over, nested(key, value)) for key, value in point]
        full = ",".join(part for part in (name, label) if part) or None
        if full is not None:
            full = folder_name(where_of(("grid" if label else "variants",), plan_layers), full)
        variants.append((full, [*layers, *grid]))
    refuse_one_folder(
        where_of(("variants",), plan_layers), [name for name, _ in variants if name is not None]
    )
    return variants


def _folds(plan: StudyKeys) -> list[Mapping | None]:
    """Returns the keys of every fold; None stands for the splits of the corpus."""
    if plan.folds is None:
        return [None]
    return [{"index": index, "of": plan.folds} for index in range(1, plan.folds + 1)]


def _cell(
    experiment: str, variant: str | None, seed: int, fold: Mapping | None, layers: list[Layer]
) -> Cell:
    keys = merged(layers)
    model = keys.get("model")
    if isinstance(model, dict) and "name" in model:
        keys["model"] = _from_registry(model, layers)
        variant = variant or str(model["name"])
    for label in LABELS & keys.keys():
        raise UserError(unknown_key((label,), Cell, layers))
    labels = {"experiment": experiment, "variant": variant or "", "seed": seed, "fold": fold}
    cell = validated(Cell, keys | labels, layers)
    return cell.model_copy(update={"plugins": plugins.used_by(cell)})


def _from_registry(model: Mapping, layers: list[Layer]) -> Mapping:
    """Returns the registry's entry with the sizes of `model`.

    Raises `UserError` if `model` changes a kind that defines the entry.
    """
    if not isinstance(model["name"], str):  # Validation then reports the name alone.
        return MODELS["ds2"].model.model_dump(mode="json") | {"name": model["name"]}
    name = pick(where_of(("model", "name"), layers), model["name"], MODELS)
    for path, own in kinds_of(name).items():
        found = _kind_at(model, path)
        if found not in (None, own):
            matching = nearest_with(name, path, found)
            raise UserError(
                f"{where_of(('model', *path, 'kind'), layers)}: found '{found}', allowed: "
                f"'{own}', which is what model {name} means"
                + (f"; see {', '.join(matching)}" if matching else "")
            )
    entry = MODELS[name].model.model_dump(mode="json") | {"name": name}
    return merge(entry, model, "model")


def _kind_at(node: Any, path: tuple[str, ...]) -> Any:
    """Returns the `kind` of the section at `path`; None where either is not written."""
    for part in (*path, "kind"):
        node = node.get(part) if isinstance(node, dict) else None
    return node
