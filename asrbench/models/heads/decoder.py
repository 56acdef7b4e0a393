"""The base of attention decoders: the next symbol from the symbols before it and the encoder.

Legend: B utterances, W hypotheses of each, T encoder frames, U symbols, D encoder width, V symbols
in all, H attention heads. Symbol 0, CTC's blank, is start and end here.
"""

import torch
from torch import Tensor, nn

from asrbench.models.searches.state import State
from asrbench.text.tokenizer import BLANK


class Decoder(nn.Module):
    """The base of attention decoders; a subclass is built as `Decoder(spec, D, V)`.

    Training predicts all symbols at once (`forward`); searches go symbol by symbol with `start` and
    `step`, which keep what `forward` would compute again. In eval mode both give the same.
    """

    embedding: nn.Embedding
    """Of all symbols, the start symbol among them."""
    memory_width: int
    """D, the width of the encoder's output."""

    def forward(self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor) -> Tensor:
        """Returns log_probs_BUV, in fp32, of the symbol after each prefix.

        Prefixes start with symbol 0 and may be padded on the right. `mask_BT` is true on valid
        frames of the encoder's output `memory_BTD`.
        """
        raise NotImplementedError

    def start(self, memory_BTD: Tensor, mask_BT: Tensor, *, covered: bool = False) -> State:
        """Returns the state before the start symbol, with W = 1.

        With `covered` the state has under that name the attention (B, W, T) that each frame has got
        from all symbols so far; it is 1 on padding frames from the start.
        """
        raise NotImplementedError

    def step(self, state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
        """Returns log_probs_BWV, in fp32, of the symbol after `symbols_BW`, and the new state."""
        raise NotImplementedError

    def weights(self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor) -> list[Tensor]:
        """Returns the weights_BHUT on the encoder, by layer, that `forward` uses in eval mode."""
        raise NotImplementedError

    def sampled(
        self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor, rate: float
    ) -> Tensor:
        """Returns log_probs_BUV with scheduled sampling: Bengio et al. 2015, arXiv:1506.03099.

        Each symbol of the prefixes is replaced, with probability `rate`, by one that is drawn from
        what the decoder predicts in its place. Start symbols and padding stay, and the end is never
        drawn. As Mihaylova & Martins 2019, arXiv:1906.07651, this draws from the predictions of a
        first pass over the correct prefixes, because all symbols are predicted at once.
        """
        with torch.no_grad():
            drawn_BU = draw(self(memory_BTD, mask_BT, prefix_BU)[:, :-1])
        replaced_BU = replaced(prefix_BU, rate)
        drawn_BU = torch.cat([prefix_BU[:, :1], drawn_BU], dim=1)
        log_probs_BUV: Tensor = self(
            memory_BTD, mask_BT, torch.where(replaced_BU, drawn_BU, prefix_BU)
        )
        return log_probs_BUV


def replaced(prefix_BU: Tensor, rate: float) -> Tensor:
    """Draws which symbols scheduled sampling replaces; neither the start nor padding are."""
    return (torch.rand(prefix_BU.shape, device=prefix_BU.device) < rate) & (prefix_BU != BLANK)


def draw(log_probs: Tensor) -> Tensor:
    """Returns symbols drawn from distributions (..., V) from which the end is left out."""
    # The largest p / e of exponential draws e is a draw from p.
    noise = torch.empty_like(log_probs).exponential_().clamp_min(torch.finfo(torch.float32).tiny)
    return (log_probs - noise.log())[..., BLANK + 1 :].argmax(-1) + BLANK + 1


def uncovered(mask_BT: Tensor) -> Tensor:
    """Returns (B, 1, T): no attention so far on valid frames, all of it on padding frames."""
    return (~mask_BT).float()[:, None]
