"""Jasper against plain convolutions of torch, written down from the paper's table.

What every encoder promises is in test_registry.py. Legend: T frames, F feature bins, C channels.
"""

import pytest
import torch
import torch.nn.functional as F
from small_models import BINS, build, close, features
from torch import Tensor, nn

from asrbench.experiment.registry import CTC, MODELS
from asrbench.experiment.spec_model import ModelSpec
from asrbench.models.encoders.jasper import Jasper, JasperSpec
from asrbench.models.model import Model, build_model

TABLE_1 = {"B1": (11, 256, 0.2), "B2": (13, 384, 0.2), "B3": (17, 512, 0.2)} | {
    "B4": (21, 640, 0.3),
    "B5": (25, 768, 0.3),
}
"""Kernel, channels and dropout of the blocks of Li et al. 2019."""


def made(blocks: int = 10, repeats: int = 3, dropout_factor: float = 0.0) -> Model:
    keys = {"blocks": blocks, "repeats": repeats, "dropout_factor": dropout_factor}
    encoder = JasperSpec.model_validate({**keys, "width_factor": 0.03})
    return build(ModelSpec.model_validate({"encoder": encoder, "head": CTC}))


def conv_norm(
    state: dict[str, Tensor], name: str, x_1CT: Tensor, training: bool, **keys: int
) -> Tensor:
    """A convolution with as much padding as leaves the frames, and torch's own batch norm."""
    kernel_CCK = state[f"{name}.conv.weight"]
    padding = keys.get("dilation", 1) * (kernel_CCK.shape[2] - 1) // 2
    x_1CT = F.conv1d(x_1CT, kernel_CCK, None, padding=padding, **keys)
    mean_C, var_C, weight_C, bias_C = (
        state[f"{name}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x_1CT, mean_C.clone(), var_C.clone(), weight_C, bias_C, training)


def reference(state: dict[str, Tensor], x_TF: Tensor, repeats: int, training: bool) -> Tensor:
    """x_TC of one utterance: "Jasper Dense Residual" of the paper as torch's functions."""

    def through(name: str, x_1CT: Tensor, **keys: int) -> Tensor:
        return conv_norm(state, name, x_1CT, training, **keys)

    outputs = [through("prologue.conv", x_TF.T[None], stride=2).relu()]
    blocks = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    for b in range(blocks):
        x_1CT = outputs[-1]
        for r in range(repeats):
            x_1CT = through(f"blocks.{b}.convs.{r}", x_1CT)
            if r == repeats - 1:
                for i, earlier_1CT in enumerate(outputs):
                    x_1CT = x_1CT + through(f"blocks.{b}.residuals.{i}", earlier_1CT)
            x_1CT = x_1CT.relu()
        outputs.append(x_1CT)
    x_1CT = through("epilogue.0.conv", outputs[-1], dilation=2).relu()
    return through("epilogue.1.conv", x_1CT).relu()[0].T


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("blocks", "repeats"), [(5, 3), (5, 5), (10, 3), (10, 5)])
def test_one_utterance_is_encoded_as_by_plain_convolutions(
    blocks: int, repeats: int, training: bool
) -> None:
    """Running statistics are not 0 and 1 here; in training those of the batch count."""
    model = made(blocks, repeats)
    state = {name: value.detach().clone() for name, value in model.encoder.state_dict().items()}
    model.train(training)
    x_1TF = features(1, 75, BINS)
    expected_TC = reference(state, x_1TF[0], repeats, training)
    found = model.encode(x_1TF, torch.tensor([75]))
    assert found.lengths_B.tolist() == [38]
    close(found.x_BTD[0], expected_TC, rtol=1e-3, atol=1e-4)


def test_kernels_channels_and_dropouts_are_those_of_the_table() -> None:
    with torch.device("meta"):
        encoder = Jasper(JasperSpec(dropout_factor=1.0), 64)
    convs = [m for m in encoder.modules() if isinstance(m, nn.Conv1d) and m.kernel_size != (1,)]
    rows = [TABLE_1[name] for name in sorted(TABLE_1) for _ in range(2)]
    expected = [(11, 256), *[row[:2] for row in rows for _ in range(5)], (29, 896)]
    assert [(conv.kernel_size[0], conv.out_channels) for conv in convs] == expected
    assert [conv.stride[0] for conv in convs] == [2] + [1] * 51
    assert [conv.dilation[0] for conv in convs] == [1] * 51 + [2]
    dropouts = [module.p for module in encoder.modules() if isinstance(module, nn.Dropout)]
    assert dropouts == [0.2, *[row[2] for row in rows], 0.4, 0.4]
    assert encoder.width == 1024
    residuals = [len(block.residuals) for block in encoder.blocks]  # type: ignore[arg-type]
    assert residuals == list(range(1, 11))


def test_jasper_10x5_has_the_parameters_of_the_paper() -> None:
    """333 M of the paper, with 64 features and an output layer for 29 symbols."""
    with torch.device("meta"):
        model = build_model(MODELS["jasper"].model, bins=64, symbols=29, seed=None)
    assert model.parameter_count == 332_632_349
    assert round(model.parameter_count / 1e6) == 333


@pytest.mark.parametrize(
    ("blocks", "repeats", "factor"), [(5, 3, 0.2), (10, 3, 0.125), (10, 5, 0.125), (10, 5, 0.15)]
)
def test_a_factor_makes_models_of_3_to_8_million_parameters(
    blocks: int, repeats: int, factor: float
) -> None:
    spec = JasperSpec.model_validate({"blocks": blocks, "repeats": repeats, "width_factor": factor})
    with torch.device("meta"):
        count = sum(p.numel() for p in Jasper(spec, 80).parameters())
    assert 3e6 < count < 8e6


def test_channels_are_multiples_of_8() -> None:
    spec = JasperSpec(width_factor=0.15)
    assert [spec.channels(c) for c in (256, 384, 1024)] == [40, 56, 152]
    assert JasperSpec(width_factor=0.001).channels(256) == 8


def test_an_output_frame_is_where_its_convolutions_are_centred() -> None:
    """Of the prologue, the only convolution with a stride: frame k sees 2k - 5 ... 2k + 5."""
    encoder = made().encoder
    x_1TF = features(1, 40, BINS).requires_grad_()
    seen_1CT = encoder.prologue.conv.conv(x_1TF.transpose(1, 2))
    for k in (3, 7):
        (gradient,) = torch.autograd.grad(seen_1CT[..., k].sum(), x_1TF, retain_graph=True)
        seen = gradient[0].abs().sum(1).nonzero().flatten().tolist()
        middle = int(encoder.first_frame) + k * encoder.stride
        assert seen == list(range(middle - 5, middle + 6))


def test_every_dropout_acts_in_training() -> None:
    """Rates are the paper's times the factor; all outputs gone at a rate of 1."""
    model = made(blocks=5, dropout_factor=0.5).train()
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert [round(each.p, 3) for each in dropouts] == [0.1] * 4 + [0.15] * 2 + [0.2] * 2
    x_1TF, frames_1 = features(1, 40, BINS), torch.tensor([40])
    for each in dropouts:
        each.p = 0.0
    first = model.encode(x_1TF, frames_1).x_BTD
    for each in dropouts:
        each.p = 0.5
        assert not torch.equal(model.encode(x_1TF, frames_1).x_BTD, first)
        each.p = 0.0
    assert torch.equal(model.encode(x_1TF, frames_1).x_BTD, first)
