"""Counts the floating-point operations of a model in its matrix products and convolutions.

A multiplication and an addition count as two. The count is made on a CPU, whatever the device of
the run: there torch uses its plain products, so that every machine counts the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.spec import FeatureSpec
from asrbench.experiment.spec_model import ModelSpec
from asrbench.models.features import Features
from asrbench.models.model import build_model

AUDIO_SECONDS = 10
"""The length of the utterance on which `forward_flops` counts.

Attention costs more per second, the longer the utterance is.
"""


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    """Counts the operations that run on a CPU in fp32 within the context."""
    with (
        # The counter can count neither oneDNN's recurrence nor the CPU's fused attention.
        _without_onednn(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        yield counter


@torch.inference_mode()
def forward_flops(model: ModelSpec, features: FeatureSpec, symbols: int) -> float:
    """Returns the operations per second of audio, counted on an utterance of `AUDIO_SECONDS`.

    The count covers the encoder and, where the head has them, the log posteriors of its frames. It
    leaves out the features and the search.
    """
    front = Features(features)
    frames_B = front.frames(torch.tensor([AUDIO_SECONDS * SAMPLE_RATE_HZ]))
    with torch.random.fork_rng(devices=[]):
        network = build_model(model, bins=front.bins, symbols=symbols, seed=None).eval()
    with counted() as counter:
        encoded = network.encode(torch.zeros(1, int(frames_B), front.bins), frames_B)
        network.head.frame_log_probs(encoded)
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
