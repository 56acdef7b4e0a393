"""An inspection shows what the model did: weights, alignment, distances, times."""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from doors import error, run
from hypothesis import given
from hypothesis import strategies as st
from small_models import small
from tones import CHANCE, cell_of, sets_for, spoken, trained
from torch.utils.hooks import RemovableHandle

from asrbench.analysis.gradients import depth_ratio, in_words
from asrbench.base.errors import UserError
from asrbench.base.reporting import Silent
from asrbench.data.corpus import Corpus
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import LogMel
from asrbench.models.alignment import AlignedSpan, ctc_aligned
from asrbench.models.attention.block import FRAMES
from asrbench.models.attention.head_mixing import HeadMixing, HeadMixingBlock
from asrbench.models.flops import forward_flops
from asrbench.models.heads.ctc import Ctc, CtcSpec
from asrbench.models.heads.transformer_decoder import TransformerDecoder, TransformerDecoderSpec
from asrbench.models.layers.front_end import Ds2FrontEnd, FrontEnd, VggFrontEnd
from asrbench.models.model import initialise
from asrbench.models.searches.ctc_greedy import collapse
from asrbench.recogniser.clock import Clock
from asrbench.recogniser.loader import make_batch
from asrbench.recogniser.recogniser import Recogniser
from asrbench.report.plots.inspect import FONT, LayerHeads, Maps, Symbol, attention, by_layer
from asrbench.report.plots.inspect import alignment as alignment_of
from asrbench.report.plots.inspect import posteriors as posteriors_of
from asrbench.stages.inspect.attention import (
    SYMBOLS,
    LayerFigures,
    choose,
    frame_distances,
    inspect_split,
    symbol_distances,
)
from asrbench.stages.inspect.records import VERSION, HeadAttention
from asrbench.text.tokenizer import BLANK, Tokenizer

TOKENIZER = Tokenizer.of("char", ["abc"])
LAYERED = ["transformer_ctc", "conformer_ctc", "whisper_ctc"]
BARE = ["ds2", "pyramid_ctc", "jasper"]
"""Models with CTC and without attention."""
KINDS = [
    *("ds2", "ds2_selfattn", "ds2_posattn", "ds2_twattn", "ds2_crossattn", "ds2_selfattn_deck"),
    *("ds2_addattn", "ds2_locattn", "ds2_selfattn_study"),
    *LAYERED,
]
CPU = torch.device("cpu")


def recogniser_of(tmp_path: Path, corpus: Path, name: str, *sets: str) -> Recogniser:
    """With weights away from their initial ones, biases and norms included."""
    cell = cell_of(tmp_path, corpus, *sets_for(name), *sets)
    recogniser = Recogniser(cell, TOKENIZER, "f1", CPU)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in recogniser.model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    recogniser.model.eval()
    return recogniser


# Alignment


def posteriors(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows).log()


def test_the_likeliest_path_that_spells_it_is_found_by_hand() -> None:
    """Four frames; 'ab' is likeliest as a-bb: 0.8 * 0.6 * 0.7 * 0.6."""
    log_probs_TV = posteriors([[0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.2, 0.1, 0.7], [0.3, 0.1, 0.6]])
    a, b = ctc_aligned(log_probs_TV, [1, 2])
    assert (a.symbol, a.start, a.end) == (1, 0, 1)
    assert (b.symbol, b.start, b.end) == (2, 2, 4)
    assert a.probability == pytest.approx(0.8)
    assert b.probability == pytest.approx((0.7 + 0.6) / 2)


