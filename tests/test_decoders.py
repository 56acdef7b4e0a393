"""Attention decoders: step by step as at once, and against references with the same weights.

B utterances, W hypotheses of each, T frames, D encoder width, U symbols, V symbols in all.
"""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from small_models import DECODERS, SYMBOLS, batch, build, close, padded_targets, settings_of, small
from torch import Tensor, nn

from asrbench.experiment.spec import DecodeSpec
from asrbench.models.heads.attention import (
    AnyDecoderSpec,
    AttentionHead,
    AttentionHeadSpec,
    build_decoder,
    cross_entropy,
)
from asrbench.models.heads.ctc_attention import CtcAttention
from asrbench.models.heads.decoder import Decoder, draw
from asrbench.models.heads.head import FUSION, Decoding, Encoded
from asrbench.models.heads.lstm_decoder import LstmDecoder, LstmDecoderSpec
from asrbench.models.heads.mechanisms import (
    AdditiveMechanism,
    DotMechanism,
    LocationMechanism,
    MultiHeadMechanism,
)
from asrbench.models.heads.transformer_decoder import TransformerDecoder, TransformerDecoderSpec
from asrbench.models.model import initialise
from asrbench.models.searches.beam import COVERED

FRAMES, WIDTH = [9, 4, 1], 12
PREFIX_BU = torch.tensor([[0, 1, 2, 2, 3], [0, 5, 1, 6, 4], [0, 4, 4, 0, 0]])
CASES: dict[str, dict[str, Any]] = {
    "transformer": {"kind": "transformer", "layers": 2},
    "task tokens": {"kind": "transformer", "layers": 2, "task_tokens": ["ko", "transcribe"]},
    **{keys["mechanism"]: keys | {"layers": 2} for keys in settings_of(LstmDecoderSpec)},
}
every_decoder = pytest.mark.parametrize("case", CASES)


def decoder_of(case: str, **more: Any) -> Decoder:
    keys = {"width": 16, "heads": 2, "dropout": 0.0, **CASES[case]}
    keys |= DECODERS[keys["kind"]] | more
    decoder = build_decoder(TypeAdapter(AnyDecoderSpec).validate_python(keys), WIDTH, SYMBOLS)
    initialise(decoder, seed=4)
    for name, parameter in decoder.named_parameters():
        if name.endswith("bias"):
            generator = torch.Generator().manual_seed(len(name))
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return decoder.eval()


def memory() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    memory_BTD = torch.randn(len(FRAMES), max(FRAMES), WIDTH, generator=generator)
    return memory_BTD, torch.arange(max(FRAMES)) < torch.tensor(FRAMES)[:, None]


# Step by step


@every_decoder
def test_steps_say_what_forward_says(case: str) -> None:
    decoder, (memory_BTD, mask_BT) = decoder_of(case), memory()
    expected_BUV = decoder(memory_BTD, mask_BT, PREFIX_BU)
    weights_BHUT = decoder.weights(memory_BTD, mask_BT, PREFIX_BU)[-1]
    state = decoder.start(memory_BTD, mask_BT, covered=True)
    for u, symbols_B in enumerate(PREFIX_BU.T):
        log_probs_B1V, state = decoder.step(state, symbols_B[:, None])
        close(log_probs_B1V[:, 0], expected_BUV[:, u])
        covered_BT = weights_BHUT[:, :, : u + 1].mean(1).sum(1)
        close(state.own[COVERED][:, 0], covered_BT + (~mask_BT))


