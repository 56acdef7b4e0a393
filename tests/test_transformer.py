"""The Transformer's encoder, its subsampling and its feed-forward block against torch's own.

Legend: B batch, T frames, F feature bins, C channels, D width.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from small_models import BINS, LENGTHS, batch, build, close, features, of_kinds
from torch import Tensor, nn

from asrbench.base.errors import UserError
from asrbench.experiment.kinds import ASRBENCH
from asrbench.experiment.registry import CTC
from asrbench.experiment.spec_base import Impossible
from asrbench.experiment.spec_model import ATTENTION
from asrbench.models.attention import self_attention
from asrbench.models.attention.head_mixing import HeadMixing
from asrbench.models.attention.self_attention import SelfAttention
from asrbench.models.encoders import conformer
from asrbench.models.encoders.transformer import Transformer, TransformerSpec
from asrbench.models.layers import feed_forward, subsampling
from asrbench.models.layers.feed_forward import FeedForward
from asrbench.models.layers.subsampling import Subsampling, SubsamplingSpec
from asrbench.models.model import initialise

WIDTH, HEADS, CHANNELS = 16, 2, 4
ENCODERS = ("transformer", "conformer", "whisper")


def spec(**keys: object) -> TransformerSpec:
    return TransformerSpec.model_validate(
        {
            "layers": 3,
            "width": WIDTH,
            "feed_forward": 40,
            "dropout": 0.0,
            "subsampling": {"channels": CHANNELS},
            "attention": {"kind": "self", "heads": HEADS, "head_dim": 8, "dropout": 0.0},
        }
        | keys
    )


def made(**keys: object) -> Transformer:
    """An encoder in eval mode, all of its parameters random, biases and norms included."""
    encoder = Transformer(spec(**keys), BINS).eval()
    initialise(encoder, 3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return encoder


def subsampled(layer: Subsampling, x_TF: Tensor) -> Tensor:
    """Each convolution of one utterance by torch, then its channels' bins, channel by channel."""
    x_CFT = x_TF.T[None]
    for conv in layer.convolutions:
        assert isinstance(conv, nn.Conv2d)
        x_CFT = F.conv2d(F.pad(x_CFT, (1, 1, 1, 1)), conv.weight, conv.bias, stride=2).relu()
    return F.linear(x_CFT.flatten(0, 1).T, layer.out.weight, layer.out.bias)


@pytest.mark.parametrize("bins", [1, 2, 3, 20, 80])
def test_subsampling_is_that_of_each_utterance_alone(bins: int) -> None:
    layer = Subsampling(SubsamplingSpec(channels=CHANNELS), bins, WIDTH)
    x_BTF = 9 * features(4, max(LENGTHS) + 3, bins)
    x_BTD, lengths_B = layer(x_BTF, torch.tensor(LENGTHS))
    for x_TD, length, x_TF, frames in zip(x_BTD, lengths_B.tolist(), x_BTF, LENGTHS, strict=True):
        assert length == math.ceil(math.ceil(frames / 2) / 2)
        close(x_TD[:length], subsampled(layer, x_TF[:frames]))


def test_the_first_frames_middle_and_the_stride_are_those_of_what_a_frame_sees() -> None:
    """Frame k sees feature frames 4k - 3 ... 4k + 3: 3 either side of 4k."""
    encoder = made()
    x_1TF = features(1, 40, BINS).requires_grad_()
    x_1TD, _ = encoder.subsampling(x_1TF, torch.tensor([40]))
    for k in (2, 5):
        (gradient,) = torch.autograd.grad(x_1TD[0, k].sum(), x_1TF, retain_graph=True)
        seen = gradient[0].abs().sum(1).nonzero().flatten().tolist()
        middle = encoder.first_frame + k * encoder.stride
        assert seen == list(range(int(middle) - 3, int(middle) + 4))


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_feed_forward_is_the_equation_and_skips_no_frame(share: float) -> None:
    block = FeedForward(WIDTH, 24, 0.0, F.gelu, share)
    x_BTD, mask_BT = features(2, 5, WIDTH), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    n_BTD = F.layer_norm(x_BTD, (WIDTH,), block.norm.weight, block.norm.bias)
    inner = F.gelu(n_BTD @ block.expand.weight.T + block.expand.bias)
    expected_BTD = x_BTD + share * (inner @ block.contract.weight.T + block.contract.bias)
    close(block(x_BTD, mask_BT)[mask_BT], expected_BTD[mask_BT])


def test_feed_forward_drops_within_and_at_its_end() -> None:
    block, x_BTD = FeedForward(WIDTH, 24, 0.5, torch.relu), features(1, 9, WIDTH)
    mask_BT = torch.ones(1, 9, dtype=torch.bool)
    block.dropout.p = 1.0
    assert torch.equal(block(x_BTD, mask_BT), x_BTD)
    block.dropout.p = 0.0
    assert not torch.equal(block(x_BTD, mask_BT), block(x_BTD, mask_BT))
    block.eval()
    assert torch.equal(block(x_BTD, mask_BT), block(x_BTD, mask_BT))


