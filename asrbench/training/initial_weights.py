"""Weights of another run that a training starts from, for `init_from` in a spec.

They are taken once, at the start of a new training: a run that resumes has its own weights and does
not need the other run any more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from asrbench.base.errors import UserError
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell, InitSpec
from asrbench.experiment.spec_file import load_cell
from asrbench.models.features import Features
from asrbench.models.model import Model, outline_of
from asrbench.recogniser import weights_file
from asrbench.recogniser.recogniser import Recogniser
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.freezing import prefixes

CACHED = 10
"""Sources whose shapes are kept while the runs of a study are set up."""

Shapes = dict[str, list[int]]
"""The shape of each tensor of a model's state, by its name."""


@dataclass(frozen=True)
class Source:
    """The weights of another run, without the tensors themselves."""

    path: Path
    epoch: int | None
    """The number of epochs that the weights were trained for."""
    digest: str
    """The digest of the tensors and of the tokenizer: all that a run which starts from them can
    depend on."""
    tokenizer: str
    """The digest of the tokenizer."""
    features: Any
    """The section `features` of their spec, as plain data."""
    shapes: Shapes


@dataclass(frozen=True)
class Count:
    """The size of a part of a model."""

    tensors: int
    parameters: int
    """The number of elements in those of the tensors that are parameters."""


@dataclass(frozen=True)
class Taken:
    """What a training started from, as `env.json` has it."""

    weights: str
    """The path of the weights."""
    epoch: int | None
    taken: Count
    drawn: Count
    """What was drawn from the seed as without `init_from`."""
    left: dict[str, list[str]]
    """The modules or tensors of both models that were not taken, by the reason."""
    other_features: bool
    """Whether the other run reads other features, for which its first layers were trained."""

    def lines(self) -> list[str]:
        """Returns what was taken and what was left, in lines for the terminal."""
        epoch = "" if self.epoch is None else f" of epoch {self.epoch}"
        drawn = f", {_in_words(self.drawn)} drawn from the seed" if self.drawn.tensors else ""
        found = [f"starts from {self.weights}{epoch}: {_in_words(self.taken)} taken{drawn}"]
        if self.left:
            reasons = "; ".join(f"{', '.join(names)} ({why})" for why, names in self.left.items())
            found.append(f"not taken: {reasons}")
        if self.other_features:
            found.append(f"its features differ from those that {self.weights} was trained with")
        return found


def resolved(cell: Cell, run_of: Callable[[Cell], Run]) -> Cell:
    """Returns `cell` with the digest of the weights that its `init_from` names.

    `run_of` returns the run of a cell. A run that has begun is found without the weights, by the
    digest in its own spec. Raises `UserError` where there is neither, and for weights that cannot
    be read or are not those that the spec has a digest of.
    """
    init = cell.init_from
    if init is None:
        return cell
    try:
        return _with_digest(cell, init, _source_of(init).digest)
    except UserError:
        begun = _begun(cell, init, run_of)
        if len(begun) != 1:
            raise
        return begun[0]


def has_begun(run: Run) -> bool:
    """Returns whether a run has weights of its own, so that it needs no other run's."""
    return bool(run.state_paths()) or run.weights_path("last").is_file()


def check(cell: Cell, tokenizer: Tokenizer) -> None:
    """Raises `UserError` unless a new training of `cell` can start from the weights it names."""
    if (init := cell.init_from) is not None:
        _Selection(cell, init, _source_of(init), tokenizer, outline(cell, len(tokenizer)))


def take(recogniser: Recogniser) -> Taken | None:
    """Copies the weights that the recogniser's cell names into its model; None if it names none.

    Raises `UserError` for weights that cannot be read, do not fit, or have changed since the cell
    was resolved.
    """
    cell, init, model = recogniser.cell, recogniser.cell.init_from, recogniser.model
    if init is None:
        return None
    source = _source_of(init)
    selection = _Selection(cell, init, source, recogniser.tokenizer, model)
    _, weights = weights_file.read(source.path)
    model.load_state_dict(model.state_dict() | {name: weights[name] for name in selection.taken})
    return selection.record()


# The other run


def _source_of(init: InitSpec) -> Source:
    """Returns the weights that `init` names.

    Raises `UserError` for those that cannot be read, or that have another digest than `init`.
    """
    found = Run.find([Path(init.run)])
    if len(found) > 1:
        raise UserError(
            f"init_from: found {len(found)} runs in {Path(init.run)}, allowed: one; the first is "
            f"{found[0]}"
        )
    (run,) = found
    path = run.weights_path(init.checkpoint)
    if not path.is_file():
        raise UserError(f"init_from: {run}: {run.missing_weights(init.checkpoint)}")
    status = path.stat()
    source = _read(path, status.st_mtime_ns, status.st_size)
    if init.digest not in (None, source.digest):
        raise UserError(
            f"init_from: found weights with the digest {source.digest} in {path}, allowed: "
            f"{init.digest}; restore them, or train a new run that starts from these"
        )
    return source


