"""Frozen modules, for `train.freeze` in a spec: parameters that training does not change.

A frozen module is a fixed function: it computes in training what it computes in `eval`. So its
parameters have neither gradients nor weight decay, its batch norms use their running statistics and
leave them alone, and its dropout is off. Noise in layers that cannot adapt to it would only make
what is trained above them see other inputs in training than later.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from asrbench.base.errors import UserError, nearest
from asrbench.models.heads.head import Head

KEEP_THEIR_MODE = (nn.RNNBase, Head)
"""Modules that stay in training mode when frozen: cuDNN has no backward pass of a recurrent layer
in eval mode, and the head's mode says whether it computes the losses of training. What lies within
a head does not stay in it."""


@dataclass(frozen=True)
class Frozen:
    """What is frozen in a model."""

    modules: tuple[nn.Module, ...]
    """The modules that compute as in `eval`."""
    tensors: frozenset[str]
    """The names, in the model's state, of the tensors that training leaves as they are."""

    def hold(self) -> None:
        """Puts the frozen modules in eval mode, after `Module.train` has changed it."""
        for module in self.modules:
            module.training = False


def freeze(model: nn.Module, names: Sequence[str]) -> Frozen:
    """Freezes the parameters of `model` at or below the dotted `names`.

    Raises `UserError` for a name of no module and no parameter, and if nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    known = {prefix for name in parameters for prefix in prefixes(name)}
    for name in names:
        if name not in known:
            raise UserError(_unknown(name, known))
    frozen = {name for name in parameters if not {*names}.isdisjoint(prefixes(name))}
    for name in frozen:
        parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise UserError(
            f"train.freeze: found {', '.join(names)}, which leaves no parameter to train; "
            f"take a name out"
        )
    fixed = dict(_fixed(model, frozen))
    buffers = (f"{path}.{name}" for path, module in fixed.items() for name in _own_buffers(module))
    modules = (each for each in fixed.values() if not isinstance(each, KEEP_THEIR_MODE))
    return Frozen(tuple(modules), frozenset({*frozen, *buffers}))


def prefixes(name: str) -> list[str]:
    """Returns a dotted name with all its beginnings, the shortest first."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _unknown(name: str, known: set[str]) -> str:
    """Returns the line for a name that is not known, with those at the place where it goes wrong.

    All names would be hundreds.
    """
    above = max((each for each in prefixes(name) if each in known), key=len, default="")
    depth = above.count(".") + 1 if above else 0
    there = sorted(
        each
        for each in known
        if each.count(".") == depth and each.startswith(above and f"{above}.")
    )
    return (
        f"train.freeze: found '{name}', which is no module and no parameter of the model; allowed"
        f"{f' within {above}' if above else ''}: {', '.join(there) or 'nothing more'}"
        f"{nearest(name, known)}"
    )


def _fixed(model: nn.Module, frozen: set[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yields the modules whose parameters are all in `frozen`, and all modules within them."""
    known: set[str] = set()
    for path, module in model.named_modules():
        own = [f"{path}.{name}" if path else name for name, _ in module.named_parameters()]
        within = path.rpartition(".")[0] in known
        if within or (own and frozen.issuperset(own)):
            known.add(path)
            yield path, module


def _own_buffers(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_buffers(recurse=False)]
