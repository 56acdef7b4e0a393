"""The loss against torch's, utterance by utterance, and against every path there is.

Legend: B batch, T frames, F feature bins, D width, U symbols, V symbols in all (0 is the blank).
"""

import itertools
import math
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asrbench.experiment.registry import MODELS
from asrbench.experiment.spec import (
    CrossAttentionDecoder,
    Ds2FrontEnd,
    ModelSpec,
    NoDecoder,
    RecurrenceSpec,
)
from asrbench.models.encoders.deepspeech2 import DeepSpeech2
from asrbench.models.layers.masking import valid_frames
from asrbench.models.objective import Losses, cross_entropy, frames_needed, losses
from asrbench.models.searches import collapse

BINS, SYMBOLS = 20, 7
TARGETS = [[1, 2, 2, 3], [5], [4, 6, 4]]
FRAMES = [40, 12, 31]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def padded_targets(targets: list[list[int]]) -> tuple[Tensor, Tensor]:
    """targets_BU, 0 beyond each, and target_lengths_B."""
    longest = max(map(len, targets))
    rows = [symbols + [0] * (longest - len(symbols)) for symbols in targets]
    return torch.tensor(rows), torch.tensor([len(symbols) for symbols in targets])


class Fixed:
    """Stands for a model whose log_probs_BTV are given: `encode` takes them for features."""

    decoder = None

    def encode(self, x_BTV: Tensor, frames_B: Tensor) -> tuple[Tensor, Tensor]:
        return x_BTV, frames_B

    def output_lengths(self, frames_B: Tensor) -> Tensor:
        return frames_B

    def ctc(self, x_BTV: Tensor) -> Tensor:
        return x_BTV


def ctc_of(log_probs_BTV: Tensor, frames: list[int], targets: list[list[int]]) -> Losses:
    model = cast(DeepSpeech2, Fixed())
    return losses(model, NoDecoder(), log_probs_BTV, torch.tensor(frames), *padded_targets(targets))


def small(name: str, **decoder: float) -> tuple[DeepSpeech2, ModelSpec]:
    """The registry's entry in eval mode, and its spec."""
    spec = MODELS[name].model
    sizes = {"width": 16, "heads": 2, "feed_forward": 32, "layers": 1}
    model_spec = ModelSpec(
        name=name,
        front_end=Ds2FrontEnd(channels=4),
        recurrence=RecurrenceSpec(layers=1, width=16),
        attention=spec.attention,
        decoder=spec.decoder.model_copy(update=sizes | decoder)
        if isinstance(spec.decoder, CrossAttentionDecoder)
        else spec.decoder,
    )
    return DeepSpeech2(model_spec, bins=BINS, symbols=SYMBOLS, seed=1).eval(), model_spec


def losses_of(model: DeepSpeech2, spec: ModelSpec, only: int | None = None) -> Losses:
    """Of the batch of FRAMES and TARGETS, or of one utterance of it alone."""
    x_BTF, frames_B = random(3, max(FRAMES), BINS), torch.tensor(FRAMES)
    targets_BU, target_lengths_B = padded_targets(TARGETS)
    if only is not None:
        one = slice(only, only + 1)
        x_BTF, frames_B = x_BTF[one, : FRAMES[only]], frames_B[one]
        targets_BU, target_lengths_B = targets_BU[one, : len(TARGETS[only])], target_lengths_B[one]
    return losses(model, spec.decoder, x_BTF, frames_B, targets_BU, target_lengths_B)


# CTC


def test_ctc_is_torchs_utterance_by_utterance() -> None:
    log_probs_BTV = random(3, 12, SYMBOLS).log_softmax(-1)
    frames = [12, 5, 7]
    expected = [
        F.ctc_loss(
            log_probs_BTV[b, :length],
            torch.tensor(symbols),
            torch.tensor(length),
            torch.tensor(len(symbols)),
            reduction="sum",
        )
        for b, (length, symbols) in enumerate(zip(frames, TARGETS, strict=True))
    ]
    loss = ctc_of(log_probs_BTV, frames, TARGETS)
    torch.testing.assert_close(loss.ctc, torch.stack(expected).sum())
    assert loss.total is loss.ctc
    assert loss.attention is None


@pytest.mark.parametrize("symbols", [[], [1], [2, 1], [1, 1], [2, 2, 1]])
def test_ctc_is_the_sum_over_all_paths(symbols: list[int]) -> None:
    """4 frames of 3 symbols have 81 paths; those that collapse to the target are summed. Graves
    et al. 2006, equation 3."""
    log_probs_TV = random(4, 3, seed=5).double().log_softmax(-1)
    probability = sum(
        math.exp(sum(log_probs_TV[t, s].item() for t, s in enumerate(path)))
        for path in itertools.product(range(3), repeat=4)
        if collapse(path) == symbols
    )
    loss = ctc_of(log_probs_TV[None], [4], [symbols])
    assert loss.ctc.item() == pytest.approx(-math.log(probability))


def test_ctc_worked_example() -> None:
    """Two frames, blank and one symbol, all equally likely: of the paths --, -a, a-, aa three
    spell 'a', so the loss is -ln(3/4)."""
    log_probs_BTV = torch.full((1, 2, 2), math.log(0.5))
    assert ctc_of(log_probs_BTV, [2], [[1]]).ctc.item() == pytest.approx(-math.log(3 / 4))


