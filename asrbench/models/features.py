"""Features of a whole batch on its device, equal to torchaudio's features of each utterance.

Legend: B batch, S samples, T frames, F feature bins. Frames are not centred: frame t covers the
samples from t * hop to t * hop + window, so no valid frame covers padding.
"""

import torch
import torchaudio
from torch import Tensor, nn

from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.spec import Fbank, FeatureSpec, LogMel, LogSpectrogram, Mfcc
from asrbench.models.layers.masking import valid_frames

FLOOR = 1e-6
"""The constant added to a spectrum before its logarithm; waveforms lie between -1 and 1."""


class Features(nn.Module):
    """Maps int16 waves_BS and samples_B to features x_BTF and frames_B; padding frames are zero.

    Each feature bin of each utterance has mean 0 and variance 1 over its valid frames.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.spec = spec
        self.window = round(spec.window_ms * SAMPLE_RATE_HZ / 1000)
        self.hop = round(spec.hop_ms * SAMPLE_RATE_HZ / 1000)
        frames = {"n_fft": self.window, "hop_length": self.hop, "center": False}
        self.transform: nn.Module | None
        match spec:
            case LogMel():
                self.bins = spec.bands
                self.transform = torchaudio.transforms.MelSpectrogram(
                    SAMPLE_RATE_HZ, n_mels=spec.bands, **frames
                )
            case LogSpectrogram():
                self.bins = self.window // 2 + 1
                self.transform = torchaudio.transforms.Spectrogram(**frames)
            case Mfcc():
                self.bins = spec.coefficients
                # By default torchaudio cuts off at 80 dB below the peak of the whole batch, so an
                # utterance's features would depend on the others.
                self.transform = torchaudio.transforms.MFCC(
                    SAMPLE_RATE_HZ,
                    n_mfcc=spec.coefficients,
                    log_mels=True,
                    melkwargs={"n_mels": spec.bands, **frames},
                )
            case Fbank():
                self.bins = spec.bands
                self.transform = None

    def frames(self, samples_B: Tensor) -> Tensor:
        """Returns the number of frames; padding gives an utterance shorter than a window one."""
        return ((samples_B - self.window) // self.hop + 1).clamp_min(1)

    @torch.no_grad()
    def forward(self, waves_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        frames_B = self.frames(samples_B)
        missing = self.window - waves_BS.shape[1]
        waves_BS = nn.functional.pad(waves_BS, (0, max(missing, 0)))
        x_BTF = self._raw(waves_BS)
        return normalised(x_BTF, valid_frames(frames_B, x_BTF.shape[1])), frames_B

    def _raw(self, waves_BS: Tensor) -> Tensor:
        if self.transform is None:
            return self._kaldi(waves_BS.float())
        x_BFT: Tensor = self.transform(waves_BS.float() / 32768)
        if not isinstance(self.spec, Mfcc):
            x_BFT = (x_BFT + FLOOR).log()
        return x_BFT.transpose(1, 2)

    def _kaldi(self, waves_BS: Tensor) -> Tensor:
        """Returns the log filter bank energies as Kaldi computes them, from 16-bit sample values.

        torchaudio's function takes one waveform. Frames are independent of each other, so the batch
        is concatenated, each utterance padded to a whole number of hops, and the frames that cover
        two utterances are dropped.
        """
        batch, samples = waves_BS.shape
        frames = (samples - self.window) // self.hop + 1
        hops = -(-samples // self.hop)
        flat = nn.functional.pad(waves_BS, (0, hops * self.hop - samples)).flatten()
        x_NF: Tensor = torchaudio.compliance.kaldi.fbank(
            nn.functional.pad(flat, (0, self.window))[None],
            num_mel_bins=self.bins,
            # Whole samples, in ms: torchaudio would round the spec's figures down, not to nearest.
            frame_length=self.window * 1000 / SAMPLE_RATE_HZ,
            frame_shift=self.hop * 1000 / SAMPLE_RATE_HZ,
            sample_frequency=SAMPLE_RATE_HZ,
        )
        return x_NF[: batch * hops].view(batch, hops, -1)[:, :frames]


def normalised(x_BTF: Tensor, mask_BT: Tensor) -> Tensor:
    """Returns x with mean 0 and variance 1 per utterance and bin over valid frames.

    Padding frames are zero.
    """
    mask_BT1 = mask_BT[..., None]
    count_B11 = mask_BT1.sum(1, keepdim=True)
    mean_B1F = (x_BTF * mask_BT1).sum(1, keepdim=True) / count_B11
    x_BTF = (x_BTF - mean_B1F) * mask_BT1
    variance_B1F = x_BTF.square().sum(1, keepdim=True) / count_B11
    return x_BTF * torch.rsqrt(variance_B1F + 1e-5)