@every_decoder
def test_hypotheses_side_by_side_are_each_alone(case: str) -> None:
    """Two symbols, a choice among the hypotheses, a symbol, a choice among the utterances."""
    decoder, (memory_BTD, mask_BT) = decoder_of(case), memory()
    state = decoder.start(memory_BTD, mask_BT)
    _, state = decoder.step(state, torch.zeros(3, 1, dtype=torch.int64))
    _, state = decoder.step(state.hypotheses(torch.zeros(3, 2, dtype=torch.int64)), PAIRS_BW)
    chosen_BW = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    _, state = decoder.step(state.hypotheses(chosen_BW), SECOND_BW)
    left_B = torch.tensor([2, 0])
    log_probs_BWV, _ = decoder.step(state.utterances(left_B), SECOND_BW[left_B].flip(1))
    for row, b in enumerate(left_B.tolist()):
        for w in range(3):
            first, second = PAIRS_BW[b, chosen_BW[b, w]], SECOND_BW[b, w]
            prefix_1U = torch.stack([torch.tensor(0), first, second, SECOND_BW[b, 2 - w]])[None]
            one = slice(b, b + 1)
            alone_1UV = decoder(memory_BTD[one, : FRAMES[b]], mask_BT[one, : FRAMES[b]], prefix_1U)
            close(log_probs_BWV[row, w], alone_1UV[0, -1])


PAIRS_BW = torch.tensor([[1, 2], [3, 4], [5, 6]])
SECOND_BW = torch.tensor([[1, 2, 3], [4, 5, 6], [6, 2, 4]])


# The LSTM decoder and its mechanisms


def test_the_speller_is_an_lstm_fed_with_contexts() -> None:
    """torch's LSTM of two layers, fed with the contexts that the decoder found, gives the queries
    whose softmax over scores gives those contexts again."""
    decoder, (memory_BTD, mask_BT) = decoder_of("dot"), memory()
    assert isinstance(decoder, LstmDecoder)
    lstm = nn.LSTM(16 + WIDTH, 16, num_layers=2, batch_first=True)
    for layer, cell in enumerate(decoder.cells):
        for name, parameter in cell.named_parameters():
            getattr(lstm, f"{name}_l{layer}").data = parameter.data
    weights_BUT = decoder.weights(memory_BTD, mask_BT, PREFIX_BU)[0][:, 0]
    context_BUD = weights_BUT @ memory_BTD
    before_BUD = F.pad(context_BUD, (0, 0, 1, 0))[:, :-1]
    query_BUE, _ = lstm(torch.cat([decoder.embedding(PREFIX_BU), before_BUD], dim=-1))
    scores_BUT = decoder.attention.query(query_BUE) @ decoder.attention.key(memory_BTD).mT
    close(scores_BUT.masked_fill(~mask_BT[:, None], -math.inf).softmax(-1), weights_BUT)
    mixed_BUE = decoder.mix(torch.cat([query_BUE, context_BUD], dim=-1)).tanh()
    close(decoder.output(mixed_BUE).log_softmax(-1), decoder(memory_BTD, mask_BT, PREFIX_BU))


def mechanism_of(case: str) -> Any:
    decoder = decoder_of(case)
    assert isinstance(decoder, LstmDecoder)
    return decoder.attention


@pytest.mark.parametrize("case", ["dot", "additive", "location"])
def test_scores_are_those_of_the_equation_frame_by_frame(case: str) -> None:
    mechanism, (memory_BTD, mask_BT) = mechanism_of(case), memory()
    query_E = torch.randn(16)
    previous_T = torch.rand(FRAMES[0]).softmax(-1)
    _, weights_11T = mechanism(
        query_E[None, None],
        mechanism.keys(memory_BTD[:1], mask_BT[:1]),
        previous_T[None, None, None],
    )
    q_A, scores = mechanism.query(query_E), []
    for t in range(FRAMES[0]):
        k_A = mechanism.key.weight @ memory_BTD[0, t]
        if isinstance(mechanism, DotMechanism):
            scores.append(q_A @ k_A)
            continue
        assert isinstance(mechanism, AdditiveMechanism)
        if isinstance(mechanism, LocationMechanism):
            taps = mechanism.filters.weight.shape[-1]
            f_C = torch.zeros(mechanism.filters.out_channels)
            for tap in range(taps):
                frame = t + tap - taps // 2
                if 0 <= frame < FRAMES[0]:
                    f_C += mechanism.filters.weight[:, 0, tap] * previous_T[frame]
            k_A = k_A + mechanism.location.weight @ f_C
        scores.append(mechanism.energy.weight[0] @ (q_A + k_A).tanh())
    close(weights_11T[0, 0, 0], torch.stack(scores).softmax(-1))