def paths(symbols: list[int], frames: int, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Every CTC path of so many frames that spells `symbols`."""
    if len(path) == frames:
        return [path] if collapse(path) == symbols else []
    return [p for v in range(3) for p in paths(symbols, frames, (*path, v))]


@given(
    st.lists(st.integers(1, 2), max_size=3),
    st.integers(1, 6),
    st.integers(0, 2**31 - 1),
)
def test_alignment_is_the_best_of_all_paths(symbols: list[int], frames: int, seed: int) -> None:
    """Against every path there is, written out."""
    generator = torch.Generator().manual_seed(seed)
    log_probs_TV = torch.randn(frames, 3, generator=generator).log_softmax(-1)
    if frames < Ctc(CtcSpec(), width=1, symbols=3).frames_needed(symbols):
        with pytest.raises(RuntimeError, match="targets length is too long"):
            ctc_aligned(log_probs_TV, symbols)
        return
    found = ctc_aligned(log_probs_TV, symbols)
    path = [BLANK] * frames
    for each in found:
        path[each.start : each.end] = [each.symbol] * (each.end - each.start)

    def score(candidate: tuple[int, ...]) -> float:
        return sum(log_probs_TV[t, v].item() for t, v in enumerate(candidate))

    assert [each.symbol for each in found] == symbols
    if symbols:
        assert collapse(path) == symbols
        best = max(map(score, paths(symbols, frames)))
        assert score(tuple(path)) == pytest.approx(best, abs=1e-4)


# Time


@pytest.mark.parametrize(
    ("sets", "frame_ms", "first_ms"),
    [
        (["model.encoder.front_end={channels: 4, time_stride: 2}"], 20.0, 12.5),
        (["model.encoder.front_end={channels: 4, time_stride: 4}"], 40.0, 12.5),
        (["model.encoder.front_end={channels: 4, convolutions: 3}"], 20.0, 12.5),
        (["model.encoder.front_end={kind: vgg, channels: 2}"], 40.0, 12.5 + 15.0),
        (["features={hop_ms: 5, window_ms: 20}"], 10.0, 10.0),
    ],
)
def test_clock_follows_from_hop_window_and_stride(
    sets: list[str], frame_ms: float, first_ms: float, tmp_path: Path, corpus: Path
) -> None:
    """VGG pools four frames, whose middle lies 1.5 hops behind the first."""
    clock = Clock.of(recogniser_of(tmp_path, corpus, "ds2", *sets))
    assert (clock.frame_ms, clock.first_ms) == (pytest.approx(frame_ms), pytest.approx(first_ms))
    assert clock.edge(0) == pytest.approx(max(0.0, first_ms - frame_ms / 2))
    assert clock.edge(3) == pytest.approx(first_ms + 2.5 * frame_ms)


@pytest.mark.parametrize(
    "spec",
    [
        Ds2FrontEnd(channels=2),
        Ds2FrontEnd(channels=2, time_stride=4),
        Ds2FrontEnd(channels=2, convolutions=3, time_stride=4),
        VggFrontEnd(channels=2),
    ],
    ids=["stride 2", "stride 4", "3 convolutions", "vgg"],
)
def test_an_impulse_comes_out_where_the_clock_says(spec: Ds2FrontEnd | VggFrontEnd) -> None:
    """With kernels all alike an impulse spreads evenly to both sides of its own time."""
    front_end = FrontEnd(spec, bins=16).eval()
    with torch.no_grad():
        for name, parameter in front_end.named_parameters():
            parameter.fill_(1e-3 if "conv" in name else parameter.mean())
        frames = 200
        # The middle of the output frame lies on a feature frame, or between these two.
        middle = front_end.first + 20 * front_end.stride
        x_BTF = torch.zeros(1, frames, 16)
        x_BTF[:, math.floor(middle)] = x_BTF[:, math.ceil(middle)] = 1.0
        y_TD = front_end(x_BTF, torch.tensor([frames]))[0][0]
    mass_T = y_TD.sum(1)
    centre = (mass_T * torch.arange(len(mass_T))).sum() / mass_T.sum()
    assert centre.item() == pytest.approx(20, abs=0.3)


# Weights


def test_head_mixing_weights_are_those_that_forward_uses() -> None:
    block = HeadMixingBlock(HeadMixing(heads=2), 8)
    initialise(block, 1)
    block.eval()
    x_BTD, mask_BT = torch.randn(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)
    weights_BHTH = block.weights(x_BTD, mask_BT)
    assert weights_BHTH.shape == (2, 2, 5, 2)
    torch.testing.assert_close(weights_BHTH.sum(-1), torch.ones(2, 2, 5))
    value_BTHK = block.value(x_BTD).unflatten(-1, (2, 4))
    mixed_BTHK = torch.einsum("bhtg,btgk->bthk", weights_BHTH, value_BTHK)
    expected_BTD = block.out(mixed_BTHK.flatten(2))
    torch.testing.assert_close(block(x_BTD, mask_BT), expected_BTD)


def test_cross_attention_weights_are_those_that_forward_uses() -> None:
    """The values that a layer reads, mixed by its weights, must enter its output map."""
    spec = TransformerDecoderSpec(width=16, heads=2, feed_forward=32, layers=2)
    decoder = TransformerDecoder(spec, 12, 5).eval()
    memory_BTD, prefix_BU = torch.randn(2, 7, 12), torch.tensor([[0, 1, 2], [0, 3, 0]])
    mask_BT = torch.arange(7) < torch.tensor([[7], [4]])
    mixed: list[torch.Tensor] = []
    for layer in decoder.layers.layers:
        layer.multihead_attn.register_forward_hook(lambda m, i, output: mixed.append(output[0]))
    plain_BUV = decoder(memory_BTD, mask_BT, prefix_BU)
    from_forward, mixed[:] = list(mixed), []
    weights = decoder.weights(memory_BTD, mask_BT, prefix_BU)
    assert [w.shape for w in weights] == [(2, 2, 3, 7)] * 2
    for layer, weights_BHUT, expected_BUE in zip(
        decoder.layers.layers, weights, from_forward, strict=True
    ):
        torch.testing.assert_close(weights_BHUT.sum(-1), torch.ones(2, 2, 3))
        assert not weights_BHUT[1, :, :, 4:].any()
        attend = layer.multihead_attn
        value_BTE = decoder.memory(memory_BTD) @ attend.in_proj_weight[32:].T
        value_BHTK = (value_BTE + attend.in_proj_bias[32:]).unflatten(-1, (2, 8)).transpose(1, 2)
        found_BUE = attend.out_proj((weights_BHUT @ value_BHTK).transpose(1, 2).flatten(2))
        torch.testing.assert_close(found_BUE, expected_BUE, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoder(memory_BTD, mask_BT, prefix_BU), plain_BUV)


# Figures


def test_figures_of_a_layer_by_hand() -> None:
    """Two utterances of one head. Three frames, each attending to itself: distance 0, entropy 0.
    Two frames, evenly: distance 1/2 frame and ln 2 nats, all there can be. Evenly spread, three
    frames would be 8/9 of a frame away (of nine pairs four are 1 apart, two are 2)."""
    figures = LayerFigures(FRAMES)
    figures.add(torch.eye(3)[None], frame_distances(3))
    figures.add(torch.full((1, 2, 2), 0.5), frame_distances(2))
    means = figures.means(frame_ms=40.0)
    (head,) = means.heads
    assert means.rows == 5
    assert head.distance_ms == pytest.approx(40 * (3 * 0 + 2 * 1 / 2) / 5)
    assert head.entropy_nats == pytest.approx(2 * math.log(2) / 5)
    assert head.entropy_relative == pytest.approx(2 / 5)
    assert means.uniform_distance_ms == pytest.approx(40 * (3 * 8 / 9 + 2 * 1 / 2) / 5)


def test_a_single_frame_has_no_relative_entropy() -> None:
    figures = LayerFigures(FRAMES)
    figures.add(torch.ones(2, 1, 1), frame_distances(1))
    assert figures.means(40.0).heads == 2 * (HeadAttention(0.0, 0.0, None),)


def test_a_decoders_distance_is_from_the_symbols_place() -> None:
    """Symbol 1 on frames 1 to 2, symbol 2 on frame 4; a row more, of the end, has no place."""
    spoken_symbols = [AlignedSpan(1, 1, 3, 1.0), AlignedSpan(2, 4, 5, 1.0)]
    apart_US = symbol_distances(spoken_symbols, 5)
    assert apart_US.tolist() == [[1.5, 0.5, 0.5, 1.5, 2.5], [4.0, 3.0, 2.0, 1.0, 0.0]]
    figures = LayerFigures(SYMBOLS)
    weights_1US = torch.tensor([[[0, 0.5, 0.5, 0, 0], [0, 0, 0, 0.5, 0.5], [1, 0, 0, 0, 0]]])
    figures.add(weights_1US, apart_US)
    means = figures.means(10.0)
    assert means.rows == 3
    assert means.heads[0].distance_ms == pytest.approx(10 * (0.5 + 0.5) / 2)


@given(st.integers(2, 9), st.integers(1, 3), st.integers(0, 2**31 - 1))
def test_figures_stay_within_their_bounds(frames: int, heads: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores_HTS = 4 * torch.randn(heads, frames, frames, generator=generator)
    figures = LayerFigures(FRAMES)
    figures.add(scores_HTS.softmax(-1), frame_distances(frames))
    for head in figures.means(1.0).heads:
        assert head.distance_ms is not None
        assert head.entropy_nats is not None
        assert 0 <= head.distance_ms <= frames - 1
        assert 0 <= head.entropy_nats <= math.log(frames) + 1e-6
        assert head.entropy_relative == pytest.approx(head.entropy_nats / math.log(frames))


# A split


@pytest.mark.parametrize("name", [*KINDS, *BARE[1:]])
def test_what_is_seen_is_what_evaluation_does(name: str, tmp_path: Path, corpus: Path) -> None:
    """Posteriors, hypotheses and, of every layer, its kind and its heads."""
    recogniser, split = recogniser_of(tmp_path, corpus, name), Corpus.open(corpus).split("train")
    chosen = list(range(len(split)))
    seen = inspect_split(recogniser, split, chosen, Silent())
    batch = make_batch(split.ids, split.texts, [split.audio(i) for i in chosen], TOKENIZER)
    (done,) = recogniser.transcribe([batch], "greedy")
    encoded = recogniser.encode(batch)
    log_probs_BTV = recogniser.model.head.frame_log_probs(encoded)
    assert log_probs_BTV is not None
    assert [each.id for each in seen.utterances] == split.ids
    assert [each.hypothesis for each in seen.utterances] == done.hypotheses
    for k, length in enumerate(encoded.cpu_lengths_B.tolist()):
        log_probs_TV = seen.arrays[f"{k}.log_probs"].astype(np.float64)
        # Those of the untrained `jasper` exceed fp16, whose least number stands for them.
        expected_TV = log_probs_BTV[k, :length].detach().numpy().clip(min=-65504)
        np.testing.assert_allclose(log_probs_TV, expected_TV, rtol=2e-3, atol=2e-3)
    relates = {each: layer.relates for each, layer in seen.layers.items()}
    assert relates == {
        **{bare: {} for bare in BARE},
        "ds2_crossattn": {"decoder.0": "symbols to frames"},
        "ds2_selfattn_deck": {"attention.0": "heads to heads"},
        **{each: {"blocks.0.attention": "frames to frames"} for each in LAYERED},
        "ds2_selfattn_study": {"attention.0": "heads to heads"},
    }.get(name, {"attention.0": "frames to frames"})
    for layer in seen.layers.values():
        assert len(layer.heads) == 2
        mixes = layer.relates == "heads to heads"
        assert all((head.distance_ms is None) == mixes for head in layer.heads)


@pytest.mark.parametrize("name", [kind for kind in KINDS if kind != "ds2"])
def test_weights_kept_are_distributions_of_the_right_shape(
    name: str, tmp_path: Path, corpus: Path
) -> None:
    recogniser, split = recogniser_of(tmp_path, corpus, name), Corpus.open(corpus).split("train")
    seen = inspect_split(recogniser, split, [3, 0], Silent())
    ((layer, figures),) = seen.layers.items()
    for k, i in enumerate([3, 0]):
        weights_HTS = seen.arrays[f"{k}.{layer}"].astype(np.float64)
        frames = len(seen.arrays[f"{k}.log_probs"])
        symbols = len(split.texts[i])
        assert (
            weights_HTS.shape
            == {
                "frames to frames": (2, frames, frames),
                "heads to heads": (2, frames, 2),
                "symbols to frames": (2, symbols + 1, frames),
            }[figures.relates]
        )
        np.testing.assert_allclose(weights_HTS.sum(-1), 1, atol=0.02)


@pytest.mark.parametrize(
    "name", ["ds2_posattn", "ds2_crossattn", "ds2_selfattn_deck", "conformer_ctc"]
)
def test_figures_do_not_depend_on_batches_or_on_who_is_chosen(
    name: str, tmp_path: Path, corpus: Path
) -> None:
    split = Corpus.open(corpus).split("train")
    found = []
    for seconds, chosen in ((100, [0]), (0.1, [1, 2])):
        recogniser = recogniser_of(tmp_path, corpus, name, f"train.batch_seconds={seconds}")
        found.append(inspect_split(recogniser, split, chosen, Silent()).layers)
    batched, single = ([h for layer in each.values() for h in layer.heads] for each in found)
    assert len(batched) == 2
    for one, other in zip(batched, single, strict=True):
        assert asdict(one) == {
            key: value if value is None else pytest.approx(value, rel=1e-4)
            for key, value in asdict(other).items()
        }


def test_inspecting_leaves_the_model_as_it_was(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mode and weights are the same, and every hook is removed."""
    recogniser = recogniser_of(tmp_path, corpus, "ds2_selfattn", *CHANCE)
    recogniser.model.train()
    handles: list[RemovableHandle] = []
    register = torch.nn.Module.register_forward_pre_hook

    def registered(*arguments: Any) -> RemovableHandle:
        handles.append(register(*arguments))
        return handles[-1]

    monkeypatch.setattr(torch.nn.Module, "register_forward_pre_hook", registered)
    before = {name: t.clone() for name, t in recogniser.model.state_dict().items()}
    inspect_split(recogniser, Corpus.open(corpus).split("dev"), [0], Silent())
    assert recogniser.model.training
    assert handles
    assert not any(handle.id in (handle.hooks_dict_ref() or {}) for handle in handles)
    after = recogniser.model.state_dict()
    assert all(torch.equal(after[name], t) for name, t in before.items())


def test_an_utterance_too_short_for_its_text_is_counted_not_aligned(
    tmp_path: Path, corpus: Path
) -> None:
    """A window of 25 ms is one frame; 'abc' needs three."""
    recogniser = recogniser_of(tmp_path, corpus, "ds2_crossattn")

    class Short:
        ids, texts, sides = ["short", "long"], ["abc", "abc"], ("text",)
        samples = np.array([400, len(spoken("abc"))])

        def __len__(self) -> int:
            return 2

        def audio(self, index: int) -> np.ndarray:
            return spoken("abc")[: self.samples[index]]

    seen = inspect_split(recogniser, Short(), [0, 1], Silent())  # type: ignore[arg-type]
    short, long = seen.utterances
    assert short.alignment is None
    assert long.alignment is not None
    assert [each.symbol for each in long.alignment] == list("abc")
    assert seen.utterances_unaligned == 1
    assert seen.layers["decoder.0"].rows == 2 * 4


def test_utterances_are_chosen_by_duration_or_by_id(corpus: Path) -> None:
    """Of six, of the lengths 4, 3, 3, 4, 3, 4 letters, two: the 2nd and the 5th."""
    split = Corpus.open(corpus).split("train")
    assert choose(split, [], 2, "here") == [2, 3]
    assert sorted(choose(split, [], 100, "here")) == list(range(6))
    assert choose(split, ["train4", "train1", "train4"], 2, "here") == [4, 1]
    with pytest.raises(UserError, match=r"^here: found 'trian1'.* 6 utterances; did you mean"):
        choose(split, ["trian1"], 2, "here")


# Gradients


def history(*ratios: float) -> list[dict[str, object]]:
    return [
        {
            "epoch": epoch,
            "layer_gradient_norms": {
                "front_end": 9.0,
                "recurrence.0": 3.0 * ratio,
                "recurrence.1": 5.0,
                "recurrence.10": 3.0,
                "head": 7.0,
            },
        }
        for epoch, ratio in enumerate(ratios, start=1)
    ]


def test_depth_ratio_is_the_lowest_layer_over_the_highest() -> None:
    """Layer 10 is above layer 1 though its name sorts below it; 1/2 and 2 are 1 on average."""
    found = depth_ratio(3, history(0.5, 2.0))
    assert found is not None
    assert (found.seed, found.epochs) == (3, (1, 2))
    assert found.ratios == pytest.approx((0.5, 2.0))
    assert found.typical() == pytest.approx(1)
    assert found.typical({2}) == pytest.approx(2)


def test_epochs_without_norms_are_left_out() -> None:
    rows = [{"epoch": 1}, *history(1.0)[:1]]
    rows[1]["epoch"] = 2
    found = depth_ratio(0, rows)
    assert found is not None
    assert found.epochs == (2,)
    assert depth_ratio(0, [{"epoch": 1}]) is None
    assert depth_ratio(0, [{"epoch": 1, "layer_gradient_norms": {"recurrence.0": 1.0}}]) is None
    assert depth_ratio(0, history(0.0, math.inf, math.nan)) is None


def test_words_say_what_the_figures_say() -> None:
    """Only over shared epochs are variants held against each other."""
    made = {
        "new": [depth_ratio(0, history(2.0)), depth_ratio(1, history(3.0))],
        "ds2": [depth_ratio(0, history(0.5, 4.0)), depth_ratio(1, history(0.25, 4.0))],
    }
    words = list(in_words(made, "ds2"))
    assert [line.split(":")[0] for line in words] == ["ds2", "new", "new against ds2"]
    assert "1.00-1.41 times that of the highest" in words[0]
    assert "from 0.25 in epoch 1 to 4.00 in epoch 2" in words[0]
    assert "does not shrink" in words[1]
    assert "2.00-3.00 against 0.25-0.50 over 1 shared epoch, higher in every run" in words[2]
    made["new"] = made["new"][:1]
    assert list(in_words(made, "ds2"))[-1].endswith("a single run shows no spread")


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([0.5, 0.9], "the gradient shrinks on its way down"),
        ([0.5, 1.5], "the gradient shrinks in some runs and not in others"),
        ([1.0, 1.5], "the gradient does not shrink on its way down"),
    ],
)
def test_the_verdict_is_about_every_run(ratios: list[float], verdict: str) -> None:
    runs = [depth_ratio(seed, history(ratio)) for seed, ratio in enumerate(ratios)]
    assert next(iter(in_words({"ds2": runs}, "ds2"))).endswith(verdict)


