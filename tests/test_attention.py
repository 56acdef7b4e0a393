"""Every attention block against what it promises, and against its equation written as loops.

Legend: B batch, T frames (queries), S frames (keys), D width, H heads, K = D / H, R distances.
"""

import cmath
import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from asrbench.experiment.kinds import ASRBENCH
from asrbench.experiment.spec_model import ATTENTION, AttentionSpec
from asrbench.models.attention import additive as additive_module
from asrbench.models.attention import location as location_module
from asrbench.models.attention.additive import AdditiveAttention, AdditiveAttentionBlock
from asrbench.models.attention.block import NoAttention, NoAttentionBlock
from asrbench.models.attention.head_mixing import HeadMixing, HeadMixingBlock
from asrbench.models.attention.location import LocationAttention, LocationAttentionBlock
from asrbench.models.attention.positional import PositionalAttention
from asrbench.models.attention.self_attention import SelfAttention, SelfAttentionBlock
from asrbench.models.attention.temporal import TemporalAttention, TemporalWeightBlock
from asrbench.models.attention.whisper import WhisperAttention
from asrbench.models.layers.masking import valid_frames
from asrbench.models.layers.positions import by_pair, distances, rotated, sinusoids
from asrbench.models.model import initialise

WIDTH, HEADS = 8, 2
HEAD = WIDTH // HEADS
MAX_DISTANCE = 3
"""Shorter than the utterances here, so that positions and distances beyond it occur."""

POSITIONS = ("sinusoidal", "learned", "shaw", "transformer_xl", "rotary")
SPECS: dict[str, AttentionSpec] = {
    "none": NoAttention(),
    "self": SelfAttention(heads=HEADS, head_dim=HEAD),
    "sinusoidal": PositionalAttention(heads=HEADS, head_dim=HEAD, position="sinusoidal"),
    "learned": PositionalAttention(
        heads=HEADS, head_dim=HEAD, position="learned", max_distance=MAX_DISTANCE
    ),
    "shaw": PositionalAttention(
        heads=HEADS, head_dim=HEAD, position="shaw", max_distance=MAX_DISTANCE
    ),
    "transformer_xl": PositionalAttention(heads=HEADS, head_dim=HEAD, position="transformer_xl"),
    "rotary": PositionalAttention(heads=HEADS, head_dim=HEAD, position="rotary"),
    "gaussian": TemporalAttention(heads=HEADS, head_dim=HEAD, weight="gaussian"),
    "gaussian fixed": TemporalAttention(
        heads=HEADS, head_dim=HEAD, weight="gaussian", learnable=False
    ),
    "linear": TemporalAttention(heads=HEADS, head_dim=HEAD, weight="linear"),
    "linear fixed": TemporalAttention(heads=HEADS, head_dim=HEAD, weight="linear", learnable=False),
    "additive": AdditiveAttention(heads=HEADS, head_dim=HEAD),
    "location": LocationAttention(heads=HEADS, head_dim=HEAD, filters=3, reach=2),
    "head_mixing": HeadMixing(heads=HEADS),
    "whisper": WhisperAttention(heads=HEADS, head_dim=HEAD, dropout=0.1),
}
OVER_TIME = [name for name in SPECS if name not in ("none", "head_mixing")]

every_block = pytest.mark.parametrize("name", SPECS)
every_block_over_time = pytest.mark.parametrize("name", OVER_TIME)


