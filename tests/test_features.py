"""Features of a padded batch against torchaudio's own figures for each utterance alone.

Legend: B batch, S samples, T frames, F feature bins.
"""

import math

import pytest
import torch
import torchaudio
from torch import Tensor

from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.spec import Fbank, FeatureSpec, LogMel, LogSpectrogram, Mfcc
from asrbench.models.features import FLOOR, Features, normalised
from asrbench.models.layers.masking import valid_frames

SPECS: dict[str, FeatureSpec] = {
    "log_mel": LogMel(),
    "log_spectrogram": LogSpectrogram(),
    "mfcc": Mfcc(),
    "fbank": Fbank(),
}
WINDOW, HOP = 400, 160
"""Of the defaults, 25 ms and 10 ms, in samples."""

every_kind = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def noise(samples: int, seed: int = 0, amplitude: float = 3000) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (amplitude * torch.randn(samples, generator=generator)).clamp(-32768, 32767).short()


def batched(waves: list[Tensor], beyond: int = 0) -> tuple[Tensor, Tensor]:
    """int16 waves_BS padded as the loader does it, and `beyond` samples more."""
    samples = [len(wave) for wave in waves]
    waves_BS = torch.zeros(len(waves), max(samples) + beyond, dtype=torch.int16)
    for row, wave in zip(waves_BS, waves, strict=True):
        row[: len(wave)] = wave
    return waves_BS, torch.tensor(samples)


def by_torchaudio(spec: FeatureSpec, wave: Tensor) -> Tensor:
    """x_TF of one utterance, as torchaudio's documentation has it."""
    window = round(spec.window_ms * SAMPLE_RATE_HZ / 1000)
    hop = round(spec.hop_ms * SAMPLE_RATE_HZ / 1000)
    frames = {"n_fft": window, "hop_length": hop, "center": False}
    unit_1S = wave[None].float() / 32768
    match spec:
        case LogMel():
            mel = torchaudio.transforms.MelSpectrogram(SAMPLE_RATE_HZ, n_mels=spec.bands, **frames)
            return (mel(unit_1S) + FLOOR).log()[0].T
        case LogSpectrogram():
            return (torchaudio.transforms.Spectrogram(**frames)(unit_1S) + FLOOR).log()[0].T
        case Mfcc():
            mfcc = torchaudio.transforms.MFCC(
                SAMPLE_RATE_HZ,
                n_mfcc=spec.coefficients,
                log_mels=True,
                melkwargs={"n_mels": spec.bands, **frames},
            )
            return mfcc(unit_1S)[0].T
        case Fbank():
            return torchaudio.compliance.kaldi.fbank(
                wave[None].float(),
                num_mel_bins=spec.bands,
                frame_length=1000 * window / SAMPLE_RATE_HZ,
                frame_shift=1000 * hop / SAMPLE_RATE_HZ,
                sample_frequency=SAMPLE_RATE_HZ,
                dither=0.0,
            )


def mean_and_variance_away(x_TF: Tensor) -> Tensor:
    centred_TF = x_TF - x_TF.mean(0)
    return centred_TF / (x_TF.var(0, correction=0) + 1e-5).sqrt()


def assert_equals_torchaudio(spec: FeatureSpec, waves: list[Tensor]) -> None:
    features = Features(spec)
    x_BTF, frames_B = features(*batched(waves))
    assert x_BTF.dtype == torch.float32
    for x_TF, frames, wave in zip(x_BTF, frames_B.tolist(), waves, strict=True):
        expected_TF = mean_and_variance_away(by_torchaudio(spec, wave))
        assert expected_TF.shape == (frames, features.bins)
        torch.testing.assert_close(x_TF[:frames], expected_TF, rtol=1e-3, atol=1e-3)
        assert not x_TF[frames:].any()


# Against torchaudio


@every_kind
def test_a_batch_is_what_torchaudio_gives_for_each_alone(spec: FeatureSpec) -> None:
    lengths = [5000, 16000, WINDOW, WINDOW + HOP - 1, WINDOW + HOP, 12345]
    assert_equals_torchaudio(spec, [noise(n, seed=n) for n in lengths])


