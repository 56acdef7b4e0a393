"""Floating-point operations of a network: matrix products and convolutions, an addition and a
multiplication being two.

Counted on a CPU, whatever the run's device: there all products are torch's own plain ones, and the
count is the same everywhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.spec import FeatureSpec, ModelSpec
from asrbench.models.encoders.deepspeech2 import DeepSpeech2
from asrbench.models.features import Features

AUDIO_SECONDS = 10
"""Of one utterance that `forward_flops` is counted on: attention costs more, the longer it is."""


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    """Within, what runs on a CPU in fp32 is counted."""
    with (
        # The counter knows neither oneDNN's recurrence nor the CPU's fused attention.
        _without_onednn(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        yield counter


@torch.inference_mode()
def forward_flops(model: ModelSpec, features: FeatureSpec, symbols: int) -> float:
    """For a second of audio, from features to the log posteriors of CTC of an utterance of
    `AUDIO_SECONDS`; without features, and without a decoder."""
    sees = Features(features)
    frames_B = sees.frames(torch.tensor([AUDIO_SECONDS * SAMPLE_RATE_HZ]))
    with torch.random.fork_rng(devices=[]):
        network = DeepSpeech2(model, bins=sees.bins, symbols=symbols, seed=None).eval()
    with counted() as counter:
        network(torch.zeros(1, int(frames_B), sees.bins), frames_B)
    return float(counter.get_total_flops() / AUDIO_SECONDS)


@contextmanager
def _without_onednn() -> Iterator[None]:
    mkldnn = torch.backends.mkldnn
    before = mkldnn.enabled
    mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        mkldnn.enabled = before
