"""The recipe `synthetic`: its corpora, their reproducibility, and its errors."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from doors import prepare as prepare_recipe

from asrbench.base.errors import UserError
from asrbench.data.corpus import Corpus
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.stages.prep import synthetic_sound as sound
from asrbench.stages.prep.espeak import Engine, Voice
from asrbench.stages.prep.synthetic_voices import HIGH_VARIANTS, LOW_VARIANTS

HOURS = 0.06
prepare = partial(prepare_recipe, "synthetic")
PLAIN = Voice("ko", "f2", pitch=50, pitch_range=50, words_per_minute=175)


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r"pip install 'asrbench\[synthetic\]'"):
        prepare(tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hours": 0}, "hours: found 0, allowed: more than 0"),
        ({"hours": float("nan")}, "hours: found nan"),
        ({"hours": 1e30}, "hours: found 1e+30, allowed: more than 0, at most 100,000"),
        ({"snr": "1e308/1e308"}, "snr: found 1e+308 to 1e+308 dB, allowed: low to high"),
        ({"seed": -1}, "seed: found -1, allowed: 0 or more"),
        ({"split": "0.9/0.1/0"}, "splits: found 0.9, 0.1, 0, allowed: three shares"),
        ({"split": "0.8/0.1/0.2"}, "sum to 1"),
        ({"voices": 7}, "voices: found 7, allowed: 8 to 24"),
        ({"snr": "30/10"}, "snr: found 30 to 10 dB, allowed: low to high"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as refusal:
        prepare(tmp_path / "corpus", **options)
    assert message in str(refusal.value)


def _power(signal: np.ndarray) -> float:
    return float(np.mean(np.square(signal, dtype=np.float64)))


def test_snr_and_loudness_are_what_was_drawn() -> None:
    """A tone of 4 s is in white noise at exactly 10 dB, with noise alone before and after it."""
    tone = np.sin(np.arange(4 * SAMPLE_RATE_HZ) / 5).astype(np.float32)
    bed = np.random.default_rng(0).standard_normal(SAMPLE_RATE_HZ * 10).astype(np.float32)
    rng = np.random.default_rng(1)
    mixed = sound.add_noise(tone, [bed], (10.0, 10.0), rng) / 32767
    head = mixed[: int(sound.SILENCE_S[0] * SAMPLE_RATE_HZ)]
    body = mixed[SAMPLE_RATE_HZ : 4 * SAMPLE_RATE_HZ]
    snr_db = 10 * np.log10((_power(body) - _power(head)) / _power(head))
    assert snr_db == pytest.approx(10, abs=0.5)
    low, high = sound.LOUDNESS_DBFS
    assert low - 0.5 < 10 * np.log10(_power(body) / 1.1) < high + 0.5


def test_a_loud_peak_lowers_the_whole() -> None:
    click = np.zeros(SAMPLE_RATE_HZ, np.float32)
    click[100] = 1.0
    bed = np.full(100, 1.0, np.float32)
    mixed = sound.add_noise(click, [bed], (30.0, 30.0), np.random.default_rng(0))
    assert np.abs(mixed.astype(int)).max() / 32767 == pytest.approx(sound.PEAK, abs=1e-4)


def test_resampling_keeps_a_tone() -> None:
    """A tone of 1 kHz at 22,050 Hz keeps its pitch, amplitude and length at 16 kHz."""
    said = np.rint(10_000 * np.sin(2 * np.pi * 1000 * np.arange(22_050) / 22_050))
    resampled = sound.resample(said.astype(np.int16))
    assert len(resampled) == SAMPLE_RATE_HZ
    expected = 10_000 * np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    assert np.abs(resampled - expected)[200:-200].max() < 100


@pytest.mark.parametrize("colour", range(4))
def test_noise_beds_have_unit_power(colour: int) -> None:
    noise = sound.background_noises(np.random.default_rng(0))[colour]
    assert len(noise) == sound.NOISE_S * SAMPLE_RATE_HZ
    assert _power(noise) == pytest.approx(1, rel=0.05)


# ------------------------------------------------------------------------------ with eSpeak NG


@pytest.fixture(scope="module")
def engine() -> Engine:
    pytest.importorskip("espeakng_loader")
    return Engine()


def test_what_was_said_before_changes_nothing(engine: Engine) -> None:
    once = engine.speak("오늘은 날씨가 좋네요", PLAIN, seed=3)
    engine.speak("세 시 반에 만나요", Voice("ko", "m3", 70, 80, 200), seed=4)
    assert np.array_equal(engine.speak("오늘은 날씨가 좋네요", PLAIN, seed=3), once)
    assert np.abs(once.astype(int)).max() > 3000


def test_voices_differ_in_pitch_and_pace(engine: Engine) -> None:
    def spoken(**changes: int) -> np.ndarray:
        return engine.speak("반갑습니다", Voice(**{**PLAIN.__dict__, **changes}))

    assert len(spoken(words_per_minute=250)) < 0.8 * len(spoken(words_per_minute=150))
    assert not np.array_equal(spoken(pitch=30), spoken(pitch=70))


def test_every_variant_is_there(engine: Engine) -> None:
    assert set(HIGH_VARIANTS + LOW_VARIANTS) <= set(engine.variants)


def test_unknown_language_names_the_nearest(engine: Engine) -> None:
    with pytest.raises(UserError, match=r"language: found 'en_us'.*did you mean 'en-us'\?"):
        engine.check_language("en_us")


def test_another_language_needs_its_own_sentences(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the built-in sentences are Korean.*--text FILE"):
        prepare(tmp_path / "corpus", language="de")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "corpus"
    prepare(folder, hours=HOURS)
    return folder


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return Corpus.open(folder)


def test_hours_are_shared_out(corpus: Corpus) -> None:
    hours = {name: corpus.split(name).hours for name in corpus.split_names}
    longest = 10 / 3600
    for name, share in zip(("train", "dev", "test"), (0.8, 0.1, 0.1), strict=True):
        assert hours[name] == pytest.approx(HOURS * share, abs=longest / 2)


def test_speakers_and_texts_are_disjoint(corpus: Corpus) -> None:
    for column, least in (("speaker", 2), ("text", 4)):
        sets = [set(corpus.split(name).column(column)) for name in ("train", "dev", "test")]
        assert all(len(found) >= least for found in sets)
        assert len(set.union(*sets)) == sum(len(found) for found in sets)


def test_audio_is_sane(corpus: Corpus) -> None:
    loudness = []
    for name in corpus.split_names:
        split = corpus.split(name)
        for index, text in enumerate(split.texts):
            audio = split.audio(index).astype(np.float64) / 32767
            assert np.abs(audio).max() < sound.PEAK + 1e-4
            assert 0.04 < len(audio) / SAMPLE_RATE_HZ / (len(text) + 5) < 0.5
            loudness.append(10 * np.log10(_power(audio)))
    assert -36 < min(loudness) < max(loudness) < -16
    assert max(loudness) - min(loudness) > 5


def test_corpus_says_where_it_is_from(folder: Path) -> None:
    about = json.loads((folder / "corpus.json").read_text())
    assert about["recipe"] == "synthetic"
    assert about["source"].startswith("eSpeak NG ")
    assert about["source"].endswith(", ko, 12 voices, seed 0")
    assert about["rejected"] == {}


def test_same_seed_same_corpus(corpus: Corpus, tmp_path: Path) -> None:
    ticks: list[tuple[int, int]] = []
    prepare(tmp_path / "again", hours=HOURS, progress=lambda *told: ticks.append(told))
    assert Corpus.open(tmp_path / "again").fingerprint == corpus.fingerprint
    assert ticks == sorted(ticks)
    assert ticks[-1] == (216, 216)
    prepare(tmp_path / "other", hours=HOURS, seed=1)
    assert Corpus.open(tmp_path / "other").fingerprint != corpus.fingerprint


def test_a_longer_corpus_begins_with_the_shorter(corpus: Corpus, tmp_path: Path) -> None:
    prepare(tmp_path / "longer", hours=1.5 * HOURS)
    longer = Corpus.open(tmp_path / "longer").split("dev")
    shorter = corpus.split("dev")
    assert longer.texts[: len(shorter)] == shorter.texts
    assert np.array_equal(longer.audio(2), shorter.audio(2))


def test_own_sentences_are_said_again_by_other_voices(engine: Engine, tmp_path: Path) -> None:
    """Four German lines, one of them twice, for a corpus they cannot fill in one round."""
    text = tmp_path / "own.txt"
    text.write_text("\ufeffGuten Morgen\n\nwie geht's\nGuten  Morgen\nbis bald!\nvielen Dank\n")
    out = tmp_path / "corpus"
    prepare(out, hours=0.02, language="de", text=text, name="german")
    corpus = Corpus.open(out)
    assert corpus.name == "german"
    spoken = {name: corpus.split(name) for name in ("train", "dev", "test")}
    assert [len(set(split.texts)) for split in spoken.values()] == [2, 1, 1]
    texts = set().union(*(split.texts for split in spoken.values()))
    assert texts == {"Guten Morgen", "wie geht's", "bis bald!", "vielen Dank"}
    train = spoken["train"]
    first_turns = list(zip(train.texts, train.column("speaker"), strict=True))[: 2 * 8]
    assert len(set(first_turns)) == 16  # two texts by eight voices before any says one again
    rows = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [(row["id"], row["reason"]) for row in rows] == [("line 4", "duplicate sentence")]


def test_a_line_without_sound_is_rejected(engine: Engine, tmp_path: Path) -> None:
    """A minute of speech needs all 25 short lines of train; seed 0 puts `...` in train."""
    text = tmp_path / "own.txt"
    numbers = [
        f"문장 {syllable}\n" for syllable in "가나다라마바사아자차카타파하거너더러머버서어저처"
    ]
    text.write_text("".join(["...\n", *numbers]), encoding="utf-8")
    prepare(tmp_path / "corpus", hours=0.02, text=text)
    rows = [
        json.loads(row)
        for row in (tmp_path / "corpus/rejected.jsonl").read_text().split("\n")
        if row
    ]
    assert [(row["split"], row["reason"], row["detail"]) for row in rows] == [
        ("train", "zero samples", "...")
    ]
    with pytest.raises(UserError, match="1 zero samples"):
        prepare(tmp_path / "strict", hours=0.02, text=text, strict=True)


def test_nothing_but_silence(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("...\n!\n?!\n")
    with pytest.raises(UserError, match="no text drawn for train has a sound"):
        prepare(tmp_path / "corpus", text=tmp_path / "own.txt")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\ntwo\none\n", "found 2 distinct sentences, allowed: 3 or more"),
        (b"caf\xe9\n", "line 1: not UTF-8"),
    ],
)
def test_text_that_will_not_do(
    engine: Engine, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "own.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        prepare(tmp_path / "corpus", text=tmp_path / "own.txt", language="en-us")


def test_a_missing_text(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.txt: no such file"):
        prepare(tmp_path / "corpus", text=tmp_path / "gone.txt")
