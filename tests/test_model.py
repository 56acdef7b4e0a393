"""DeepSpeech2 and its parts against torch's own and the papers; what all models share.

What every kind of the registry promises is in test_registry.py. Legend: B batch, T frames,
F feature bins (frequency), C channels, D width, E decoder width, H units a direction, U symbols of
a prefix, V symbols in all.
"""

from collections.abc import Callable

import pytest
import torch
from small_models import (
    BINS,
    LENGTHS,
    SYMBOLS,
    batch,
    build,
    close,
    features,
    fresh,
    padded,
    padded_targets,
    small,
)
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrbench.base.seeding import key
from asrbench.experiment.registry import MODELS
from asrbench.experiment.spec_model import ModelSpec
from asrbench.models.heads.attention import AttentionHead
from asrbench.models.heads.ctc_attention import CtcAttention
from asrbench.models.heads.head import Encoded, Losses
from asrbench.models.layers.front_end import Ds2FrontEnd, FrontEnd, FrontEndSpec, VggFrontEnd
from asrbench.models.layers.masking import MaskedBatchNorm, valid_frames
from asrbench.models.layers.recurrence import (
    CELLS,
    RecurrenceSpec,
    RecurrentLayer,
    reversal,
    reverse,
)
from asrbench.models.model import Model, build_model

FRONT_ENDS: dict[str, FrontEndSpec] = {
    "ds2, 2 convolutions": Ds2FrontEnd(channels=4),
    "ds2, 3 convolutions": Ds2FrontEnd(channels=4, convolutions=3),
    "ds2, 2 convolutions, stride 4": Ds2FrontEnd(channels=4, time_stride=4),
    "ds2, 3 convolutions, stride 4": Ds2FrontEnd(channels=4, convolutions=3, time_stride=4),
    "vgg": VggFrontEnd(channels=4),
}

every_model = pytest.mark.parametrize("name", MODELS)
every_front_end = pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=FRONT_ENDS)


# Alone or with mates


def assert_batch_mates_change_nothing(model: Model) -> None:
    x_BTF, frames_B = batch()
    encoded = model.encode(x_BTF, frames_B)
    for b, frames in enumerate(frames_B.tolist()):
        alone = model.encode(x_BTF[b : b + 1, :frames], frames_B[b : b + 1])
        assert alone.x_BTD.shape[1] == alone.lengths_B.item() == encoded.lengths_B[b].item()
        close(encoded.utterance(b).x_BTD, alone.x_BTD)


@every_front_end
def test_batch_mates_change_nothing_behind_any_front_end(front_end: FrontEndSpec) -> None:
    encoder = {"front_end": front_end.model_dump()}
    assert_batch_mates_change_nothing(build(small("ds2_selfattn", encoder=encoder)))


@pytest.mark.parametrize("cell", CELLS)
def test_batch_mates_change_nothing_with_any_cell(cell: str) -> None:
    encoder = {"recurrence": {"cell": cell}}
    assert_batch_mates_change_nothing(build(small("ds2_selfattn", encoder=encoder)))


def decoded(model: Model, x_BTF: Tensor, frames_B: Tensor, prefix_BU: Tensor) -> Tensor:
    """log_probs_BUV of the decoder."""
    encoded = model.encode(x_BTF, frames_B)
    assert isinstance(model.head, CtcAttention)
    log_probs_BUV: Tensor = model.head.decoder(encoded.x_BTD, encoded.mask_BT, prefix_BU)
    return log_probs_BUV


TARGETS = padded_targets([[3, 1, 2], [5, 5]])
PREFIX_BU = torch.tensor([[0, 3, 1, 2], [0, 5, 5, 1], [0, 6, 0, 0], [0, 1, 0, 0]])


def test_batch_mates_change_nothing_for_the_decoder() -> None:
    """Shorter prefixes are padded with 0 and must not see that either."""
    model, (x_BTF, frames_B) = build(small("ds2_crossattn")), batch()
    log_probs_BUV = decoded(model, x_BTF, frames_B, PREFIX_BU)
    assert log_probs_BUV.shape == (4, 4, SYMBOLS)
    close(log_probs_BUV.exp().sum(-1), torch.ones(4, 4))
    for b, (frames, symbols) in enumerate(zip(LENGTHS, [4, 4, 2, 2], strict=True)):
        one = slice(b, b + 1)
        alone_1UV = decoded(model, x_BTF[one, :frames], frames_B[one], PREFIX_BU[one, :symbols])
        close(log_probs_BUV[b, :symbols], alone_1UV[0])


