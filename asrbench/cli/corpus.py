"""`asrbench corpus`: what is in a prepared corpus.

`--json` prints the fields of `asrbench.stages.corpus.Contents` as one document. Splits are keys of
`splits` and of a unit's `unknown`. Plain numbers, nothing is rounded; levels in dBFS, shares as
fractions, nothing known as null.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from asrbench.base.errors import UserError
from asrbench.cli.prep_common import print_left_out
from asrbench.cli.terminal import Terminal, print_table
from asrbench.text.profiles import Side

if TYPE_CHECKING:
    from asrbench.stages.corpus import Contents, Overlap, Percentiles, SplitContents

COLUMNS = 80
ABREAST = 4
"""Splits in one histogram."""
CROPPED = 24
"""Cells of a text that is an example; one of Hangul takes two."""
HEARD = 5000
NONE = "-"


def corpus(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared corpus.")],
    side: Annotated[
        Side, typer.Option(help="Column of the texts, as text.side of a spec.")
    ] = "text",
    audio: Annotated[
        int, typer.Option("--audio", min=0, help="Measure so many recordings of each split.")
    ] = HEARD,
    all_audio: Annotated[
        bool, typer.Option("--all-audio", help="Measure them all, which reads all of the corpus.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw a picture too: a .png or .svg.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every figure as one JSON document.")
    ] = False,
) -> None:
    """Say what is in a prepared corpus.

    How much and how long, which symbols the others have that train has not, what splits share,
    how loud it is. Recordings to measure are evenly spaced over a split.
    """
    from asrbench.data.corpus import Corpus
    from asrbench.data.reading import read
    from asrbench.stages import corpus as stage

    if plot is not None:
        _check_plot(plot)
    opened = Corpus.open(folder)
    with Terminal(quiet=as_json) as terminal:
        readings = read(opened, side, None if all_audio else audio, terminal)
        found = stage.contents(opened, side, readings)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, indent=2))
    else:
        _print(found)
    if plot is not None:
        stage.draw(plot, found, readings)
        if not as_json:
            typer.echo(f"wrote {plot}")


def _check_plot(path: Path) -> None:
    from asrbench.report.plots.corpus import FORMATS

    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--plot: found '{path}', allowed: a name that ends in {' or '.join(FORMATS)}"
        )
    if path.is_dir():
        raise UserError(f"--plot: {path} is a folder; give the name of a file")


def _print(found: "Contents") -> None:
    _print_splits(found)
    _print_durations(found)
    _print_texts(found)
    _print_marks(found)
    _print_units(found)
    _print_overlaps(found)
    _print_audio(found)
    print_left_out(Path(found.folder), found.rejected, found.remarks)


# How much


def _print_splits(found: "Contents") -> None:
    rows = [
        [
            name,
            f"{split.utterances:,}",
            f"{split.hours:.2f}",
            "unknown" if split.speakers is None else f"{split.speakers:,}",
            *(f"{getattr(split.seconds, each):.2f}" for each in ("mean", "median", "min", "max")),
        ]
        for name, split in found.splits.items()
    ]
    header = ["split", "utterances", "hours", "speakers", "mean s", "median s", "min s", "max s"]
    print_table(header, rows, title=f"{found.folder}: {found.name}, {found.fingerprint}")
    _print_lines(
        f"{name}: {split.utterances_of_no_known_speaker:,} of no known speaker"
        for name, split in found.splits.items()
        if split.speakers is not None and split.utterances_of_no_known_speaker
    )


def _print_durations(found: "Contents") -> None:
    """As histograms side by side, all to one scale."""
    names = list(found.splits)
    shares = {
        name: [count / split.utterances for count in split.seconds.counts]
        for name, split in found.splits.items()
    }
    greatest = max(max(each) for each in shares.values())
    labels = _bin_labels(found)
    for first in range(0, len(names), ABREAST):
        abreast = names[first : first + ABREAST]
        # A column is as wide as the widest in it, and has a space on either side.
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
                        _bar(shares[name][place] / greatest, width),
                    )
                ),
            ]
            for place, label in enumerate(labels)
        ]
        header = ["seconds", *(head for name in abreast for head in (name, ""))]
        print_table(header, rows, title="Utterances by duration, in % of each split")


def _bin_labels(found: "Contents") -> list[str]:
    starts = found.bins_from_seconds
    longest = max(split.seconds.max for split in found.splits.values())
    labels = [f"{low:g} to {high:g}" for low, high in pairwise(starts)]
    return [*labels, f"{starts[-1]:g} to {round(longest, 2):g}"]


def _bar(share: float, width: int) -> str:
    """In eighths of a character where the terminal has them; of more than nothing at least one."""
    if Console().options.ascii_only:
        return "#" * _at_least_one(share * width)
    eighths = _at_least_one(8 * share * width)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _at_least_one(length: float) -> int:
    return max(round(length), 1) if length > 0 else 0


def _print_texts(found: "Contents") -> None:
    rows = []
    for name, split in found.splits.items():
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
    what = found.text_profile if found.side == "text" else f"column '{found.side}'"
    print_table([*header, "distinct"], rows, title=f"Text: {what}")
    empty = (
        f"{name}: {split.text.empty:,} without any text"
        for name, split in found.splits.items()
        if split.text.empty
    )
    _print_lines(
        [
            "Characters in NFC, spaces counted. 5 %, 95 %: of single utterances, characters a",
            "second. distinct: texts.",
            *empty,
        ]
    )


def _print_lines(lines: Iterable[str]) -> None:
    """With room behind them, where there are any."""
    if text := "\n".join(lines):
        typer.echo(f"{text}\n")


def _percentile_cells(found: "Percentiles | None", form: str, *names: str) -> list[str]:
    return [NONE if found is None else form.format(getattr(found, name)) for name in names]


def _print_marks(found: "Contents") -> None:
    """Languages and channels, where one is known."""
    _print_lines(
        f"{name}: {what} {_counted(marks, split.utterances)}"
        for name, split in found.splits.items()
        for what, marks in (("languages", split.languages), ("channels", split.channels))
        if marks
    )


def _counted(marks: dict[str, int], utterances: int) -> str:
    rest = utterances - sum(marks.values())
    counts = marks | {"unknown": rest} if rest else marks
    return ", ".join(f"{mark} {count:,}" for mark, count in counts.items())


# Symbols


def _print_units(found: "Contents") -> None:
    if not found.units:
        _print_lines(["no split 'train', and so no symbols to hold the others against"])
        return
    rows = [
        [
            unit.units[0],
            name,
            f"{unknown.symbols:,}",
            _percent(unknown.share, 3),
            f"{unknown.utterances:,}",
            ", ".join(f"{_shown(symbol)}({n:,})" for symbol, n in unknown.most_frequent),
        ]
        for unit in found.units
        for name, unknown in unit.unknown.items()
    ]
    if rows:
        header = ["unit", "split", "unknown", "of text", "utterances", "most frequent"]
        print_table(header, rows, title="Symbols that train does not have")
    _print_lines(
        f"{' and '.join(unit.units)}: {unit.symbols:,} symbols in train, {unit.once:,} of them once"
        for unit in found.units
    )


def _shown(symbol: str) -> str:
    """A symbol as it can be read alone: the jamo of a syllable by its place, what has no shape or
    needs another to stand on by its number."""
    if symbol == " ":
        return "space"
    name = unicodedata.name(symbol, "")
    for place, form in (("CHOSEONG", "{}-"), ("JUNGSEONG", "-{}-"), ("JONGSEONG", "-{}")):
        if f" {place} " in name:
            try:
                return form.format(unicodedata.lookup(name.replace(place, "LETTER")))
            except KeyError:  # an old one, that has no letter of its own
                break
    seen = symbol.isprintable() and not unicodedata.category(symbol).startswith("M")
    return symbol if seen and cell_len(symbol) else f"U+{ord(symbol):04X}"


# Between splits


def _print_overlaps(found: "Contents") -> None:
    if not found.overlaps:
        return
    rows = [
        [
            *each.splits,
            f"{each.utterances[0]:,}",
            _percent(each.shares[0], 1),
            f"{each.texts:,}",
            "unknown" if each.speakers is None else f"{each.speakers.count:,}",
        ]
        for each in found.overlaps
    ]
    header = ["split", "and", "utterances", "share", "texts", "speakers"]
    title = "Shared between splits: utterances of the first with a text of the second"
    print_table(header, rows, title=title)
    _print_lines(line for each in found.overlaps for line in _overlap_lines(each))


def _overlap_lines(each: "Overlap") -> Iterator[str]:
    where = " and ".join(each.splits)
    if each.texts:
        texts = [f"'{_cropped(text)}'({count:,})" for text, count in each.most_frequent]
        yield f"{where}: texts {_few(texts, each.texts)}"
    if each.speakers and each.speakers.count:
        yield f"{where}: speakers {_few(each.speakers.first, each.speakers.count)}"


def _few(some: Sequence[str], count: int) -> str:
    rest = f" and {count - len(some):,} more" if count > len(some) else ""
    return f"{', '.join(some)}{rest}"


def _cropped(text: str) -> str:
    cropped = Text(text)
    cropped.truncate(CROPPED, overflow="ellipsis")
    return cropped.plain


def _percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %" if share else "0 %"


# Audio


def _print_audio(found: "Contents") -> None:
    from asrbench.data.loudness import CLIPPED_RUN, OFFSET, SILENCE_DB

    heard = {name: split.audio for name, split in found.splits.items() if split.audio is not None}
    if not heard:
        return
    rows = [
        [
            name,
            f"{audio.heard:,}",
            *_percentile_cells(audio.rms_db, "{:z.1f}", "p5", "p50", "p95"),
            *_percentile_cells(audio.peak_db, "{:z.1f}", "p50"),
            NONE if audio.max_peak_db is None else f"{audio.max_peak_db:z.1f}",
            *(
                f"{each.count:,} ({_percent(each.count / audio.heard, 1)})" if each.count else "0"
                for each in (audio.clipped, audio.silent, audio.off_centre)
            ),
        ]
        for name, audio in heard.items()
    ]
    header = ["split", "heard", "5 %", "50 %", "95 %", "peak", "max", "clipped", "silent", "offset"]
    print_table(header, rows, title="Audio: recordings by level, in dBFS")
    _print_lines(
        [
            "5 %, 50 %, 95 %: RMS, where a full-scale sine has -3.0; peak: the median. clipped:",
            f"{CLIPPED_RUN} samples in a row at full scale. silent: nothing above "
            f"{SILENCE_DB:g} dBFS; not in the",
            f"levels. offset: mean beyond {100 * OFFSET:g} % of full scale.",
            *(line for name, split in found.splits.items() for line in _audio_lines(name, split)),
        ]
    )


def _audio_lines(name: str, split: "SplitContents") -> Iterator[str]:
    audio, whole = split.audio, split.utterances
    if audio is None:
        return
    if audio.heard < whole:
        yield f"{name}: heard {audio.heard:,} of {whole:,}, evenly spaced; --all-audio hears all"
    found = {"clipped": audio.clipped, "silent": audio.silent, "off centre": audio.off_centre}
    for what, listed in found.items():
        if listed.count:
            yield f"{name}: {what}: {_few(listed.first, listed.count)}"