# Operations


def test_forward_operations_by_hand() -> None:
    """A product of (m, k) and (k, n) takes 2 m k n. With stride 2 twice over 80 bins, 998 frames
    become 499 of 20 * 4; then one GRU of width 8 in each direction, and 5 symbols."""
    model = small("ds2", encoder={"recurrence": {"layers": 1, "width": 8}})
    frames, d, h, v = 499, 80, 8, 5
    convolutions = 2 * frames * (4 * 40 * 41 * 11 + 4 * 20 * 4 * 21 * 11)
    recurrence = 2 * (2 * frames * 3 * h * d + 2 * frames * 3 * h * h)
    head = 2 * frames * 2 * h * v
    state = torch.get_rng_state()
    found = forward_flops(model, LogMel(), v)
    assert found * 10 == pytest.approx(convolutions + recurrence + head, rel=1e-3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mkldnn.enabled


def test_eval_keeps_the_operations_for_a_second_of_audio(study: Path) -> None:
    """Attention adds to them, for it adds products."""
    found = {}
    for name in ("ds2_selfattn", "ds2_crossattn"):
        (each,) = Run.find([study / "tiny" / name])
        code, _, _ = run("eval", each, "--split", "dev")
        assert code == 0
        recogniser = Recogniser.load(each.weights_path("best"), CPU)
        model, symbols = recogniser.cell.model, len(recogniser.tokenizer)
        found[name] = each.scores()["dev"]["greedy"]["flops_per_audio_second"]
        assert found[name] == forward_flops(model, each.cell.features, symbols)
    assert found["ds2_selfattn"] > found["ds2_crossattn"]


# Pictures


def test_a_transducer_is_inspected_by_its_alignment(tmp_path: Path, corpus: Path) -> None:
    """Its posteriors depend on the symbols before, so that there is no picture of them."""
    done = trained(cell_of(tmp_path, corpus, *sets_for("rnnt")), tmp_path / "results")
    code, out, err = run("inspect", done.folder, "--split", "dev", "--count", "1")
    assert (code, err) == (0, "")
    assert "and 2 pictures" in out
    names = {path.name for path in done.folder.glob("inspect.dev.*.png")}
    assert names == {"inspect.dev.0.alignment.png"}
    (seen,) = json.loads(done.inspect_path("dev").read_text())["utterances"]
    spans = seen["alignment"]
    assert "".join(span["symbol"] for span in spans) == seen["reference"]


def test_an_alignment_is_drawn_at_its_frames() -> None:
    """Three frames of a second, whose clock begins at 0.5 s: the middle one writes `a`."""
    figure = alignment_of(3, [0.75], [Symbol("a", 1, 1.0, 2.0)], frame_s=1, first_s=0.5, title="")
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[0.0, 0.75, 0.0]]
    assert axes.get_xlim() == (0.0, 3.0)
    (box,) = axes.patches
    assert (box.get_x(), box.get_width()) == (1.0, 1.0)