def torchs_own(encoder: Transformer) -> nn.TransformerEncoder:
    """torch.nn.TransformerEncoder with the weights of `encoder`'s stack."""
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 40, 0.0, activation="relu", batch_first=True, norm_first=True
    )
    theirs = nn.TransformerEncoder(
        layer, len(encoder.blocks), nn.LayerNorm(WIDTH), enable_nested_tensor=False
    )
    names = {
        "self_attn.in_proj_weight": "attention.qkv.weight",
        "self_attn.in_proj_bias": "attention.qkv.bias",
        "self_attn.out_proj.weight": "attention.out.weight",
        "self_attn.out_proj.bias": "attention.out.bias",
        "linear1.weight": "feed_forward.expand.weight",
        "linear1.bias": "feed_forward.expand.bias",
        "linear2.weight": "feed_forward.contract.weight",
        "linear2.bias": "feed_forward.contract.bias",
        "norm1.weight": "attention.norm.weight",
        "norm1.bias": "attention.norm.bias",
        "norm2.weight": "feed_forward.norm.weight",
        "norm2.bias": "feed_forward.norm.bias",
    }
    ours = encoder.state_dict()
    state = {f"norm.{name}": ours[f"norm.{name}"] for name in ("weight", "bias")}
    for i in range(len(encoder.blocks)):
        state |= {f"layers.{i}.{to}": ours[f"blocks.{i}.{of}"] for to, of in names.items()}
    theirs.load_state_dict(state)
    return theirs.eval()


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
def test_the_encoder_is_torchs_own_with_the_same_weights(positions: str) -> None:
    """From the features on; positions as in Vaswani et al. 2017, their sines first."""
    encoder, (x_BTF, frames_B) = made(positions=positions), batch()
    x_BTD, lengths_B = encoder(x_BTF, frames_B)
    input_BTD = math.sqrt(WIDTH) * encoder.subsampling(x_BTF, frames_B)[0]
    if positions == "sinusoidal":
        angle = torch.tensor(
            [
                [t / 10_000 ** (2 * k / WIDTH) for k in range(WIDTH // 2)]
                for t in range(x_BTD.shape[1])
            ]
        )
        input_BTD = input_BTD + torch.cat([angle.sin(), angle.cos()], dim=1)
    valid = torch.arange(x_BTD.shape[1]) < lengths_B[:, None]
    expected_BTD = torchs_own(encoder)(input_BTD, src_key_padding_mask=~valid)
    close(x_BTD[valid], expected_BTD[valid])


@pytest.mark.parametrize("kind", [each.kind for each in ATTENTION.by_origin(ASRBENCH)])
@pytest.mark.parametrize("name", ENCODERS)
def test_every_attention_block_fits_the_slot(name: str, kind: str) -> None:
    """Alone as in a batch with garbage on padding; its weights can be shown if it has any."""
    encoder = {"kind": name, "attention": {"kind": kind}}
    model, (x_BTF, frames_B) = build(of_kinds(encoder, CTC)), batch()
    encoded = model.encode(x_BTF, frames_B)
    for b, frames in enumerate(frames_B.tolist()):
        alone = model.encode(x_BTF[b : b + 1, :frames], frames_B[b : b + 1])
        close(encoded.utterance(b).x_BTD, alone.x_BTD)
    assert len(model.encoder.attention_layers()) == (0 if kind == "none" else 2)


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_changes_nothing_where_it_is_computed_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where frame-wise products run over padding and leave garbage there."""
    for module in (subsampling, feed_forward, self_attention, conformer):
        monkeypatch.setattr(module, "of_valid", lambda f, x_BTD, mask_BT: f(x_BTD))
    model = build(of_kinds({"kind": name}, CTC))
    x_BTF, frames_B = batch()
    encoded = model.encode(x_BTF, frames_B)
    for b, frames in enumerate(frames_B.tolist()):
        alone = model.encode(x_BTF[b : b + 1, :frames], frames_B[b : b + 1])
        close(encoded.utterance(b).x_BTD, alone.x_BTD)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_stack_is_every_layer_at_the_outputs_width(name: str) -> None:
    model, (x_BTF, frames_B) = build(of_kinds({"kind": name}, CTC)), batch()
    outputs: list[Tensor] = []
    for layer in model.encoder.stack:
        layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    encoded = model.encode(x_BTF, frames_B)
    assert [output.shape for output in outputs] == [encoded.x_BTD.shape] * 2
    assert list(model.encoder.layers())[1:3] in (
        ["blocks.0", "blocks.1"],
        ["conv2", "blocks.0"],
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_all_dropout_is_off_by_its_keys(name: str) -> None:
    """`SMALL` sets dropout 0 in the encoder and in its attention: training is then like eval."""
    model, (x_BTF, frames_B) = build(of_kinds({"kind": name}, CTC)).train(), batch()
    first, second = (model.encode(x_BTF, frames_B).x_BTD for _ in range(2))
    assert torch.equal(first, second)
    rates = {m.p for m in model.encoder.modules() if isinstance(m, nn.Dropout)}
    assert rates == {0.0}


def test_the_encoder_says_which_key_the_blocks_width_comes_from() -> None:
    with pytest.raises(ValueError, match=r"found 3, allowed: a divisor of 16 \(encoder\.width\)"):
        spec(attention={"kind": "head_mixing", "heads": 3})
    with pytest.raises(Impossible) as caught:
        HeadMixing(heads=3).check_width(16)
    assert caught.value.path == ("heads",)


def test_heads_need_not_fill_the_width() -> None:
    attention = SelfAttention(heads=3, head_dim=5, dropout=0.0).model_dump()
    encoder = made(attention=attention)
    x_BTD, _ = encoder(*batch())
    assert x_BTD.shape == (4, 16, WIDTH)


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises((ValueError, UserError), match="position"):
        spec(position="sinusoidal")
