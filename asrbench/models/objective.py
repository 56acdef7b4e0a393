"""What training minimises: CTC, or CTC and the decoder's cross-entropy together.

Legend: B batch, T frames, F feature bins, U symbols, V tokenizer.
"""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from asrbench.experiment.spec import CrossAttentionDecoder, DecoderSpec
from asrbench.models.encoders.deepspeech2 import DeepSpeech2
from asrbench.models.layers.masking import valid_frames
from asrbench.text.tokenizer import BLANK


@dataclass(frozen=True)
class Losses:
    """Sums over the batch, in nats; divided by the number of characters they are comparable."""

    total: Tensor
    ctc: Tensor
    attention: Tensor | None


def losses(
    model: DeepSpeech2,
    decoder: DecoderSpec,
    x_BTF: Tensor,
    frames_B: Tensor,
    targets_BU: Tensor,
    target_lengths_B: Tensor,
) -> Losses:
    """CTC in fp32 (Graves et al. 2006); with a decoder w * CTC + (1 - w) * cross-entropy
    (Watanabe et al. 2017). Every target must be alignable; see `frames_needed`.

    Lengths, `frames_B` and `target_lengths_B`, belong on the CPU whatever the device: CTC reads
    them there, and fetching them would wait for the device.
    """
    frames_on_device_B = frames_B.to(x_BTF.device, non_blocking=True)
    encoder_BTD, lengths_B = model.encode(x_BTF, frames_on_device_B)
    log_probs_BTV = model.ctc(encoder_BTD)
    ctc = _ctc(log_probs_BTV, targets_BU, model.output_lengths(frames_B), target_lengths_B)
    if model.decoder is None or not isinstance(decoder, CrossAttentionDecoder):
        return Losses(ctc, ctc, None)
    mask_BT = valid_frames(lengths_B, encoder_BTD.shape[1])
    prefix_BU = F.pad(targets_BU, (1, 0), value=BLANK)
    log_probs_BUV = model.decoder(encoder_BTD, mask_BT, prefix_BU)
    attention = cross_entropy(
        log_probs_BUV,
        targets_BU,
        target_lengths_B.to(x_BTF.device, non_blocking=True),
        decoder.label_smoothing,
    )
    weight = decoder.ctc_weight
    return Losses(weight * ctc + (1 - weight) * attention, ctc, attention)


def _ctc(
    log_probs_BTV: Tensor, targets_BU: Tensor, lengths_B: Tensor, target_lengths_B: Tensor
) -> Tensor:
    device = log_probs_BTV.device
    if torch.are_deterministic_algorithms_enabled():
        # torch has no deterministic gradient of CTC on CUDA; on the CPU it always is.
        log_probs_BTV, targets_BU = log_probs_BTV.cpu(), targets_BU.cpu()
    total = F.ctc_loss(
        log_probs_BTV.transpose(0, 1),
        targets_BU,
        lengths_B,
        target_lengths_B,
        blank=BLANK,
        reduction="sum",
    )
    return total.to(device)


def cross_entropy(
    log_probs_BUV: Tensor, targets_BU: Tensor, target_lengths_B: Tensor, smoothing: float
) -> Tensor:
    """Sum over every symbol and the end of each utterance, in nats; log_probs has U + 1 steps."""
    # Targets are padded with the end symbol already: the first of them is the end.
    following_BU = F.pad(targets_BU, (0, 1), value=BLANK)
    chosen_BU = log_probs_BUV.gather(-1, following_BU[..., None]).squeeze(-1)
    smooth_BU = (1 - smoothing) * chosen_BU + smoothing * log_probs_BUV.mean(-1)
    mask_BU = valid_frames(target_lengths_B + 1, following_BU.shape[1])
    return -(smooth_BU * mask_BU).sum()


def frames_needed(symbols: list[int]) -> int:
    """The fewest frames CTC can spell `symbols` in: adjacent repeats need a blank between."""
    return len(symbols) + sum(a == b for a, b in itertools.pairwise(symbols))