def test_symbols_that_no_font_has_are_numbered() -> None:
    """No font has a character for private use. A missing glyph would be a warning, which fails
    here."""
    assert labelled("a é") == ["a", "␣", "é", "blank"]
    assert labelled("a\U0010fffd") == ["1", "2", "blank"]
    assert labelled("안 녕\U0010fffd") == ["1", "2", "3", "4", "blank"]


def labelled(text: str) -> list[str]:
    """The labels of the rows in a drawn picture of the posteriors of `text`."""
    symbols = [Symbol(each, i, i - 1.0, i) for i, each in enumerate(text, start=1)]
    log_probs = np.log(np.full((4, len(text) + 1), 0.2))
    figure = posteriors_of(log_probs, symbols, frame_s=1.0, first_s=0.5, title="안녕")
    figure.canvas.draw()
    labels = figure.axes[0].get_yticklabels()
    assert all(label.get_fontfamily() == [FONT] for label in labels)
    return [label.get_text() for label in labels]


def test_layers_without_a_distance_have_no_panel_of_it() -> None:
    """Head mixing has no distance; its entropy is drawn in percent."""
    mixing = LayerHeads("attention.0", (None, None), (0.25, 0.75), None)
    self_attention = LayerHeads("attention.1", (120.0, 80.0), (0.5, 0.5), 300.0)
    (entropy,) = by_layer([mixing], title="").axes
    assert entropy.lines[0].get_ydata().tolist() == [25.0, 75.0]
    distance, entropy = by_layer([mixing, self_attention], title="").axes
    (points,) = distance.lines
    assert points.get_ydata().tolist() == [120.0, 80.0]
    assert len(entropy.lines) == 2