def make(name: str, seed: int = 0) -> nn.Module:
    """A block in eval mode, all of its parameters random, biases and norms included."""
    block = ATTENTION.build(SPECS[name], width=WIDTH)
    initialise(block, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return block.eval()


def frames(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def everything(x_BTD: Tensor) -> Tensor:
    """The mask of a batch without padding."""
    return torch.ones(x_BTD.shape[:2], dtype=torch.bool)


def test_every_kind_of_the_package_is_tested_here() -> None:
    kinds = {each.spec.model_fields["kind"].default for each in ATTENTION.by_origin(ASRBENCH)}
    assert {spec.kind for spec in SPECS.values()} == kinds
    positions = get_args(PositionalAttention.model_fields["position"].annotation)
    assert set(POSITIONS) == set(positions)
    assert set(POSITIONS) < set(SPECS)
    weights = get_args(TemporalAttention.model_fields["weight"].annotation)
    assert set(weights) < set(SPECS)


# Promises of every block


@every_block
def test_shape_and_type_stay(name: str) -> None:
    x_BTD = frames(3, 7, WIDTH)
    y_BTD = make(name)(x_BTD, valid_frames(torch.tensor([7, 4, 1]), 7))
    assert y_BTD.shape == x_BTD.shape
    assert y_BTD.dtype == x_BTD.dtype
    assert y_BTD.isfinite().all()


@every_block
def test_a_single_frame_is_an_utterance(name: str) -> None:
    block, x_BTD = make(name), frames(1, 1, WIDTH)
    y_BTD = block(x_BTD, everything(x_BTD))
    assert y_BTD.shape == (1, 1, WIDTH)
    assert y_BTD.isfinite().all()
    if isinstance(block, SelfAttentionBlock):
        weights_BHTS = block.weights(x_BTD, everything(x_BTD))
        torch.testing.assert_close(weights_BHTS, torch.ones(1, HEADS, 1, 1))


@pytest.mark.parametrize("name", [name for name in SPECS if name != "none"])
def test_every_parameter_learns(name: str) -> None:
    """Each tensor has a gradient, and each row of those with a row per position or distance."""
    block = make(name)
    x_BTD = frames(2, 9, WIDTH)
    y_BTD = block(x_BTD, valid_frames(torch.tensor([9, 6]), 9))
    (y_BTD * frames(2, 9, WIDTH, seed=2)).sum().backward()
    for parameter_name, parameter in block.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name
        if parameter_name in ("position", "distance_key", "content_query", "distance_query"):
            assert parameter.grad.flatten(1).any(1).all(), parameter_name


@pytest.mark.parametrize("weight", ["gaussian", "linear"])
def test_every_head_learns_its_rate_or_none_does(weight: str) -> None:
    learns, fixed = make(weight), make(f"{weight} fixed")
    x_BTD = frames(2, 9, WIDTH)
    for block in (learns, fixed):
        (block(x_BTD, everything(x_BTD)) * frames(2, 9, WIDTH, seed=2)).sum().backward()
    gradient_H = dict(learns.named_parameters())["log_rate"].grad
    assert gradient_H is not None
    assert gradient_H.shape == (HEADS,)
    assert (gradient_H != 0).all()
    assert "log_rate" not in dict(fixed.named_parameters())
    assert "log_rate" in fixed.state_dict()


@every_block
def test_dropout_acts_in_training_only(name: str) -> None:
    block, x_BTD = make(name), frames(1, 20, WIDTH)
    mask_BT = everything(x_BTD)
    assert torch.equal(block(x_BTD, mask_BT), block(x_BTD, mask_BT))
    block.train()
    assert torch.equal(block(x_BTD, mask_BT), block(x_BTD, mask_BT)) == (name == "none")


@every_block_over_time
def test_dropout_reaches_weights_and_outputs(name: str) -> None:
    """With no output dropped two passes still differ, by their weights; with all, x is left."""
    block, x_BTD = make(name).train(), frames(1, 20, WIDTH)
    assert isinstance(block, SelfAttentionBlock)
    mask_BT = everything(x_BTD)
    block.dropout.p = 0.0
    assert not torch.equal(block(x_BTD, mask_BT), block(x_BTD, mask_BT))
    block.dropout.p = 1.0
    assert torch.equal(block(x_BTD, mask_BT), x_BTD)


@every_block
def test_bf16_autocast_stays_near_fp32(name: str) -> None:
    block, x_BTD = make(name), frames(2, 9, WIDTH)
    mask_BT = valid_frames(torch.tensor([9, 6]), 9)
    with torch.autocast("cpu", torch.bfloat16):
        half_BTD = block(x_BTD, mask_BT)
    valid = mask_BT[..., None]
    torch.testing.assert_close(
        half_BTD.float() * valid, block(x_BTD, mask_BT) * valid, rtol=0.05, atol=0.1
    )


def test_no_attention_is_nothing() -> None:
    block, x_BTD = NoAttentionBlock(NoAttention(), WIDTH), frames(2, 5, WIDTH)
    assert block(x_BTD, everything(x_BTD)) is x_BTD
    assert not list(block.parameters())


# Weights


@every_block_over_time
def test_weights_are_a_distribution_over_valid_frames(name: str) -> None:
    block, x_BTD = make(name), 10 * frames(3, 9, WIDTH)
    mask_BT = valid_frames(torch.tensor([9, 4, 1]), 9)
    assert isinstance(block, SelfAttentionBlock)
    weights_BHTS = block.weights(x_BTD, mask_BT)
    assert weights_BHTS.shape == (3, HEADS, 9, 9)
    assert (weights_BHTS >= 0).all()
    torch.testing.assert_close(weights_BHTS.sum(-1), torch.ones(3, HEADS, 9))
    on_padding = weights_BHTS.masked_select(~mask_BT[:, None, None, :])
    assert on_padding.numel() == HEADS * 9 * (5 + 8)
    assert not on_padding.any()


@every_block_over_time
def test_weights_are_those_that_forward_uses(name: str) -> None:
    """Values are seen on their way out of `qkv`; weights @ values must enter `out`."""
    block, x_BTD = make(name), frames(2, 9, WIDTH)
    mask_BT = valid_frames(torch.tensor([9, 4]), 9)
    assert isinstance(block, SelfAttentionBlock)
    seen: dict[str, Tensor] = {}
    block.qkv.register_forward_hook(lambda _, inputs, output: seen.update(qkv=output))
    y_BTD = block(x_BTD, mask_BT)
    value_BSD = torch.zeros(2, 9, WIDTH)
    value_BSD[mask_BT] = seen["qkv"][:, 2 * WIDTH :]
    value_BHSK = value_BSD.unflatten(-1, (HEADS, HEAD)).transpose(1, 2)
    attended_BTD = (block.weights(x_BTD, mask_BT) @ value_BHSK).transpose(1, 2).flatten(2)
    expected_BTD = x_BTD + block.out(attended_BTD)
    torch.testing.assert_close(y_BTD[mask_BT], expected_BTD[mask_BT], rtol=1e-4, atol=1e-5)


# Against references


def test_self_attention_is_torchs_own() -> None:
    block = make("self")
    assert isinstance(block, SelfAttentionBlock)
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": block.qkv.weight,
            "in_proj_bias": block.qkv.bias,
            "out_proj.weight": block.out.weight,
            "out_proj.bias": block.out.bias,
        }
    )
    x_BTD, mask_BT = frames(3, 9, WIDTH), valid_frames(torch.tensor([9, 4, 1]), 9)
    n_BTD = block.norm(x_BTD)
    theirs_BTD, theirs_BHTS = theirs(
        n_BTD, n_BTD, n_BTD, key_padding_mask=~mask_BT, average_attn_weights=False
    )
    ours_ND, theirs_ND = block(x_BTD, mask_BT)[mask_BT], (x_BTD + theirs_BTD)[mask_BT]
    torch.testing.assert_close(ours_ND, theirs_ND, rtol=1e-4, atol=1e-5)
    ours_NHS = block.weights(x_BTD, mask_BT).transpose(1, 2)[mask_BT]
    theirs_NHS = theirs_BHTS.transpose(1, 2)[mask_BT]
    torch.testing.assert_close(ours_NHS, theirs_NHS, rtol=1e-4, atol=1e-6)