@pytest.mark.parametrize("kind", [LogMel, LogSpectrogram, Mfcc, Fbank])
@pytest.mark.parametrize(
    ("window_ms", "hop_ms"), [(20.0, 12.5), (32.0, 8.0), (20.0, 30.0), (25.04, 10.05)]
)
def test_other_windows_and_hops(
    kind: type[LogMel | LogSpectrogram | Mfcc | Fbank], window_ms: float, hop_ms: float
) -> None:
    """Hops longer than the window, and neither a whole number of samples: both are rounded."""
    spec = kind.model_validate(
        {"window_ms": window_ms, "hop_ms": hop_ms}
        | ({} if kind is LogSpectrogram else {"bands": 24})
        | ({"coefficients": 13} if kind is Mfcc else {})
    )
    assert_equals_torchaudio(spec, [noise(n, seed=n) for n in (8000, 600, 5999)])


@every_kind
def test_alone_is_as_in_a_batch(spec: FeatureSpec) -> None:
    """Longer, and louder, mates: decibels cut below the batch's peak would show here."""
    features, quiet = Features(spec), noise(4000, seed=1, amplitude=20)
    together_BTF, frames_B = features(*batched([quiet, noise(9000, seed=2, amplitude=9000)]))
    alone_BTF, frames_1 = features(*batched([quiet]))
    assert frames_1.item() == frames_B[0]
    torch.testing.assert_close(
        together_BTF[0, : frames_1.item()], alone_BTF[0], rtol=1e-3, atol=1e-3
    )


# Frames


@every_kind
def test_frames_are_windows_that_fit(spec: FeatureSpec) -> None:
    """floor((S - 400) / 160) + 1, and no fewer than 1: by the tensor, by `frames`, by hand."""
    features = Features(spec)
    for samples, expected in [
        (1, 1),
        (399, 1),
        (400, 1),
        (559, 1),
        (560, 2),
        (719, 2),
        (720, 3),
        (16000, 98),
    ]:
        x_1TF, frames_1 = features(noise(samples)[None], torch.tensor([samples]))
        assert x_1TF.shape == (1, expected, features.bins)
        assert frames_1.tolist() == features.frames(torch.tensor([samples])).tolist() == [expected]


@every_kind
def test_an_utterance_shorter_than_a_window_has_one_frame(spec: FeatureSpec) -> None:
    """Alone or with a mate. Its only frame is its own mean, so it is zero: finite, and no more."""
    for waves in ([noise(100)], [noise(100), noise(3000)]):
        x_BTF, frames_B = Features(spec)(*batched(waves))
        assert frames_B[0] == 1
        assert x_BTF.isfinite().all()
        torch.testing.assert_close(x_BTF[0], torch.zeros_like(x_BTF[0]), rtol=0, atol=1e-3)


@every_kind
def test_padding_frames_are_zero(spec: FeatureSpec) -> None:
    x_BTF, frames_B = Features(spec)(*batched([noise(2000), noise(8000)], beyond=3200))
    padding_BT = ~valid_frames(frames_B, x_BTF.shape[1])
    assert frames_B.tolist() == [11, 48]
    assert padding_BT.sum(1).tolist() == [57, 20]
    assert not x_BTF[padding_BT].any()


@every_kind
def test_what_lies_beyond_the_samples_is_not_heard(spec: FeatureSpec) -> None:
    """No valid frame reaches beyond its utterance's samples. (The loader's padding is zero anyway;
    only the one frame of an utterance shorter than a window would hear anything else.)"""
    features = Features(spec)
    waves_BS, samples_B = batched([noise(2000), noise(8000)], beyond=3200)
    expected_BTF, _ = features(waves_BS, samples_B)
    for b, samples in enumerate(samples_B.tolist()):
        waves_BS[b, samples:] = noise(waves_BS.shape[1] - samples, seed=9, amplitude=9000)
    x_BTF, _ = features(waves_BS, samples_B)
    torch.testing.assert_close(x_BTF, expected_BTF, rtol=1e-3, atol=1e-3)


@every_kind
def test_silence_is_no_catastrophe(spec: FeatureSpec) -> None:
    x_BTF, _ = Features(spec)(torch.zeros(1, 4000, dtype=torch.int16), torch.tensor([4000]))
    assert x_BTF.isfinite().all()
    torch.testing.assert_close(x_BTF, torch.zeros_like(x_BTF), rtol=0, atol=1e-2)


