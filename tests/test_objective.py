"""The loss against torch's, utterance by utterance, and against every path there is.

Legend: B batch, T frames, F feature bins, D width, U symbols, V symbols in all (0 is the blank).
"""

import itertools
import json
import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from small_models import BINS, SYMBOLS, build, fresh, padded_targets, small
from torch import Tensor, nn

from asrbench.experiment.kinds import registered_by
from asrbench.experiment.spec_model import LOSS_TERMS, LossTermSpec, ModelSpec
from asrbench.models.heads.attention import cross_entropy
from asrbench.models.heads.ctc import Ctc, CtcSpec, ctc_loss
from asrbench.models.heads.ctc_attention import CtcAttention
from asrbench.models.heads.head import Encoded, Head, Losses, Targets
from asrbench.models.layers.masking import valid_frames
from asrbench.models.loss_term import LossTerm
from asrbench.models.model import Model
from asrbench.models.searches.ctc_greedy import collapse

TARGETS = [[1, 2, 2, 3], [5], [4, 6, 4]]
FRAMES = [40, 12, 31]
CTC = Ctc(CtcSpec(), 4, SYMBOLS)
NAMES = ["total", "ctc", "attention"]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ctc_of(log_probs_BTV: Tensor, frames: list[int], targets: list[list[int]]) -> Tensor:
    """Returns the loss of posteriors that are given."""
    lengths_B = torch.tensor(frames)
    encoded = Encoded(log_probs_BTV, lengths_B, lengths_B)
    return ctc_loss(log_probs_BTV, encoded, padded_targets(targets))


def joint(**head: float) -> Model:
    """Returns a model of CTC and attention with these settings of its head."""
    return build(small("ds2_crossattn", head=head))


def losses_of(model: Model) -> Losses:
    """Returns the losses of the batch of FRAMES and TARGETS."""
    found: Losses = model(
        random(3, max(FRAMES), BINS), torch.tensor(FRAMES), *padded_targets(TARGETS)
    )
    return found


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
    torch.testing.assert_close(loss, torch.stack(expected).sum())


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
    assert loss.item() == pytest.approx(-math.log(probability))


def test_ctc_worked_example() -> None:
    """Two frames, blank and one symbol, all equally likely: of the paths --, -a, a-, aa three
    spell 'a', so the loss is -ln(3/4)."""
    log_probs_BTV = torch.full((1, 2, 2), math.log(0.5))
    assert ctc_of(log_probs_BTV, [2], [[1]]).item() == pytest.approx(-math.log(3 / 4))


def test_ctc_alone_is_all_that_its_head_minimises() -> None:
    """Its one loss is the CTC of its log posteriors."""
    model = build(small("ds2"))
    encoded = model.encode(random(3, max(FRAMES), BINS), torch.tensor(FRAMES))
    targets = padded_targets(TARGETS)
    log_probs_BTV = model.head.frame_log_probs(encoded)
    assert log_probs_BTV is not None
    expected = ctc_loss(log_probs_BTV, encoded, targets)
    torch.testing.assert_close(losses_of(model), {"total": expected})


@pytest.mark.parametrize("name", ["ds2", "ds2_crossattn"])
def test_losses_are_in_fp32_under_autocast(name: str) -> None:
    model = build(small(name))
    with torch.autocast("cpu", torch.bfloat16):
        half = losses_of(model)
    whole = losses_of(model)
    assert list(whole) == (NAMES if name == "ds2_crossattn" else NAMES[:1])
    for part, loss in whole.items():
        assert half[part].dtype == torch.float32
        torch.testing.assert_close(half[part], loss, rtol=0.02, atol=0)


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
    loss = losses_of(joint(ctc_weight=weight))
    assert list(loss) == NAMES
    assert loss["attention"].item() != pytest.approx(loss["ctc"].item())
    mixed = weight * loss["ctc"] + (1 - weight) * loss["attention"]
    torch.testing.assert_close(loss["total"], mixed)
    if weight == 1:
        assert torch.equal(loss["total"], loss["ctc"])


