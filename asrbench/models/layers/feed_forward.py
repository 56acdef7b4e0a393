"""The feed-forward block of Transformers, on each frame for itself.

Legend: B batch, T frames, D width.
"""

from collections.abc import Callable

from torch import Tensor, nn

from asrbench.models.layers.dropout import Dropout
from asrbench.models.layers.packing import of_valid


class FeedForward(nn.Module):
    """x + share * dropout(W2 dropout(f(W1 LayerNorm(x)))): Vaswani et al. 2017, equation 2.

    Pre-norm as Xiong et al. 2020, arXiv:2002.04745. `share` is 1 in a Transformer, and one half in
    each of the two blocks of a Conformer's layer.
    """

    def __init__(
        self,
        width: int,
        inner: int,
        dropout: float,
        activation: Callable[[Tensor], Tensor],
        share: float = 1.0,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, inner)
        self.contract = nn.Linear(inner, width)
        self.inner_dropout, self.dropout = Dropout(dropout), Dropout(dropout)
        self.activation, self.share = activation, share

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        y_BTD = of_valid(self._framewise, x_BTD, mask_BT)
        return x_BTD + self.share * self.dropout(y_BTD)  # type: ignore[no-any-return]

    def _framewise(self, x: Tensor) -> Tensor:
        inner = self.activation(self.expand(self.norm(x)))
        return self.contract(self.inner_dropout(inner))  # type: ignore[no-any-return]