def test_pictures_show_the_mean_table_of_head_mixing() -> None:
    weights_HTS = np.zeros((2, 4, 2))
    weights_HTS[0, :, 1] = weights_HTS[1, :2, 0] = weights_HTS[1, 2:, 1] = 1
    maps = Maps("attention.0", weights_HTS, "heads to heads")
    figure = attention([maps], frame_s=0.04, first_s=0.01, title="")
    (image,) = (image for axes in figure.axes for image in axes.images)
    assert image.get_array().tolist() == [[0, 1], [0.5, 0.5]]


def test_maps_lie_on_the_seconds_of_their_frames() -> None:
    """Five frames of 40 ms, the first in the middle of its own at 12.5 ms."""
    maps = Maps("attention.0", np.full((1, 5, 5), 0.2), "frames to frames")
    figure = attention([maps], frame_s=0.04, first_s=0.0125, title="")
    (image,) = (image for axes in figure.axes for image in axes.images)
    assert image.get_extent() == pytest.approx((-0.0075, 0.1925, 0.1925, -0.0075))


@pytest.mark.parametrize(
    ("relates", "query", "key"),
    [
        ("frames to frames", "time (s)", "time (s)"),
        ("symbols to frames", "symbol", "time (s)"),
        ("heads to heads", "head", "head"),
    ],
)
def test_axes_of_maps_name_query_and_key(relates: str, query: str, key: str) -> None:
    shape = (2, 3, 2) if relates == "heads to heads" else (2, 3, 5)
    maps = Maps("attention.0", np.ones(shape), relates)
    first = attention([maps], frame_s=0.04, first_s=0.0, title="").axes[0]
    assert first.get_ylabel() == f"attention.0\nquery: {query}"
    assert first.get_xlabel() == f"key: {key}"


