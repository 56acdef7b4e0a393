"""Transcribes audio files with a trained run, with the times of words where the head aligns.

Files are read in groups of consecutive ones. Within a group, utterances and the windows of long
recordings are batched by length, as `eval` does.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

import numpy as np

from asrbench.base.errors import UserError
from asrbench.base.files import bounded
from asrbench.data.audio import read_audio
from asrbench.data.batch_sampler import length_plan
from asrbench.data.segment import AudioFault
from asrbench.data.sounds import audio_files
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.experiment.run_folder import Run
from asrbench.models.alignment import AlignedSpan
from asrbench.recogniser.clock import Clock
from asrbench.recogniser.decoder import Decoder
from asrbench.recogniser.loader import Batch, make_batch
from asrbench.recogniser.loading import load_recogniser
from asrbench.recogniser.recogniser import Recogniser
from asrbench.recogniser.windows import WINDOW_S, HeardSymbol, Window, joined, windows_of

STDIN = Path("-")
"""The name that stands for the bytes of standard input."""

_STDIN_BYTES = 1 << 30
"""The longest file that standard input may be, as it is kept in memory."""

_BATCHES_AT_A_TIME = 16
"""Batches of audio that are read before they are sorted by length."""


class Source(NamedTuple):
    """An audio file, or the bytes of one."""

    name: str
    audio: Path | BinaryIO
    relative: PurePath
    """The name of the file, below the folder that was named if one was."""


class Word(NamedTuple):
    """A word, and when it is spoken."""

    text: str
    start_s: float
    end_s: float


class TimedSymbol(NamedTuple):
    """A symbol of the tokenizer, when it is spoken, and its mean probability meanwhile."""

    symbol: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True)
class Transcript:
    """The text of a file."""

    source: Source
    seconds: float
    text: str
    words: tuple[Word, ...] | None = None
    """None unless times were asked for."""
    symbols: tuple[TimedSymbol, ...] | None = None
    """None unless times were asked for."""


@dataclass(frozen=True)
class Untranscribed:
    """A file that has no text, and why."""

    source: Source
    reason: str


@dataclass(frozen=True)
class Settings:
    """What a transcript is made of, beside the search."""

    channel: int | None = None
    """Counted from 0. None means that files have a single channel."""
    window_s: float = WINDOW_S
    """Recordings that are longer are cut into windows."""
    timestamps: bool = False
    """Whether words and symbols have times."""


def sources_of(paths: Iterable[Path], stdin: BinaryIO) -> list[Source]:
    """Returns the audio files at `paths`, and below those that are folders; `-` is `stdin`.

    Raises `UserError` for a folder without any, and where standard input is named twice.
    """
    paths = list(paths)
    if paths.count(STDIN) > 1:
        raise UserError("-: found standard input twice, allowed: once")
    found: list[Source] = []
    for path in paths:
        if path == STDIN:
            found.append(Source("-", _held(stdin), PurePath("stdin")))
        elif path.is_dir():
            below = audio_files("transcribe", path)
            found += [Source(str(file), file, PurePath(name)) for name, file in below]
        else:
            found.append(Source(str(path), path, PurePath(path.name)))
    return found


def _held(stdin: BinaryIO) -> BinaryIO:
    """Returns standard input as a file in memory, for decoders go back and forth in it."""
    try:
        return BytesIO(bounded(stdin, _STDIN_BYTES))
    except OSError as error:
        raise UserError(f"-: cannot be read ({error.strerror})") from None


def transcribe(
    run: Run,
    sources: Sequence[Source],
    decode: str | None,
    device: str,
    settings: Settings,
    *,
    sets: Sequence[str] = (),
    trust_plugins: bool = False,
) -> Iterator[Transcript | Untranscribed]:
    """Yields the text of each file in order, or why there is none.

    `decode` and `sets` choose the search, as in `evaluate_runs`. Raises `UserError` for a search
    that the run does not have, and where times are asked of a head that does not align.
    """
    recogniser = load_recogniser(run, device, trust_plugins=trust_plugins)
    decoder = Decoder.of(run, recogniser, decode, sets)
    if settings.timestamps and not recogniser.aligns:
        kind = recogniser.cell.model.head.kind
        raise UserError(
            f"{run}: --timestamps: found the head '{kind}', which does not align its symbols with "
            f"frames; allowed: a head that does, such as ctc or transducer"
        )
    listener = _Listener(decoder, settings, recogniser)
    enough = _BATCHES_AT_A_TIME * run.cell.train.batch_seconds * SAMPLE_RATE_HZ
    for group in _groups(_read(sources, settings.channel), enough):
        yield from listener.transcripts(group)


class _Recording(NamedTuple):
    source: Source
    samples: Samples
    reason: str = ""
    """Why there are no samples, if there are none."""


def _read(sources: Iterable[Source], channel: int | None) -> Iterator[_Recording]:
    for source in sources:
        try:
            yield _Recording(source, read_audio(source.audio, channel))
        except AudioFault as fault:
            advice = "; --channel N chooses one" if fault.reason == "wrong channel count" else ""
            yield _Recording(source, np.zeros(0, dtype=np.int16), f"{fault}{advice}")


def _groups(recordings: Iterable[_Recording], enough: float) -> Iterator[list[_Recording]]:
    """Yields consecutive recordings with at least `enough` samples, or the last ones with fewer."""
    group, samples = [], 0
    for each in recordings:
        group.append(each)
        samples += len(each.samples)
        if samples >= enough:
            yield group
            group, samples = [], 0
    if group:
        yield group


class _Listener:
    """A recogniser that turns recordings into transcripts."""

    def __init__(self, decoder: Decoder, settings: Settings, recogniser: Recogniser) -> None:
        self.decoder, self.settings, self.recogniser = decoder, settings, recogniser
        self.clock = Clock.of(recogniser)

    def transcripts(self, group: list[_Recording]) -> Iterator[Transcript | Untranscribed]:
        """Yields the transcript of each recording, in order."""
        windows = {
            number: windows_of(len(each.samples), self.settings.window_s)
            for number, each in enumerate(group)
            if not each.reason
        }
        heard = self._heard(group, [(n, w) for n, each in windows.items() for w in each])
        for number, (source, samples, reason) in enumerate(group):
            if reason:
                yield Untranscribed(source, reason)
                continue
            symbols = joined(windows[number], heard[number])
            yield self._transcript(source, len(samples), symbols)

    def _heard(
        self, group: list[_Recording], parts: list[tuple[int, Window]]
    ) -> dict[int, list[list[HeardSymbol]]]:
        """Returns the symbols of each window, by the number of the recording."""
        align = self.settings.timestamps or (
            self.recogniser.aligns and len(parts) > len({number for number, _ in parts})
        )
        lengths = np.array([w.end - w.start for _, w in parts], dtype=np.int64)
        plan = length_plan(lengths, self.recogniser.cell.train.batch_seconds)
        by_part: dict[int, list[HeardSymbol]] = {}
        batches = (self._batch(group, [parts[i] for i in indices]) for indices in plan)
        done = self.recogniser.transcribe(
            batches, self.decoder.search, self.decoder.decoding, align=align
        )
        for indices, each in zip(plan, done, strict=True):
            for place, i in enumerate(indices):
                spans = each.spans[place] if align else None
                by_part[i] = self._timed(each.symbols[place], spans, parts[i][1])
        found = defaultdict(list)
        for i, (number, _) in enumerate(parts):
            found[number].append(by_part[i])
        return found

    def _batch(self, group: list[_Recording], parts: list[tuple[int, Window]]) -> Batch:
        waves = [group[number].samples[w.start : w.end] for number, w in parts]
        names = [group[number].source.name for number, _ in parts]
        return make_batch(names, [""] * len(parts), waves, self.recogniser.tokenizer)

    def _timed(
        self, symbols: list[int], spans: list[AlignedSpan] | None, window: Window
    ) -> list[HeardSymbol]:
        """Returns the symbols of a window, with times in the recording where there are spans."""
        if spans is None:
            return [HeardSymbol(index) for index in symbols]
        return [
            HeardSymbol(
                span.symbol,
                window.start_s + self.clock.edge(span.start) / 1000,
                window.start_s + self.clock.edge(span.end) / 1000,
                span.probability,
            )
            for span in spans
        ]

    def _transcript(
        self, source: Source, samples: int, heard: list[HeardSymbol]
    ) -> Transcript | Untranscribed:
        tokenizer = self.recogniser.tokenizer
        indices = [each.symbol for each in heard]
        text, seconds = tokenizer.decode(indices), samples / SAMPLE_RATE_HZ
        if not self.settings.timestamps:
            return Transcript(source, seconds, text)
        symbols = [
            TimedSymbol(tokenizer.symbols[index - 1], start_s, min(end_s, seconds), probability)
            for index, start_s, end_s, probability in heard
            if start_s is not None and end_s is not None and probability is not None
        ]
        if len(symbols) < len(heard):
            return Untranscribed(
                source, "its text has too many symbols for its frames, so that they have no times"
            )
        words = [
            Word(
                tokenizer.decode(indices[places.start : places.stop]),
                symbols[places.start].start_s,
                symbols[places.stop - 1].end_s,
            )
            for places in tokenizer.words(indices)
        ]
        return Transcript(source, seconds, text, tuple(words), tuple(symbols))