# Bins


CHIRP_SECONDS = 8


def loudest_hertz(spec: FeatureSpec) -> list[float]:
    """For each bin, the frequency of a tone at which the bin is highest.

    The tone climbs by 1000 Hz a second from 0 to 8000 Hz; its frequency in the middle of frame t
    is that of sample 160 t + 200. A bin's own mean and variance do not move its peak.
    """
    s = torch.arange(CHIRP_SECONDS * SAMPLE_RATE_HZ, dtype=torch.float64) / SAMPLE_RATE_HZ
    wave = (8000 * (2 * math.pi * 500 * s.square()).sin()).short()
    x_BTF, _ = Features(spec)(wave[None], torch.tensor([len(wave)]))
    return [(t * HOP + WINDOW / 2) / 16 for t in x_BTF[0].argmax(0).tolist()]


def test_a_tone_is_loudest_in_its_mel_band() -> None:
    """24 triangles from 0 to 8000 Hz, their peaks evenly spaced in mel, 2595 log10(1 + f / 700).

    8000 Hz are 2840 mel, so peaks are 2840 / 25 = 113.6 mel apart. 1000 Hz, 1000 mel, are 8.8 of
    them: such a tone belongs to the ninth band.
    """
    heard = [
        2595 * math.log10(1 + f / 700) / (2840.02 / 25) for f in loudest_hertz(LogMel(bands=24))
    ]
    assert heard == pytest.approx(list(range(1, 25)), abs=0.35)


def test_a_tone_is_loudest_in_its_kaldi_band() -> None:
    """Kaldi's triangles start at 20 Hz, 31.7 mel, and so lie (2840 - 31.7) / 25 mel apart."""
    heard = [
        (1127 * math.log(1 + f / 700) - 31.75) / (2808.3 / 25)
        for f in loudest_hertz(Fbank(bands=24))
    ]
    assert heard == pytest.approx(list(range(1, 25)), abs=0.35)


def test_a_tone_is_loudest_in_its_bin_of_the_spectrogram() -> None:
    """Bins are 16000 / 400 = 40 Hz apart: 1000 Hz are bin 25. The tone climbs 25 Hz in a window,
    and at either end mirrors itself."""
    heard = loudest_hertz(LogSpectrogram())
    assert heard[2:-2] == pytest.approx([40 * b for b in range(2, 199)], abs=20)


def test_bins_are_as_many_as_promised() -> None:
    assert {name: Features(spec).bins for name, spec in SPECS.items()} == {
        "log_mel": 80,
        "log_spectrogram": 201,
        "mfcc": 40,
        "fbank": 80,
    }


# Normalisation


def test_normalised_worked_example() -> None:
    """Valid frames 1, 2, 3: mean 2, variance 2/3; the frame of 100 is padding."""
    x_BTF = torch.tensor([1.0, 2.0, 3.0, 100.0])[None, :, None]
    y_BTF = normalised(x_BTF, torch.tensor([[True, True, True, False]]))
    step = 1 / math.sqrt(2 / 3)
    expected = torch.tensor([-step, 0.0, step, 0.0])
    torch.testing.assert_close(y_BTF.flatten(), expected, rtol=1e-4, atol=1e-6)


@every_kind
def test_each_bin_has_mean_zero_and_variance_one(spec: FeatureSpec) -> None:
    x_BTF, frames_B = Features(spec)(*batched([noise(3000), noise(8000)]))
    for x_TF, frames in zip(x_BTF, frames_B.tolist(), strict=True):
        mean_F, variance_F = x_TF[:frames].mean(0), x_TF[:frames].var(0, correction=0)
        torch.testing.assert_close(mean_F, torch.zeros_like(mean_F), rtol=0, atol=1e-4)
        torch.testing.assert_close(variance_F, torch.ones_like(variance_F), rtol=0, atol=1e-3)


def test_features_need_no_gradient() -> None:
    x_BTF, _ = Features(LogMel())(*batched([noise(3000)]))
    assert not x_BTF.requires_grad
    assert not list(Features(LogMel()).parameters())
