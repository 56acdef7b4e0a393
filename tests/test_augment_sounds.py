"""Rooms, noise and gain: drawn for an utterance, exact, and never in the way of going on."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from tones import StopsAfter, cell_of, same_weights, trained

from asrbench.base.distributed import Ranks
from asrbench.base.errors import RankError, UserError
from asrbench.base.reporting import Silent
from asrbench.data.acoustics import power, reverberated
from asrbench.data.corpus import Corpus
from asrbench.data.sounds import open_sounds
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.experiment.spec_augment import AugmentSpec, NoiseSpec, RoomSpec
from asrbench.recogniser.loader import load
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.augmentation import Augmentation
from asrbench.training.loop import explains_lost_sound, train
from asrbench.training.setup import set_up
from asrbench.training.stopping import Failed, Interrupted

SAMPLES = 20_000


@pytest.fixture(autouse=True)
def _afresh() -> None:
    open_sounds.cache_clear()


def spoken(samples: int = SAMPLES, level: float = 4000, seed: int = 0) -> Samples:
    wave = level * np.random.default_rng(seed).standard_normal(samples)
    return wave.clip(-32768, 32767).astype(np.int16)


def write(path: Path, wave: npt.NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, SAMPLE_RATE_HZ, subtype="FLOAT")
    return path


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Four noises, two of them shorter than an utterance, and three rooms."""
    generator = np.random.default_rng(1)
    for i, samples in enumerate((900, 7_000, 40_000, 90_000)):
        write(tmp_path / "noise" / f"{i}.wav", 0.1 * generator.standard_normal(samples))
    for i, decay in enumerate((50, 400, 2000)):
        tail = generator.standard_normal(4 * decay) * np.exp(-np.arange(4 * decay) / decay) / 8
        write(tmp_path / "rooms" / f"{i}.wav", np.concatenate([np.zeros(300), [1.0], tail]))
    return tmp_path


def noise_of(folder: Path, snr_db: tuple[float, float] = (10, 10), share: float = 1) -> NoiseSpec:
    return NoiseSpec(folders=(str(folder / "noise"),), snr_db=snr_db, probability=share)


def rooms_of(folder: Path, share: float = 1) -> RoomSpec:
    return RoomSpec(folders=(str(folder / "rooms"),), probability=share)


def all_of(folder: Path) -> AugmentSpec:
    return AugmentSpec(
        speeds=(0.9, 1.1),
        rooms=rooms_of(folder, 0.5),
        noise=noise_of(folder, (5, 20), 0.5),
        gain_db=(-6, 6),
    )


def augmented(
    spec: AugmentSpec, wave: Samples, utterance: str = "u", *, seed: int = 1, epoch: int = 0
) -> Samples:
    transform = Augmentation.open(spec, seed).in_epoch(epoch)
    assert transform is not None
    return transform(wave, utterance)


def parts_in(heard: Samples, *parts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """How much of each part there is in `heard`, which is nothing else but rounded."""
    table = np.stack([part.astype(np.float64) for part in parts], 1)
    shares, *_ = np.linalg.lstsq(table, heard.astype(np.float64))
    assert np.abs(table @ shares - heard).max() <= 0.6
    return np.asarray(shares)


# What is done


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 17.3])
@pytest.mark.parametrize("level", [300, 4000, 20_000])
@pytest.mark.parametrize("length", [SAMPLES, 700])
def test_the_ratio_is_exact_however_loud_and_long(
    length: int, level: int, snr_db: float, tmp_path: Path
) -> None:
    """At 20,000 the mixture needs more than 16 bits and is turned down, speech and noise alike.
    The noise is as long as the utterance, or is repeated from a place that is tried for."""
    wave, noise = spoken(level=level), np.random.default_rng(2).standard_normal(length) / 50
    noise = noise.astype(np.float32)
    write(tmp_path / "noise" / "a.wav", noise)
    heard = augmented(AugmentSpec(noise=noise_of(tmp_path, (snr_db, snr_db))), wave)
    assert heard.dtype == np.int16
    beginnings = [np.roll(noise, -i) for i in range(length if length < SAMPLES else 1)]
    place = max(beginnings, key=lambda each: float(each[:700] @ heard[:700].astype(np.float64)))
    used = np.resize(place, SAMPLES)
    speech_share, noise_share = parts_in(heard, wave, used)
    # The shares are fitted to samples that are rounded, by half a step at most.
    ratio = speech_share**2 * power(wave) / (noise_share**2 * power(used))
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.05 if level == 300 else 0.005)
    assert (speech_share < 0.99) == (level == 20_000)