def test_several_heads_are_those_of_torch() -> None:
    mechanism, (memory_BTD, mask_BT) = mechanism_of("multihead"), memory()
    assert isinstance(mechanism, MultiHeadMechanism)
    torchs = nn.MultiheadAttention(8, 2, kdim=WIDTH, vdim=WIDTH, batch_first=True)
    # torch's own map of the query takes the width of attention; it is left out by identity.
    torchs.q_proj_weight.data = torch.eye(8)
    torchs.k_proj_weight.data = mechanism.key.weight.data
    torchs.v_proj_weight.data = mechanism.value.weight.data
    torchs.in_proj_bias.data = F.pad(mechanism.value.bias.data, (16, 0))
    torchs.out_proj.load_state_dict(mechanism.out.state_dict())
    query_BWE = torch.randn(3, 2, 16)
    expected = torchs(
        mechanism.query(query_BWE),
        memory_BTD,
        memory_BTD,
        key_padding_mask=~mask_BT,
        average_attn_weights=False,
    )
    none_BWHT = torch.zeros(3, 2, 2, max(FRAMES))
    found = mechanism(query_BWE, mechanism.keys(memory_BTD, mask_BT), none_BWHT)
    close(found[0], expected[0])
    close(found[1].transpose(1, 2), expected[1])


def test_location_attention_reads_where_it_was() -> None:
    """The weights after a symbol change with those before it, of the same query and frames."""
    mechanism, (memory_BTD, mask_BT) = mechanism_of("location"), memory()
    keys, query_BWE = mechanism.keys(memory_BTD, mask_BT), torch.randn(3, 1, 16)
    none_BWHT = torch.zeros(3, 1, 1, max(FRAMES))
    first_BWHT = none_BWHT + F.one_hot(torch.tensor(0), max(FRAMES))
    plain, moved = (mechanism(query_BWE, keys, each)[1] for each in (none_BWHT, first_BWHT))
    assert (plain[0] - moved[0]).abs().max() > 1e-3


# Task tokens


def test_task_tokens_are_read_and_never_said() -> None:
    """They change what is said, are no symbols of the output, and stand before the start symbol."""
    with_BUV, without_BUV = (
        decoder_of(case)(*memory(), PREFIX_BU) for case in ("task tokens", "transformer")
    )
    assert with_BUV.shape == without_BUV.shape
    assert (with_BUV - without_BUV).abs().max() > 1e-3
    decoder = decoder_of("task tokens")
    assert isinstance(decoder, TransformerDecoder)
    assert decoder.prompt is not None
    assert decoder.prompt.weight.shape == (2, 16)
    seen: list[Tensor] = []
    decoder.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    decoder(*memory(), PREFIX_BU)
    angles = torch.tensor([[u / 10_000 ** (k / 8) for k in range(8)] for u in range(7)])
    tokens_UE = torch.cat([decoder.prompt.weight, decoder.embedding(PREFIX_BU[0])])
    close(seen[0][0], 4 * tokens_UE + torch.cat([angles.sin(), angles.cos()], dim=1))


# Scheduled sampling


@every_decoder
def test_sampling_replaces_symbols_and_neither_starts_nor_padding(case: str) -> None:
    """At rate 1 no symbol that was given counts but the start; what is drawn is no end."""
    decoder, (memory_BTD, mask_BT) = decoder_of(case), memory()
    plain_BUV = decoder(memory_BTD, mask_BT, PREFIX_BU)
    torch.manual_seed(1)
    close(decoder.sampled(memory_BTD, mask_BT, PREFIX_BU, 0.0), plain_BUV)
    read: list[Tensor] = []
    decoder.embedding.register_forward_hook(lambda _m, inputs, _o: read.append(inputs[0]))
    sampled_BUV = decoder.sampled(memory_BTD, mask_BT, PREFIX_BU, 1.0)
    # Of two passes the second counts; symbol by symbol there is one.
    inputs_BU = torch.cat(read, dim=1)[:, -PREFIX_BU.shape[1] :]
    kept_BU = PREFIX_BU == 0
    assert torch.equal(inputs_BU == 0, kept_BU)
    assert not torch.equal(inputs_BU, PREFIX_BU)
    close(decoder(memory_BTD, mask_BT, inputs_BU), sampled_BUV)


