"""The arithmetic of `ds2` in as little torch code as possible, to compare a CUDA step with.

It has two convolutions, cuDNN's own stack of bidirectional GRU layers, a linear layer, CTC and
fused AdamW. It has no masks, norms, dropout, clipping, features or augmentation, so it cannot train
a useful model. Legend: B batch, T frames, F feature bins, C channels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Bare(nn.Module):
    def __init__(self, bands: int, symbols: int, layers: int, width: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 32, (41, 11), (2, 2), (20, 5), bias=False),
            nn.Hardtanh(0.0, 20.0, inplace=True),
            nn.Conv2d(32, 32, (21, 11), (2, 1), (10, 5), bias=False),
            nn.Hardtanh(0.0, 20.0, inplace=True),
        )
        # Each convolution halves the bands, rounding up.
        width_in = 32 * -(-bands // 4)
        self.recurrence = nn.GRU(width_in, width, layers, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * width, symbols)

    def forward(self, x_BTF: Tensor) -> Tensor:
        """Returns log_probs_BTV, with half as many frames as x_BTF."""
        x_BCFT = self.convolutions(x_BTF.transpose(1, 2).unsqueeze(1))
        x_BTD, _ = self.recurrence(x_BCFT.flatten(1, 2).transpose(1, 2))
        return self.output(x_BTD).float().log_softmax(-1)  # type: ignore[no-any-return]


def bare_step(
    sizes: dict[str, int],
    tensors: dict[str, Tensor],
    device: torch.device,
    half: bool,
) -> Callable[[], None]:
    """Returns a function that makes one step on `tensors`, which `kospeech` describes.

    `half` runs it in fp16 autocast, in which cuDNN's recurrence is fastest.
    """
    model = _Bare(**sizes).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    x_BTF, targets_BU = tensors["x_BTF"].to(device), tensors["targets_BU"].to(device)
    # Lengths stay on the CPU, where CTC needs them.
    lengths_B, target_lengths_B = (tensors["frames_B"] + 1) // 2, tensors["target_lengths_B"]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.float16, enabled=half):
            log_probs_BTV = model(x_BTF)
        log_probs_TBV = log_probs_BTV.transpose(0, 1)
        loss = F.ctc_loss(log_probs_TBV, targets_BU, lengths_B, target_lengths_B)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step