def test_the_decoder_sees_symbols_before_and_none_after() -> None:
    model, (x_BTF, frames_B) = build(small("ds2_crossattn")), batch()
    other_BU = PREFIX_BU.clone()
    other_BU[:, 2] = 4
    changed_BUV = decoded(model, x_BTF, frames_B, PREFIX_BU) != decoded(
        model, x_BTF, frames_B, other_BU
    )
    assert changed_BUV.any(-1).any(0).tolist() == [False, False, True, True]


def test_the_decoder_knows_the_order_of_symbols() -> None:
    """Vaswani et al. 2017, sections 3.4 and 3.5: embeddings times sqrt(E), plus positions. Of
    equal symbols in a row each is followed by another distribution."""
    model, (x_BTF, frames_B) = build(small("ds2_crossattn")), batch([30])
    assert isinstance(model.head, CtcAttention)
    seen: list[Tensor] = []
    model.head.decoder.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    log_probs_1UV = decoded(model, x_BTF, frames_B, torch.tensor([[3, 3, 3]]))
    angles = torch.tensor([[u / 10_000 ** (k / 8) for k in range(8)] for u in range(3)])
    positions_UE = torch.cat([angles.sin(), angles.cos()], dim=1)
    close(seen[0][0], 4 * model.head.decoder.embedding.weight[3] + positions_UE)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert (log_probs_1UV[0, a] - log_probs_1UV[0, b]).abs().max() > 1e-3


def test_the_decoder_listens() -> None:
    """Another utterance, the same prefix, another distribution."""
    model = build(small("ds2_crossattn"))
    prefix_BU, frames_B = torch.zeros(2, 1, dtype=torch.long), torch.tensor([30, 30])
    first, second = decoded(model, features(2, 30, BINS), frames_B, prefix_BU)
    assert (first - second).abs().max() > 1e-4


# Front ends


