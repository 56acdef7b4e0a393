"""The Conformer against torchaudio's, with the same weights, and against the paper's sizes.

Legend: B batch, T frames, D width.
"""

import pytest
import torch
from small_models import BINS, close, features
from torch import Tensor, nn
from torchaudio.models import Conformer as TorchaudioConformer

from asrbench.models.encoders.conformer import Conformer, ConformerSpec, ConvolutionModule
from asrbench.models.encoders.transformer import Transformer, TransformerSpec
from asrbench.models.layers.masking import MaskedBatchNorm, valid_frames
from asrbench.models.model import initialise

WIDTH, HEADS, KERNEL, LAYERS = 16, 2, 5, 2
SIZES = {
    "s": {"layers": 16, "width": 144, "feed_forward": 576, "heads": 4, "head_dim": 36},
    "m": {"layers": 16, "width": 256, "feed_forward": 1024, "heads": 4, "head_dim": 64},
    "l": {"layers": 17, "width": 512, "feed_forward": 2048, "heads": 8, "head_dim": 64},
}
"""Gulati et al. 2020, table 1, as the docstring of the module has it."""


def spec(**keys: object) -> ConformerSpec:
    """Without positions, as torchaudio's."""
    return ConformerSpec.model_validate(
        {
            "layers": LAYERS,
            "width": WIDTH,
            "feed_forward": 40,
            "dropout": 0.0,
            "kernel": KERNEL,
            "subsampling": {"channels": 4},
            "attention": {"kind": "self", "heads": HEADS, "head_dim": 8, "dropout": 0.0},
        }
        | keys
    )


