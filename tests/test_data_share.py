"""`train.share`: which utterances are in a share of the training split, and what reads it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tones import TEXTS, cell_of, make_corpus

from asrbench.data.corpus import Corpus
from asrbench.training.setup import set_up


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty utterances to train on, two to develop on."""
    texts = [a + b for a in "abcde" for b in "abcdefgh"]
    return make_corpus(tmp_path_factory.mktemp("share") / "tones", texts, TEXTS[:2])


@given(small=st.floats(0.001, 1), large=st.floats(0.001, 1))
def test_a_smaller_share_is_part_of_a_larger_one(folder: Path, small: float, large: float) -> None:
    small, large = sorted((small, large))
    train = Corpus.open(folder).split("train")
    fewer, more = train.part(small), train.part(large)
    assert {*fewer.ids} <= {*more.ids} <= {*train.ids}
    assert len(fewer) == max(1, round(small * 40))


def test_a_share_keeps_the_order_the_texts_and_the_audio(folder: Path) -> None:
    train = Corpus.open(folder).split("train")
    half = train.part(0.5)
    places = [train.ids.index(each) for each in half.ids]
    assert places == sorted(places)
    assert half.texts == [train.texts[i] for i in places]
    for i, place in enumerate(places):
        assert np.array_equal(half.audio(i), train.audio(place))
        assert half.samples[i] == train.samples[place]


def test_a_share_of_some_rows_is_among_these_rows(folder: Path) -> None:
    train = Corpus.open(folder).split("train")
    rows = np.arange(7, 23)
    assert {*train.only(rows).part(0.25).ids} < {*train.only(rows).ids}
    assert len(train.only(rows).part(0.25)) == 4


def test_every_seed_trains_on_the_same_share_and_learns_its_symbols(
    folder: Path, tmp_path: Path
) -> None:
    sets = ("train.share=0.1", "run.device=cpu")
    first, second = (
        set_up(cell_of(tmp_path, folder, *sets).model_copy(update={"seed": seed}), tmp_path)
        for seed in (0, 1)
    )
    assert len(first.train) == 4
    assert first.train.ids == second.train.ids
    assert {*first.tokenizer.symbols} == {*"".join(first.train.texts)}
    assert len(first.dev) == 2


def test_the_whole_share_is_no_part_of_the_identity(folder: Path, tmp_path: Path) -> None:
    fingerprint = Corpus.open(folder).fingerprint
    whole, half = (cell_of(tmp_path, folder, f"train.share={share}") for share in (1.0, 0.5))
    assert whole.identity(fingerprint) == cell_of(tmp_path, folder).identity(fingerprint)
    assert whole.identity(fingerprint) != half.identity(fingerprint)
