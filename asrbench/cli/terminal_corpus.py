"""Prints the statistics of a corpus as tables of at most 80 columns."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from asrbench.cli.prep_report import print_left_out
from asrbench.cli.terminal import echo, print_table

if TYPE_CHECKING:
    from asrbench.stages.corpus.records import (
        CorpusStatistics,
        Overlap,
        Percentiles,
        SplitStatistics,
    )

COLUMNS = 80
MAX_ABREAST = 4
"""Largest number of splits in one histogram."""
MAX_EXAMPLE_CELLS = 24
"""Largest width of an example text. A Hangul syllable takes two cells."""
NONE = "-"


def print_statistics(statistics: "CorpusStatistics") -> None:
    """Prints all tables of a corpus, and what was left out of it."""
    _print_splits(statistics)
    _print_durations(statistics)
    _print_texts(statistics)
    _print_labels(statistics)
    _print_units(statistics)
    _print_overlaps(statistics)
    _print_audio(statistics)
    print_left_out(Path(statistics.folder), statistics.rejected, statistics.remarks)


# How much


def _print_splits(statistics: "CorpusStatistics") -> None:
    rows = [
        [
            name,
            f"{split.utterances:,}",
            f"{split.hours:.2f}",
            "unknown" if split.speakers is None else f"{split.speakers:,}",
            *(f"{getattr(split.seconds, each):.2f}" for each in ("mean", "median", "min", "max")),
        ]
        for name, split in statistics.splits.items()
    ]
    header = ["split", "utterances", "hours", "speakers", "mean s", "median s", "min s", "max s"]
    print_table(
        header, rows, title=f"{statistics.folder}: {statistics.name}, {statistics.fingerprint}"
    )
    _print_lines(
        f"{name}: speaker unknown in {split.utterances_of_no_known_speaker:,} of "
        f"{split.utterances:,} utterances"
        for name, split in statistics.splits.items()
        if split.speakers is not None and split.utterances_of_no_known_speaker
    )


def _print_durations(statistics: "CorpusStatistics") -> None:
    """Prints histograms of the splits side by side, all to one scale."""
    names = list(statistics.splits)
    shares = {
        name: [count / split.utterances for count in split.seconds.counts]
        for name, split in statistics.splits.items()
    }
    greatest = max(max(each) for each in shares.values())
    labels = _bin_names(statistics)
    for first in range(0, len(names), MAX_ABREAST):
        abreast = names[first : first + MAX_ABREAST]
        # A column is as wide as its widest cell, with a space on either side.
        taken = max(map(len, labels)) + 2 + sum(max(cell_len(n), 4) + 3 for n in abreast)
        width = min(24, max(4, (COLUMNS - taken) // len(abreast)))
        rows = [
            [
                label,
                *(
                    cell
                    for name in abreast
                    for cell in (
                        f"{100 * shares[name][place]:.1f}" if shares[name][place] else "0",
                        bar(shares[name][place] / greatest, width),
                    )
                ),
            ]
            for place, label in enumerate(labels)
        ]
        header = ["seconds", *(head for name in abreast for head in (name, ""))]
        print_table(header, rows, title="Utterances by duration, in % of each split")


def _bin_names(statistics: "CorpusStatistics") -> list[str]:
    starts = statistics.bins_from_seconds
    longest = max(split.seconds.max for split in statistics.splits.values())
    labels = [f"{low:g} to {high:g}" for low, high in pairwise(starts)]
    return [*labels, f"{starts[-1]:g} to {round(longest, 2):g}"]


def bar(share: float, width: int) -> str:
    """Returns a bar of `share` times `width` characters, at least one part if the share is not 0.

    The parts are eighths of a character, or whole characters on a terminal with ASCII only.
    """
    if Console().options.ascii_only:
        return "#" * _at_least_one(share * width)
    eighths = _at_least_one(8 * share * width)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _at_least_one(length: float) -> int:
    return max(round(length), 1) if length > 0 else 0


def _print_texts(statistics: "CorpusStatistics") -> None:
    rows = []
    for name, split in statistics.splits.items():
        text = split.text
        rows.append(
            [
                name,
                f"{text.characters:,}",
                f"{text.characters_per_utterance:.1f}",
                f"{text.words_per_utterance:.1f}",
                f"{text.characters_per_second:.2f}",
                *_percentile_cells(text.rates, "{:.1f}", "p5", "p95"),
                f"{text.distinct:,}",
            ]
        )
    header = ["split", "characters", "char/utt", "word/utt", "char/s", "5 %", "95 %"]
    what = statistics.text_profile if statistics.side == "text" else f"column '{statistics.side}'"
    print_table([*header, "distinct"], rows, title=f"Text: {what}")
    empty = (
        f"{name}: text empty in {split.text.empty:,} of {split.utterances:,} utterances"
        for name, split in statistics.splits.items()
        if split.text.empty
    )
    _print_lines(
        [
            "Characters are in NFC, with spaces. 5 %, 95 %: percentiles of the utterances, in",
            "characters per second. distinct: number of different texts.",
            *empty,
        ]
    )


def _print_lines(lines: Iterable[str]) -> None:
    """Prints lines and an empty line after them, or nothing if there are none."""
    if text := "\n".join(lines):
        echo(f"{text}\n")


def _percentile_cells(found: "Percentiles | None", form: str, *names: str) -> list[str]:
    return [NONE if found is None else form.format(getattr(found, name)) for name in names]


def _print_labels(statistics: "CorpusStatistics") -> None:
    """Prints the languages and the channels of each split that has any."""
    _print_lines(
        f"{name}: {what} {_counted(marks, split.utterances)}"
        for name, split in statistics.splits.items()
        for what, marks in (("languages", split.languages), ("channels", split.channels))
        if marks
    )


def _counted(marks: dict[str, int], utterances: int) -> str:
    rest = utterances - sum(marks.values())
    counts = marks | {"unknown": rest} if rest else marks
    return ", ".join(f"{mark} {count:,}" for mark, count in counts.items())


# Symbols


def _print_units(statistics: "CorpusStatistics") -> None:
    if not statistics.units:
        _print_lines(["no split 'train', so there are no symbols to compare the other splits with"])
        return
    rows = [
        [
            unit.units[0],
            name,
            f"{unknown.symbols:,}",
            _percent(unknown.share, 3),
            f"{unknown.utterances:,}",
            ", ".join(f"{symbol_name(symbol)}({n:,})" for symbol, n in unknown.most_frequent),
        ]
        for unit in statistics.units
        for name, unknown in unit.unknown.items()
    ]
    if rows:
        header = ["unit", "split", "unknown", "of text", "utterances", "most frequent"]
        print_table(header, rows, title="Symbols that train does not have")
    _print_lines(
        f"{' and '.join(unit.units)}: {unit.symbols:,} symbols in train, {unit.once:,} of them once"
        for unit in statistics.units
    )


def symbol_name(symbol: str) -> str:
    """Returns a readable name of a symbol.

    A conjoining jamo is shown by its place in the syllable, as `ㄱ-`, `-ㅏ-` or `-ㄱ`. A symbol
    that is invisible or combines with another is shown by its code point.
    """
    if symbol == " ":
        return "space"
    name = unicodedata.name(symbol, "")
    for place, form in (("CHOSEONG", "{}-"), ("JUNGSEONG", "-{}-"), ("JONGSEONG", "-{}")):
        if f" {place} " in name:
            try:
                return form.format(unicodedata.lookup(name.replace(place, "LETTER")))
            except KeyError:  # an old jamo without a letter of its own
                break
    visible = symbol.isprintable() and not unicodedata.category(symbol).startswith("M")
    return symbol if visible and cell_len(symbol) else f"U+{ord(symbol):04X}"


# Between splits


def _print_overlaps(statistics: "CorpusStatistics") -> None:
    if not statistics.overlaps:
        return
    rows = [
        [
            *each.splits,
            f"{each.utterances[0]:,}",
            _percent(each.shares[0], 1),
            f"{each.texts:,}",
            "unknown" if each.speakers is None else f"{each.speakers.count:,}",
        ]
        for each in statistics.overlaps
    ]
    header = ["split", "and", "utterances", "share", "texts", "speakers"]
    title = "Shared between splits: utterances of the first with a text of the second"
    print_table(header, rows, title=title)
    _print_lines(line for each in statistics.overlaps for line in _overlap_lines(each))


def _overlap_lines(each: "Overlap") -> Iterator[str]:
    """Yields the most frequent shared texts and the first shared speakers of two splits."""
    where = " and ".join(each.splits)
    if each.texts:
        texts = [f"'{cropped(text)}'({count:,})" for text, count in each.most_frequent]
        yield f"{where}: texts {_few(texts, each.texts)}"
    if each.speakers and each.speakers.count:
        yield f"{where}: speakers {_few(each.speakers.first, each.speakers.count)}"


def _few(some: Sequence[str], count: int) -> str:
    """Returns examples and how many more there are."""
    rest = f" and {count - len(some):,} more" if count > len(some) else ""
    return f"{', '.join(some)}{rest}"


def cropped(text: str) -> str:
    """Returns a text cut to `MAX_EXAMPLE_CELLS` cells, with an ellipsis."""
    cells = Text(text)
    cells.truncate(MAX_EXAMPLE_CELLS, overflow="ellipsis")
    return cells.plain


def _percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %" if share else "0 %"


# Audio


def _print_audio(statistics: "CorpusStatistics") -> None:
    from asrbench.data.loudness import CLIPPED_RUN, OFFSET, SILENCE_DB

    measured = {n: split.audio for n, split in statistics.splits.items() if split.audio is not None}
    if not measured:
        return
    rows = [
        [
            name,
            f"{audio.measured:,}",
            *_percentile_cells(audio.rms_db, "{:z.1f}", "p5", "p50", "p95"),
            *_percentile_cells(audio.peak_db, "{:z.1f}", "p50"),
            NONE if audio.max_peak_db is None else f"{audio.max_peak_db:z.1f}",
            *(
                _count_and_share(each.count, audio.measured)
                for each in (audio.clipped, audio.silent, audio.off_centre)
            ),
        ]
        for name, audio in measured.items()
    ]
    header = ["split", "read", "5 %", "50 %", "95 %", "peak", "max", "clipped", "silent", "offset"]
    print_table(header, rows, title="Audio: loudness of the recordings, in dBFS")
    _print_lines(
        [
            "read: recordings measured. 5 %, 50 %, 95 %: percentiles of the RMS, where a",
            "full-scale sine has -3.0. peak: median of the peaks. max: highest peak.",
            f"clipped: {CLIPPED_RUN} samples in a row at full scale. silent: peak below "
            f"{SILENCE_DB:g} dBFS; left out",
            f"of the percentiles. offset: mean beyond {100 * OFFSET:g} % of full scale.",
            *(
                line
                for name, split in statistics.splits.items()
                for line in _audio_lines(name, split)
            ),
        ]
    )


def _count_and_share(count: int, measured: int) -> str:
    return f"{count:,} ({_percent(count / measured, 1)})" if count else "0"


def _audio_lines(name: str, split: "SplitStatistics") -> Iterator[str]:
    """Yields the lines below the table that concern one split."""
    audio, whole = split.audio, split.utterances
    if audio is None:
        return
    if audio.measured < whole:
        yield (
            f"{name}: {audio.measured:,} of {whole:,} recordings measured, evenly spaced; "
            f"--all-audio measures all"
        )
    found = {"clipped": audio.clipped, "silent": audio.silent, "off centre": audio.off_centre}
    for what, listed in found.items():
        if listed.count:
            yield f"{name}: {what}: {_few(listed.first, listed.count)}"