def test_the_decoders_part_is_its_cross_entropy_after_each_prefix() -> None:
    """Symbol by symbol, each from a prefix of its own: nothing but teacher forcing."""
    model = joint(label_smoothing=0.0)
    assert isinstance(model.head, CtcAttention)
    x_BTF = random(3, max(FRAMES), BINS)
    expected = 0.0
    for b, symbols in enumerate(TARGETS):
        frames_1 = torch.tensor(FRAMES[b : b + 1])
        alone = model.encode(x_BTF[b : b + 1, : FRAMES[b]], frames_1)
        for u, following in enumerate([*symbols, 0]):
            prefix_1U = torch.tensor([[0, *symbols[:u]]])
            log_probs_1UV = model.head.decoder(alone.x_BTD, alone.mask_BT, prefix_1U)
            expected -= log_probs_1UV[0, -1, following].item()
    assert losses_of(model)["attention"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("weight", "idle"), [(1.0, "head.decoder."), (0.0, "head.output.")], ids=["ctc", "attention"]
)
def test_each_part_teaches_its_own_layers_and_the_encoder(weight: float, idle: str) -> None:
    model = joint(ctc_weight=weight)
    losses_of(model)["total"].backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        moved = parameter.grad is not None and bool(parameter.grad.any())
        assert moved != name.startswith(idle), name


# Loss terms


class SquaresSpec(LossTermSpec):
    kind: Literal["test_squares"] = "test_squares"


class Squares(LossTerm):
    """The squares of a linear map of what the encoder gives."""

    def __init__(self, spec: SquaresSpec, width: int, symbols: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, symbols)

    def forward(self, encoded: Encoded, targets: Targets, head: Head) -> Tensor:
        squares_BT1 = self.map(encoded.x_BTD).square().sum(-1, keepdim=True)
        return (squares_BT1 * encoded.mask_BT[..., None]).sum()  # type: ignore[no-any-return]


with registered_by("test"):
    LOSS_TERMS.register(SquaresSpec, Squares)


def test_a_loss_term_is_added_by_its_weight_and_learns() -> None:
    """The head's losses stay what they were, and so do the weights of head and encoder."""
    spec = small("ds2_crossattn")
    term = SquaresSpec(weight=0.25)
    plain, model = fresh(spec), fresh(spec.model_copy(update={"loss_terms": (term,)}))
    without, found = losses_of(plain), losses_of(model)
    assert list(found) == [*NAMES, "test_squares"]
    for name in ("ctc", "attention"):
        assert torch.equal(found[name], without[name])
    squares = found["test_squares"]
    torch.testing.assert_close(found["total"], without["total"] + 0.25 * squares)
    found["total"].backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.any() for p in model.loss_terms.parameters())
    assert list(model.layers()) == [*plain.layers(), "loss_terms.test_squares"]
    assert model.parameter_count == plain.parameter_count


def test_a_loss_term_is_named_once() -> None:
    keys = small("ds2").model_dump(mode="json")
    keys["loss_terms"] = [{"kind": "test_squares"}] * 2
    with pytest.raises(ValidationError, match="found 'test_squares' twice"):
        ModelSpec.model_validate_json(json.dumps(keys))


# What can be aligned


@pytest.mark.parametrize(
    ("text", "frames"),
    [("", 0), ("a", 1), ("aab", 4), ("aaa", 5), ("abab", 4), ("abba", 5), ("aabb", 6)],
)
def test_frames_needed(text: str, frames: int) -> None:
    """A blank has to stand between equal neighbours: aab needs a - a b."""
    assert CTC.frames_needed([ord(letter) for letter in text]) == frames


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 2), min_size=1, max_size=4))
def test_ctc_is_finite_from_the_frames_needed_on(symbols: list[int]) -> None:
    needed = CTC.frames_needed(symbols)
    enough = ctc_of(random(1, needed, 3).log_softmax(-1), [needed], [symbols])
    assert enough.isfinite()
    if needed > 1:
        few = ctc_of(random(1, needed - 1, 3).log_softmax(-1), [needed - 1], [symbols])
        assert few.isinf()
