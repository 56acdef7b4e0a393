"""The batch sampler is a pure function of its inputs, and the loader follows it.

Legend: B batch, S samples, U symbols.
"""

import inspect
import random

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.data.batch_sampler import Batches, epoch_plan, length_plan, micro_batches_of
from asrbench.data.corpus import Corpus, Split
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.recogniser.loader import Batch, load, make_batch
from asrbench.text.tokenizer import Tokenizer

Lengths = npt.NDArray[np.int64]

TEXTS = ("go", "stop", "go on", "no", "on top", "too", "pot", "got no top", "spot on", "o")


@pytest.fixture(scope="module")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Makes a corpus of 20 + 4 utterances, with a tone of 0.1 s for each letter."""
    folder = tmp_path_factory.mktemp("corpora") / "tiny"
    with CorpusWriter.create(
        folder, name="tiny", recipe="test", source="", text_profile="verbatim", strict=True
    ) as writer:
        for split, texts in (("train", TEXTS * 2), ("dev", TEXTS[:4])):
            for i, text in enumerate(texts):
                audio = spoken(text, np.random.default_rng([len(texts), i]))
                writer.add(split, Utterance(id=f"{split}-{i:02d}", audio=audio, text=text))
    return Corpus.open(folder)


def spoken(text: str, generator: np.random.Generator) -> Samples:
    t = np.arange(SAMPLE_RATE_HZ // 10 + int(generator.integers(0, 300))) / SAMPLE_RATE_HZ
    hertz = [200 + 20 * (ord(letter) - ord(" ")) for letter in text]
    wave = np.concatenate([8000 * np.sin(2 * np.pi * f * t) for f in hertz])
    return (wave + 200 * generator.standard_normal(len(wave))).astype(np.int16)


@pytest.fixture(scope="module")
def train(tiny_corpus: Corpus) -> Split:
    return tiny_corpus.split("train")


@pytest.fixture(scope="module")
def tokenizer(train: Split) -> Tokenizer:
    return Tokenizer.of("char", train.texts)


def plan_of(
    samples: Lengths,
    *,
    seed: int = 1,
    epoch: int = 0,
    fingerprint: str = "f",
    batch_seconds: float = 2.0,
) -> Batches:
    return epoch_plan(
        samples, seed=seed, epoch=epoch, fingerprint=fingerprint, batch_seconds=batch_seconds
    )


# Batch sampler

lengths = st.one_of(
    st.lists(st.integers(1, 400_000), min_size=1, max_size=80),
    # So much alike that the plan's jitter puts longer ones before shorter ones.
    st.lists(st.integers(15_000, 17_000), min_size=20, max_size=80),
).map(np.array)
limits = st.floats(0.5, 60)
seeds = st.integers(0, 2**31)


def assert_sound(batches: Batches, samples: Lengths, batch_seconds: float) -> None:
    """Every utterance is in one batch, and a batch of several is within the limit, padded."""
    assert sorted(i for batch in batches for i in batch) == list(range(len(samples)))
    for batch in batches:
        padded = len(batch) * samples[batch].max() / SAMPLE_RATE_HZ
        assert len(batch) == 1 or padded <= batch_seconds


@settings(deadline=None, max_examples=150)
@given(lengths, seeds, st.integers(0, 50), limits)
def test_a_plan_holds_each_utterance_once_within_the_limit(
    samples: Lengths, seed: int, epoch: int, batch_seconds: float
) -> None:
    plan = plan_of(samples, seed=seed, epoch=epoch, batch_seconds=batch_seconds)
    assert_sound(plan, samples, batch_seconds)


@settings(deadline=None, max_examples=50)
@given(lengths, seeds, limits)
def test_a_plan_is_a_pure_function(samples: Lengths, seed: int, batch_seconds: float) -> None:
    """Batches neither depend on the global generators nor change them."""
    kept = samples.copy()
    first = plan_of(samples, seed=seed, batch_seconds=batch_seconds)
    random.seed(seed)
    np.random.seed(seed % 1000)
    torch.manual_seed(seed)
    before = random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()
    assert plan_of(samples, seed=seed, batch_seconds=batch_seconds) == first
    after = random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()
    assert before == after
    assert np.array_equal(samples, kept)


def test_a_plan_knows_nothing_of_the_model() -> None:
    """All variants of an experiment therefore get the same batches."""
    arguments = {"samples", "seed", "epoch", "fingerprint", "batch_seconds"}
    assert set(inspect.signature(epoch_plan).parameters) == arguments


def like_speech(utterances: int) -> Lengths:
    """Draws log-normal lengths around 4 s, from 0.5 to 25 s, as those of read sentences."""
    seconds = np.random.default_rng(0).lognormal(np.log(4), 0.6, utterances).clip(0.5, 25)
    return (seconds * SAMPLE_RATE_HZ).astype(np.int64)


@pytest.mark.parametrize("change", [{"seed": 2}, {"epoch": 1}, {"fingerprint": "g"}])
def test_another_seed_epoch_or_corpus_is_another_plan(change: dict[str, int | str]) -> None:
    """Two epochs differ in the members of almost every batch, not only in the order."""
    samples = like_speech(3000)
    first = plan_of(samples, batch_seconds=60)
    other = epoch_plan(
        samples, **{"seed": 1, "epoch": 0, "fingerprint": "f", "batch_seconds": 60} | change
    )
    shared = set(map(frozenset, first)) & set(map(frozenset, other))
    assert len(shared) < len(first) / 10


def waste(batches: Batches, samples: Lengths) -> float:
    padded = sum(len(batch) * int(samples[batch].max()) for batch in batches)
    return 1 - int(samples.sum()) / padded


@pytest.mark.parametrize("batch_seconds", [30, 60, 120, 480])
def test_a_twentieth_at_most_is_padding(batch_seconds: float) -> None:
    samples = like_speech(20_000)
    assert waste(plan_of(samples, batch_seconds=batch_seconds), samples) <= 0.05


def test_little_is_padding_because_like_lengths_meet() -> None:
    samples = like_speech(3000)
    assert waste(length_plan(samples, 120), samples) < 0.03
    in_order = [list(range(i, i + 25)) for i in range(0, 3000, 25)]
    assert waste(in_order, samples) > 0.5


def test_batches_are_about_full_and_shuffled() -> None:
    """Most batches are almost full, and short and long utterances are mixed over the epoch."""
    samples = like_speech(3000)
    plan = plan_of(samples, batch_seconds=120)
    padded = np.array([len(batch) * samples[batch].max() / SAMPLE_RATE_HZ for batch in plan])
    assert np.median(padded) > 100
    longest = np.array([samples[batch].max() for batch in plan])
    place = np.arange(len(plan))
    assert abs(np.corrcoef(place, longest)[0, 1]) < 0.3


def test_an_utterance_over_the_limit_is_a_batch_of_its_own() -> None:
    """Worked example, limit 2 s: 0.5 + 0.6 + 0.6 (padded 1.8), then 3 s, then 4 s."""
    samples = np.array([64_000, 8_000, 9_600, 48_000, 9_600])
    assert length_plan(samples, 2.0) == [[1, 2, 4], [3], [0]]
    plan = plan_of(samples)
    assert [3] in plan
    assert [0] in plan


@settings(deadline=None, max_examples=100)
@given(lengths, limits)
def test_for_evaluation_batches_come_by_length(samples: Lengths, batch_seconds: float) -> None:
    batches = length_plan(samples, batch_seconds)
    assert_sound(batches, samples, batch_seconds)
    in_order = [int(samples[i]) for batch in batches for i in batch]
    assert in_order == sorted(in_order)


# Loader


def assert_same(mine: list[Batch], theirs: list[Batch]) -> None:
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        assert a.ids == b.ids
        assert a.references == b.references
        assert a.counts
        assert b.counts
        for x, y in zip(a[2:6], b[2:6], strict=True):
            assert torch.equal(x, y)
            assert x.dtype == y.dtype


def test_batches_follow_the_plan(train: Split, tokenizer: Tokenizer) -> None:
    """A row holds its utterance, bit for bit, and then zeros; so do the targets."""
    plan = plan_of(train.samples)
    assert max(map(len, plan)) > 1
    batches = list(load(train, tokenizer, plan))
    assert [batch.ids for batch in batches] == [[train.ids[i] for i in b] for b in plan]
    for batch, indices in zip(batches, plan, strict=True):
        assert batch.references == [train.texts[i] for i in indices]
        assert batch.waves_BS.dtype == torch.int16
        assert batch.waves_BS.shape == (len(indices), train.samples[indices].max())
        assert batch.samples_B.tolist() == train.samples[indices].tolist()
        assert batch.targets_BU.shape == (len(indices), max(batch.target_lengths_B.tolist()))
        for b, i in enumerate(indices):
            samples, symbols = int(batch.samples_B[b]), int(batch.target_lengths_B[b])
            assert np.array_equal(batch.waves_BS[b, :samples].numpy(), train.audio(i))
            assert not batch.waves_BS[b, samples:].any()
            assert tokenizer.decode(batch.targets_BU[b, :symbols].tolist()) == train.texts[i]
            assert not batch.targets_BU[b, symbols:].any()
            assert (batch.targets_BU[b, :symbols] > 0).all()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_change_nothing(train: Split, tokenizer: Tokenizer) -> None:
    plan = plan_of(train.samples, batch_seconds=4.0)
    alone = list(load(train, tokenizer, plan, workers=0, transform=fading))
    assert_same(alone, list(load(train, tokenizer, plan, workers=2, transform=fading)))


def fading(wave: Samples, utterance: str) -> Samples:
    """Half as loud, and cut by its number."""
    return (wave // 2)[int(utterance[-2:]) :]


@pytest.mark.parametrize("cursor", [0, 1, 3])
def test_from_the_cursor_on_the_rest_is_unchanged(
    train: Split, tokenizer: Tokenizer, cursor: int
) -> None:
    plan = plan_of(train.samples)
    assert len(plan) > 3
    whole = list(load(train, tokenizer, plan))
    assert_same(list(load(train, tokenizer, plan[cursor:])), whole[cursor:])


def test_a_transform_sees_each_wave_with_its_id(train: Split, tokenizer: Tokenizer) -> None:
    for batch in load(train, tokenizer, plan_of(train.samples), transform=fading):
        for b, utterance in enumerate(batch.ids):
            i = train.ids.index(utterance)
            expected = train.audio(i)[int(utterance[-2:]) :] // 2
            assert batch.samples_B[b] == len(expected)
            assert np.array_equal(batch.waves_BS[b, : len(expected)].numpy(), expected)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_users_error_of_a_transform_arrives_as_it_is(
    workers: int, train: Split, tokenizer: Tokenizer
) -> None:
    """The error is no traceback of another process, and earlier batches still arrive."""
    plan = [[0, 1], [2, 3], [4, 5], [6, 7]]
    batches = load(train, tokenizer, plan, workers=workers, transform=fails_at_4)
    assert [next(batches).ids, next(batches).ids] == [train.ids[:2], train.ids[2:4]]
    with pytest.raises(UserError, match=r"^no sound for train-04$"):
        next(batches)


def fails_at_4(wave: Samples, utterance: str) -> Samples:
    if utterance == "train-04":
        raise UserError(f"no sound for {utterance}")
    return wave


def test_unknown_symbols_are_left_out_of_targets_never_of_references() -> None:
    """The reference is not cut, so symbols that a model cannot spell count as errors."""
    tokenizer = Tokenizer.of("char", ["go"])
    wave = np.array([1, 2, 3], dtype=np.int16)
    batch = make_batch(["a", "b"], ["dog", "og"], [wave, wave[:1]], tokenizer)
    assert batch.references == ["dog", "og"]
    assert batch.target_lengths_B.tolist() == [2, 2]
    assert [tokenizer.decode(row) for row in batch.targets_BU.tolist()] == ["og", "og"]
    assert batch.waves_BS.tolist() == [[1, 2, 3], [1, 0, 0]]
    assert batch.samples_B.tolist() == [3, 1]


def test_an_empty_reference_is_a_row_of_padding() -> None:
    tokenizer, wave = Tokenizer.of("char", ["go"]), np.array([1], dtype=np.int16)
    batch = make_batch(["a", "b"], ["", "go"], [wave, wave], tokenizer)
    assert batch.target_lengths_B.tolist() == [0, 2]
    assert batch.targets_BU.tolist() == [[0, 0], [1, 2]]
    assert make_batch(["a"], [""], [wave], tokenizer).targets_BU.shape == (1, 0)


@given(st.integers(0, 40), st.integers(1, 9))
def test_parts_of_a_batch_are_alike_and_none_is_empty(size: int, parts: int) -> None:
    batch = [100 + i for i in range(size)]
    dealt = micro_batches_of(batch, parts)
    assert sorted(i for part in dealt for i in part) == batch
    assert len(dealt) == min(size, parts)
    sizes = [len(part) for part in dealt]
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert not sizes or min(sizes) >= 1


def test_parts_are_dealt_like_cards() -> None:
    assert micro_batches_of([1, 2, 3, 4, 5], 2) == [[1, 3, 5], [2, 4]]
    assert micro_batches_of([7], 3) == [[7]]
