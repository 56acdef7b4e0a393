"""Location-aware self-attention: a frame's scores know where the frame before it has attended.

Legend: B batch, T frames (queries), S frames (keys), H heads, K width of a head, C filters,
R = 2 x reach + 1, E = HK, N = BHT.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count
from asrbench.models.attention.additive import (
    AdditiveAttentionBlock,
    in_blocks,
    masked_softmax,
    scored,
)
from asrbench.models.attention.self_attention import OverTimeSpec


class LocationAttention(OverTimeSpec):
    kind: Literal["location"] = "location"
    """Additive attention that knows where the frame before has attended (arXiv:1506.07503)."""
    filters: Count = 10
    """Filters of the convolution over the weights of the frame before."""
    reach: Count = 15
    """Frames that a filter sees on either side; its kernel has 2 x reach + 1."""


class LocationAttentionBlock(AdditiveAttentionBlock):
    """Self-attention with v tanh(q_i + k_j + U f_ij) / sqrt(K), where f_i = F * a_{i-1}.

    Chorowski et al. 2015, arXiv:1506.07503, equations 8 and 9: C filters F slide over the weights
    a_{i-1} of the frame before. In the paper these weights, of a decoder's step, already know the
    location of those before them, so that steps have to follow one another. Here all frames are
    computed at once: a_{i-1} is what `AdditiveAttentionBlock` computes, without a location. The
    first frame has f = 0. All heads share F, and each has a U of its own.
    """

    def __init__(self, spec: LocationAttention, width: int) -> None:
        super().__init__(spec, width)
        self.filters = nn.Parameter(torch.empty(spec.filters, 1, 2 * spec.reach + 1))
        self.location = nn.Parameter(torch.empty(spec.heads * spec.head_dim, spec.filters))

    def shares(self, q_BHTK: Tensor, k_BHSK: Tensor, mask_BT: Tensor) -> Tensor:
        by_content_BHTS = super().shares(q_BHTK, k_BHSK, mask_BT)
        before_BHTS = F.pad(by_content_BHTS, (0, 0, 1, 0))[:, :, :-1]
        of_all = [k_BHSK, self.score, self.filters, self.location]
        return masked_softmax(in_blocks(located_scores, [q_BHTK, before_BHTS], of_all), mask_BT)


def located_scores(
    q_BHTK: Tensor,
    before_BHTS: Tensor,
    k_BHSK: Tensor,
    v_HK: Tensor,
    filters_C1R: Tensor,
    location_EC: Tensor,
) -> Tensor:
    """Returns the scores_BHTS of all pairs of the queries and keys given."""
    reach = filters_C1R.shape[2] // 2
    f_NCS = F.conv1d(before_BHTS.flatten(0, 2)[:, None], filters_C1R, padding=reach)
    f_BHTSC = f_NCS.transpose(1, 2).reshape(*before_BHTS.shape, -1)
    u_H1CK = location_EC.view(*v_HK.shape, -1).transpose(1, 2)[:, None].to(f_BHTSC.dtype)
    return scored(q_BHTK[:, :, :, None] + k_BHSK[:, :, None] + f_BHTSC @ u_H1CK, v_HK)