def test_noise_is_added_to_what_the_room_made_and_gain_comes_last(sounds: Path) -> None:
    """Without the room in it there is no such sum; a gain of 20 dB is ten times that."""
    shutil.rmtree(sounds / "noise")
    noise = np.random.default_rng(2).standard_normal(SAMPLES).astype(np.float32) / 50
    write(sounds / "noise" / "a.wav", noise)
    for path in list((sounds / "rooms").iterdir())[1:]:
        path.unlink()
    (path,) = (sounds / "rooms").iterdir()
    response, _ = soundfile.read(path)
    wave = spoken(level=400)
    spec = AugmentSpec(noise=noise_of(sounds), rooms=rooms_of(sounds))
    room_share, noise_share = parts_in(augmented(spec, wave), reverberated(wave, response), noise)
    assert room_share == pytest.approx(1, abs=1e-4)
    assert noise_share**2 * power(noise) == pytest.approx(power(wave) / 10, rel=1e-3)
    louder = spec.model_copy(update={"gain_db": (20.0, 20.0)})
    shares = parts_in(augmented(louder, wave), reverberated(wave, response), noise)
    assert shares == pytest.approx([10, 10 * noise_share], rel=1e-4)


def test_speed_comes_first(sounds: Path) -> None:
    """Noise at another speed would have another spectrum: this one is a tone."""
    shutil.rmtree(sounds / "noise")
    tone = np.sin(2 * np.pi * 2000 * np.arange(SAMPLES) / SAMPLE_RATE_HZ)
    write(sounds / "noise" / "a.wav", tone)
    spec = AugmentSpec(speeds=(0.5,), noise=noise_of(sounds, (-20, -20)))
    heard = augmented(spec, spoken())
    assert len(heard) == 2 * SAMPLES
    spectrum = np.abs(np.fft.rfft(heard.astype(np.float64)))
    assert spectrum.argmax() * SAMPLE_RATE_HZ / len(heard) == pytest.approx(2000, abs=1)


def test_gain_clips_where_it_is_too_loud() -> None:
    wave = spoken()
    heard = augmented(AugmentSpec(gain_db=(20, 20)), wave)
    assert np.array_equal(heard, np.clip(10 * wave.astype(np.int64), -32768, 32767))
    assert np.count_nonzero(heard == 32767) > 1000


def test_a_unit_impulse_is_no_room(tmp_path: Path) -> None:
    """Bit for bit, full scale included."""
    write(tmp_path / "rooms" / "a.wav", np.array([0, 0, 1.0, 0]))
    wave = spoken()
    wave[:4] = -32768, 32767, 0, -1
    assert np.array_equal(augmented(AugmentSpec(rooms=rooms_of(tmp_path)), wave), wave)


def test_silence_stays_silence(sounds: Path) -> None:
    silence = np.zeros(SAMPLES, dtype=np.int16)
    for i in range(20):
        assert not augmented(all_of(sounds), silence, f"u{i}").any()


def test_one_sample_is_an_utterance(sounds: Path) -> None:
    spec = all_of(sounds).model_copy(update={"speeds": (1.0,)})
    for i in range(20):
        assert augmented(spec, np.array([100], dtype=np.int16), f"u{i}").shape == (1,)


def test_a_read_only_view_of_the_corpus_is_left_as_it_is(sounds: Path) -> None:
    wave = spoken()
    wave.flags.writeable = False
    for i in range(10):
        augmented(all_of(sounds), wave, f"u{i}")
    assert np.array_equal(wave, spoken())


# What it depends on


def test_probability_is_the_share_of_utterances(sounds: Path) -> None:
    """600 utterances at 0.3: 180 with noise, deviation 11, and as many with a room; both, 54 with
    deviation 7, if neither knows of the other."""
    wave = spoken(200)
    noise = AugmentSpec(noise=noise_of(sounds, share=0.3))
    rooms = AugmentSpec(rooms=rooms_of(sounds, share=0.3))
    changed = np.array(
        [
            [not np.array_equal(augmented(spec, wave, f"u{i}"), wave) for spec in (noise, rooms)]
            for i in range(600)
        ]
    )
    assert np.abs(changed.sum(0) - 180).max() < 50
    assert abs(changed.all(1).sum() - 54) < 28
    for share, wanted in ((0, 0), (1, 20)):
        spec = AugmentSpec(noise=noise_of(sounds, share=share))
        different = [not np.array_equal(augmented(spec, wave, f"u{i}"), wave) for i in range(20)]
        assert sum(different) == wanted


