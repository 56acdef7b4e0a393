"""`asrbench transcribe`: prints the text of audio files, or writes it beside each other."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from asrbench.base.errors import UserError
from asrbench.base.files import write_text
from asrbench.cli.options import Decode, DecodeSets, Device, Lm, TrustPlugins, decode_sets
from asrbench.cli.terminal import echo, echo_json, print_error
from asrbench.report.subtitles import srt, vtt

if TYPE_CHECKING:
    from asrbench.stages.transcribe import Source, Transcript

LONGEST_WINDOW_S = 3600


def transcribe(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE_OR_DIR...",
            help="Audio files of any sample rate, and folders of them; - is standard input.",
        ),
    ],
    channel: Annotated[
        int | None, typer.Option("--channel", min=1, help="Channel of files that have several.")
    ] = None,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", help="A line for each word, with its start and end.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON Lines; with --timestamps also words and symbols.")
    ] = False,
    as_srt: Annotated[bool, typer.Option("--srt", help="Subtitles in SubRip.")] = False,
    as_vtt: Annotated[bool, typer.Option("--vtt", help="Subtitles in WebVTT.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for a text file of each audio file.")
    ] = None,
    window: Annotated[
        float, typer.Option("--window", help="Longest recording heard in one, in seconds, from 10.")
    ] = 30.0,
    decode: Decode = None,
    lm: Lm = None,
    sets: DecodeSets = None,
    device: Device = "auto",
    trust_plugins: TrustPlugins = False,
) -> None:
    """Print the text of audio files.

    Each file is one line: its path, a tab, its text. A file that cannot be read is a line on
    standard error, and the others are transcribed. Longer recordings are cut into windows that
    overlap.
    """
    from asrbench.experiment.run_folder import Run
    from asrbench.stages import transcribe as stage

    if not 10 <= window <= LONGEST_WINDOW_S:
        raise UserError(f"--window: found {window:g}, allowed: 10 to {LONGEST_WINDOW_S} s")
    form = _form(as_json, as_srt, as_vtt, timestamps)
    runs = Run.find([run])
    if len(runs) > 1:
        raise UserError(f"{run}: found {len(runs)} runs, allowed: one; the first is {runs[0]}")
    sources = stage.sources_of(files, sys.stdin.buffer)
    if form.one_file and out is None and len(sources) > 1:
        raise UserError(f"{form.option}: found {len(sources)} files; --out DIR writes one for each")
    targets = _targets(sources, out, form)
    settings = stage.Settings(
        None if channel is None else channel - 1, window, timestamps or form.one_file
    )
    failed = False
    for number, each in enumerate(
        stage.transcribe(
            *(runs[0], sources, decode, device, settings),
            sets=decode_sets(sets, lm),
            trust_plugins=trust_plugins,
        )
    ):
        if isinstance(each, stage.Untranscribed):
            print_error(UserError(f"{each.source.name}: {each.reason}"))
            failed = True
        elif targets:
            write_text(targets[number], form.file(each))
            echo(str(targets[number]))
        else:
            form.print(each)
    if failed:
        raise typer.Exit(2)


class _Form(NamedTuple):
    """A way to write a transcript."""

    option: str
    suffix: str
    file: Callable[["Transcript"], str]
    """The content of a file with that suffix."""
    print: Callable[["Transcript"], None]
    one_file: bool = False
    """Whether standard output holds one transcript only; these have times."""


def _form(as_json: bool, as_srt: bool, as_vtt: bool, timestamps: bool) -> _Form:
    lines = _word_lines if timestamps else _text_lines
    chosen = [
        form
        for wanted, form in (
            (as_json, _Form("--json", ".json", _document, _print_document)),
            (as_srt, _Form("--srt", ".srt", _srt, _printer(_srt), one_file=True)),
            (as_vtt, _Form("--vtt", ".vtt", _vtt, _printer(_vtt), one_file=True)),
        )
        if wanted
    ]
    if len(chosen) > 1:
        found = " and ".join(form.option for form in chosen)
        raise UserError(f"found {found}, allowed: one of --json, --srt and --vtt")
    text = _Form("", ".txt", lambda t: _joined(lines(t)), lambda t: _print_lines(t, lines(t)))
    return chosen[0] if chosen else text


def _targets(sources: Sequence["Source"], out: Path | None, form: _Form) -> list[Path]:
    """Returns where each transcript is written; nothing without `out`."""
    if out is None:
        return []
    targets: dict[Path, str] = {}
    for source in sources:
        target = out / source.relative.with_suffix(form.suffix)
        if target in targets:
            raise UserError(
                f"--out: {targets[target]} and {source.name} would both be written to {target}; "
                f"transcribe them into two folders"
            )
        targets[target] = source.name
    return list(targets)


# Plain text


def _text_lines(transcript: "Transcript") -> list[tuple[str, ...]]:
    return [(transcript.text,)]


def _word_lines(transcript: "Transcript") -> list[tuple[str, ...]]:
    return [(f"{w.start_s:.3f}", f"{w.end_s:.3f}", w.text) for w in transcript.words or ()]


def _joined(lines: list[tuple[str, ...]]) -> str:
    return "".join("\t".join(map(_field, line)) + "\n" for line in lines)


def _print_lines(transcript: "Transcript", lines: list[tuple[str, ...]]) -> None:
    echo(_joined([(transcript.source.name, *line) for line in lines]), end="")


def _field(text: str) -> str:
    """Returns text that neither a tab nor the end of a line cuts in two."""
    return re.sub(r"[\t\n\r]", "\N{REPLACEMENT CHARACTER}", text)


# Other forms


def _plain(transcript: "Transcript") -> dict[str, Any]:
    """Returns the transcript as JSON data; times are in seconds."""
    found: dict[str, Any] = {
        "file": transcript.source.name,
        "seconds": round(transcript.seconds, 3),
        "text": transcript.text,
    }
    if transcript.words is not None:
        found["words"] = [
            {"word": w.text, "start": round(w.start_s, 3), "end": round(w.end_s, 3)}
            for w in transcript.words
        ]
        found["symbols"] = [
            {
                "symbol": s.symbol,
                "start": round(s.start_s, 3),
                "end": round(s.end_s, 3),
                "probability": round(s.probability, 4),
            }
            for s in transcript.symbols or ()
        ]
    return found


def _document(transcript: "Transcript") -> str:
    # Names of files need not be Unicode.
    line = json.dumps(_plain(transcript), ensure_ascii=False) + "\n"
    return line.encode(errors="replace").decode()


def _print_document(transcript: "Transcript") -> None:
    echo_json(json.dumps(_plain(transcript), ensure_ascii=False))


def _srt(transcript: "Transcript") -> str:
    return srt(transcript.words or ())


def _vtt(transcript: "Transcript") -> str:
    return vtt(transcript.words or ())


def _printer(content: Callable[["Transcript"], str]) -> Callable[["Transcript"], None]:
    return lambda transcript: echo(content(transcript), end="")
