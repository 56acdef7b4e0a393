"""Beam searches with a language model and a length bonus, against all texts up to a length.

CTC's own beam search is in test_prefix_beam. B utterances, W hypotheses of each, T frames, V
symbols with the blank.
"""

import math
from collections.abc import Sequence
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scorers import (
    SEEDS,
    TOKENIZER,
    prior,
    random_log_probs,
    score_of,
    scorer,
    search_one,
    spellings,
    strings,
    table,
    trigrams,
)
from torch import Tensor

from asrbench.experiment.spec import DecodeSpec
from asrbench.models.heads.head import Decoding, Encoded, Targets
from asrbench.models.heads.transducer import Transducer, TransducerSpec
from asrbench.models.layers.prediction import LstmPredictionSpec, PredictionState
from asrbench.models.searches import beam as beam_search
from asrbench.models.searches.attention import attention_beam
from asrbench.models.searches.beam import Ranking
from asrbench.models.searches.fusion import Fusion, language_model
from asrbench.models.searches.joint import joint_beam
from asrbench.models.searches.transducer import transducer_beam
from asrbench.text.ngram_lm import SymbolLm

SYMBOLS = len(TOKENIZER.symbols) + 1
EVERY = 1000
"""A beam with room for every text of the tests."""
WEIGHTS = st.sampled_from([0.0, 0.4, 2.0])
BONUSES = st.sampled_from([-1.0, 0.0, 0.5, 2.0])


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> SymbolLm:
    return trigrams(tmp_path_factory.mktemp("lm"))


def exact() -> object:
    """A search that gives no hypothesis up, however far it is below the best."""
    return patch.object(beam_search, "HOPELESS", math.inf)


# The scorers


def test_a_text_scores_what_the_file_says(lm: SymbolLm) -> None:
    """The sum over its symbols and its end, with the bonus for the symbols alone."""
    fusion = Fusion(lm, 0.7, -0.3)
    for string in strings(SYMBOLS, 4):
        total = sum(s.weight * score_of(s, string) for s in fusion.scorers(1, SYMBOLS, "cpu"))
        assert total == pytest.approx(prior(fusion, string))


