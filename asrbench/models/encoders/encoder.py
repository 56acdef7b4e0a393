"""The base of all encoders: features in, a shorter sequence of vectors out.

Legend: B batch, T frames, F feature bins, D width.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from asrbench.models.attention.block import AttentionBlock


class Encoder(nn.Module):
    """The base of all encoders; a subclass is built as `Encoder(spec, bins=F)`."""

    width: int
    """D, the width of the output."""
    stride: int
    """The number of feature frames between the centres of neighbouring output frames."""
    first_frame: float
    """The centre of the first output frame, in feature frames counted from 0."""

    def forward(self, x_BTF: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Returns x_BTD and its lengths; frames beyond an utterance's length may hold anything.

        Nothing that is computed for an utterance may depend on the others of the batch.
        """
        raise NotImplementedError

    def lengths(self, lengths_B: Tensor) -> Tensor:
        """Returns the number of output frames for utterances of `lengths_B` feature frames."""
        raise NotImplementedError

    def layers(self) -> dict[str, list[nn.Parameter]]:
        """Returns the parameters by layer, from the input to the output.

        Gradients are reported under these names. The first numbered family of them (`blocks.0`,
        `blocks.1`, ...) is the stack along which gradients are followed with depth.
        """
        return by_module(self)

    @property
    def stack(self) -> Sequence[nn.Module]:
        """The layers whose outputs are x_BTD with the width and frames of the encoder's output.

        From the input to the output. Heads that read layers in between are refused where there
        are none.
        """
        return ()

    def attention_layers(self) -> dict[str, AttentionBlock]:
        """Returns the blocks whose attention weights can be shown, by name."""
        return {
            name: module
            for name, module in self.named_modules()
            if isinstance(module, AttentionBlock) and module.relates is not None
        }


def by_module(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Returns the parameters of `module` by the submodule they are in: `norm`, `blocks.0`, ..."""
    layers: dict[str, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        first, number, *_ = [*name.split("."), ""]
        layer = f"{first}.{number}" if number.isdigit() else first
        layers.setdefault(layer, []).append(parameter)
    return layers
