"""Every kind of the tables and every named model, at small sizes, against what all of them promise.

The tests go over the tables, so that a kind is tested from the day it is registered, in each of
its named settings. Legend: B batch, T frames, F feature bins, D width, H heads, U symbols.
"""

from itertools import pairwise
from typing import Any, Literal

import pytest
import torch
from small_models import (
    BINS,
    LENGTHS,
    SYMBOLS,
    batch,
    build,
    close,
    every_model,
    features,
    padded,
    padded_targets,
)
from torch import Tensor

from asrbench.base.errors import UserError
from asrbench.experiment.kinds import ASRBENCH, Kinds, registered_by
from asrbench.experiment.registry import MODELS, register_model
from asrbench.experiment.spec import DecodeSpec
from asrbench.experiment.spec_model import (
    ATTENTION,
    ENCODERS,
    HEADS,
    AttentionSpec,
)
from asrbench.models.attention.self_attention import SelfAttention, SelfAttentionBlock
from asrbench.models.heads.head import Decoding, Encoded, Losses, Targets
from asrbench.models.layers.masking import MaskedBatchNorm
from asrbench.models.model import Model

DS2 = MODELS["ds2"].encoder
TARGETS = [[1, 2, 2, 3], [5, 1, 6], [4, 6], []]
"""Symbols of the four utterances of `LENGTHS`, each short enough for its frames."""


CASES = every_model()
every_case = pytest.mark.parametrize("case", CASES)


def encode(model: Model, lengths: list[int] = LENGTHS, more: int = 0) -> Encoded:
    return model.encode(*batch(lengths, more))


def losses(model: Model, more: int = 0) -> Losses:
    result: Losses = model(*batch(more=more), *padded_targets(TARGETS))
    return result


def test_every_kind_and_every_model_is_tested_here() -> None:
    blocks = [getattr(case.encoder, "attention", None) for case in CASES.values()]
    for table, kinds in (
        (ATTENTION, {block.kind for block in blocks if block is not None}),
        (ENCODERS, {case.encoder.kind for case in CASES.values()}),
        (HEADS, {case.head.kind for case in CASES.values()}),
    ):
        assert {
            each.spec.model_fields["kind"].default for each in table.by_origin(ASRBENCH)
        } == kinds
    own = {name for name, entry in MODELS.items() if entry.origin == ASRBENCH}
    assert own <= set(CASES)
    assert {"attention positional shaw", "attention temporal linear False"} <= set(CASES)


# Padding and mates


@every_case
def test_an_utterance_is_encoded_and_decoded_as_it_is_alone(case: str) -> None:
    """In eval mode: output of the encoder, posteriors, losses, every search. What the encoder left
    on padding frames is replaced by garbage, which a head must not see."""
    model, x_BTF, frames_B = build(CASES[case]), *batch()
    head, batched = model.head, model.encode(x_BTF, frames_B)
    rows = [batched.utterance(b).x_BTD[0].detach() for b in range(len(LENGTHS))]
    batched = batched._replace(x_BTD=padded(rows, batched.x_BTD.shape[1]))
    targets = padded_targets(TARGETS)
    summed: dict[str, list[Tensor]] = {}
    for b, frames in enumerate(LENGTHS):
        one = slice(b, b + 1)
        alone = model.encode(x_BTF[one, :frames], frames_B[one])
        length = int(alone.lengths_B)
        assert alone.x_BTD.shape[1] == length == batched.lengths_B[b]
        close(batched.x_BTD[b, :length], alone.x_BTD[0])
        log_probs_BTV, alone_BTV = head.frame_log_probs(batched), head.frame_log_probs(alone)
        assert (log_probs_BTV is None) == (alone_BTV is None)
        if log_probs_BTV is not None:
            close(log_probs_BTV[b, :length], alone_BTV[0])
        for search in head.searches.values():
            (found,) = search(alone, Decoding(DecodeSpec(beam=2)))
            assert search(batched, Decoding(DecodeSpec(beam=2)))[b] == found
        symbols_1U = targets.symbols_BU[one, : len(TARGETS[b])]
        for name, loss in head.losses(alone, Targets(symbols_1U, targets.lengths_B[one])).items():
            summed.setdefault(name, []).append(loss)
    of_all = head.losses(batched, targets)
    assert set(of_all) == set(summed)
    for name, parts in summed.items():
        assert of_all[name].dim() == 0
        close(of_all[name], torch.stack(parts).sum(), rtol=1e-4, atol=1e-4)


@every_case
def test_in_training_the_amount_of_padding_changes_nothing(case: str) -> None:
    """The same batch with 50 frames more of garbage: losses, running statistics, gradients."""
    outcomes = []
    for more in (0, 50):
        model = build(CASES[case]).train()
        found = losses(model, more)
        found["total"].backward()  # type: ignore[no-untyped-call]
        gradients = {n: p.grad for n, p in model.named_parameters()}
        outcomes.append((found, dict(model.named_buffers()), gradients))
    has_norm = any(isinstance(module, MaskedBatchNorm) for module in model.modules())
    assert any("running_mean" in buffer for buffer in outcomes[0][1]) == has_norm
    close(outcomes[0][0], outcomes[1][0])
    close(outcomes[0][1], outcomes[1][1])
    close(outcomes[0][2], outcomes[1][2], rtol=1e-3, atol=1e-3)


