"""Whisper's encoder against the published architecture, written down a second time as functions.

With ASRBENCH_WHISPER_BASE naming a `model.bin` of Whisper base in CTranslate2's format (the file of
faster-whisper-base, SHA-256 d01c3014...a6a9), the published weights go through both.
Legend: B batch, T frames, F feature bins, D width.
"""

import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_models import close, features, padded
from torch import Tensor

from asrbench.models.encoders.whisper import Whisper, WhisperSpec, whisper_sinusoids
from asrbench.models.model import initialise

WEIGHTS = os.environ.get("ASRBENCH_WHISPER_BASE")
BINS, VOCABULARY, TEXT_POSITIONS = 80, 51865, 448
"""Mel bands, and the decoder's vocabulary and positions in the multilingual models."""
BASE = {"layers": 6, "width": 512, "feed_forward": 2048}

State = dict[str, Tensor]


def spec(heads: int, **keys: int) -> WhisperSpec:
    return WhisperSpec.model_validate({**keys, "attention": {"kind": "whisper", "heads": heads}})


def made() -> Whisper:
    """A small encoder in eval mode, all of its parameters random, biases and norms included."""
    encoder = Whisper(spec(2, layers=2, width=16, feed_forward=40), BINS).eval()
    initialise(encoder, 3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return encoder


# The architecture as openai/whisper's model.py has it, on a state with its names


def positions(length: int, channels: int) -> Tensor:
    """`sinusoids` of model.py, in double precision."""
    step = math.log(10_000) / (channels // 2 - 1)
    time = [[t * math.exp(-step * k) for k in range(channels // 2)] for t in range(length)]
    angle = torch.tensor(time, dtype=torch.float64)
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def attended(state: State, name: str, x_TD: Tensor, heads: int) -> Tensor:
    """`MultiHeadAttention`, which scales queries and keys by K^(-1/4) each."""
    q, k, v = (
        linear(state, f"{name}.{part}", x_TD).unflatten(1, (heads, -1)).transpose(0, 1)
        for part in ("query", "key", "value")
    )
    scale = q.shape[-1] ** -0.25
    weights_HTS = ((q * scale) @ (k * scale).transpose(1, 2)).softmax(-1)
    return linear(state, f"{name}.out", (weights_HTS @ v).transpose(0, 1).flatten(1))


def encoded(state: State, x_TF: Tensor, heads: int) -> Tensor:
    """`AudioEncoder` on one utterance."""
    x = F.gelu(F.conv1d(x_TF.T[None], state["conv1.weight"], state["conv1.bias"], padding=1))
    x = F.conv1d(x, state["conv2.weight"], state["conv2.bias"], stride=2, padding=1)
    x_TD = F.gelu(x)[0].T
    x_TD = x_TD + positions(*x_TD.shape)
    for i in range(sum(name.endswith(".mlp_ln.weight") for name in state)):
        block = f"blocks.{i}"
        normed = norm(state, f"{block}.attn_ln", x_TD)
        x_TD = x_TD + attended(state, f"{block}.attn", normed, heads)
        inner = F.gelu(linear(state, f"{block}.mlp.0", norm(state, f"{block}.mlp_ln", x_TD)))
        x_TD = x_TD + linear(state, f"{block}.mlp.2", inner)
    return norm(state, "ln_post", x_TD)


NAMES = {
    "attn_ln": "attention.norm",
    "attn.out": "attention.out",
    "mlp_ln": "feed_forward.norm",
    "mlp.0": "feed_forward.expand",
    "mlp.2": "feed_forward.contract",
}


def copied(state: State, encoder: Whisper) -> None:
    """Loads the weights of openai/whisper's names into ours."""
    ours = {name: state[name] for name in state if name.startswith("conv")}
    ours |= {f"norm.{last}": state[f"ln_post.{last}"] for last in ("weight", "bias")}
    for i in range(len(encoder.blocks)):
        block, qkv = f"blocks.{i}", f"blocks.{i}.attention.qkv"
        parts = [state[f"{block}.attn.{part}.weight"] for part in ("query", "key", "value")]
        ours[f"{qkv}.weight"] = torch.cat(parts)
        for part in ("query", "value"):
            ours[f"{qkv}.{part}_bias"] = state[f"{block}.attn.{part}.bias"]
        for theirs, name in NAMES.items():
            for last in ("weight", "bias"):
                ours[f"{block}.{name}.{last}"] = state[f"{block}.{theirs}.{last}"]
    encoder.load_state_dict(ours)


def published_names(encoder: Whisper) -> State:
    """Returns our weights under openai/whisper's names."""
    ours = encoder.state_dict()
    state = {name: ours[name] for name in ours if name.startswith("conv")}
    state |= {f"ln_post.{last}": ours[f"norm.{last}"] for last in ("weight", "bias")}
    for i in range(len(encoder.blocks)):
        block, qkv = f"blocks.{i}", f"blocks.{i}.attention.qkv"
        for part, rows in zip(
            ("query", "key", "value"), ours[f"{qkv}.weight"].chunk(3), strict=True
        ):
            state[f"{block}.attn.{part}.weight"] = rows
        for part in ("query", "value"):
            state[f"{block}.attn.{part}.bias"] = ours[f"{qkv}.{part}_bias"]
        for theirs, name in NAMES.items():
            for last in ("weight", "bias"):
                state[f"{block}.{theirs}.{last}"] = ours[f"{block}.{name}.{last}"]
    return state


@torch.no_grad()
def test_the_encoder_is_the_published_architecture() -> None:
    """Each utterance alone by the functions above; ours in one batch with garbage on padding."""
    encoder, lengths = made(), [37, 61, 8, 1]
    utterances = [features(length, BINS, seed=length) for length in lengths]
    x_BTD, lengths_B = encoder(padded(utterances, 64), torch.tensor(lengths))
    state = published_names(encoder)
    assert len(state) == 6 + 2 * (2 * 5 + 5)
    for x_TD, length, x_TF in zip(x_BTD, lengths_B.tolist(), utterances, strict=True):
        expected_TD = encoded(state, x_TF, heads=2)
        assert length == len(expected_TD)
        close(x_TD[:length], expected_TD)


def test_copying_there_and_back_changes_nothing() -> None:
    encoder, other = made(), made()
    initialise(other, 4)
    copied(published_names(encoder), other)
    close(other.state_dict(), encoder.state_dict(), rtol=0.0, atol=0.0)


def test_positions_are_whispers_at_any_length() -> None:
    close(whisper_sinusoids(torch.arange(3000), 384), positions(3000, 384), rtol=0.0, atol=5e-4)


@pytest.mark.parametrize("width", [2, 15])
def test_a_width_without_whispers_sinusoids_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"found {width}, allowed: an even number from 4"):
        spec(1, width=width)


# Sizes


def decoder_parameters(width: int, layers: int) -> int:
    """`TextDecoder`: token and learned position embeddings, layers with two attentions, a norm.

    An attention has four D x D matrices, three with a bias, and its norm, 2D; the feed-forward
    part D x 4D and 4D x D with biases, and its norm.
    """
    attention = 4 * width**2 + 3 * width + 2 * width
    feed_forward = 8 * width**2 + 5 * width + 2 * width
    embeddings = (VOCABULARY + TEXT_POSITIONS) * width
    return embeddings + layers * (2 * attention + feed_forward) + 2 * width


@pytest.mark.parametrize(
    ("keys", "heads", "published"),
    [({}, 6, 37_184_640), (BASE, 8, 71_825_920)],
    ids=["tiny", "base"],
)
def test_sizes_are_those_published(keys: dict[str, int], heads: int, published: int) -> None:
    """The parameters of the whole models, as openai/whisper builds them; positions are none."""
    size = spec(heads, **keys)
    assert keys or size == WhisperSpec()
    with torch.device("meta"):
        encoder = Whisper(size, BINS)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count + decoder_parameters(size.width, size.layers) == published


# The published weights


def variables(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a model of CTranslate2, binary version 6 (its model_spec.py)."""
    data, at = path.read_bytes(), 0

    def take(code: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{code}", data, at)
        at += struct.calcsize(f"<{code}")
        return int(value)

    def string() -> str:
        nonlocal at
        length = take("H")
        at += length
        return data[at - length : at - 1].decode()

    assert (take("I"), string()) == (6, "WhisperSpec")
    take("I")
    found = {}
    for _ in range(take("I")):
        name = string()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = ("<f4", "i1", "<i2", "<i4", "<f2")[take("B")], take("I")
        found[name] = np.frombuffer(data[at : at + size], kind).reshape(shape)
        at += size
    return found


CTRANSLATE2 = {
    "attn_ln": "self_attention/layer_norm",
    "attn.out": "self_attention/linear_1",
    "mlp_ln": "ffn/layer_norm",
    "mlp.0": "ffn/linear_0",
    "mlp.2": "ffn/linear_1",
}


def published_state(found: State) -> State:
    """Returns the weights of CTranslate2's encoder under openai/whisper's names."""

    def both(name: str, of: str) -> State:
        lasts = ("gamma", "beta") if of.endswith("norm") else ("weight", "bias")
        pairs = zip(("weight", "bias"), lasts, strict=True)
        return {f"{name}.{last}": found[f"encoder/{of}/{theirs}"] for last, theirs in pairs}

    state = both("conv1", "conv1") | both("conv2", "conv2") | both("ln_post", "layer_norm")
    for i in range(6):
        for name, of in CTRANSLATE2.items():
            state |= both(f"blocks.{i}.{name}", f"layer_{i}/{of}")
        qkv = both("qkv", f"layer_{i}/self_attention/linear_0")
        for last in ("weight", "bias"):
            parts = zip(("query", "key", "value"), qkv[f"qkv.{last}"].chunk(3), strict=True)
            state |= {f"blocks.{i}.attn.{part}.{last}": value for part, value in parts}
    return state


@pytest.mark.skipif(WEIGHTS is None, reason="ASRBENCH_WHISPER_BASE names no model.bin")
@torch.no_grad()
def test_the_published_weights_of_base_run_in_this_encoder() -> None:
    """Every weight has its place, and 30 s come out as the functions above have them."""
    assert WEIGHTS is not None
    found = {
        name: torch.from_numpy(array.astype(np.float32))
        for name, array in variables(Path(WEIGHTS)).items()
        if name.startswith("encoder/") and array.ndim
    }
    state = published_state(found)
    positions_TD = found.pop("encoder/position_encodings/encodings")
    close(whisper_sinusoids(torch.arange(1500), 512), positions_TD, rtol=0.0, atol=1e-3)
    keys = [name for name in state if name.endswith("attn.key.bias")]
    assert len(keys) == 6
    assert not any(state.pop(name).any() for name in keys)
    encoder = Whisper(spec(8, **BASE), BINS).eval()
    copied(state, encoder)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count == sum(value.numel() for value in found.values()) - 6 * 512
    x_TF = features(3000, BINS)
    x_1TD, _ = encoder(x_TF[None], torch.tensor([3000]))
    close(x_1TD[0], encoded(state, x_TF, heads=8), rtol=1e-3, atol=1e-3)
