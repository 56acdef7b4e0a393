"""Sentences of a small grammar, or of a file, spoken by eSpeak NG in noise.

The corpus needs no download and no licence: a study can be tried from end to end in minutes, and
the true text of every utterance is known. Rule-based speech is far easier to recognise than human
speech. Its error rates show whether a program works, and rank models only roughly.

Everything about utterance k of a split is drawn from a generator keyed by (seed, split, k). Voices
and texts are disjoint between splits. The same options give the same corpus with the same versions
of eSpeak NG, NumPy and SciPy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from asrbench.base.errors import UserError
from asrbench.stages.prep.recipe import (
    CorpusName,
    Option,
    Preparation,
    Recipe,
    parse_numbers,
    parse_shares,
)
from asrbench.stages.prep.splits import SPLITS, Fractions

MOST_HOURS = 100_000
"""Greatest length of the corpus, eleven years of speech."""


@dataclass(frozen=True)
class Options:
    hours: Annotated[float, Option("Hours of audio in all splits together.")] = 1.0
    language: Annotated[str, Option("An eSpeak NG voice; the grammar is ko.")] = "ko"
    text: Annotated[Path | None, Option("Your own sentences instead, one on each line.")] = None
    voices: Annotated[int, Option("Number of voices; no two splits share one.")] = 12
    split: Annotated[str, Option("Shares of train, dev and test.")] = "0.8/0.1/0.1"
    snr: Annotated[str, Option("Range of the signal-to-noise ratio, in dB.")] = "10/30"
    seed: Annotated[int, Option("Seed of every draw.")] = 0
    name: CorpusName = None


def prepare(options: Options, preparation: Preparation) -> None:
    """Speaks a corpus of `options.hours`, all splits together. Progress is in seconds of audio.

    The sentences come from `options.text`, one on each line, or from the Korean grammar. When the
    sentences of a split run out, its next voices say them again.

    Raises `UserError`, leaving nothing behind, for a language that eSpeak NG lacks, for too few
    sentences, for an impossible option, and if the extra `synthetic` is not installed.
    """
    low_db, high_db = parse_numbers("--snr", options.snr, 2, "10/30")
    shares = parse_shares("--split", options.split)
    _check(options, shares, (low_db, high_db))

    from asrbench.data.waveform import SAMPLE_RATE_HZ
    from asrbench.stages.prep.espeak import Engine
    from asrbench.stages.prep.synthetic_texts import file_sentences, grammar_sentences
    from asrbench.stages.prep.synthetic_voices import Studio, draw_noises, draw_voices

    hours, language, text, seed = options.hours, options.language, options.text, options.seed
    engine = Engine()
    engine.check_language(language)
    texts = (
        file_sentences(text, seed, shares) if text else grammar_sentences(language, seed, shares)
    )
    voices = draw_voices(language, seed, shares, options.voices)
    noises = draw_noises(seed)
    source = f"eSpeak NG {engine.version}, {language}, {options.voices} voices, seed {seed}"
    goal_s, done_s = round(hours * 3600), 0.0
    with preparation.new_corpus(
        name=options.name or f"synthetic-{language}",
        source=source if text is None else f"{source}, {text.name}",
    ) as writer:
        for repeated in texts.repeated:
            writer.leave_out(repeated, "", "duplicate sentence", f"{text}, {repeated}")
        for split, share in zip(SPLITS, shares, strict=True):
            studio = Studio(engine, split, voices[split], noises, (low_db, high_db), seed)
            goal = round(hours * share * 3600 * SAMPLE_RATE_HZ)
            samples = 0
            for utterance in studio.utterances(texts.of(split), writer):
                # Stops at the total that is nearer to the goal, with this utterance or without.
                if samples and samples + len(utterance.audio) / 2 > goal:
                    break
                writer.add(split, utterance)
                samples += len(utterance.audio)
                spoken_s = int(done_s + samples / SAMPLE_RATE_HZ)
                preparation.progress(min(goal_s, spoken_s), goal_s)
            done_s += samples / SAMPLE_RATE_HZ
    preparation.progress(goal_s, goal_s)


def _check(options: Options, shares: Fractions, snr_db: tuple[float, float]) -> None:
    """Raises `UserError` for options that no corpus can have."""
    from asrbench.stages.prep.synthetic_voices import MAX_VOICES, MIN_VOICES

    if not 0 < options.hours <= MOST_HOURS:
        raise UserError(
            f"hours: found {options.hours:g}, allowed: more than 0, at most {MOST_HOURS:,}"
        )
    if options.seed < 0:
        raise UserError(f"seed: found {options.seed}, allowed: 0 or more")
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        found = ", ".join(f"{share:g}" for share in shares)
        raise UserError(f"splits: found {found}, allowed: three shares above 0 that sum to 1")
    if not MIN_VOICES <= options.voices <= MAX_VOICES:
        raise UserError(f"voices: found {options.voices}, allowed: {MIN_VOICES} to {MAX_VOICES}")
    if not -100 <= snr_db[0] <= snr_db[1] <= 100:
        raise UserError(
            f"snr: found {snr_db[0]:g} to {snr_db[1]:g} dB, allowed: low to high, from -100 to 100"
        )


RECIPE = Recipe(
    details="Korean everyday sentences from a grammar, or sentences of your own.",
    options=Options,
    prepare=prepare,
    parallel=False,
)
