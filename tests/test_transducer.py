"""The transducer: its loss and searches against sums over all alignments, and against torchaudio.

Legend: B batch, T frames, U symbols, W = U + 1, V vocabulary with the blank.
"""

import math
from collections.abc import Iterator
from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SYMBOLS, batch, build, close, fresh, padded_targets, small
from torch import Tensor
from torchaudio.functional import rnnt_loss

from asrbench.experiment.spec import DecodeSpec
from asrbench.models.heads import transducer
from asrbench.models.heads.head import Decoding, Encoded, Targets
from asrbench.models.heads.transducer import Transducer
from asrbench.models.layers.prediction import (
    LstmPredictionSpec,
    Prediction,
    StatelessPredictionSpec,
    prediction_network,
)
from asrbench.models.layers.transducer_lattice import best_path, lattice_scores, transducer_loss
from asrbench.text.tokenizer import BLANK

SEEDS = st.integers(0, 2**32)
PREDICTIONS = [
    LstmPredictionSpec(layers=2, width=8, dropout=0.0),
    StatelessPredictionSpec(context=3, width=8, dropout=0.0),
]
STATELESS = {"prediction": {"kind": "stateless", "width": 16, "dropout": 0.0}}


def normal(seed: int, *shape: int) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def losses(logits_BTWV: Tensor, symbols_BU: Tensor, frames_B: Tensor, symbols_B: Tensor) -> Tensor:
    return transducer_loss(*lattice_scores(logits_BTWV, symbols_BU), frames_B, symbols_B)


def paths(frames: int, symbols: int) -> Iterator[list[tuple[int, int, bool]]]:
    """Yields every path through the lattice: (t, u, whether a symbol is written) at each step."""
    for writes in combinations(range(frames + symbols - 1), symbols):
        t, u, steps = 0, 0, []
        for i in range(frames + symbols):
            steps.append((t, u, i in writes))
            t, u = (t, u + 1) if i in writes else (t + 1, u)
        yield steps


def path_scores(logits_TWV: Tensor, symbols: list[int]) -> list[tuple[float, list[int]]]:
    """Returns the log probability of every path, and the frames in which it writes."""
    log_probs_TWV = logits_TWV.double().log_softmax(-1)
    found = []
    for path in paths(len(logits_TWV), len(symbols)):
        score = sum(float(log_probs_TWV[t, u, symbols[u] if w else BLANK]) for t, u, w in path)
        found.append((score, [t for t, _, w in path if w]))
    return found


def log_sum(scores: list[float]) -> float:
    return float(torch.tensor(scores, dtype=torch.float64).logsumexp(0))


# The loss


def test_two_frames_and_one_symbol_by_hand() -> None:
    """Blank and symbol have 1/4 and 3/4 at every node: two paths of 3/4 * 1/4 * 1/4 each."""
    logits_1TWV = torch.tensor([math.log(1 / 4), math.log(3 / 4)]).expand(1, 2, 2, 2)
    (loss,) = losses(logits_1TWV, torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1]))
    close(loss, torch.tensor(-math.log(2 * 3 / 64)))


