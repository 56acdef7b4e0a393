"""The pyramid of Listen, Attend and Spell against torch's own LSTM on packed sequences.

What every encoder promises is in test_registry.py. Legend: B batch, T frames, F feature bins,
D width.
"""

from typing import Any

import pytest
import torch
from small_models import BINS, LENGTHS, SYMBOLS, batch, build, close, features, padded
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from asrbench.experiment.registry import CTC
from asrbench.experiment.spec_model import ModelSpec
from asrbench.models.encoders.pyramid import Pyramid, PyramidSpec, joined
from asrbench.models.layers.masking import MaskedBatchNorm
from asrbench.models.layers.recurrence import CELLS, RecurrentLayer
from asrbench.models.model import Model, build_model

SIZES: dict[str, Any] = {"layers": 3, "width": 8, "dropout": 0.0}
NO_NORM: dict[str, Any] = {"recurrence": SIZES}
NORM: dict[str, Any] = {"recurrence": {**SIZES, "batch_norm": True}}
VGG: dict[str, Any] = {"recurrence": SIZES, "front_end": {"kind": "vgg", "channels": 4}}


def spec(**keys: Any) -> ModelSpec:
    encoder = PyramidSpec.model_validate({**NO_NORM, **keys})
    return ModelSpec.model_validate({"encoder": encoder, "head": CTC})


def made(**keys: Any) -> Model:
    return build(spec(**keys))


def paired(x_TD: Tensor, reduction: int) -> Tensor:
    """Neighbouring frames side by side, of one utterance; what is missing at its end is zeros."""
    frames = list(x_TD)
    while len(frames) % reduction:
        frames.append(torch.zeros(x_TD.shape[1]))
    groups = [frames[i : i + reduction] for i in range(0, len(frames), reduction)]
    return torch.stack([torch.cat(group) for group in groups])