def test_the_ratio_is_as_likely_anywhere_in_its_range(sounds: Path) -> None:
    """400 utterances, 100 in each quarter of 0 to 20 dB, deviation 9."""
    wave, spec = spoken(400, level=3000), AugmentSpec(noise=noise_of(sounds, (0, 20)))
    found = []
    for i in range(400):
        added = augmented(spec, wave, f"u{i}").astype(np.float64) - wave
        found.append(10 * np.log10(power(wave) / power(added)))
    assert -0.1 < min(found) < 1
    assert 19 < max(found) < 20.1
    assert np.abs(np.histogram(found, 4, (0, 20))[0] - 100).max() < 45


def test_gain_is_as_likely_anywhere_in_its_range() -> None:
    wave, spec = spoken(100), AugmentSpec(gain_db=(-10, 0))
    found = [
        5 * np.log10(power(augmented(spec, wave, f"u{i}")) / power(wave)) * 2 for i in range(400)
    ]
    assert np.abs(np.histogram(found, 4, (-10.01, 0.01))[0] - 100).max() < 45


def test_draws_depend_on_seed_epoch_and_utterance_only(sounds: Path) -> None:
    wave, spec = spoken(2000), all_of(sounds)

    def heard(order: range, **of: int) -> dict[int, bytes]:
        return {i: augmented(spec, wave, f"u{i}", **of).tobytes() for i in order}

    first = heard(range(20))
    np.random.seed(3)
    assert first == heard(range(19, -1, -1))
    for other in (heard(range(20), seed=2), heard(range(20), epoch=1)):
        assert sum(first[i] == other[i] for i in first) <= 1
    assert len(set(first.values())) == 20


def test_what_is_drawn_for_one_purpose_does_not_depend_on_another(sounds: Path) -> None:
    """The same rooms are drawn with noise as without."""
    wave = spoken(2000)
    rooms = AugmentSpec(rooms=rooms_of(sounds, 0.5))
    faint = rooms.model_copy(update={"noise": noise_of(sounds, (90, 90))})
    for i in range(10):
        alone, both = (augmented(spec, wave, f"u{i}").astype(int) for spec in (rooms, faint))
        assert np.abs(alone - both).max() <= 1


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_and_batch_mates_change_nothing(sounds: Path, corpus: Path) -> None:
    split = Corpus.open(corpus).split("train")
    tokenizer = Tokenizer.of("char", split.texts)
    transform = Augmentation.open(all_of(sounds), 1).in_epoch(0)

    def heard(plan: list[list[int]], workers: int) -> dict[str, bytes]:
        return {
            id: wave[:samples].numpy().tobytes()
            for batch in load(split, tokenizer, plan, workers=workers, transform=transform)
            for id, wave, samples in zip(
                batch.ids, batch.waves_BS, batch.samples_B.tolist(), strict=True
            )
        }

    together = heard([list(range(len(split)))], 0)
    assert len(together) == len(split) == 6
    assert heard([[5, 0], [3], [2, 1, 4]], 2) == together
    assert heard([[i] for i in range(6)], 0) == together


def test_it_can_be_sent_to_another_process(sounds: Path) -> None:
    """Which reads the files itself."""
    augmentation = Augmentation.open(all_of(sounds), 1)
    sent = pickle.dumps(augmentation)
    assert len(sent) < 2000
    received = pickle.loads(sent)
    assert received == augmentation
    one, other = (each.in_epoch(2) for each in (augmentation, received))
    assert one is not None
    assert np.array_equal(one(spoken(), "u"), other(spoken(), "u"))


def test_nothing_asked_for_is_nothing_to_do() -> None:
    assert Augmentation.open(AugmentSpec(), 1).in_epoch(0) is None
    assert Augmentation.open(AugmentSpec(), 1).fingerprints == []
    for spec in (AugmentSpec(speeds=(1.1,)), AugmentSpec(gain_db=(0, 3))):
        assert Augmentation.open(spec, 1).in_epoch(0) is not None


# In training

SET = (
    "augment.noise={{folders: {0}/noise, probability: 0.7}}",
    "augment.rooms={{folders: {0}/rooms, probability: 0.7}}",
    "augment.gain_db=[-6, 6]",
)


def sets(folder: Path) -> list[str]:
    return [each.format(folder) for each in SET]


