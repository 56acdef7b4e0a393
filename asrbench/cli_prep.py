"""`asrbench prep`: a command for each recipe."""

from pathlib import Path
from typing import Annotated, Any

import typer

from asrbench.errors import UserError
from asrbench.prep import Tick
from asrbench.terminal import Terminal, print_table

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_show_locals": False,
    "rich_markup_mode": None,
}
prep_app = typer.Typer(help="Prepare a corpus, by one of the recipes.", **SETTINGS)

Out = Annotated[Path, typer.Option("--out", help="Corpus folder to make; must not exist.")]
Strict = Annotated[bool, typer.Option("--strict", help="Make any rejected utterance an error.")]
SplitSeed = Annotated[int, typer.Option("--seed", help="Seed of the splits that are drawn.")]


@prep_app.command("an4")
def prep_an4(
    source: Annotated[Path, typer.Argument(help="CMU's distribution: the folder with etc/, wav/.")],
    out: Out,
    dev: Annotated[int, typer.Option(help="Utterances to take from train, by speaker.")] = 100,
    seed: SplitSeed = 0,
    strict: Strict = False,
) -> None:
    """AN4 as CMU distributes it.

    SPHERE audio under wav/, fileids and transcription under etc/.
    """
    from asrbench.prep import an4

    with Terminal() as terminal:
        tick = _ticker(terminal, "an4")
        an4.prepare(source, out, dev=dev, seed=seed, strict=strict, tick=tick)
    _print_corpus(out)


@prep_app.command("table")
def prep_table(
    source: Annotated[Path, typer.Argument(help="A .tsv, .csv or .jsonl with a header.")],
    out: Out,
    audio: Annotated[str | None, typer.Option(help="Column of the audio path.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    id: Annotated[str | None, typer.Option(help="Column of the id.")] = None,
    speaker: Annotated[str | None, typer.Option(help="Column of the speaker.")] = None,
    split_column: Annotated[str | None, typer.Option(help="Column of the split.")] = None,
    dev: Annotated[int, typer.Option(help="Utterances to take from train, by speaker.")] = 0,
    split: Annotated[
        str | None,
        typer.Option(help="Make splits that share no speaker and no text, as 0.8/0.1/0.1."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the corpus.")] = None,
    seed: SplitSeed = 0,
    strict: Strict = False,
) -> None:
    """Any corpus listed in a TSV, CSV or JSONL.

    Audio path and text are needed; id, speaker and split may be there. Columns are found by
    their usual names where no option says.
    """
    from asrbench.prep import table

    with Terminal() as terminal:
        table.prepare(
            source,
            out,
            audio_column=audio,
            text_column=text,
            id_column=id,
            speaker_column=speaker,
            split_column=split_column,
            dev=dev,
            split=None if split is None else _shares("--split", split),
            seed=seed,
            name=name,
            strict=strict,
            tick=_ticker(terminal, "table"),
        )
    _print_corpus(out)


@prep_app.command("synthetic")
def prep_synthetic(
    out: Out,
    hours: Annotated[float, typer.Option(help="Hours of audio in all splits together.")] = 1.0,
    language: Annotated[str, typer.Option(help="An eSpeak NG voice; the grammar is ko.")] = "ko",
    text: Annotated[
        Path | None, typer.Option(help="Sentences of one's own, one a line, instead.")
    ] = None,
    voices: Annotated[int, typer.Option(help="Voices; no two splits share one.")] = 12,
    split: Annotated[str, typer.Option(help="Shares of train, dev and test.")] = "0.8/0.1/0.1",
    snr: Annotated[str, typer.Option(help="Range of signal to noise, in dB.")] = "10/30",
    seed: Annotated[int, typer.Option(help="Seed of every draw.")] = 0,
    name: Annotated[str | None, typer.Option(help="Name of the corpus.")] = None,
    strict: Strict = False,
) -> None:
    """Sentences spoken by eSpeak NG, in noise.

    Korean everyday sentences from a grammar, or sentences of one's own.
    """
    from asrbench.prep import synthetic

    low, high = _numbers("--snr", snr, 2, "10/30")
    with Terminal() as terminal:
        synthetic.prepare(
            out,
            hours=hours,
            language=language,
            text=text,
            seed=seed,
            splits=_shares("--split", split),
            voices=voices,
            snr_db=(low, high),
            name=name,
            strict=strict,
            tick=_ticker(terminal, "synthetic"),
        )
    _print_corpus(out)


# Parsing and printing


def _ticker(terminal: Terminal, task: str) -> Tick:
    return lambda done, total: terminal.progress(task, done, total)


def _numbers(option: str, text: str, count: int, example: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise UserError(f"{option}: found '{text}', allowed: {count} numbers, as {example}")
    return numbers


def _shares(option: str, text: str) -> tuple[float, float, float]:
    train, dev, test = _numbers(option, text, 3, "0.8/0.1/0.1")
    return train, dev, test


def _print_corpus(folder: Path) -> None:
    from asrbench.files import read_json

    about = read_json(folder / "corpus.json")
    rows = [
        [name, str(s["utterances"]), f"{s['hours']:.2f}", str(s["speakers"] or "unknown")]
        for name, s in about["splits"].items()
    ]
    title = f"{folder}: {about['name']}, {about['fingerprint']}"
    print_table(["split", "utterances", "hours", "speakers"], rows, title=title)
    for reason, count in about["rejected"].items():
        typer.echo(f"{count} left out: {reason}; see {folder / 'rejected.jsonl'}")