@every_front_end
@pytest.mark.parametrize("bins", [4, 20, 80])
def test_lengths_and_width_are_those_of_the_convolutions(
    front_end: FrontEndSpec, bins: int
) -> None:
    """Alone no frame is padding, so the tensor itself says how long it is; and ceil(T / stride)."""
    model = FrontEnd(front_end, bins).eval()
    stride = 4 if isinstance(front_end, VggFrontEnd) else front_end.time_stride
    for frames in [*range(1, 14), 50, 51]:
        frames_1 = torch.tensor([frames])
        x_1TD, lengths_1 = model(features(1, frames, bins), frames_1)
        assert x_1TD.shape == (1, lengths_1.item(), model.width)
        assert torch.equal(lengths_1, model.lengths(frames_1))
        assert lengths_1.item() == -(-frames // stride)


def test_front_ends_have_the_papers_channels() -> None:
    """Amodei et al. 2015, table 1: the third convolution has three times as many channels.

    20 bins become 10, 5 and 3 with stride 2 each time; VGG pools them to 10 and 5.
    """
    widths = {name: FrontEnd(spec, 20).width for name, spec in FRONT_ENDS.items()}
    assert widths == {
        "ds2, 2 convolutions": 4 * 5,
        "ds2, 3 convolutions": 12 * 3,
        "ds2, 2 convolutions, stride 4": 4 * 5,
        "ds2, 3 convolutions, stride 4": 12 * 3,
        "vgg": 8 * 5,
    }


@every_front_end
def test_front_ends_are_plain_convolutions_for_one_utterance(front_end: FrontEndSpec) -> None:
    """The same modules in torch's own words, on an utterance without padding: convolution, batch
    norm, ReLU clipped at 20, max pooling after every second one of VGG."""
    model, x_1TF = FrontEnd(front_end, BINS).eval(), 300 * features(1, 29, BINS)
    pools = [1, 2, 1, 2] if isinstance(front_end, VggFrontEnd) else [1, 1, 1]
    highest: list[float] = []
    y: Tensor = x_1TF.transpose(1, 2)[:, None]
    with torch.no_grad():
        for layer, pool in zip(model.layers, pools, strict=False):
            kernel = layer.conv.kernel_size
            y = nn.functional.conv2d(
                y, layer.conv.weight, None, layer.conv.stride, (kernel[0] // 2, kernel[1] // 2)
            )
            y = (y / (1 + 1e-5) ** 0.5).clamp(0, 20)
            highest.append(y.max().item())
            y = nn.functional.max_pool2d(y, pool, ceil_mode=True)
        expected_1TD = y.flatten(1, 2).transpose(1, 2)
        x_1TD, _ = model(x_1TF, torch.tensor([29]))
    assert highest[0] == 20
    close(x_1TD, expected_1TD)


# Batch norm


def frames_of(x_BXT: Tensor, lengths: list[int]) -> Tensor:
    """The valid frames of a batch end to end: x_BCT to (1, C, N), x_BCFT to (1, C, F, N)."""
    rows = [x_XT[..., :n] for x_XT, n in zip(x_BXT, lengths, strict=True)]
    return torch.cat(rows, dim=-1)[None]


@pytest.mark.parametrize(
    ("reference", "shape"), [(nn.BatchNorm1d, (3, 5, 11)), (nn.BatchNorm2d, (3, 5, 4, 11))]
)
def test_masked_batch_norm_is_batch_norm_of_the_valid_frames(
    reference: Callable[[int], nn.Module], shape: tuple[int, ...]
) -> None:
    """Three steps of training, then eval: outputs, running statistics and all gradients."""
    lengths = [11, 4, 1]
    mask_BT = valid_frames(torch.tensor(lengths), 11)
    mine, theirs = MaskedBatchNorm(5), reference(5)
    for module in (mine, theirs):
        with torch.no_grad():
            module.weight.copy_(torch.tensor([1.0, 0.5, -1.0, 2.0, 0.1]))
            module.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 0.3, 2.0]))
    for step in range(4):
        if step == 3:
            mine.eval()
            theirs.eval()
        x = (3 * features(*shape, seed=step) + 1.5).requires_grad_()
        theirs_x = frames_of(x.detach(), lengths).requires_grad_()
        y, theirs_y = frames_of(mine(x, mask_BT), lengths), theirs(theirs_x)
        close(y, theirs_y)
        slope = features(*y.shape, seed=10 + step)
        (y * slope).sum().backward()
        (theirs_y * slope).sum().backward()
        assert x.grad is not None
        close(frames_of(x.grad, lengths), theirs_x.grad)
        assert not x.grad.masked_select(~mask_BT.view(3, *(1,) * (x.dim() - 2), 11)).any()
        for parameter in ("weight", "bias"):
            close(getattr(mine, parameter).grad, getattr(theirs, parameter).grad)
        for buffer in ("running_mean", "running_var"):
            close(getattr(mine, buffer), getattr(theirs, buffer))


def test_masked_batch_norm_survives_a_single_frame() -> None:
    """One value has no unbiased variance; torch raises, a corpus may well end in such a batch."""
    norm = MaskedBatchNorm(2)
    y_BCT = norm(torch.tensor([[[3.0, 9.0], [4.0, 9.0]]]), torch.tensor([[True, False]]))
    close(y_BCT[0, :, 0], torch.zeros(2))
    assert norm.running_mean.isfinite().all()
    assert norm.running_var.isfinite().all()


# Recurrence


def test_reversal_worked_example() -> None:
    """Lengths 3 and 1 of 4 frames: a b c . | d . . . becomes c b a . | d . . ."""
    assert reversal(torch.tensor([3, 1]), 4).tolist() == [[2, 1, 0, 3], [4, 5, 6, 7]]
    x_BTD = torch.arange(8.0).view(2, 4, 1)
    order_BT = reversal(torch.tensor([3, 1]), 4)
    assert reverse(x_BTD, order_BT).flatten().tolist() == [2, 1, 0, 3, 4, 5, 6, 7]
    assert torch.equal(reverse(reverse(x_BTD, order_BT), order_BT), x_BTD)