@pytest.mark.parametrize("name", MODELS)
def test_a_batchs_losses_are_the_sums_of_its_utterances(name: str) -> None:
    model, spec = small(name)
    together = losses_of(model, spec)
    alone = [losses_of(model, spec, only=b) for b in range(3)]
    for part in ("total", "ctc", "attention"):
        of_all, of_each = getattr(together, part), [getattr(one, part) for one in alone]
        if of_all is None:
            assert of_each == [None] * 3
        else:
            assert of_all.dim() == 0
            torch.testing.assert_close(of_all, torch.stack(of_each).sum(), rtol=1e-4, atol=1e-4)


def test_losses_are_in_fp32_under_autocast() -> None:
    model, spec = small("ds2_crossattn")
    with torch.autocast("cpu", torch.bfloat16):
        half = losses_of(model, spec)
    whole = losses_of(model, spec)
    for part in ("total", "ctc", "attention"):
        assert getattr(half, part).dtype == torch.float32
        torch.testing.assert_close(getattr(half, part), getattr(whole, part), rtol=0.02, atol=0)


# Cross-entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_torchs_with_the_end_as_a_symbol(smoothing: float) -> None:
    """Each utterance's symbols, then one end symbol 0; further padding does not count."""
    targets_BU, target_lengths_B = padded_targets(TARGETS)
    logits_BUV = random(3, 5, SYMBOLS, seed=2)
    expected = torch.zeros(())
    for b, symbols in enumerate(TARGETS):
        following = torch.tensor([*symbols, 0, *[-100] * (4 - len(symbols))])
        expected += F.cross_entropy(
            logits_BUV[b],
            following,
            label_smoothing=smoothing,
            ignore_index=-100,
            reduction="sum",
        )
    actual = cross_entropy(logits_BUV.log_softmax(-1), targets_BU, target_lengths_B, smoothing)
    torch.testing.assert_close(actual, expected)


def test_cross_entropy_worked_example() -> None:
    """All 7 symbols equally likely: (4 + 1) + (1 + 1) + (3 + 1) = 11 times ln 7."""
    targets_BU, target_lengths_B = padded_targets(TARGETS)
    log_probs_BUV = torch.full((3, 5, SYMBOLS), -math.log(SYMBOLS))
    loss = cross_entropy(log_probs_BUV, targets_BU, target_lengths_B, 0.1)
    assert loss.item() == pytest.approx(11 * math.log(7))


def test_padding_has_no_gradient() -> None:
    targets_BU, target_lengths_B = padded_targets(TARGETS)
    logits_BUV = random(3, 5, SYMBOLS).requires_grad_()
    cross_entropy(logits_BUV.log_softmax(-1), targets_BU, target_lengths_B, 0.1).backward()
    assert logits_BUV.grad is not None
    counted_BU = valid_frames(target_lengths_B + 1, 5)
    assert torch.equal(logits_BUV.grad.ne(0).any(-1), counted_BU)


# Together


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_weight_mixes_the_two(weight: float) -> None:
    model, spec = small("ds2_crossattn", ctc_weight=weight)
    loss = losses_of(model, spec)
    assert loss.attention is not None
    assert loss.attention.item() != pytest.approx(loss.ctc.item())
    mixed = weight * loss.ctc + (1 - weight) * loss.attention
    torch.testing.assert_close(loss.total, mixed)
    if weight == 1:
        assert torch.equal(loss.total, loss.ctc)


def test_the_decoders_part_is_its_cross_entropy_after_each_prefix() -> None:
    """Symbol by symbol, each from a prefix of its own: nothing but teacher forcing."""
    model, spec = small("ds2_crossattn", label_smoothing=0.0)
    assert model.decoder is not None
    x_BTF = random(3, max(FRAMES), BINS)
    expected = 0.0
    for b, symbols in enumerate(TARGETS):
        memory_1TD, lengths_1 = model.encode(
            x_BTF[b : b + 1, : FRAMES[b]], torch.tensor(FRAMES[b : b + 1])
        )
        mask_1T = valid_frames(lengths_1, memory_1TD.shape[1])
        for u, following in enumerate([*symbols, 0]):
            prefix_1U = torch.tensor([[0, *symbols[:u]]])
            expected -= model.decoder(memory_1TD, mask_1T, prefix_1U)[0, -1, following].item()
    loss = losses_of(model, spec)
    assert loss.attention is not None
    assert loss.attention.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("weight", "learns"), [(1.0, "head."), (0.0, "decoder.")])
def test_each_part_teaches_its_own_head_and_the_encoder(weight: float, learns: str) -> None:
    model, spec = small("ds2_crossattn", ctc_weight=weight)
    losses_of(model, spec).total.backward()
    idle = {"head.": "decoder.", "decoder.": "head."}[learns]
    for name, parameter in model.named_parameters():
        moved = parameter.grad is not None and bool(parameter.grad.any())
        assert moved != name.startswith(idle), name


# What can be aligned


@pytest.mark.parametrize(
    ("text", "frames"),
    [("", 0), ("a", 1), ("aab", 4), ("aaa", 5), ("abab", 4), ("abba", 5), ("aabb", 6)],
)
def test_frames_needed(text: str, frames: int) -> None:
    """A blank has to stand between equal neighbours: aab needs a - a b."""
    assert frames_needed([ord(letter) for letter in text]) == frames


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 2), min_size=1, max_size=4))
def test_ctc_is_finite_from_the_frames_needed_on(symbols: list[int]) -> None:
    needed = frames_needed(symbols)
    enough = ctc_of(random(1, needed, 3).log_softmax(-1), [needed], [symbols])
    assert enough.ctc.isfinite()
    if needed > 1:
        few = ctc_of(random(1, needed - 1, 3).log_softmax(-1), [needed - 1], [symbols])
        assert few.ctc.isinf()
