"""The packed GRU against torch's own, and the packing it runs on.

Legend: B batch, T frames, N valid frames, D features, H units a direction.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrbench.models.layers import gru
from asrbench.models.layers.gru import bidirectional_gru
from asrbench.models.layers.packing import Packing, pack, unpack

LENGTHS = [5, 9, 1, 9, 2]
DIM, UNITS = 6, 4


def cells(seed: int = 0) -> tuple[nn.GRU, nn.GRU]:
    torch.manual_seed(seed)
    return nn.GRU(DIM, UNITS), nn.GRU(DIM, UNITS)


def inputs(lengths: list[int], seed: int = 1) -> Tensor:
    """Random, and huge on padding, so that a leak shows."""
    generator = torch.Generator().manual_seed(seed)
    x_BTD = torch.randn(len(lengths), max(lengths), DIM, generator=generator)
    for row, length in zip(x_BTD, lengths, strict=True):
        row[length:] = 1e6
    return x_BTD.requires_grad_()


def ours(x_BTD: Tensor, lengths: list[int], both: tuple[nn.GRU, nn.GRU]) -> Tensor:
    packing = Packing.of(torch.tensor(lengths), x_BTD.shape[1])
    y_NE = bidirectional_gru(pack(x_BTD, packing), packing, both)
    return unpack(y_NE, packing, *x_BTD.shape[:2])


def torchs(both: tuple[nn.GRU, nn.GRU]) -> nn.GRU:
    """torch's bidirectional layer with the weights of both cells."""
    layer = nn.GRU(DIM, UNITS, batch_first=True, bidirectional=True)
    for suffix, cell in zip(("", "_reverse"), both, strict=True):
        for name, parameter in cell.named_parameters():
            getattr(layer, name + suffix).data.copy_(parameter.data)
    return layer


def reference(x_BTD: Tensor, lengths: list[int], layer: nn.GRU) -> Tensor:
    packed = pack_padded_sequence(x_BTD, torch.tensor(lengths), True, enforce_sorted=False)
    y_BTE, _ = pad_packed_sequence(layer(packed)[0], batch_first=True)
    return y_BTE


@pytest.mark.parametrize("lengths", [LENGTHS, [1], [1, 1, 1], [7], [3, 3]])
def test_outputs_and_all_gradients_are_torchs(lengths: list[int]) -> None:
    both, x_BTD, same_BTD = cells(), inputs(lengths), inputs(lengths)
    layer = torchs(both)
    y_BTE, expected_BTE = ours(x_BTD, lengths, both), reference(same_BTD, lengths, layer)
    torch.testing.assert_close(y_BTE, expected_BTE)
    weights = torch.randn(y_BTE.shape, generator=torch.Generator().manual_seed(2))
    (y_BTE * weights).sum().backward()
    (expected_BTE * weights).sum().backward()
    assert x_BTD.grad is not None
    torch.testing.assert_close(x_BTD.grad, same_BTD.grad)
    for suffix, cell in zip(("", "_reverse"), both, strict=True):
        for name, parameter in cell.named_parameters():
            torch.testing.assert_close(parameter.grad, getattr(layer, name + suffix).grad)


@pytest.mark.parametrize("packs", [False, True])
def test_bf16_stays_near_fp32(packs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights laid out once, and without."""
    if packs and not gru.packs_bf16():
        pytest.skip("this CPU multiplies no bf16")
    monkeypatch.setattr(gru, "packs_bf16", lambda: packs)
    both, x_BTD = cells(), inputs(LENGTHS)
    with torch.no_grad():
        x_BTD.clamp_(max=3)
    exact = _gradients(ours(x_BTD, LENGTHS, both), x_BTD, both)
    with torch.autocast("cpu", torch.bfloat16):
        y_BTE = ours(x_BTD, LENGTHS, both)
    assert y_BTE.dtype == torch.bfloat16
    for half, full in zip(_gradients(y_BTE, x_BTD, both), exact, strict=True):
        torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.05)


def _gradients(y: Tensor, x: Tensor, both: tuple[nn.GRU, nn.GRU]) -> list[Tensor]:
    parameters = [p for cell in both for p in cell.parameters()]
    return [y.detach(), *torch.autograd.grad(y.float().square().sum(), [x, *parameters])]


def test_the_state_is_kept_in_fp32() -> None:
    """A gate that lets 1/256 of the new value, 1, in. In bf16 the state would stop at a half,
    where 1/256 of what is missing is less than half of a digit."""
    cell = nn.GRU(1, 1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih_l0[1] = math.log(255)  # z = 255/256
        cell.bias_ih_l0[2] = 20.0  # n = 1
    packing = Packing.of(torch.tensor([400]), 400)
    with torch.autocast("cpu", torch.bfloat16):
        y_NE = bidirectional_gru(torch.zeros(400, 1), packing, (cell, cell))
    assert y_NE[399, 0].item() == pytest.approx(1 - (255 / 256) ** 400, abs=0.01)


lengths_of_batches = st.lists(st.integers(1, 12), min_size=1, max_size=8)


@given(lengths_of_batches)
def test_packing_keeps_valid_frames_and_nothing_else(lengths: list[int]) -> None:
    x_BTD = inputs(lengths).detach()
    packing = Packing.of(torch.tensor(lengths), x_BTD.shape[1])
    x_ND = pack(x_BTD, packing)
    assert len(x_ND) == sum(lengths) == sum(packing.batch_sizes)
    assert packing.batch_sizes == sorted(packing.batch_sizes, reverse=True)
    back_BTD = unpack(x_ND, packing, *x_BTD.shape[:2])
    for row, original, length in zip(back_BTD, x_BTD, lengths, strict=True):
        assert torch.equal(row[:length], original[:length])
        assert not row[length:].any()


@given(lengths_of_batches)
def test_the_mirror_reverses_each_utterance_and_is_its_own_inverse(lengths: list[int]) -> None:
    x_BTD = inputs(lengths).detach()
    packing = Packing.of(torch.tensor(lengths), x_BTD.shape[1])
    x_ND = pack(x_BTD, packing)
    assert torch.equal(x_ND[packing.mirror_N][packing.mirror_N], x_ND)
    mirrored_BTD = unpack(x_ND[packing.mirror_N], packing, *x_BTD.shape[:2])
    for row, original, length in zip(mirrored_BTD, x_BTD, lengths, strict=True):
        assert torch.equal(row[:length], original[:length].flip(0))


def test_packing_passes_gradients_to_valid_frames() -> None:
    x_BTD = inputs(LENGTHS)
    packing = Packing.of(torch.tensor(LENGTHS), x_BTD.shape[1])
    unpack(3 * pack(x_BTD, packing), packing, *x_BTD.shape[:2]).sum().backward()
    assert x_BTD.grad is not None
    for row, length in zip(x_BTD.grad, LENGTHS, strict=True):
        assert torch.equal(row, 3.0 * (torch.arange(len(row)) < length)[:, None].expand_as(row))