@lru_cache(maxsize=CACHED)
def _read(path: Path, _changed_ns: int, _size: int) -> Source:
    """Reads a weights file; cached for as long as the file stays as it is."""
    metadata, weights = weights_file.read(path)
    return Source(
        path,
        metadata.epoch,
        weights_file.digest_of(weights, metadata.tokenizer),
        Tokenizer.of_plain(metadata.tokenizer).digest,
        metadata.cell.get("features"),
        _shapes(weights),
    )


def _begun(cell: Cell, init: InitSpec, run_of: Callable[[Cell], Run]) -> list[Cell]:
    """Returns `cell` with the digest that each run of it which has begun has recorded.

    The identity in the name of a run's folder shows that all the rest of its spec is the same.
    There are several where the weights at that path have changed in the meantime.
    """
    found = []
    for spec in run_of(cell).folder.parent.glob("*/spec.yaml"):
        try:
            recorded = load_cell(spec).init_from
        except UserError:
            continue  # a damaged run, of which `verify` tells
        if recorded is not None and recorded == init.model_copy(
            update={"digest": init.digest or recorded.digest}
        ):
            same = _with_digest(cell, init, recorded.digest)
            if run_of(same).folder == spec.parent and has_begun(Run(spec.parent)):
                found.append(same)
    return found


def _with_digest(cell: Cell, init: InitSpec, digest: str | None) -> Cell:
    return cell.model_copy(update={"init_from": init.model_copy(update={"digest": digest})})


# Selection


def outline(cell: Cell, symbols: int) -> Model:
    """Returns the model of `cell` with shapes alone, for that many symbols."""
    return outline_of(cell.model, bins=Features(cell.features).bins, symbols=symbols)


class _Selection:
    """Which tensors of a source a model takes, and why it leaves the others.

    Raises `UserError` if the encoder alone is asked for and has tensors of other shapes, and if
    no tensor is taken.
    """

    def __init__(
        self, cell: Cell, init: InitSpec, source: Source, tokenizer: Tokenizer, model: Model
    ) -> None:
        self.cell, self.init, self.source, self.model = cell, init, source, model
        own = _shapes(model.state_dict())
        over_symbols = set[str]()
        if source.tokenizer != tokenizer.digest:
            # The same shape would not mean the same symbols.
            wider = _shapes(outline(cell, len(tokenizer) + 1).state_dict())
            over_symbols = {name for name in own if own[name] != wider[name]}
        self.reasons = {
            name: self._reason(name, own.get(name), name in over_symbols)
            for name in own | source.shapes
        }
        self.taken = [name for name, reason in self.reasons.items() if not reason]
        if not self.taken:
            raise UserError(
                f"init_from: no tensor of {source.path} has the name and the shape of one in the "
                f"{'encoder' if init.parts == 'encoder' else 'model'} of {cell.variant}; name "
                f"another run, or leave init_from out"
            )

    def _reason(self, name: str, own: list[int] | None, over_symbols: bool) -> str:
        """Returns why a tensor is not taken; "" if it is."""
        init, other = self.init, self.source.shapes.get(name)
        if init.parts == "encoder" and not name.startswith("encoder."):
            return "not of the encoder"
        if over_symbols:
            return "over symbols, and the tokenizers differ"
        if other is None:
            return "not in the other run"
        if own is None:
            return "not in this model"
        if own == other:
            return ""
        if init.parts == "encoder":
            raise UserError(
                f"init_from: found {name} of shape {other} in {self.source.path}, allowed: {own} "
                f"as in {self.cell.variant}; give both encoders the same sizes, or set "
                f"init_from.parts=all, which leaves tensors of other shapes"
            )
        return "of another shape"

    def record(self) -> Taken:
        left = {reason: None for reason in self.reasons.values() if reason}
        own = self.model.state_dict().keys()
        drawn = [name for name in own if self.reasons[name]]
        return Taken(
            weights=str(self.source.path),
            epoch=self.source.epoch,
            taken=self._count(self.taken),
            drawn=self._count(drawn),
            left={reason: self._names_of(reason) for reason in left},
            other_features=self.source.features != self.cell.features.model_dump(mode="json"),
        )

    def _count(self, names: list[str]) -> Count:
        sizes = {name: parameter.numel() for name, parameter in self.model.named_parameters()}
        return Count(len(names), sum(sizes.get(name, 0) for name in names))

    def _names_of(self, reason: str) -> list[str]:
        """Returns the tensors left for a reason, or the largest module that holds no others."""
        named = [name for name, why in self.reasons.items() if why == reason]
        others = {path for name in self.reasons.keys() - named for path in prefixes(name)}
        return list(
            dict.fromkeys(next(p for p in prefixes(name) if p not in others) for name in named)
        )


def _shapes(tensors: dict[str, Tensor]) -> Shapes:
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def _in_words(count: Count) -> str:
    return f"{count.tensors} tensors ({count.parameters:,} parameters)"