# Encoders


@every_case
def test_lengths_are_those_of_the_output(case: str) -> None:
    """Alone no frame is padding, so the tensor itself says how long it is."""
    encoder = build(CASES[case]).encoder
    counts = []
    for frames in [*range(1, 14), 50, 51]:
        frames_1 = torch.tensor([frames])
        x_1TD, lengths_1 = encoder(features(1, frames, BINS), frames_1)
        assert x_1TD.shape == (1, int(lengths_1), encoder.width)
        assert torch.equal(lengths_1, encoder.lengths(frames_1))
        counts.append(int(lengths_1))
    assert counts[0] > 0
    assert all(a <= b for a, b in pairwise(counts))
    ahead = encoder.lengths(torch.tensor([60 + 5 * encoder.stride]))
    assert int(ahead - encoder.lengths(torch.tensor([60]))) == 5


@every_case
def test_weights_that_can_be_shown_are_distributions(case: str) -> None:
    """Attention blocks and the head give weights for one utterance; each row sums to 1."""
    model = build(CASES[case])
    alone = encode(model, [30])
    frames = alone.x_BTD.shape[1]
    for block in model.encoder.attention_layers().values():
        weights_HTS = block.weights(alone.x_BTD, alone.mask_BT)[0]
        close(weights_HTS.sum(-1), torch.ones(weights_HTS.shape[:2]))
    for weights_HUT in model.head.weights(alone, [3, 1]).values():
        assert weights_HUT.shape[1:] == (3, frames)
        close(weights_HUT.sum(-1), torch.ones(weights_HUT.shape[:2]))


# Heads


@every_case
def test_checkpoints_are_chosen_by_a_search_that_there_is(case: str) -> None:
    model = build(CASES[case])
    head, encoded = model.head, encode(model)
    assert head.selection in head.searches
    assert head.selection == getattr(CASES[case].head, "selection", head.selection)
    for search in head.searches.values():
        found = search(encoded, Decoding(DecodeSpec(beam=2)))
        assert len(found) == len(LENGTHS)
        assert all(0 < symbol < SYMBOLS for each in found for symbol in each)
    for share in head.diagnostics(encoded).values():
        assert 0 <= share.part <= share.whole


@every_case
def test_losses_are_finite_with_the_frames_needed(case: str) -> None:
    model = build(CASES[case])
    for symbols in ([1], [1, 2, 3], [4, 4, 4]):
        lengths_1 = torch.tensor([model.head.frames_needed(symbols)])
        encoded = Encoded(features(1, int(lengths_1), model.encoder.width), lengths_1, lengths_1)
        found = model.head.losses(encoded, padded_targets([symbols])).values()
        assert all(loss.isfinite() for loss in found)


# Parameters


@every_case
def test_every_parameter_learns_and_is_in_one_layer(case: str) -> None:
    model = build(CASES[case]).train()
    losses(model)["total"].backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    in_layers = [id(each) for layer in model.layers().values() for each in layer]
    assert sorted(in_layers) == sorted(id(each) for each in model.parameters())
    assert all(model.layers().values())


# Registering


def refused(register: Any, *arguments: Any, **more: Any) -> str:
    with registered_by("mine.py"), pytest.raises(UserError) as caught:
        register(*arguments, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Mine(AttentionSpec):
    kind: Literal["mine"] = "mine"


def test_a_kind_is_registered_by_its_own_name() -> None:
    """In a table of its own, so that the package's stays as it is."""
    table = Kinds("attention", AttentionSpec)
    with registered_by("mine.py"):
        table.register(Mine, SelfAttentionBlock)
        table.register(Mine, SelfAttentionBlock)
    assert table.names() == ["mine"]
    assert (table.of("mine").spec, table.of("mine").origin) == (Mine, "mine.py")
    assert not table.by_origin(ASRBENCH)
    assert table.validated({"kind": "mine"}) == Mine()


def test_what_cannot_be_registered_is_one_line() -> None:
    assert refused(HEADS.register, Mine, SelfAttentionBlock) == (
        "mine.py: head Mine: allowed: a subclass of HeadSpec"
    )
    assert refused(ATTENTION.register, AttentionSpec, SelfAttentionBlock) == (
        'mine.py: attention AttentionSpec: found no kind; write `kind: Literal["name"] = "name"`'
    )
    assert refused(ATTENTION.register, SelfAttention, SelfAttentionBlock) == (
        "mine.py: attention SelfAttention: the kind 'self' is registered by asrbench already; "
        "choose another name"
    )
    assert refused(register_model, "ds2", encoder=DS2) == (
        "mine.py: model 'ds2': is registered by asrbench already; choose another name"
    )
    assert ATTENTION.of("self").origin == MODELS["ds2"].origin == ASRBENCH


@pytest.mark.parametrize(
    ("table", "wrong", "meant"),
    [(ATTENTION, "selff", "self"), (ENCODERS, "deepspech2", "deepspeech2"), (HEADS, "ctcc", "ctc")],
)
def test_an_unknown_kind_names_the_nearest(table: Kinds[Any], wrong: str, meant: str) -> None:
    with pytest.raises(UserError, match=rf"^{table.section}: found '{wrong}'.*'{meant}'\?"):
        table.of(wrong)
