"""A model: an encoder, a head, and loss terms. Only this module combines them.
Legend: B batch, T frames, F feature bins, U symbols.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from asrbench.base.errors import UserError
from asrbench.base.seeding import key
from asrbench.experiment.spec_model import ENCODERS, HEADS, LOSS_TERMS, ModelSpec
from asrbench.models.encoders.encoder import Encoder
from asrbench.models.heads.head import Encoded, Head, Losses, Targets


class Model(nn.Module):
    """An encoder and a head, whatever their kinds."""

    def __init__(self, spec: ModelSpec, bins: int, symbols: int) -> None:
        """Raises `UserError` for a head that reads layers which the encoder does not have."""
        super().__init__()
        self.encoder: Encoder = ENCODERS.build(spec.encoder, bins=bins)
        width = self.encoder.width
        self.head: Head = HEADS.build(spec.head, width=width, symbols=symbols)
        depth = len(self.encoder.stack)
        if max(self.head.taps, default=0) > depth:
            raise UserError(
                f"model.head: found layer {max(self.head.taps)} of the encoder, allowed: "
                + (f"1 to {depth}" if depth else "none")
                + f", because '{spec.encoder.kind}' has {depth} layers that a head can read"
            )
        self.loss_terms = nn.ModuleDict(
            {
                term.kind: LOSS_TERMS.build(term, width=width, symbols=symbols)
                for term in spec.loss_terms
            }
        )
        self._weights = {term.kind: term.weight for term in spec.loss_terms}

    def encode(self, x_BTF: Tensor, frames_B: Tensor) -> Encoded:
        """Returns the encoder's output for features x_BTF of `frames_B` frames (on the CPU)."""
        with self._tapped() as taps:
            x_BTD, lengths_B = self.encoder(x_BTF, frames_B.to(x_BTF.device, non_blocking=True))
        return Encoded(x_BTD, lengths_B, self.encoder.lengths(frames_B), tuple(taps))

    @contextmanager
    def _tapped(self) -> Iterator[list[Tensor]]:
        """Yields a list that a forward pass in training fills with the outputs of `head.taps`."""
        outputs: list[Tensor] = []
        layers = [self.encoder.stack[number - 1] for number in self.head.taps]
        hooks = [
            layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
            for layer in (layers if self.training else ())
        ]
        try:
            yield outputs
        finally:
            for hook in hooks:
                hook.remove()

    def forward(
        self, x_BTF: Tensor, frames_B: Tensor, symbols_BU: Tensor, target_lengths_B: Tensor
    ) -> Losses:
        """Returns the losses of a batch, with the loss terms in `total` and by their names.

        Lengths, `frames_B` and `target_lengths_B`, are on the CPU whatever the device: CTC reads
        them there, and fetching them would wait for the device.
        """
        encoded, targets = self.encode(x_BTF, frames_B), Targets(symbols_BU, target_lengths_B)
        losses = self.head.losses(encoded, targets)
        views = self.head.views if self.training else 1
        for name, term in self.loss_terms.items():
            losses[name] = term(encoded, targets, self.head) / views
            losses["total"] = losses["total"] + self._weights[name] * losses[name]
        return losses

    def layers(self) -> dict[str, list[nn.Parameter]]:
        """Returns the parameters by layer: the encoder's, the head's, and those of loss terms."""
        terms = {
            f"loss_terms.{name}": list(term.parameters()) for name, term in self.loss_terms.items()
        }
        layers = {**self.encoder.layers(), **self.head.layers(), **terms}
        return {name: parameters for name, parameters in layers.items() if parameters}

    @property
    def parameter_count(self) -> int:
        """The number of parameters that recognition needs; loss terms do not count."""
        return sum(p.numel() for m in (self.encoder, self.head) for p in m.parameters())

    @property
    def trained_count(self) -> int:
        """The number of those parameters that training changes, as the others are frozen."""
        modules = (self.encoder, self.head)
        return sum(p.numel() for m in modules for p in m.parameters() if p.requires_grad)


def build_model(spec: ModelSpec, *, bins: int, symbols: int, seed: int | None) -> Model:
    """Returns the model that `spec` describes, for that many feature bins and symbols.

    Its parameters are drawn from a generator keyed by (seed, parameter name), so that what two
    variants share is bit-equal between them. Without a seed they stay as torch makes them.
    """
    model = Model(spec, bins, symbols)
    if seed is not None:
        for part in (model.encoder, model.head, model.loss_terms):
            initialise(part, seed)
    return model


def outline_of(spec: ModelSpec, *, bins: int, symbols: int) -> Model:
    """Returns the model that `spec` describes with shapes alone, on torch's device `meta`."""
    with torch.device("meta"):
        return build_model(spec, bins=bins, symbols=symbols, seed=None)


@torch.no_grad()
def initialise(module: nn.Module, seed: int) -> None:
    """Draws matrices and kernels uniformly within 1 / sqrt(fan-in) and sets biases to zero.

    Other vectors (norms, temporal rates) keep the constants that their modules gave them. A module
    that wants other values has a method `set_initial`, as `RecurrentLayer` has. It is called last.
    """
    for name, parameter in module.named_parameters():
        if parameter.dim() >= 2:
            generator = _generator(seed, name)
            bound = (parameter.shape[0] / parameter.numel()) ** 0.5
            parameter.copy_(
                torch.empty_like(parameter).uniform_(-bound, bound, generator=generator)
            )
        elif "bias" in name.rpartition(".")[2]:
            parameter.zero_()
    for path, part in module.named_modules():
        if hasattr(part, "set_initial"):
            part.set_initial(partial(_generator, seed, within=path))


def _generator(seed: int, name: str, within: str = "") -> torch.Generator:
    """Returns the generator of the parameter `name` of the module at the path `within`."""
    path = f"{within}.{name}" if within else name
    return torch.Generator().manual_seed(key(seed, "weight", _drawn_as(path)))


def _drawn_as(name: str) -> str:
    """Returns the name that keys the draw of a parameter.

    Output layers were called `head` when the committed studies were trained. Their draws keep that
    name, so that a study repeated today starts from the same weights.
    """
    return ".".join("head" if part == "output" else part for part in name.split("."))
