"""The base of loss terms, which a run minimises in addition to the loss of its head."""

from torch import Tensor, nn

from asrbench.models.heads.head import Encoded, Head, Targets


class LossTerm(nn.Module):
    """The base of loss terms; a subclass is built as `LossTerm(spec, width=D, symbols=V)`."""

    def forward(self, encoded: Encoded, targets: Targets, head: Head) -> Tensor:
        """Returns a scalar, the sum over the batch in nats, without the weight of the spec."""
        raise NotImplementedError