@given(SEEDS, st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_states_go_with_their_hypotheses(lm: SymbolLm, seed: int, batch: int, width: int) -> None:
    """Hypotheses are chosen at random, several from the same one, and utterances are dropped."""
    generator = torch.Generator().manual_seed(seed)
    step, state, *_ = language_model(lm, batch, "cpu")
    texts: list[list[tuple[int, ...]]] = [[()] for _ in range(batch)]
    last_BW = torch.zeros(batch, 1, dtype=torch.int64)
    for _ in range(5):
        scores_BWV, state = step(state, last_BW)
        for b, row in enumerate(texts):
            for w, text in enumerate(row):
                context = lm.start
                for symbol in text:
                    context = lm.next(context, symbol)
                assert scores_BWV[b, w].tolist() == lm.log_probs(context).tolist()
        kept_B = torch.randint(len(texts), (max(1, len(texts) - 1),), generator=generator)
        state = state.utterances(kept_B)
        index_BW = torch.randint(len(texts[0]), (len(kept_B), width), generator=generator)
        state = state.hypotheses(index_BW)
        last_BW = torch.randint(1, SYMBOLS, index_BW.shape, generator=generator)
        texts = [
            [(*texts[b][w], s) for w, s in zip(index_W, last_W, strict=True)]
            for b, index_W, last_W in zip(
                kept_B.tolist(), index_BW.tolist(), last_BW.tolist(), strict=True
            )
        ]


def test_what_has_no_weight_is_not_asked(lm: SymbolLm) -> None:
    assert Fusion().scorers(1, SYMBOLS, "cpu") == []
    assert Fusion(lm, 0.0, 0.0).scorers(1, SYMBOLS, "cpu") == []
    assert len(Fusion(lm, 0.1, 0.1).scorers(1, SYMBOLS, "cpu")) == 2


# Attention and joint search


@given(SEEDS, st.integers(0, 3), WEIGHTS, BONUSES, st.sampled_from([0.0, 0.6, 2.0]))
@settings(max_examples=25, deadline=None)
def test_attention_finds_the_best_text_after_normalisation(
    lm: SymbolLm, seed: int, limit: int, weight: float, bonus: float, exponent: float
) -> None:
    decoder, fusion = table([seed], SYMBOLS), Fusion(lm, weight, bonus)

    def rank(string: Sequence[int]) -> float:
        whole = score_of(decoder, string) + prior(fusion, string)
        return whole / ((5 + len(string) + 1) / 6) ** exponent

    with exact():
        (found,) = attention_beam(
            decoder,
            [limit],
            SYMBOLS,
            "cpu",
            beam=EVERY,
            ranking=Ranking(exponent),
            repeats=None,
            fusion=fusion.scorers(1, SYMBOLS, "cpu"),
        )
    assert rank(found) == pytest.approx(max(map(rank, strings(SYMBOLS, limit))))


@given(SEEDS, st.integers(1, 4), WEIGHTS, BONUSES, st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=25, deadline=None)
def test_joint_search_finds_the_text_with_the_highest_sum(
    lm: SymbolLm, seed: int, frames: int, weight: float, bonus: float, ctc_weight: float
) -> None:
    decoder, fusion = table([seed], SYMBOLS), Fusion(lm, weight, bonus)
    log_probs_TV, limit = random_log_probs(seed, frames, SYMBOLS), min(frames, 3)
    totals = spellings(log_probs_TV)

    def score(string: tuple[int, ...]) -> float:
        ctc = math.log(totals[string]) if ctc_weight else 0.0
        attention = (1 - ctc_weight) * score_of(decoder, string)
        return attention + ctc_weight * ctc + prior(fusion, string)

    with exact():
        found = search_one(
            decoder,
            log_probs_TV,
            limit=limit,
            beam=EVERY,
            ctc_weight=ctc_weight,
            fusion=fusion.scorers(1, SYMBOLS, "cpu"),
        )
    candidates = [s for s in strings(SYMBOLS, limit) if s in totals or not ctc_weight]
    assert score(tuple(found)) == pytest.approx(max(map(score, candidates)))


@given(SEEDS, st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_utterances_together_are_each_alone(
    lm: SymbolLm, seed: int, lengths: list[int], beam: int
) -> None:
    seeds, fusion = [seed + row for row in range(len(lengths))], Fusion(lm, 0.5, 0.5)
    log_probs_BTV = random_log_probs(seed, len(lengths), max(lengths), SYMBOLS)
    keys = {"beam": beam, "ctc_weight": 0.4}
    together = joint_beam(
        table(seeds, SYMBOLS),
        log_probs_BTV,
        lengths,
        fusion=fusion.scorers(len(lengths), SYMBOLS, "cpu"),
        **keys,  # type: ignore[arg-type]
    )
    for own, log_probs_TV, length, found in zip(
        seeds, log_probs_BTV, lengths, together, strict=True
    ):
        scorers = fusion.scorers(1, SYMBOLS, "cpu")
        alone_TV = log_probs_TV[:length]
        decoder = table([own], SYMBOLS)
        assert found == search_one(decoder, alone_TV, limit=length, fusion=scorers, **keys)


def test_probabilities_that_were_dropped_are_computed_again(
    lm: SymbolLm, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_probs_BTV = random_log_probs(4, 3, 12, SYMBOLS, sharpness=1.0)

    def found() -> list[list[int]]:
        fusion = Fusion(lm, 0.8, 0.8).scorers(3, SYMBOLS, "cpu")
        decoder, lengths = table([1, 2, 3], SYMBOLS), [12, 8, 10]
        return joint_beam(decoder, log_probs_BTV, lengths, beam=4, ctc_weight=0.5, fusion=fusion)

    before = found()
    monkeypatch.setattr("asrbench.models.searches.fusion.MOST_BYTES", 100)
    assert found() == before
    assert max(map(len, before)) > 3


# The transducer


def transducer(seed: int) -> Transducer:
    torch.manual_seed(seed)
    prediction = LstmPredictionSpec(layers=1, width=4, dropout=0.0)
    head = Transducer(TransducerSpec(prediction=prediction, joiner=8), 4, SYMBOLS).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.7)
    return head


def encoded_of(seed: int, lengths: list[int]) -> Encoded:
    x_BTD = torch.randn(
        len(lengths), max(lengths), 4, generator=torch.Generator().manual_seed(seed)
    )
    return Encoded(x_BTD, torch.tensor(lengths), torch.tensor(lengths))


def decoding(fusion: Fusion, beam: int = EVERY) -> Decoding:
    keys = {"lm_weight": fusion.lm_weight, "length_bonus": fusion.length_bonus}
    return Decoding(DecodeSpec(beam=beam, **keys), fusion.lm)


@given(SEEDS, WEIGHTS, BONUSES)
@settings(max_examples=25, deadline=None)
def test_a_transducer_finds_the_text_with_the_highest_sum(
    lm: SymbolLm, seed: int, weight: float, bonus: float
) -> None:
    """The log of the sum over all alignments, which is the loss, and what is added to it."""
    head, fusion, lengths = transducer(seed), Fusion(lm, weight, bonus), [3, 1, 2]
    encoded = encoded_of(seed, lengths)
    found = head.searches["beam"](encoded, decoding(fusion))
    for b, symbols in enumerate(found):
        alone, candidates = encoded.utterance(b), strings(SYMBOLS, lengths[b])
        scores = {
            string: prior(fusion, string) - text_loss(head, alone, string) for string in candidates
        }
        assert scores[tuple(symbols)] == pytest.approx(max(scores.values()), abs=1e-4)


@torch.no_grad()
def text_loss(head: Transducer, alone: Encoded, string: Sequence[int]) -> float:
    symbols_1U = torch.tensor([string], dtype=torch.int64)
    return float(head.losses(alone, Targets(symbols_1U, torch.tensor([len(string)])))["total"])


@given(SEEDS, st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_utterances_of_a_transducer_together_are_each_alone(
    lm: SymbolLm, seed: int, lengths: list[int], beam: int
) -> None:
    head, encoded = transducer(seed), encoded_of(seed, lengths)
    how = decoding(Fusion(lm, 0.5, 0.5), beam)
    together = head.searches["beam"](encoded, how)
    alone = [head.searches["beam"](encoded.utterance(b), how) for b in range(len(lengths))]
    assert [[each] for each in together] == alone


class _ByHand:
    """A transducer of two frames that writes nothing, or 1 and 2; the state counts the symbols.

    `none` and `one` have the probabilities in each frame of the blank, 1 and 2, with no symbol
    written and with one.
    """

    def __init__(self, none: list[list[float]], one: list[list[float]]) -> None:
        self.prediction = self
        ended = [[1.0, 0.0, 0.0]] * 2
        self.log_probs_WTV = torch.tensor([none, one, ended]).log()

    def start(self, batch: int, device: torch.device) -> tuple[Tensor, PredictionState]:
        none_N1 = torch.zeros(batch, 1)
        return none_N1, PredictionState((none_N1,))

    def step(self, state: PredictionState, symbols_N: Tensor) -> tuple[Tensor, PredictionState]:
        count_N1 = (state.tensors[0] + 1).clamp(max=2)
        return count_N1, PredictionState((count_N1,))

    def written(self, y_N1: Tensor) -> Tensor:
        return y_N1

    def join(self, frame_N1: Tensor, written_N1: Tensor) -> Tensor:
        return self.log_probs_WTV[written_N1[:, 0].long(), frame_N1[:, 0].long()]

    def found(self, bonus: float) -> list[int]:
        frame_1T1, frames_1 = torch.tensor([[[0.0], [1.0]]]), torch.tensor([2])
        fusion = Fusion(length_bonus=bonus).scorers(1, 3, "cpu")
        (found,) = transducer_beam(self, frame_1T1, frames_1, beam=9, fusion=fusion)  # type: ignore[arg-type]
        return found


def test_alignments_that_are_apart_are_not_given_up_one_by_one() -> None:
    """After two steps the empty text has ended with 0.6 * 0.6 = 0.36. The alignments of `1 2` are
    at two nodes with 0.32 each: 1 in the first or second frame and no 2 yet, or both in the first.
    """
    model = _ByHand(none=[[0.6, 0.4, 0.0]] * 2, one=[[0.2, 0.0, 0.8], [0.0, 0.0, 1.0]])
    assert model.found(bonus=0.0) == [1, 2]


# Bonuses that come late, or are out of all proportion


def test_a_transducer_waits_for_the_bonus_of_symbols_to_come() -> None:
    """The empty text ends with ln 0.882 = -0.13. The other, of probability 0.118, has its first
    bonus then and is still below, at -0.64; its second takes it to 0.86."""
    model = _ByHand(
        none=[[0.9, 0.1, 0.0], [0.98, 0.02, 0.0]], one=[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    )
    assert model.found(bonus=0.0) == []
    assert model.found(bonus=1.5) == [1, 2]


@pytest.mark.parametrize("bonus", [-1e38, -1e308])
def test_a_transducer_with_symbols_that_cost_everything_writes_none(bonus: float) -> None:
    head, encoded = transducer(3), encoded_of(3, [5, 2])
    assert head.searches["beam"](encoded, decoding(Fusion(length_bonus=bonus), 3)) == [[], []]


@pytest.mark.parametrize(("bonus", "expected"), [(0.0, []), (1.5, [1, 2])])
def test_a_decoder_waits_for_the_bonus_of_symbols_to_come(
    bonus: float, expected: list[int]
) -> None:
    """Ending at once has ln 0.9 = -0.11, the first of two symbols ln 0.1 + 1.5 = -0.8."""

    def log_probs(_: int, prefix: tuple[int, ...]) -> Tensor:
        return torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])[
            len(prefix) - 1
        ].log()

    fusion = Fusion(length_bonus=bonus).scorers(1, 3, "cpu")
    keys = {"beam": 9, "ctc_weight": 0, "limit": 2, "fusion": fusion}
    nothing_TV = torch.full((2, 3), math.nan)  # without weight, CTC is not looked at
    assert search_one(scorer(log_probs), nothing_TV, **keys) == expected  # type: ignore[arg-type]
