"""Attention mechanisms of recurrent decoders: from a query to a mean of the encoder's frames.

Legend: B utterances, W hypotheses of each, T encoder frames, D encoder width, Q width of the query,
A attention width, C width of the context, H attention heads, K = A / H.
"""

import math
from collections.abc import Mapping

from torch import Tensor, nn

Keys = Mapping[str, Tensor]
"""What a mechanism computes once for an utterance, each tensor (B, ...)."""


class Mechanism(nn.Module):
    """The base of the mechanisms: a softmax over valid frames, and one head that reads memory."""

    heads = 1

    def __init__(self, width: int, query_width: int, memory_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, width)
        # A bias here would add the same to the scores of all frames, which changes no weight.
        self.key = nn.Linear(memory_width, width, bias=False)
        self.context = memory_width
        """C, the width of the context."""

    def keys(self, memory_BTD: Tensor, mask_BT: Tensor) -> Keys:
        """Returns what `forward` needs of the encoder's output."""
        return {"key": self.key(memory_BTD), "value": memory_BTD, "mask": mask_BT}

    def forward(
        self, query_BWQ: Tensor, keys: Keys, previous_BWHT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns context_BWC and weights_BWHT; `previous_BWHT` are the weights one symbol ago."""
        scores_BWHT = self.scores(self.query(query_BWQ), keys["key"], previous_BWHT).float()
        padding_B11T = ~keys["mask"][:, None, None]
        weights_BWHT = scores_BWHT.masked_fill(padding_B11T, -math.inf).softmax(-1)
        return self.read(weights_BWHT, keys["value"]), weights_BWHT

    def scores(self, query_BWA: Tensor, key_BTA: Tensor, previous_BWHT: Tensor) -> Tensor:
        """Returns scores_BWHT, before the softmax."""
        raise NotImplementedError

    def read(self, weights_BWHT: Tensor, value_BTD: Tensor) -> Tensor:
        """Returns context_BWC: the mean of the frames by their weights."""
        return weights_BWHT[:, :, 0].to(value_BTD.dtype) @ value_BTD


class DotMechanism(Mechanism):
    """W_q s . W_k h: Chan et al. 2016, equation 9, with linear maps; Luong et al. 2015."""

    def scores(self, query_BWA: Tensor, key_BTA: Tensor, previous_BWHT: Tensor) -> Tensor:
        return (query_BWA @ key_BTA.mT)[:, :, None]


class AdditiveMechanism(Mechanism):
    """v . tanh(W_q s + W_k h): Bahdanau et al. 2015, arXiv:1409.0473, appendix A.1.2."""

    def __init__(self, width: int, query_width: int, memory_width: int) -> None:
        super().__init__(width, query_width, memory_width)
        self.energy = nn.Linear(width, 1, bias=False)

    def scores(self, query_BWA: Tensor, key_BTA: Tensor, previous_BWHT: Tensor) -> Tensor:
        sum_BWTA = query_BWA[:, :, None] + key_BTA[:, None]
        return self.energy(sum_BWTA.tanh())[..., 0][:, :, None]  # type: ignore[no-any-return]


class LocationMechanism(AdditiveMechanism):
    """v . tanh(W_q s + W_k h + W_f (F * a)): Chorowski et al. 2015, equations 8 and 9.

    F are filters over the frames of the previous weights a (arXiv:1506.07503). No frame has any
    before the first symbol.
    """

    def __init__(
        self, width: int, query_width: int, memory_width: int, *, channels: int, kernel: int
    ) -> None:
        super().__init__(width, query_width, memory_width)
        self.filters = nn.Conv1d(1, channels, kernel, padding=kernel // 2, bias=False)
        self.location = nn.Linear(channels, width, bias=False)

    def scores(self, query_BWA: Tensor, key_BTA: Tensor, previous_BWHT: Tensor) -> Tensor:
        batch, hypotheses, _, frames = previous_BWHT.shape
        # Padding frames have weight 0, which is also how the convolution pads.
        filtered_NCT = self.filters(previous_BWHT.reshape(-1, 1, frames))
        location_NTA = self.location(filtered_NCT.transpose(1, 2))
        location_BWTA = location_NTA.view(batch, hypotheses, frames, -1)
        sum_BWTA = query_BWA[:, :, None] + key_BTA[:, None] + location_BWTA
        return self.energy(sum_BWTA.tanh())[..., 0][:, :, None]  # type: ignore[no-any-return]


class MultiHeadMechanism(Mechanism):
    """softmax(W_q s . W_k h / sqrt(K)) W_v h for each head, and an output map: Vaswani et al. 2017.

    arXiv:1706.03762, section 3.2.2.
    """

    def __init__(self, width: int, query_width: int, memory_width: int, *, heads: int) -> None:
        super().__init__(width, query_width, memory_width)
        self.heads, self.context = heads, width
        self.value = nn.Linear(memory_width, width)
        self.out = nn.Linear(width, width)

    def keys(self, memory_BTD: Tensor, mask_BT: Tensor) -> Keys:
        return {**super().keys(memory_BTD, mask_BT), "value": self.value(memory_BTD)}

    def scores(self, query_BWA: Tensor, key_BTA: Tensor, previous_BWHT: Tensor) -> Tensor:
        q_BHWK, k_BHTK = self._split(query_BWA), self._split(key_BTA)
        scores_BHWT = q_BHWK @ k_BHTK.mT / math.sqrt(q_BHWK.shape[-1])
        return scores_BHWT.transpose(1, 2)

    def read(self, weights_BWHT: Tensor, value_BTD: Tensor) -> Tensor:
        weights_BHWT = weights_BWHT.transpose(1, 2).to(value_BTD.dtype)
        mean_BHWK = weights_BHWT @ self._split(value_BTD)
        return self.out(mean_BHWK.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, x_BNA: Tensor) -> Tensor:
        """Returns x_BHNK."""
        return x_BNA.view(*x_BNA.shape[:2], self.heads, -1).transpose(1, 2)