def made() -> Conformer:
    """An encoder, all of its parameters and running statistics random."""
    encoder = Conformer(spec(), BINS)
    initialise(encoder, 3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        for module in encoder.modules():
            if isinstance(module, MaskedBatchNorm):
                module.running_mean.uniform_(-0.3, 0.3, generator=generator)
                module.running_var.uniform_(0.3, 1.5, generator=generator)
    return encoder


def torchaudios(encoder: Conformer) -> TorchaudioConformer:
    """torchaudio's layers with the weights of `encoder`'s; its depthwise bias is 0."""
    theirs = TorchaudioConformer(WIDTH, HEADS, 40, LAYERS, KERNEL, dropout=0.0)
    halves = {"ffn1.sequential": "first_half", "ffn2.sequential": "second_half"}
    names = {
        "self_attn_layer_norm": "attention.norm",
        "self_attn.out_proj": "attention.out",
        "conv_module.layer_norm": "convolution.norm",
        "conv_module.sequential.0": "convolution.expand",
        "conv_module.sequential.2": "convolution.depthwise",
        "conv_module.sequential.3": "convolution.batch_norm",
        "conv_module.sequential.5": "convolution.contract",
        "final_layer_norm": "norm",
    }
    for to, of in halves.items():
        parts = {0: "norm", 1: "expand", 4: "contract"}
        names |= {f"{to}.{number}": f"{of}.{part}" for number, part in parts.items()}
    ours, state = encoder.state_dict(), theirs.state_dict()
    for i in range(LAYERS):
        layer, block = f"conformer_layers.{i}", f"blocks.{i}"
        for last in ("weight", "bias"):
            state[f"{layer}.self_attn.in_proj_{last}"] = ours[f"{block}.attention.qkv.{last}"]
        state[f"{layer}.conv_module.sequential.2.bias"].zero_()
        for to, of in names.items():
            for last in ("weight", "bias", "running_mean", "running_var"):
                name, value = f"{layer}.{to}.{last}", ours.get(f"{block}.{of}.{last}")
                if value is not None:
                    state[name] = value.view_as(state[name])
    theirs.load_state_dict(state)
    return theirs


@pytest.mark.parametrize("training", [False, True])
def test_the_layers_are_torchaudios_with_the_same_weights(training: bool) -> None:
    """At equal lengths, as torchaudio's convolutions and batch norm see padding."""
    encoder = made().train(training)
    theirs = torchaudios(encoder).train(training)
    x_BTF, frames_B = features(3, 41, BINS), torch.tensor([41, 41, 41])
    input_BTD, lengths_B = encoder.subsampling(x_BTF, frames_B)
    x_BTD, _ = encoder(x_BTF, frames_B)
    expected_BTD, _ = theirs(input_BTD, lengths_B)
    close(x_BTD, expected_BTD)
    for i, block in enumerate(encoder.blocks):
        norm = theirs.conformer_layers[i].conv_module.sequential[3]
        close(block.convolution.batch_norm.running_mean, norm.running_mean)
        close(block.convolution.batch_norm.running_var, norm.running_var)


def seen_by(frame: int, kernel: int) -> list[int]:
    """Frames that output `frame` of the convolution module depends on, in eval mode."""
    module = ConvolutionModule(WIDTH, kernel, 0.0).eval()
    x_1TD = features(1, 12, WIDTH).requires_grad_()
    y_1TD: Tensor = module(x_1TD, torch.ones(1, 12, dtype=torch.bool))
    # A weighted sum: the outputs of a layer norm sum to a constant.
    (gradient,) = torch.autograd.grad((y_1TD[0, frame] * features(WIDTH)).sum(), x_1TD)
    return gradient[0].abs().sum(1).nonzero().flatten().tolist()


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_the_convolution_sees_as_much_on_either_side(kernel: int) -> None:
    half = kernel // 2
    assert seen_by(5, kernel) == list(range(5 - half, 6 + half))


def test_statistics_are_over_valid_frames_only() -> None:
    """The running mean after one batch is that of the utterances laid end to end."""
    module = ConvolutionModule(WIDTH, 1, 0.0).train()
    lengths_B, x_BTD = torch.tensor([9, 4]), features(2, 9, WIDTH)
    mask_BT = valid_frames(lengths_B, 9)
    module(x_BTD, mask_BT)
    alone = ConvolutionModule(WIDTH, 1, 0.0).train()
    alone.load_state_dict(
        module.state_dict()
        | {
            "batch_norm.running_mean": torch.zeros(WIDTH),
            "batch_norm.running_var": torch.ones(WIDTH),
        }
    )
    x_1TD = x_BTD[mask_BT][None]
    alone(x_1TD, torch.ones(1, 13, dtype=torch.bool))
    close(module.batch_norm.running_mean, alone.batch_norm.running_mean)
    close(module.batch_norm.running_var, alone.batch_norm.running_var)


@pytest.mark.parametrize("kernel", [2, 32])
def test_a_kernel_without_a_middle_is_refused(kernel: int) -> None:
    with pytest.raises(ValueError, match=f"found {kernel}, allowed: an odd number"):
        spec(kernel=kernel)


def sized(size: str) -> ConformerSpec:
    keys = dict(SIZES[size])
    heads = {"heads": keys.pop("heads"), "head_dim": keys.pop("head_dim")}
    attention = {"kind": "positional", "position": "transformer_xl", **heads}
    subsampling = {"channels": keys["width"]}
    return ConformerSpec.model_validate(
        {**keys, "attention": attention, "subsampling": subsampling}
    )


@pytest.mark.parametrize(
    ("size", "decoder", "published"), [("s", 320, 10.3e6), ("m", 640, 30.7e6), ("l", 640, 118.8e6)]
)
def test_sizes_are_those_of_the_paper(size: str, decoder: int, published: float) -> None:
    """The paper counts a transducer: one LSTM layer of table 1's width, and, as section 3.2 has
    1,024 word pieces, an embedding and an output layer; its joint network is not described."""
    with torch.device("meta"):
        encoder = Conformer(sized(size), 80)
        lstm = nn.LSTM(decoder, decoder)
    count = sum(p.numel() for module in (encoder, lstm) for p in module.parameters())
    assert count + 2 * 1024 * decoder == pytest.approx(published, rel=0.04)


def test_the_defaults_are_the_size_m() -> None:
    assert ConformerSpec() == sized("m")


def test_the_subsampling_is_that_of_the_transformer() -> None:
    """Of the same seed the same bits, as variants share what they have in common."""
    conformer = Conformer(spec(), BINS)
    attention = {"kind": "self", "heads": HEADS, "head_dim": 8}
    keys = {"width": WIDTH, "subsampling": {"channels": 4}, "attention": attention}
    transformer = Transformer(TransformerSpec.model_validate(keys), BINS)
    for encoder in (conformer, transformer):
        initialise(encoder, 7)
    assert isinstance(transformer.subsampling, nn.Module)
    close(
        dict(conformer.subsampling.named_parameters()),
        dict(transformer.subsampling.named_parameters()),
        rtol=0.0,
        atol=0.0,
    )