Vector = list[float]
Score = Callable[[nn.Module, int, Vector, Vector, int, int], float]
"""Score of query i and key j, unscaled vectors of one head h given."""


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def plus(a: Vector, b: Vector) -> Vector:
    return [x + y for x, y in zip(a, b, strict=True)]


def encoding(position: int, width: int) -> Vector:
    """Vaswani et al. 2017, section 3.5: sin(p / 10000^(2k/D)), then the cosines of the same."""
    angles = [position / 10_000 ** (2 * k / width) for k in range(width // 2)]
    return [*map(math.sin, angles), *map(math.cos, angles)]


def plain(block: nn.Module, h: int, q: Vector, k: Vector, i: int, j: int) -> float:
    return dot(q, k) / math.sqrt(HEAD)


def shaw(block: nn.Module, h: int, q: Vector, k: Vector, i: int, j: int) -> float:
    """Shaw et al. 2018, equations 2 to 4: q_i (k_j + a_clip(j - i)) / sqrt(K)."""
    clipped = max(-MAX_DISTANCE, min(MAX_DISTANCE, j - i))
    return dot(q, plus(k, block.distance_key[clipped + MAX_DISTANCE].tolist())) / math.sqrt(HEAD)


def transformer_xl(block: nn.Module, h: int, q: Vector, k: Vector, i: int, j: int) -> float:
    """Dai et al. 2019, section 3.3, terms a to d: (q_i + u) k_j + (q_i + v) W R_(i - j)."""
    rows = block.distance.weight[h * HEAD : (h + 1) * HEAD].tolist()
    r = [dot(row, encoding(i - j, WIDTH)) for row in rows]
    u, v = block.content_query[h, 0].tolist(), block.distance_query[h, 0].tolist()
    return (dot(plus(q, u), k) + dot(plus(q, v), r)) / math.sqrt(HEAD)


def rotary(block: nn.Module, h: int, q: Vector, k: Vector, i: int, j: int) -> float:
    """Su et al. 2021, equation 16: Re(q conj(k) e^(i (m - n) theta)), pairs as complex numbers."""
    half = HEAD // 2
    total = 0.0
    for pair in range(half):
        angle = (i - j) * 10_000 ** (-2 * pair / HEAD)
        query, key = complex(q[pair], q[pair + half]), complex(k[pair], k[pair + half])
        total += (query * key.conjugate() * cmath.exp(1j * angle)).real
    return total / math.sqrt(HEAD)


def gaussian(block: nn.Module, h: int, q: Vector, k: Vector, i: int, j: int) -> float:
    """Sperber et al. 2018, equation 6, added to the score: -(i - j)^2 / (2 s^2)."""
    s = math.exp(-block.log_rate[h].item())
    return dot(q, k) / math.sqrt(HEAD) - (i - j) ** 2 / (2 * s**2)


def linear(block: nn.Module, h: int, q: Vector, k: Vector, i: int, j: int) -> float:
    """Press et al. 2021, section 3, to both sides: -m |i - j|."""
    return dot(q, k) / math.sqrt(HEAD) - math.exp(block.log_rate[h].item()) * abs(i - j)


def additive(block: nn.Module, h: int, q: Vector, k: Vector, i: int, j: int) -> float:
    """Bahdanau et al. 2014, section A.1.2: v tanh(W s_i + U h_j), here over sqrt(K)."""
    return dot(block.score[h].tolist(), [math.tanh(x) for x in plus(q, k)]) / math.sqrt(HEAD)


SCORES: dict[str, Score] = {
    "additive": additive,
    "self": plain,
    "sinusoidal": plain,
    "learned": plain,
    "shaw": shaw,
    "transformer_xl": transformer_xl,
    "rotary": rotary,
    "gaussian": gaussian,
    "gaussian fixed": gaussian,
    "linear": linear,
    "linear fixed": linear,
    "whisper": plain,
    "location": additive,
}


def with_position(name: str, block: nn.Module, t: int) -> Vector:
    """What is added to frame t before queries, keys and values are made of it."""
    if name == "sinusoidal":
        return encoding(t, WIDTH)
    if name == "learned":
        row: Vector = block.position[min(t, MAX_DISTANCE - 1)].tolist()
        return row
    return [0.0] * WIDTH


@every_block_over_time
def test_scores_follow_the_equation(name: str) -> None:
    """Every score of every head by the loop above; logarithms of weights are scores up to a
    constant a row, which log-softmax takes out."""
    block, length = make(name), 7
    assert isinstance(block, SelfAttentionBlock)
    if isinstance(block, TemporalWeightBlock):
        block.log_rate.data = torch.tensor([-0.4, -1.3])
    x_BTD = frames(1, length, WIDTH)
    weights_HTS = block.weights(x_BTD, everything(x_BTD))[0]
    normed_TD = block.norm(x_BTD)[0].tolist()
    matrix, bias = block.qkv.weight.tolist(), block.qkv.bias.tolist()

    def projected(t: int, part: int, h: int) -> Vector:
        """Query (part 0) or key (part 1) of head h at frame t."""
        x = plus(normed_TD[t], with_position(name, block, t))
        first = part * WIDTH + h * HEAD
        return [dot(matrix[row], x) + bias[row] for row in range(first, first + HEAD)]

    expected_HTS = torch.zeros(HEADS, length, length)
    for h in range(HEADS):
        for i in range(length):
            for j in range(length):
                q, k = projected(i, 0, h), projected(j, 1, h)
                expected_HTS[h, i, j] = SCORES[name](block, h, q, k, i, j)
    if name == "location":
        expected_HTS = located(block, projected, expected_HTS.softmax(-1))
    torch.testing.assert_close(
        weights_HTS.log(), expected_HTS.log_softmax(-1), rtol=1e-4, atol=1e-4
    )


def located(
    block: nn.Module, projected: Callable[[int, int, int], Vector], content_HTS: Tensor
) -> Tensor:
    """Chorowski et al. 2015, equations 8 and 9, from the weights without a location: scores_HTS
    v tanh(q_i + k_j + U f_ij), where f_ij is each filter times the weights around j of row i - 1,
    zeros beyond the utterance, and zeros for the first row."""
    length, filters = content_HTS.shape[1], block.filters[:, 0].tolist()
    scores_HTS = torch.zeros_like(content_HTS)
    for h in range(HEADS):
        matrix = block.location[h * HEAD : (h + 1) * HEAD].tolist()
        for i in range(length):
            row = content_HTS[h, i - 1].tolist() if i > 0 else [0.0] * length
            wide = [0.0, 0.0, *row, 0.0, 0.0]
            for j in range(length):
                f = [dot(each, wide[j : j + 5]) for each in filters]
                inner = plus(
                    plus(projected(i, 0, h), projected(j, 1, h)), [dot(u, f) for u in matrix]
                )
                scores_HTS[h, i, j] = additive(block, h, inner, [0.0] * HEAD, i, j)
    return scores_HTS


@every_block_over_time
def test_only_plain_self_attention_is_blind_to_order(name: str) -> None:
    """Frames in another order come out in that order, unless the block knows about time."""
    block, x_BTD = make(name), frames(1, 9, WIDTH)
    order = torch.tensor([4, 0, 8, 2, 6, 1, 7, 3, 5])
    straight_BTD = block(x_BTD, everything(x_BTD))[:, order]
    shuffled_BTD = block(x_BTD[:, order], everything(x_BTD))
    blind = torch.allclose(straight_BTD, shuffled_BTD, rtol=1e-4, atol=1e-4)
    assert blind == (name in ("self", "additive", "whisper"))


# Additive scores


@pytest.mark.parametrize("name", ["additive", "location"])
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_scores_in_blocks_are_those_of_all_at_once(
    name: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and gradients, with as much room as one, two or three queries of the batch need;
    no more pairs are scored at a time."""
    block, mask_BT = make(name), valid_frames(torch.tensor([9, 6]), 9)
    assert isinstance(block, AdditiveAttentionBlock)
    found, sizes, scored = [], [], additive_module.scored

    def recorded(hidden_BHTSK: Tensor, v_HK: Tensor) -> Tensor:
        sizes.append(hidden_BHTSK.numel())
        return scored(hidden_BHTSK, v_HK)

    for module in (additive_module, location_module):
        monkeypatch.setattr(module, "scored", recorded)
    for room in (2**24, at_once * 2 * HEADS * 9 * HEAD):
        monkeypatch.setattr(additive_module, "PAIR_VALUES", room)
        sizes.clear()
        x_BTD = frames(2, 9, WIDTH).requires_grad_()
        y_BTD = block(x_BTD, mask_BT)
        gradients = torch.autograd.grad(
            (y_BTD * frames(2, 9, WIDTH, seed=2))[mask_BT].sum(), [x_BTD, *block.parameters()]
        )
        found.append((y_BTD[mask_BT], gradients))
        assert max(sizes) <= room
        # Forward and again backward, and for `location` without and with a location.
        blocks = 1 if room == 2**24 else math.ceil(9 / at_once)
        assert len(sizes) == blocks * 2 * (2 if isinstance(block, LocationAttentionBlock) else 1)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_without_a_location_the_two_are_one() -> None:
    """With U at zero; otherwise not, except that the first frame has no frame before it."""
    content, located_block = make("additive"), make("location")
    located_block.load_state_dict(content.state_dict(), strict=False)
    x_BTD = frames(1, 9, WIDTH)
    assert isinstance(content, SelfAttentionBlock)
    assert isinstance(located_block, LocationAttentionBlock)
    expected_BHTS = content.weights(x_BTD, everything(x_BTD))
    with_location_BHTS = located_block.weights(x_BTD, everything(x_BTD))
    torch.testing.assert_close(with_location_BHTS[:, :, 0], expected_BHTS[:, :, 0])
    assert (with_location_BHTS - expected_BHTS)[:, :, 1:].abs().max() > 1e-3
    nn.init.zeros_(located_block.location)
    torch.testing.assert_close(located_block.weights(x_BTD, everything(x_BTD)), expected_BHTS)


# Positions


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_by_pair_picks_the_column_of_the_distance(length: int) -> None:
    scores_BHTR = frames(2, 3, length, 2 * length - 1)
    scores_BHTS = by_pair(scores_BHTR)
    assert scores_BHTS.shape == (2, 3, length, length)
    for i in range(length):
        for j in range(length):
            expected_BH = scores_BHTR[:, :, i, j - i + length - 1]
            assert torch.equal(scores_BHTS[:, :, i, j], expected_BH)


def test_distances_are_all_there_are() -> None:
    assert distances(3, torch.device("cpu")).tolist() == [-2, -1, 0, 1, 2]
    assert distances(1, torch.device("cpu")).tolist() == [0]


@pytest.mark.parametrize("width", [2, 8, 30])
def test_sinusoids_are_the_formula(width: int) -> None:
    positions = [-5, 0, 1, 17, 400]
    expected_ND = torch.tensor([encoding(p, width) for p in positions])
    encoding_ND = sinusoids(torch.tensor(positions), width)
    torch.testing.assert_close(encoding_ND, expected_ND, rtol=1e-4, atol=1e-4)


def test_sinusoids_have_odd_widths_too() -> None:
    assert sinusoids(torch.arange(4), 7).shape == (4, 7)


def test_rotation_keeps_length_and_knows_distance_only() -> None:
    """Turned by t + 1000 instead of t, the same products come out."""
    q_BHTK, k_BHTK, t_T = frames(1, 2, 6, 8), frames(1, 2, 6, 8, seed=2), torch.arange(6)
    near = rotated(q_BHTK, t_T) @ rotated(k_BHTK, t_T).mT
    far = rotated(q_BHTK, t_T + 1000) @ rotated(k_BHTK, t_T + 1000).mT
    torch.testing.assert_close(near, far, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(near, q_BHTK @ k_BHTK.mT, atol=0.1)
    torch.testing.assert_close(rotated(q_BHTK, t_T).norm(dim=-1), q_BHTK.norm(dim=-1))
    assert torch.equal(rotated(q_BHTK, t_T)[:, :, 0], q_BHTK[:, :, 0])


@pytest.mark.parametrize("name", ["shaw", "transformer_xl", "rotary", "gaussian", "linear"])
def test_relative_kinds_see_distances_only(name: str) -> None:
    """Of an utterance twice as long, whose halves are equal, each half has within itself the
    weights it has alone, up to what the other half takes of each row."""
    block, x_BTD = make(name), frames(1, 5, WIDTH)
    assert isinstance(block, SelfAttentionBlock)
    twice_BTD = torch.cat([x_BTD, x_BTD], dim=1)
    log_BHTS = block.weights(twice_BTD, everything(twice_BTD)).log()
    alone_BHTS = block.weights(x_BTD, everything(x_BTD)).log()
    for half in (slice(0, 5), slice(5, 10)):
        torch.testing.assert_close(
            log_BHTS[:, :, half, half].log_softmax(-1), alone_BHTS, rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("learnable", [True, False])
def test_alibi_slopes_of_eight_heads(learnable: bool) -> None:
    """Press et al. 2021, section 3: for 8 heads 1/2, 1/4 ... 1/256."""
    block = TemporalWeightBlock(
        TemporalAttention(heads=8, weight="linear", learnable=learnable), 16
    )
    slopes_H = block.log_rate.exp()
    torch.testing.assert_close(slopes_H, torch.tensor([2.0**-h for h in range(1, 9)]))


def test_gaussian_widths_of_four_heads() -> None:
    """2^(8h/4) frames: 4, 16, 64, 256."""
    block = TemporalWeightBlock(TemporalAttention(heads=4, weight="gaussian"), 16)
    torch.testing.assert_close((-block.log_rate).exp(), torch.tensor([4.0, 16.0, 64.0, 256.0]))


@pytest.mark.parametrize("width", [8, 256])
def test_learned_positions_start_as_large_as_sinusoids(width: int) -> None:
    """Their mean square is 1/2, whatever the width; all other weights are those of plain
    self-attention, and the same seed draws the same."""
    keys = {"heads": HEADS, "head_dim": HEAD}
    specs = [
        PositionalAttention(position="learned", max_distance=2048, **keys),
        PositionalAttention(position="learned", max_distance=2048, **keys),
        SelfAttention(**keys),
    ]
    blocks = [ATTENTION.build(spec, width=width) for spec in specs]
    for block in blocks:
        initialise(block, 5)
    first, again, plain_block = (block.state_dict() for block in blocks)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {name for name in first if name not in plain_block} == {"position"}
    assert all(torch.equal(first[name], plain_block[name]) for name in plain_block)
    of_sinusoids = sinusoids(torch.arange(2048), width).square().mean().item()
    assert of_sinusoids == pytest.approx(0.5, abs=1e-6)
    assert first["position"].square().mean().item() == pytest.approx(of_sinusoids, rel=0.05)


# The original study's block


def test_head_mixing_is_what_the_study_wrote() -> None:
    """A literal loop: for each frame, softmax(q k^T / sqrt(K)) over *heads*, times the values."""
    block, (batch, length) = make("head_mixing"), (2, 3)
    assert isinstance(block, HeadMixingBlock)
    x_BTD = frames(batch, length, WIDTH)

    def linear_map(module: nn.Linear, x: Vector) -> Vector:
        rows = zip(module.weight.tolist(), module.bias.tolist(), strict=True)
        return [dot(row, x) + constant for row, constant in rows]

    def heads(x: Vector) -> list[Vector]:
        return [x[h * HEAD : (h + 1) * HEAD] for h in range(HEADS)]

    expected_BTD = torch.zeros(batch, length, WIDTH)
    for b in range(batch):
        for t in range(length):
            x = x_BTD[b, t].tolist()
            q, k, v = (heads(linear_map(m, x)) for m in (block.query, block.key, block.value))
            mixed: Vector = []
            for h in range(HEADS):
                scores = [math.exp(dot(q[h], k[g]) / math.sqrt(HEAD)) for g in range(HEADS)]
                for d in range(HEAD):
                    mixed.append(sum(s * v[g][d] for g, s in enumerate(scores)) / sum(scores))
            expected_BTD[b, t] = torch.tensor(linear_map(block.out, mixed))
    torch.testing.assert_close(block(x_BTD, everything(x_BTD)), expected_BTD, rtol=1e-4, atol=1e-5)


def changed_by_frame_three(name: str) -> list[int]:
    """Frames of the output that move when frame 3 of the input does."""
    block, x_BTD = make(name), frames(1, 7, WIDTH)
    moved_BTD = x_BTD.clone()
    moved_BTD[0, 3] += frames(WIDTH, seed=5)
    mask_BT = everything(x_BTD)
    difference_BTD = (block(moved_BTD, mask_BT) - block(x_BTD, mask_BT)).abs()
    return difference_BTD[0].amax(-1).gt(1e-5).nonzero().flatten().tolist()


def test_head_mixing_lets_no_frame_see_another() -> None:
    assert changed_by_frame_three("head_mixing") == [3]


@every_block_over_time
def test_attention_over_time_lets_every_frame_see_every_other(name: str) -> None:
    assert changed_by_frame_three(name) == [0, 1, 2, 3, 4, 5, 6]


def test_head_mixing_ignores_the_mask_and_replaces_its_input() -> None:
    """No mask, no residual path: with the last linear map at zero nothing of x is left."""
    block, x_BTD = make("head_mixing"), frames(2, 7, WIDTH)
    assert isinstance(block, HeadMixingBlock)
    masked = block(x_BTD, valid_frames(torch.tensor([7, 2]), 7))
    assert torch.equal(masked, block(x_BTD, everything(x_BTD)))
    nn.init.zeros_(block.out.weight)
    nn.init.zeros_(block.out.bias)
    assert not block(x_BTD, everything(x_BTD)).any()