@given(seed=SEEDS, frames=st.integers(1, 5), symbols=st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_the_loss_is_the_sum_over_all_paths(seed: int, frames: int, symbols: int) -> None:
    text = [1 + (seed + u) % 3 for u in range(symbols)]
    logits_TWV = normal(seed, frames, symbols + 1, 4)
    (loss,) = losses(
        logits_TWV[None],
        torch.tensor([text], dtype=torch.int64),
        torch.tensor([frames]),
        torch.tensor([symbols]),
    )
    expected = -log_sum([score for score, _ in path_scores(logits_TWV, text)])
    close(loss.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5)


def test_loss_and_gradient_are_torchaudios() -> None:
    logits_BTWV = normal(0, 4, 9, 6, 7).requires_grad_()
    symbols_BU = torch.randint(1, 7, (4, 5), generator=torch.Generator().manual_seed(1))
    frames_B, symbols_B = torch.tensor([9, 5, 1, 8]), torch.tensor([5, 3, 2, 0])
    ours_B = losses(logits_BTWV, symbols_BU, frames_B, symbols_B)
    theirs_B = rnnt_loss(
        logits_BTWV,
        symbols_BU.int(),
        frames_B.int(),
        symbols_B.int(),
        blank=BLANK,
        reduction="none",
    )
    close(ours_B, theirs_B)
    weights_B = torch.tensor([1.0, 2.0, -3.0, 0.5])
    (ours,) = torch.autograd.grad((ours_B * weights_B).sum(), logits_BTWV)
    (theirs,) = torch.autograd.grad((theirs_B * weights_B).sum(), logits_BTWV)
    close(ours, theirs)


def test_the_gradient_is_that_of_finite_differences() -> None:
    logits_BTWV = normal(3, 2, 4, 3, 3).double().requires_grad_()
    symbols_BU = torch.tensor([[1, 2], [2, 0]])
    lengths = torch.tensor([4, 3]), torch.tensor([2, 1])
    assert torch.autograd.gradcheck(lambda x: losses(x, symbols_BU, *lengths), logits_BTWV)


@pytest.mark.parametrize("limit", [1, 2000, 4000])
def test_a_batch_in_parts_has_the_same_loss_and_gradient(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = padded_targets([[1, 2, 2, 3], [5, 1, 6], [4, 6], []])
    found = []
    for most in (transducer.LOGITS, limit):
        monkeypatch.setattr(transducer, "LOGITS", most)
        model = fresh(small("rnnt")).train()
        loss = model(*batch(), *targets)["total"]
        loss.backward()
        found.append((loss, {name: p.grad for name, p in model.named_parameters()}))
    head = model.head
    assert isinstance(head, Transducer)
    assert len([*head._parts(model.encoder.lengths(batch()[1]), targets.lengths_B)]) > 1
    close(found[0], found[1])


# The prediction network


@pytest.mark.parametrize("spec", PREDICTIONS, ids=lambda spec: spec.kind)
def test_a_text_read_symbol_by_symbol_is_the_text_read_at_once(
    spec: LstmPredictionSpec | StatelessPredictionSpec,
) -> None:
    network: Prediction = prediction_network(spec, SYMBOLS).eval()
    symbols_BU = torch.tensor([[3, 1, 1, 5, 2], [6, 2, 4, 4, 1]])
    y_BE, state = network.start(2, torch.device("cpu"))
    steps = [y_BE]
    for u in range(symbols_BU.shape[1]):
        y_BE, state = network.step(state, symbols_BU[:, u])
        steps.append(y_BE)
    close(torch.stack(steps, 1), network(symbols_BU))
    _, swapped = network.step(state.rows(torch.tensor([1, 0])), torch.tensor([1, 1]))
    _, straight = network.step(state, torch.tensor([1, 1]))
    close(swapped.tensors, straight.rows(torch.tensor([1, 0])).tensors)


def test_a_stateless_network_reads_its_context_and_no_more() -> None:
    network = prediction_network(PREDICTIONS[1], SYMBOLS).eval()
    one, other = network(torch.tensor([[1, 2, 3, 4]])), network(torch.tensor([[5, 2, 3, 4]]))
    assert not torch.equal(one[:, 3], other[:, 3])
    close(one[:, 4], other[:, 4])


# Searches


def encoded_by(model: torch.nn.Module, lengths: list[int]) -> tuple[Transducer, Encoded]:
    """Returns the head, whose steps are made surer than those of random weights, and its input."""
    head = model.head
    assert isinstance(head, Transducer)
    with torch.no_grad():
        head.output.weight.mul_(8)
        encoded = model.encode(*batch(lengths))  # type: ignore[operator]
    return head, encoded


def text_score(head: Transducer, encoded: Encoded, symbols: list[int]) -> float:
    """Returns the log probability of a text for a batch of one, by the loss."""
    with torch.no_grad():
        targets = Targets(torch.tensor([symbols], dtype=torch.int64), torch.tensor([len(symbols)]))
        return -float(head.losses(encoded, targets)["total"])


def naive_greedy(head: Transducer, encoded: Encoded, limit: int) -> list[int]:
    """Greedy search as a loop over frames, for a batch of one."""
    text: list[int] = []
    for frame_J in head.frame(encoded.x_BTD)[0]:
        for _ in range(limit):
            written_J = head.written(head.prediction(torch.tensor([text]).long()))[0, -1]
            best = int(head.join(frame_J, written_J).argmax())
            if best == BLANK:
                break
            text.append(best)
    return text


@pytest.mark.parametrize("head", [{}, STATELESS], ids=["lstm", "stateless"])
@pytest.mark.parametrize("seed", range(4))
def test_greedy_search_is_a_loop_over_frames(
    seed: int, head: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrbench.models.searches.transducer.SYMBOLS_A_FRAME", 3)
    lengths = [20, 37, 1]
    network, encoded = encoded_by(build(small("rnnt", head=head), seed), lengths)
    found = network.searches["greedy"](encoded, Decoding(DecodeSpec()))
    with torch.no_grad():
        expected = [naive_greedy(network, encoded.utterance(b), 3) for b in range(len(lengths))]
    assert found == expected
    assert any(found)


@pytest.mark.parametrize("head", [{}, STATELESS], ids=["lstm", "stateless"])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_most_probable_of_all_texts(
    seed: int, head: dict[str, object]
) -> None:
    lengths = [5, 2]
    network, encoded = encoded_by(build(small("rnnt", head=head), seed), lengths)
    found = network.searches["beam"](encoded, Decoding(DecodeSpec(beam=2000)))
    for b, symbols in enumerate(found):
        alone = encoded.utterance(b)
        frames = int(alone.lengths_B)
        every = [
            [*text] for n in range(frames + 1) for text in product(range(1, SYMBOLS), repeat=n)
        ]
        best = max(every, key=lambda text: text_score(network, alone, text))
        close(text_score(network, alone, symbols), text_score(network, alone, best))


def test_a_wider_beam_finds_texts_that_are_no_worse() -> None:
    gains = []
    for seed in range(8):
        network, encoded = encoded_by(build(small("rnnt"), seed), [37, 61])
        narrow, wide = (
            network.searches["beam"](encoded, Decoding(DecodeSpec(beam=beam))) for beam in (1, 20)
        )
        for b in range(2):
            alone = encoded.utterance(b)
            gains.append(
                text_score(network, alone, wide[b]) - text_score(network, alone, narrow[b])
            )
    assert min(gains) > -1e-3
    assert max(gains) > 0.1


# Alignment


@given(seed=SEEDS, frames=st.integers(1, 5), symbols=st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_the_best_path_is_the_best_of_all(seed: int, frames: int, symbols: int) -> None:
    text = [1 + (seed + u) % 3 for u in range(symbols)]
    logits_TWV = normal(seed, frames, symbols + 1, 4)
    scores = lattice_scores(logits_TWV[None], torch.tensor([text], dtype=torch.int64))
    found = best_path(scores[0][0], scores[1][0])
    best, expected = max(path_scores(logits_TWV, text))
    assert len(found) == symbols
    assert found == expected or best == pytest.approx(
        next(score for score, times in path_scores(logits_TWV, text) if times == found)
    )


def test_a_head_aligns_each_symbol_to_one_frame() -> None:
    network, encoded = encoded_by(build(small("rnnt")), [37])
    with torch.no_grad():
        spans = network.aligned(encoded, [3, 1, 2])
    assert [span.symbol for span in spans] == [3, 1, 2]
    starts = [span.start for span in spans]
    assert starts == sorted(starts)
    assert all(0 <= span.start < span.end <= int(encoded.lengths_B) for span in spans)
    assert all(0 < span.probability < 1 for span in spans)