def test_reversal_has_the_right_gradient() -> None:
    x_BTD = features(2, 4, 3).double().requires_grad_()
    order_BT = reversal(torch.tensor([3, 1]), 4)
    assert torch.autograd.gradcheck(lambda x: reverse(x, order_BT), (x_BTD,))


@pytest.mark.parametrize("cell", CELLS)
def test_a_recurrent_layer_is_torchs_bidirectional_one_on_packed_sequences(cell: str) -> None:
    """With copied weights; a running variance of 1 - eps makes the norm in front an identity."""
    lengths, width = torch.tensor([6, 9, 1]), 5
    spec = RecurrenceSpec.model_validate({"cell": cell, "width": 4, "dropout": 0.0})
    mine = RecurrentLayer(spec, width).eval()
    mine.norm.running_var.fill_(1 - mine.norm.eps)
    theirs = CELLS[cell](width, 4, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, parameter in mine.forwards.named_parameters():
            getattr(theirs, name).copy_(parameter)
        for name, parameter in mine.backwards.named_parameters():
            getattr(theirs, f"{name}_reverse").copy_(parameter)
    x_BTD = padded([features(n, width, seed=n) for n in lengths.tolist()], 9).requires_grad_()
    packed = pack_padded_sequence(x_BTD, lengths, batch_first=True, enforce_sorted=False)
    theirs_BTE, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    mine_BTE = mine(x_BTD, lengths)
    close(mine_BTE, theirs_BTE)
    assert not mine_BTE[~valid_frames(lengths, 9)].any()
    slope_BTE = features(*mine_BTE.shape)
    (mine_gradient,) = torch.autograd.grad((mine_BTE * slope_BTE).sum(), x_BTD)
    (theirs_gradient,) = torch.autograd.grad((theirs_BTE * slope_BTE).sum(), x_BTD)
    close(mine_gradient, theirs_gradient)


def test_dropout_acts_between_layers() -> None:
    """A one-layer torch.nn.GRU(dropout=p) would drop nothing; here half of what the first layer
    hands on is zero and the rest doubled: 1,500 draws, so the share is within 0.05 (4 sigma)."""
    model = build(small("ds2", encoder={"recurrence": {"dropout": 0.5}})).train()
    seen: list[Tensor] = []
    model.encoder.recurrence[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x_BTF, frames_B = features(1, 94, BINS), torch.tensor([94])
    torch.manual_seed(0)
    model.encode(x_BTF, frames_B)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.encode(x_BTF, frames_B)
    dropped_BTE, whole_BTE = seen
    assert whole_BTE.numel() == 47 * 32
    assert (whole_BTE != 0).all()
    assert (dropped_BTE == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    left = dropped_BTE != 0
    close(dropped_BTE[left], 2 * whole_BTE[left])


@every_model
def test_dropout_acts_in_training_only(name: str) -> None:
    own = MODELS[name].model.encoder
    keys = {"recurrence": {"dropout": 0.3}, "dropout": 0.3, "dropout_factor": 1.0}
    encoder = {key: value for key, value in keys.items() if hasattr(own, key)}
    model, (x_BTF, frames_B) = build(small(name, encoder=encoder)), batch()

    def once() -> Tensor:
        return model.encode(x_BTF, frames_B).x_BTD

    assert torch.equal(once(), once())
    model.train()
    assert not torch.equal(once(), once())


@pytest.mark.parametrize("layers", range(1, 10))
def test_one_to_nine_layers(layers: int) -> None:
    model = build(small("ds2_selfattn", encoder={"recurrence": {"layers": layers}}))
    assert len(model.encoder.recurrence) == len(model.encoder.attention) == layers
    encoded = model.encode(*batch())
    assert encoded.x_BTD.shape == (4, 31, 32)
    assert encoded.x_BTD.isfinite().all()


# Weights


def test_variants_share_the_bits_of_what_they_share() -> None:
    """The encoder and the layer of CTC are the baseline's; self-attention is that of its kin."""
    models = {name: fresh(small(name)).state_dict() for name in MODELS if name.startswith("ds2")}
    baseline = models["ds2"]
    assert {"head.output.weight", "encoder.recurrence.0.forwards.weight_ih_l0"} <= set(baseline)
    for name, state in models.items():
        assert set(baseline) <= set(state), name
        for weight in baseline:
            assert torch.equal(baseline[weight], state[weight]), (name, weight)
    for name in ("ds2_posattn", "ds2_twattn"):
        for weight, values in models["ds2_selfattn"].items():
            assert torch.equal(values, models[name][weight]), (name, weight)


@pytest.mark.parametrize(
    ("name", "parameter", "drawn_as"),
    [
        ("ds2", "head.output.weight", "head.weight"),
        ("ds2_crossattn", "head.output.weight", "head.weight"),
        ("ds2_crossattn", "head.decoder.output.weight", "decoder.head.weight"),
        ("ds2_crossattn", "head.decoder.memory.weight", "decoder.memory.weight"),
        ("ds2", "encoder.front_end.layers.1.conv.weight", "front_end.layers.1.conv.weight"),
        (
            "ds2",
            "encoder.recurrence.1.backwards.weight_hh_l0",
            "recurrence.1.backwards.weight_hh_l0",
        ),
        ("ds2_selfattn", "encoder.attention.1.qkv.weight", "attention.1.qkv.weight"),
        (
            "conformer_ctc",
            "encoder.blocks.1.attention.distance.weight",
            "blocks.1.attention.distance.weight",
        ),
    ],
)
def test_weights_are_drawn_as_for_the_committed_studies(
    name: str, parameter: str, drawn_as: str
) -> None:
    """Names within the encoder or the head key the draws; an output layer's is `head`."""
    found = fresh(small(name), seed=5).state_dict()[parameter]
    generator = torch.Generator().manual_seed(key(5, "weight", drawn_as))
    bound = found[0].numel() ** -0.5
    expected = torch.empty_like(found).uniform_(-bound, bound, generator=generator)
    assert torch.equal(found, expected)


@every_model
def test_the_seed_decides_every_matrix(name: str) -> None:
    def weights(seed: int) -> dict[str, Tensor]:
        model = fresh(small(name), seed)
        return {n: p for n, p in model.named_parameters() if p.dim() >= 2}

    torch.manual_seed(1)
    first = weights(5)
    torch.manual_seed(2)
    again, other = weights(5), weights(6)
    for parameter_name in first:
        assert torch.equal(first[parameter_name], again[parameter_name]), parameter_name
        assert not torch.equal(first[parameter_name], other[parameter_name]), parameter_name


@every_model
def test_initial_weights_are_uniform_within_the_fan_in(name: str) -> None:
    """Matrices within 1 / sqrt(fan-in), fan-in being what one output sums over; biases 0, norms
    1. A uniform draw within b has deviation b / sqrt(3)."""
    for parameter_name, parameter in fresh(small(name)).named_parameters():
        if parameter.dim() >= 2:
            bound = parameter[0].numel() ** -0.5
            assert parameter.abs().max() <= bound, parameter_name
            if parameter.numel() > 500:
                assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        elif "bias" in parameter_name:
            assert not parameter.any(), parameter_name
        elif "norm" in parameter_name:
            assert (parameter == 1).all(), parameter_name


def ds2_parameters(spec: ModelSpec, bins: int, symbols: int) -> int:
    """Parameters of the baseline with two convolutions and GRU cells.

    Convolutions have no bias, as batch norm follows: C * 1 * 41 * 11 and C * C * 21 * 11, each
    with 2C of its norm. Stride 2 halves the bins twice, rounding up, so the first recurrent layer
    takes D = C * ceil(F / 4) and the others 2H. A layer has 2D of its norm and, in each
    direction, 3 gates of a D x H and an H x H matrix and two biases of H. Then layer norm, 4H, and
    the linear map, 2H * V + V.
    """
    encoder = spec.encoder
    c, h = encoder.front_end.channels, encoder.recurrence.width
    first = c * -(-bins // 4)
    convolutions = c * 41 * 11 + c * c * 21 * 11 + 2 * 2 * c
    widths = [first, *[2 * h] * (encoder.recurrence.layers - 1)]
    layers = sum(2 * d + 2 * 3 * (d * h + h * h + 2 * h) for d in widths)
    return convolutions + layers + 4 * h + 2 * h * symbols + symbols


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_the_baselines_parameters_are_counted(layers: int) -> None:
    spec = small("ds2", encoder={"recurrence": {"layers": layers}})
    model = fresh(spec)
    assert model.parameter_count == ds2_parameters(spec, BINS, SYMBOLS)
    assert model.parameter_count == sum(p.numel() for p in model.parameters())


def test_the_baselines_parameters_are_counted_at_full_size() -> None:
    with torch.device("meta"):
        model = build_model(MODELS["ds2"].model, bins=80, symbols=2001, seed=None)
    assert model.parameter_count == ds2_parameters(MODELS["ds2"].model, 80, 2001)


def test_what_a_variant_adds_is_counted() -> None:
    """A layer's block of width D = 32 with 2 heads of K = 16:

    self-attention: norm 2D, queries, keys and values 3D^2 + 3D, output D^2 + D;
    rotary positions: nothing more; temporal weights: one rate a head;
    head mixing: four linear maps, 4D^2 + 4D.
    """
    counts = {name: fresh(small(name)).parameter_count for name in MODELS}
    added = {name: count - counts["ds2"] for name, count in counts.items()}
    d, layers = 32, 2
    block = 2 * d + 4 * (d * d + d)
    assert added["ds2"] == 0
    assert added["ds2_selfattn"] == layers * block
    assert added["ds2_posattn"] == layers * block
    assert added["ds2_twattn"] == layers * (block + 2)
    assert added["ds2_selfattn_deck"] == layers * 4 * (d * d + d)


# Precision


def every_log_probs(model: Model, encoded: Encoded) -> list[Tensor]:
    """The log posteriors of the frames and those of the decoder, as far as the head has them."""
    frames_BTV = model.head.frame_log_probs(encoded)
    found = [] if frames_BTV is None else [frames_BTV]
    if isinstance(model.head, CtcAttention | AttentionHead):
        prefix_BU = PREFIX_BU[: len(encoded.x_BTD)]
        found.append(model.head.decoder(encoded.x_BTD, encoded.mask_BT, prefix_BU))
    return found


@every_model
def test_bf16_autocast_leaves_losses_and_log_probs_in_fp32(name: str) -> None:
    model, (x_BTF, frames_B) = build(small(name)).train(), batch([61, 40])
    with torch.autocast("cpu", torch.bfloat16):
        log_probs = every_log_probs(model, model.encode(x_BTF, frames_B))
        found = model(x_BTF, frames_B, *TARGETS)
    for each in log_probs:
        assert each.dtype == torch.float32
        close(each.exp().sum(-1), torch.ones(each.shape[:-1]))
    assert all(loss.dtype == torch.float32 for loss in found.values())
    found["total"].backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@every_model
def test_bf16_autocast_stays_near_fp32(name: str) -> None:
    model, (x_BTF, frames_B) = build(small(name)), batch([61, 40])

    def computed() -> tuple[list[Tensor], Losses]:
        log_probs = every_log_probs(model, model.encode(x_BTF, frames_B))
        return [each[0] for each in log_probs], model(x_BTF, frames_B, *TARGETS)

    with torch.autocast("cpu", torch.bfloat16):
        half, half_losses = computed()
    whole, losses = computed()
    close(half, whole, rtol=0.0, atol=0.1)
    close(half_losses, losses, rtol=0.02, atol=0.0)


def test_the_registry_says_what_differs_and_where_it_comes_from() -> None:
    for entry in MODELS.values():
        assert entry.differs
        assert entry.source


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("cell", CELLS)
def test_autocast_does_not_run_recurrence_in_fp16_on_cuda(cell: str) -> None:
    spec = RecurrenceSpec(cell=cell, layers=1, width=16, dropout=0.0)  # type: ignore[arg-type]
    layer = RecurrentLayer(spec, 8).cuda()
    x_BTD, lengths_B = torch.randn(2, 5, 8).cuda(), torch.tensor([5, 3]).cuda()
    with torch.autocast("cuda", torch.bfloat16):
        assert layer(x_BTD, lengths_B).dtype != torch.float16