# The command


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """Runs of two layers, of three variants, a few epochs each."""
    folder = tmp_path_factory.mktemp("study")
    for name in ("ds2_selfattn", "ds2_crossattn", "ds2_selfattn_deck"):
        sets = (*sets_for(name), "model.encoder.recurrence.layers=2", "train.epochs=2")
        trained(cell_of(folder, corpus, *sets), folder / "results")
    return folder / "results"


def test_inspect_leaves_figures_arrays_and_pictures(study: Path) -> None:
    code, out, err = run("inspect", study, "--split", "dev", "--count", "2")
    assert (code, err) == (0, "")
    for found in Run.find([study]):
        seen = json.loads(found.inspect_path("dev").read_text(encoding="utf-8"))
        assert seen["version"] == VERSION
        assert (seen["split"], seen["checkpoint"], len(seen["utterances"])) == ("dev", "best", 2)
        assert seen["corpus"] == Corpus.open(Path(found.cell.corpus)).fingerprint
        named = [*seen["pictures"], *(p for each in seen["utterances"] for p in each["pictures"])]
        there = {path.name for path in found.folder.glob("inspect.dev.*")}
        assert there == {*named, "inspect.dev.json", "inspect.dev.npz"}
        with np.load(found.inspect_path("dev", "npz")) as arrays:
            assert set(arrays) == {
                f"{k}.{name}" for k in (0, 1) for name in ("log_probs", *seen["layers"])
            }
    assert "heads to heads" in out
    assert re.search(r"  decoder\.0 \(symbols to frames\): distance \d+ of \d+ ms, entropy", out)
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    assert max(map(len, lines)) <= 78
    gradients = json.loads((study / "gradients.json").read_text())
    assert set(gradients["variants"]) == {"ds2_selfattn", "ds2_crossattn", "ds2_selfattn_deck"}
    assert (study / "gradients.svg").is_file()


def test_inspecting_again_gives_the_same_bytes_and_clears_what_is_not_of_it(study: Path) -> None:
    (folder,) = (each.folder for each in Run.find([study / "tiny" / "ds2_selfattn"]))
    run("inspect", folder, "--split", "dev", "--count", "2")
    before = {path.name: path.read_bytes() for path in folder.glob("inspect.dev.*")}
    run("inspect", folder, "--split", "dev", "--count", "2")
    assert {path.name: path.read_bytes() for path in folder.glob("inspect.dev.*")} == before
    run("inspect", folder, "--split", "dev", "--utterance", "dev1")
    after = {path.name for path in folder.glob("inspect.dev.*")}
    assert after < before.keys()
    assert not [name for name in after if name.startswith("inspect.dev.1.")]


def test_inspect_refuses_in_one_line_and_leaves_nothing(study: Path) -> None:
    (folder,) = (each.folder for each in Run.find([study / "tiny" / "ds2_selfattn_deck"]))
    before = sorted(study.rglob("*"))
    assert "none to test on; --split dev takes the dev set" in error("inspect", folder)
    said = error("inspect", folder, "--split", "dev", "--utterance", "dve1")
    assert "did you mean 'dev1'?" in said
    assert sorted(study.rglob("*")) == before