@every_decoder
def test_sampling_draws_by_the_seed_and_learns(case: str) -> None:
    decoder, (memory_BTD, mask_BT) = decoder_of(case), memory()
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(decoder.sampled(memory_BTD, mask_BT, PREFIX_BU, 0.6))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    found[0].square().mean().backward()
    gradients = [parameter.grad for parameter in decoder.parameters()]
    assert all(each is not None and each.isfinite().all() and each.any() for each in gradients)


def test_draws_follow_the_distribution_without_its_end() -> None:
    """0.4 for the end, 0.1, 0.2, 0.3: a sixth, a third and a half of 60,000 draws, within 2 %."""
    torch.manual_seed(0)
    drawn_N = draw(torch.tensor([0.4, 0.1, 0.2, 0.3]).log().expand(60_000, -1))
    shares_V = drawn_N.bincount(minlength=4) / len(drawn_N)
    close(shares_V, torch.tensor([0, 1 / 6, 1 / 3, 1 / 2]), rtol=0.0, atol=0.01)


# The head


def head_of(**keys: Any) -> AttentionHead:
    model = build(small("las", head=keys))
    assert isinstance(model.head, AttentionHead)
    return model.head


def test_the_head_samples_in_training_only() -> None:
    head = head_of(scheduled_sampling=0.9)
    lengths_B = torch.tensor([11, 5])
    encoded = Encoded(torch.randn(2, 11, 32), lengths_B, lengths_B)
    targets = padded_targets([[1, 2, 3, 4, 5], [2, 2]])
    prefix_BU = F.pad(targets.symbols_BU, (1, 0))
    log_probs_BUV = head.decoder(encoded.x_BTD, encoded.mask_BT, prefix_BU)
    forced = cross_entropy(log_probs_BUV, *targets, 0.1)
    close(head.losses(encoded, targets), {"total": forced})
    torch.manual_seed(0)
    sampled = head.train().losses(encoded, targets)["total"]
    assert sampled.item() != pytest.approx(forced.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["las", "joint_las", "ds2_crossattn"])
def test_beam_size_one_is_greedy_search_whatever_ranks_the_ends(name: str) -> None:
    model = build(small(name))
    encoded = model.encode(*batch())
    searches = model.head.searches
    assert isinstance(model.head, AttentionHead | CtcAttention)
    with torch.no_grad():
        model.head.decoder.output.bias[0] -= 2  # some hypotheses do not end at once

    def found(search: str, **settings: Any) -> list[list[int]]:
        return searches[search](encoded, Decoding(DecodeSpec(beam=1, repeats=None, **settings)))

    greedy = found("attention")
    assert any(greedy)
    assert found("attention_beam") == found("attention_beam", coverage=0.5) == greedy
    if "joint" in searches:
        assert found("joint", ctc_weight=0.0) == greedy
    assert model.head.reads["attention_beam"] == (
        "beam",
        "length_exponent",
        "coverage",
        "repeats",
        *FUSION,
    )


# Specs


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"location_kernel": 4}, "found 4, allowed: an odd number"),
        (
            {"mechanism": "multihead", "heads": 3},
            r"found 3, allowed: a divisor of decoder.attention_width \(256\)",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LstmDecoderSpec(**keys)


def test_a_decoder_without_a_kind_is_a_transformer() -> None:
    """As in the specs of runs that were recorded when there was no other."""
    spec = AttentionHeadSpec.model_validate({"decoder": {"layers": 1, "task_tokens": ["ko"]}})
    assert spec.decoder == TransformerDecoderSpec(layers=1, task_tokens=("ko",))
