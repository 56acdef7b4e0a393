"""Recipe `synthetic`: sentences of a small grammar, or one's own, spoken by eSpeak NG.

No corpus to ask for and nothing to fetch: a study can be tried from end to end in minutes, and
the truth about every utterance is known. Speech from formant rules is far easier than speech from
people, so its error rates say whether a program works and rank variants of a model only roughly.

Everything about utterance k of a split is drawn from a generator keyed by (seed, split, k). Voices
and texts are disjoint between splits. Equal calls give equal corpora under equal versions of
eSpeak NG, NumPy and SciPy.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import firwin, resample_poly

from asrbench.base.errors import UserError
from asrbench.base.files import read_utf8
from asrbench.data.corpus import CorpusWriter, Utterance
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.espeak import Engine, Voice
from asrbench.stages.prep.sentences import sentences
from asrbench.text.normal_form import normalise

SPLITS = ("train", "dev", "test")

# Variants of eSpeak NG that sound like a person: no robots, no whisper, no creak, no clipping.
HIGH_VARIANTS = (
    *("f1", "f2", "f3", "f4", "f5", "Andrea"),
    *("Annie", "aunty", "belinda", "grandma", "linda", "shelby"),
)
LOW_VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6"),
    *("m7", "m8", "Mario", "adam", "ed", "victor"),
)
MIN_VOICES = 8

SILENCE_S = (0.1, 0.4)
"""Range of the silence put before, and after, what is said."""
LEVEL_DBFS = (-30.0, -18.0)
"""Range of the root mean square of what is said, in dB below full scale."""
PEAK = 0.95
"""No sample goes beyond this part of full scale."""
BED_S = 60

Signal = npt.NDArray[np.float32]

_UP, _DOWN = 320, 441  # 22,050 * 320 / 441 = 16,000
_LOW_PASS = firwin(20 * _DOWN + 1, 1 / _DOWN, window=("kaiser", 5.0)).astype(np.float32)
"""What `resample_poly` would make again for every call."""


def prepare(
    out: Path,
    *,
    hours: float = 1.0,
    language: str = "ko",
    text: Path | None = None,
    seed: int = 0,
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1),
    voices: int = 12,
    snr_db: tuple[float, float] = (10.0, 30.0),
    name: str | None = None,
    how: How = PLAINLY,
) -> None:
    """Speaks a corpus of `hours` (all splits together) into the folder `out`.

    `text` is a file of one's own sentences, one a line, UTF-8; without it a Korean grammar gives
    them. `splits` are the shares of train, dev and test. The noise is `snr_db` below the mean
    power of what is said. Sentences that run out are said again, in the same split, by its next
    voice. `how.tick` is told seconds of audio, and one voice speaks at a time whatever `how.jobs`.

    Raises `UserError` for what cannot be: a language eSpeak NG lacks, too few sentences, a share
    of nothing, and where the extra `synthetic` is not installed.
    """
    _check(hours, seed, splits, voices, snr_db)
    engine = Engine()
    engine.check_language(language)
    stock = _own_sentences(text, seed, splits) if text else _grammar(language, seed, splits)
    cast = _cast(language, seed, splits, voices)
    beds = _noise_beds(seed)
    source = f"eSpeak NG {engine.version}, {language}, {voices} voices, seed {seed}"
    goal_s = round(hours * 3600)
    done_s = 0.0
    with CorpusWriter.create(
        out,
        name=name or f"synthetic-{language}",
        recipe="synthetic",
        source=source if text is None else f"{source}, {text.name}",
        text_profile="verbatim",
        strict=how.strict,
        force=how.force,
    ) as writer:
        for repeated in stock.repeated:
            writer.leave_out(repeated, "", "duplicate sentence", f"{text}, {repeated}")
        for split, share in zip(SPLITS, splits, strict=True):
            studio = _Studio(engine, cast[split], beds, snr_db, (seed, SPLITS.index(split)))
            goal = round(hours * share * 3600 * SAMPLE_RATE_HZ)
            spoken = 0
            for utterance in _utterances(split, stock.of(split), studio, writer):
                # Whichever is nearer to the goal, with this utterance or without it.
                if spoken and spoken + len(utterance.audio) / 2 > goal:
                    break
                writer.add(split, utterance)
                spoken += len(utterance.audio)
                how.tick(min(goal_s, int(done_s + spoken / SAMPLE_RATE_HZ)), goal_s)
            done_s += spoken / SAMPLE_RATE_HZ
    how.tick(goal_s, goal_s)


def _check(
    hours: float,
    seed: int,
    splits: tuple[float, float, float],
    voices: int,
    snr_db: tuple[float, float],
) -> None:
    most = len(HIGH_VARIANTS) + len(LOW_VARIANTS)
    if not 0 < hours < float("inf"):
        raise UserError(f"hours: found {hours:g}, allowed: more than 0")
    if seed < 0:
        raise UserError(f"seed: found {seed}, allowed: 0 or more")
    if min(splits) <= 0 or abs(sum(splits) - 1) > 1e-6:
        found = ", ".join(f"{share:g}" for share in splits)
        raise UserError(f"splits: found {found}, allowed: three shares above 0 that sum to 1")
    if not MIN_VOICES <= voices <= most:
        raise UserError(f"voices: found {voices}, allowed: {MIN_VOICES} to {most}")
    if not snr_db[0] <= snr_db[1]:
        raise UserError(f"snr: found {snr_db[0]:g} to {snr_db[1]:g} dB, allowed: low to high")


# ---------------------------------------------------------------------------------------- texts


@dataclass(frozen=True)
class _Stock:
    """Where a split's sentences come from: a fresh iterator of distinct ones, no two splits' equal.

    `repeated` names the lines of the user's file that say again what an earlier one says.
    """

    of: Callable[[str], Iterator[str]]
    repeated: Sequence[str] = ()


def _grammar(language: str, seed: int, splits: tuple[float, float, float]) -> _Stock:
    if language != "ko":
        raise UserError(
            f"language: found '{language}', but the built-in sentences are Korean; give your own, "
            f"one a line, with --text FILE"
        )
    bounds = np.cumsum(splits)

    def split_of(sentence: str) -> str:
        digest = hashlib.sha256(f"{seed} {sentence}".encode()).digest()
        place = int.from_bytes(digest[:6], "big") / 2**48
        return SPLITS[min(int(np.searchsorted(bounds, place, side="right")), len(SPLITS) - 1)]

    return _Stock(lambda split: (s for s in sentences(seed) if split_of(s) == split))


def _own_sentences(path: Path, seed: int, splits: tuple[float, float, float]) -> _Stock:
    """The lines of `path`, shuffled and cut by `splits`, at least one for each."""
    lines = read_utf8(path).split("\n")
    texts: dict[str, None] = {}
    repeated = []
    for number, line in enumerate(lines, start=1):
        sentence = normalise(line)
        if sentence in texts:
            repeated.append(f"line {number}")
        elif sentence:
            texts[sentence] = None
    if len(texts) < len(SPLITS):
        raise UserError(
            f"{path}: found {len(texts)} distinct sentences, allowed: {len(SPLITS)} or more, one "
            f"for each of {', '.join(SPLITS)}"
        )
    order = np.random.default_rng((seed, len(SPLITS))).permutation(len(texts))
    shuffled = [list(texts)[i] for i in order]
    dev, test = (max(1, round(len(texts) * share)) for share in splits[1:])
    dev, test = (min(n, max(1, (len(texts) - 1) // 2)) for n in (dev, test))
    parts = {
        "dev": shuffled[:dev],
        "test": shuffled[dev : dev + test],
        "train": shuffled[dev + test :],
    }
    return _Stock(lambda split: iter(parts[split]), repeated)


# --------------------------------------------------------------------------------------- voices


def _cast(
    language: str, seed: int, splits: tuple[float, float, float], voices: int
) -> dict[str, list[Voice]]:
    """Voices of each split, no timbre in two; dev and test have two or more, high and low."""
    rng = np.random.default_rng((seed, len(SPLITS) + 1))
    pairs = zip(rng.permutation(HIGH_VARIANTS), rng.permutation(LOW_VARIANTS), strict=True)
    drawn = [
        Voice(
            language,
            str(variant),
            pitch=int(rng.integers(35, 66)),
            pitch_range=int(rng.integers(35, 66)),
            words_per_minute=int(rng.integers(150, 211)),
        )
        for variant in itertools.islice(itertools.chain.from_iterable(pairs), voices)
    ]
    dev, test = (min(max(2, round(voices * share)), voices // 3) for share in splits[1:])
    return {
        "dev": drawn[:dev],
        "test": drawn[dev : dev + test],
        "train": drawn[dev + test :],
    }


def _utterances(
    split: str, texts: Iterator[str], studio: "_Studio", writer: CorpusWriter
) -> Iterator[Utterance]:
    """The texts in order, and when they end the same ones again: without end.

    Rejects a text without sound. Raises `UserError` if no text of the split has any.
    """
    numbers = itertools.count()

    def spoken(text: str, turn: int) -> Utterance:
        k = next(numbers)
        speaker, audio = studio.record(text, k, turn)
        return Utterance(f"{split}-{k:06d}", audio, text, speaker)

    kept = []
    for text in texts:
        utterance = spoken(text, 0)
        if len(utterance.audio):
            kept.append(text)
            yield utterance
        else:
            writer.reject(utterance.id, split, "zero samples", text)
    if not kept:
        raise UserError(f"synthetic: no text drawn for {split} has a sound; give more sentences")
    for turn in itertools.count(1):
        for text in kept:
            yield spoken(text, turn)


@dataclass(frozen=True)
class _Studio:
    """Where the voices of one split speak. `key` is (seed, number of the split)."""

    engine: Engine
    voices: Sequence[Voice]
    beds: Sequence[Signal]
    snr_db: tuple[float, float]
    key: tuple[int, int]

    def record(self, text: str, k: int, turn: int) -> tuple[str, Samples]:
        """Speaker and 16 kHz samples of utterance `k`; no samples where `text` has no sound.

        The voice is drawn for the text; each later `turn` of the same text is the next one's.
        """
        rng = np.random.default_rng((*self.key, k))
        first = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") ^ self.key[0]
        voice = self.voices[(first + turn) % len(self.voices)]
        speaker = f"{voice.language}+{voice.variant}"
        said = self.engine.speak(text, _mood(voice, rng), seed=int(rng.integers(1, 2**31)))
        loud = np.flatnonzero(said)
        if not len(loud):
            return speaker, np.zeros(0, np.int16)
        speech = _resampled(said[loud[0] : loud[-1] + 1])
        return speaker, _mixed(speech, self.beds, self.snr_db, rng)


def _mood(voice: Voice, rng: np.random.Generator) -> Voice:
    """The same person at another moment: a little higher or lower, faster or slower."""
    return replace(
        voice,
        pitch=voice.pitch + int(rng.integers(-5, 6)),
        pitch_range=voice.pitch_range + int(rng.integers(-10, 11)),
        words_per_minute=round(voice.words_per_minute * rng.uniform(0.92, 1.08)),
    )


# ---------------------------------------------------------------------------------------- sound


def _resampled(said: Samples) -> Signal:
    """22,050 Hz samples at 16 kHz."""
    # SciPy takes the filter itself for a window; its stubs know only windows.
    heard = resample_poly(said.astype(np.float32), _UP, _DOWN, window=_LOW_PASS)  # type: ignore[call-overload]
    return np.asarray(heard, dtype=np.float32)


def _mixed(
    speech: Signal, beds: Sequence[Signal], snr_db: tuple[float, float], rng: np.random.Generator
) -> Samples:
    """Speech between two silences, in noise, at a drawn level.

    SNR and level are of mean powers over the speech itself, its own pauses included.
    """
    before, after = (int(rng.uniform(*SILENCE_S) * SAMPLE_RATE_HZ) for _ in range(2))
    noise = _slice(beds[int(rng.integers(len(beds)))], before + len(speech) + after, rng)
    snr, level = 10 ** (rng.uniform(*snr_db) / 20), 10 ** (rng.uniform(*LEVEL_DBFS) / 20)
    mix = noise * (_rms(speech) / snr / _rms(noise[before : before + len(speech)]))
    mix[before : before + len(speech)] += speech
    gain = min(level / _rms(speech), PEAK / float(np.abs(mix).max()))
    return np.asarray(np.rint(mix * (gain * 32767)), dtype=np.int16)


def _rms(signal: Signal) -> float:
    return float(np.sqrt(np.dot(signal, signal) / len(signal)))


def _slice(bed: Signal, samples: int, rng: np.random.Generator) -> Signal:
    """`samples` of `bed` from a drawn place on; a long utterance hears the bed again."""
    start = int(rng.integers(len(bed)))
    return np.take(bed, np.arange(start, start + samples), mode="wrap")


def _noise_beds(seed: int) -> list[Signal]:
    """A minute each of white, pink, brown and babble-like noise. No seam where the bed ends.

    The babble is noise with the long-term spectrum of speech (level to 500 Hz, then 9 dB an octave
    down) and its slow beat (a lognormal envelope below 4 Hz).
    """
    rng = np.random.default_rng((seed, len(SPLITS) + 2))
    hertz = np.fft.rfftfreq(BED_S * SAMPLE_RATE_HZ, 1 / SAMPLE_RATE_HZ)
    rumble = np.maximum(hertz, 50.0)  # what is below, a microphone would not hear
    envelope = _coloured((hertz < 4.0).astype(float), rng)
    babble = _coloured(np.maximum(hertz / 500.0, 1.0) ** -1.5, rng) * np.exp(0.6 * envelope)
    return [_coloured(rumble**slope, rng) for slope in (0.0, -0.5, -1.0)] + [babble / _rms(babble)]


def _coloured(magnitude: npt.NDArray[np.float64], rng: np.random.Generator) -> Signal:
    """Gaussian noise of unit power with this magnitude spectrum; periodic in its length."""
    phases = rng.standard_normal((2, len(magnitude)))
    noise = np.fft.irfft(magnitude * (phases[0] + 1j * phases[1])).astype(np.float32)
    return np.asarray(noise / _rms(noise), dtype=np.float32)
