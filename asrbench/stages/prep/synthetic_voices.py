"""The voices of a synthetic corpus, and the studio in which those of one split speak."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from asrbench.base.errors import UserError
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.data.waveform import Samples
from asrbench.stages.prep.espeak import Engine, Voice
from asrbench.stages.prep.splits import SPLITS, Fractions
from asrbench.stages.prep.synthetic_sound import Signal, add_noise, background_noises, resample

# Variants of eSpeak NG that sound like a person: no robots, no whisper, no creak, no clipping.
HIGH_VARIANTS = (
    *("f1", "f2", "f3", "f4", "f5", "Andrea"),
    *("Annie", "aunty", "belinda", "grandma", "linda", "shelby"),
)
LOW_VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6"),
    *("m7", "m8", "Mario", "adam", "ed", "victor"),
)
MIN_VOICES, MAX_VOICES = 8, len(HIGH_VARIANTS) + len(LOW_VARIANTS)


def draw_voices(language: str, seed: int, shares: Fractions, voices: int) -> dict[str, list[Voice]]:
    """Draws the voices of each split. No variant is in two splits.

    Dev and test have at least two voices each, a high one and a low one.
    """
    generator = np.random.default_rng((seed, len(SPLITS) + 1))
    pairs = zip(
        generator.permutation(HIGH_VARIANTS), generator.permutation(LOW_VARIANTS), strict=True
    )
    drawn = [
        Voice(
            language,
            str(variant),
            pitch=int(generator.integers(35, 66)),
            pitch_range=int(generator.integers(35, 66)),
            words_per_minute=int(generator.integers(150, 211)),
        )
        for variant in itertools.islice(itertools.chain.from_iterable(pairs), voices)
    ]
    dev, test = (min(max(2, round(voices * share)), voices // 3) for share in shares[1:])
    return {
        "dev": drawn[:dev],
        "test": drawn[dev : dev + test],
        "train": drawn[dev + test :],
    }


def draw_noises(seed: int) -> list[Signal]:
    """Returns the background noises that all splits share."""
    return background_noises(np.random.default_rng((seed, len(SPLITS) + 2)))


@dataclass(frozen=True)
class Studio:
    """Records the utterances of one split with the voices of that split."""

    engine: Engine
    split: str
    voices: list[Voice]
    noises: list[Signal]
    snr_db: tuple[float, float]
    seed: int

    def utterances(self, texts: Iterator[str], writer: CorpusWriter) -> Iterator[Utterance]:
        """Yields an utterance of each text, then of the same texts again, without end.

        Each text is repeated by the next voice. A text without sound is rejected. Raises
        `UserError` if no text has a sound.
        """
        numbers = itertools.count()

        def record(text: str, turn: int) -> Utterance:
            number = next(numbers)
            speaker, audio = self._record(text, number, turn)
            return Utterance(f"{self.split}-{number:06d}", audio, text, speaker)

        kept = []
        for text in texts:
            utterance = record(text, 0)
            if len(utterance.audio):
                kept.append(text)
                yield utterance
            else:
                writer.reject(utterance.id, self.split, "zero samples", text)
        if not kept:
            raise UserError(
                f"synthetic: no text drawn for {self.split} has a sound; give more sentences"
            )
        for turn in itertools.count(1):
            for text in kept:
                yield record(text, turn)

    def _record(self, text: str, number: int, turn: int) -> tuple[str, Samples]:
        """Returns the speaker and the samples at 16 kHz, none if `text` has no sound.

        A hash of the text chooses the first voice. Each later turn takes the next voice.
        """
        generator = np.random.default_rng((self.seed, SPLITS.index(self.split), number))
        first = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") ^ self.seed
        voice = self.voices[(first + turn) % len(self.voices)]
        speaker = f"{voice.language}+{voice.variant}"
        varied = _varied(voice, generator)
        spoken = self.engine.speak(text, varied, seed=int(generator.integers(1, 2**31)))
        loud = np.flatnonzero(spoken)
        if not len(loud):
            return speaker, np.zeros(0, np.int16)
        speech = resample(spoken[loud[0] : loud[-1] + 1])
        return speaker, add_noise(speech, self.noises, self.snr_db, generator)


def _varied(voice: Voice, generator: np.random.Generator) -> Voice:
    """Returns the same voice a little higher or lower, and a little faster or slower."""
    return replace(
        voice,
        pitch=voice.pitch + int(generator.integers(-5, 6)),
        pitch_range=voice.pitch_range + int(generator.integers(-10, 11)),
        words_per_minute=round(voice.words_per_minute * generator.uniform(0.92, 1.08)),
    )