def by_torch(layer: RecurrentLayer, cell: str, utterances: list[Tensor]) -> list[Tensor]:
    """The utterances through torch's own bidirectional layer, packed, with the same weights."""
    width_in, width = layer.forwards.input_size, layer.forwards.hidden_size
    theirs = CELLS[cell](width_in, width, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, parameter in layer.forwards.named_parameters():
            getattr(theirs, name).copy_(parameter)
        for name, parameter in layer.backwards.named_parameters():
            getattr(theirs, f"{name}_reverse").copy_(parameter)
    lengths_B = torch.tensor([len(x_TD) for x_TD in utterances])
    x_BTD = pad_sequence(utterances, batch_first=True)
    packed = pack_padded_sequence(x_BTD, lengths_B, batch_first=True, enforce_sorted=False)
    y_BTE, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    return [y_TE[:length] for y_TE, length in zip(y_BTE, lengths_B.tolist(), strict=True)]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_the_pyramid_is_torchs_layers_on_pairs_of_frames(cell: str, reduction: int) -> None:
    """Lengths of 37, 61, 8 and 1 are odd on some floor; what lies behind them is garbage."""
    model = made(recurrence={**SIZES, "cell": cell}, reduction=reduction)
    x_BTF, frames_B = batch(more=6)
    expected = [x_TF[:length] for x_TF, length in zip(x_BTF, LENGTHS, strict=True)]
    for number, layer in enumerate(model.encoder.recurrence):
        assert isinstance(layer, RecurrentLayer)
        if number > 0:
            expected = [paired(x_TD, reduction) for x_TD in expected]
        expected = by_torch(layer, cell, expected)
    encoded = model.encode(x_BTF, frames_B)
    assert encoded.lengths_B.tolist() == [len(x_TD) for x_TD in expected]
    for x_TD, found_TD in zip(expected, encoded.x_BTD, strict=True):
        close(found_TD[: len(x_TD)], x_TD)


@pytest.mark.parametrize("keys", [NO_NORM, NORM, VGG], ids=["plain", "batch norm", "vgg"])
def test_padding_counts_nowhere(keys: dict[str, Any]) -> None:
    """Without convolutions garbage reaches the first layer; 50 frames more of it change nothing."""
    x_BTF, frames_B = batch()
    model = made(**keys)
    encoded = model.encode(x_BTF, frames_B)
    for b, frames in enumerate(LENGTHS):
        alone = model.encode(x_BTF[b : b + 1, :frames], frames_B[b : b + 1])
        close(encoded.utterance(b).x_BTD, alone.x_BTD)
    found = []
    for more in (0, 50):
        model = made(**keys).train()
        encoded = model.encode(*batch(more=more))
        sum(encoded.utterance(b).x_BTD.sum() for b in range(4)).backward()  # type: ignore[union-attr]
        found.append({n: p.grad for n, p in model.encoder.named_parameters()})
    close(found[0], found[1], rtol=1e-3, atol=1e-3)
    norms = [m for m in model.encoder.recurrence.modules() if isinstance(m, MaskedBatchNorm)]
    assert len(norms) == (3 if keys is NORM else 0)


@pytest.mark.parametrize("reduction", [1, 2, 3, 4])
@pytest.mark.parametrize("front_end", [None, {"kind": "vgg"}, {"kind": "ds2", "time_stride": 2}])
def test_a_frame_is_where_the_frames_it_is_made_of_are(
    reduction: int, front_end: dict[str, Any] | None
) -> None:
    """The mean place of an output frame's inputs, by joining their places as `forward` does."""
    encoder = Pyramid(PyramidSpec.model_validate({**NO_NORM, "front_end": front_end}), BINS)
    step, first = (1, 0.0) if encoder.front_end is None else _of(encoder)
    places_1T1 = first + step * torch.arange(64.0 * 27)[None, :, None]
    encoder = Pyramid(
        PyramidSpec.model_validate({**NO_NORM, "front_end": front_end, "reduction": reduction}),
        BINS,
    )
    for _ in range(2):
        places_1T1 = joined(places_1T1, reduction).mean(-1, keepdim=True)
    expected = encoder.first_frame + encoder.stride * torch.arange(places_1T1.shape[1])
    close(places_1T1.flatten()[:20], expected[:20].float())


def _of(encoder: Pyramid) -> tuple[int, float]:
    assert encoder.front_end is not None
    return encoder.front_end.stride, encoder.front_end.first


def test_the_defaults_are_the_sizes_of_the_paper() -> None:
    """Section 4: one layer and three pyramidal ones, 256 units a direction, an eighth of the
    frames. An LSTM has four gates of a D x H and an H x H matrix and two biases of H."""
    encoder = Pyramid(PyramidSpec(), 40)
    assert (encoder.stride, encoder.first_frame, encoder.width) == (8, 3.5, 512)
    widths, h = [40, 1024, 1024, 1024], 256
    expected = sum(2 * 4 * (d * h + h * h + 2 * h) for d in widths)
    assert sum(p.numel() for p in encoder.parameters()) == expected


@pytest.mark.parametrize(("reduction", "taps"), [(1, 3), (2, 1)])
def test_the_stack_is_what_has_the_outputs_frames(reduction: int, taps: int) -> None:
    model = made(reduction=reduction)
    outputs: list[Tensor] = []
    for layer in model.encoder.stack:
        layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    encoded = model.encode(*batch())
    assert [output.shape for output in outputs] == [encoded.x_BTD.shape] * taps
    assert torch.equal(outputs[-1], encoded.x_BTD)


def test_an_odd_last_frame_is_heard() -> None:
    """Rounded down, its half pair would be lost."""
    model, x_BTF = made(), features(1, 9, BINS)
    changed_BTF = padded([x_BTF[0, :8]], 9)
    outputs = [model.encode(x, torch.tensor([9])).x_BTD for x in (x_BTF, changed_BTF)]
    assert not torch.allclose(outputs[0], outputs[1])


def test_recurrence_starts_orthogonal_and_open_where_a_spec_says_so() -> None:
    keys = {"recurrence": {**SIZES, "initial": "orthogonal", "forget_bias": 1.0}}
    model = build_model(spec(**keys), bins=BINS, symbols=SYMBOLS, seed=3)
    for layer in model.encoder.recurrence:
        assert isinstance(layer, RecurrentLayer)
        first_HH = layer.backwards.weight_hh_l0[:8]
        close(first_HH @ first_HH.T, torch.eye(8))
        assert layer.forwards.bias_ih_l0[8:16].tolist() == [1.0] * 8