def test_stopping_and_resuming_equals_never_stopping_with_workers_or_without(
    tmp_path: Path, corpus: Path, sounds: Path
) -> None:
    cell = cell_of(tmp_path, corpus, *sets(sounds), "augment.speeds=[0.9, 1.1]")
    whole = trained(cell, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(set_up(cell, tmp_path / "halves"), StopsAfter(3))
    helped = cell.model_copy(update={"run": cell.run.model_copy(update={"workers": 1})})
    halves = trained(helped, tmp_path / "halves")
    assert whole.folder.name == halves.folder.name
    assert same_weights(whole, halves)
    clean = cell_of(tmp_path, corpus, "augment.speeds=[0.9, 1.1]")
    assert not same_weights(whole, trained(clean, tmp_path / "clean"))
    stored = whole.env["sounds"]
    assert {key: each["files"] for key, each in stored.items()} == {"noise": 4, "rooms": 3}


def test_a_run_is_known_by_what_it_draws_from_not_by_where_that_lies(
    tmp_path: Path, corpus: Path, sounds: Path
) -> None:
    def name() -> str:
        open_sounds.cache_clear()
        cell = cell_of(tmp_path, corpus, *sets(moved))
        return set_up(cell, tmp_path / "results").run.folder.name

    moved = sounds
    first = name()
    moved = Path(shutil.copytree(sounds / "noise", tmp_path / "moved" / "noise")).parent
    shutil.copytree(sounds / "rooms", moved / "rooms")
    assert name() == first
    (moved / "noise" / "0.wav").unlink()
    assert name() != first
    shutil.copy(sounds / "noise" / "0.wav", moved / "noise")
    assert name() == first
    (moved / "rooms" / "0.wav").rename(moved / "rooms" / "3.wav")
    assert name() != first


def test_what_cannot_be_drawn_from_is_refused_with_nothing_created(
    tmp_path: Path, corpus: Path, sounds: Path
) -> None:
    (sounds / "rooms" / "1.wav").write_bytes(b"")
    write(sounds / "long" / "a.wav", np.zeros(31 * SAMPLE_RATE_HZ))
    for given, message in (
        ("noise.folders=nowhere", r"augment\.noise\.folders: found nowhere, allowed: a folder"),
        (
            f"rooms.folders={sounds}/rooms",
            r"augment\.rooms\.folders: .*/1\.wav: empty file; repair",
        ),
        (f"rooms.folders={sounds}/long", r"a\.wav: found 31\.0 s, allowed: at most 30 s"),
    ):
        cell = cell_of(tmp_path, corpus, f"augment.{given}")
        with pytest.raises(UserError, match=message):
            set_up(cell, tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sound_lost_while_training_is_one_line_and_the_run_goes_on_when_it_is_back(
    workers: int, tmp_path: Path, corpus: Path, sounds: Path
) -> None:
    cell = cell_of(tmp_path, corpus, *sets(sounds), f"run.workers={workers}")
    prepared = set_up(cell, tmp_path / "results")
    kept = shutil.move(sounds / "noise", tmp_path / "away")
    with pytest.raises(Failed) as caught:
        train(prepared, Silent())
    line = str(caught.value)
    assert line.startswith(f"{prepared.run}: {sounds / 'noise'}")
    assert ".wav: missing; nothing was saved since the last checkpoint" in line
    assert "\n" not in line
    shutil.move(kept, sounds / "noise")
    train(prepared, Silent())
    assert same_weights(prepared.run, trained(cell, tmp_path / "whole"))


def test_a_sound_lost_on_one_of_several_ranks_is_said_by_that_one(
    tmp_path: Path, corpus: Path
) -> None:
    """The others are in the middle of a step, and cannot be asked."""
    prepared = replace(set_up(cell_of(tmp_path, corpus), tmp_path), ranks=Ranks(1, 2, 1, 2))
    with (
        pytest.raises(RankError, match=rf"^rank 1: {prepared.run}: a\.wav: missing; nothing was"),
        explains_lost_sound(prepared),
    ):
        raise UserError("a.wav: missing")


def test_the_slowest_speed_may_be_asked_for_alone(sounds: Path) -> None:
    """As the estimate of a run's cost does, for its worst batch."""
    augmentation = Augmentation.open(all_of(sounds), 1)
    slowed = replace(augmentation, spec=augmentation.spec.model_copy(update={"speeds": (0.5,)}))
    transform = slowed.in_epoch(0)
    assert transform is not None
    assert len(transform(spoken(), "u")) == 2 * SAMPLES
