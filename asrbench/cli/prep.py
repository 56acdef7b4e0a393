"""`asrbench prep`: a command for each recipe."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from asrbench.cli import prep_formats as cli_doors
from asrbench.cli.prep_common import (
    CORES,
    Force,
    Jobs,
    Name,
    Out,
    SplitSeed,
    Strict,
    making,
    numbers,
    shares,
)

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_show_locals": False,
    "rich_markup_mode": None,
}
prep_app = typer.Typer(help="Prepare a corpus, by one of the recipes.", **SETTINGS)


@prep_app.command("an4")
def prep_an4(
    source: Annotated[Path, typer.Argument(help="CMU's distribution: the folder with etc/, wav/.")],
    out: Out,
    dev: Annotated[int, typer.Option(help="Utterances to take from train, by speaker.")] = 100,
    seed: SplitSeed = 0,
    strict: Strict = False,
    force: Force = False,
    jobs: Jobs = CORES,
) -> None:
    """AN4 as CMU distributes it.

    SPHERE audio under wav/, fileids and transcription under etc/.
    """
    from asrbench.stages.prep import an4

    with making("an4", out, strict=strict, force=force, jobs=jobs) as how:
        an4.prepare(source, out, dev=dev, seed=seed, how=how)


@prep_app.command("ksponspeech")
def prep_ksponspeech(
    source: Annotated[Path, typer.Argument(help="AI Hub's download: a folder, or a zip.")],
    out: Out,
    side: Annotated[
        Literal["spelling", "phonetic"],
        typer.Option(help="Side of dual transcriptions that is `text`; both are kept beside it."),
    ] = "spelling",
    punctuation: Annotated[
        Literal["none", "sentence"],
        typer.Option(help="Punctuation that stays in `text`: none, or . ? and !"),
    ] = "none",
    folders: Annotated[
        str | None,
        typer.Option(help="Of train these alone, as KsponSpeech_01/KsponSpeech_0001..0010."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Of train so many utterances, drawn by --seed.")
    ] = None,
    seed: SplitSeed = 0,
    strict: Strict = False,
    force: Force = False,
    jobs: Jobs = CORES,
) -> None:
    """KsponSpeech as AI Hub distributes it.

    Unpacked or still zipped, with its .trn lists or without, all of it or a part.
    """
    from asrbench.stages.prep import ksponspeech

    with making("ksponspeech", out, strict=strict, force=force, jobs=jobs) as how:
        ksponspeech.prepare(
            source,
            out,
            side=side,
            punctuation=punctuation,
            folders=folders,
            limit=limit,
            seed=seed,
            how=how,
        )


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
    name: Name = None,
    seed: SplitSeed = 0,
    strict: Strict = False,
    force: Force = False,
    jobs: Jobs = CORES,
) -> None:
    """Any corpus listed in a TSV, CSV or JSONL.

    Audio path and text are needed; id, speaker and split may be there. Columns are found by
    their usual names where no option says.
    """
    from asrbench.stages.prep import table

    with making("table", out, strict=strict, force=force, jobs=jobs) as how:
        table.prepare(
            source,
            out,
            audio_column=audio,
            text_column=text,
            id_column=id,
            speaker_column=speaker,
            split_column=split_column,
            dev=dev,
            split=None if split is None else shares("--split", split),
            seed=seed,
            name=name,
            how=how,
        )


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
    name: Name = None,
    strict: Strict = False,
    force: Force = False,
) -> None:
    """Sentences spoken by eSpeak NG, in noise.

    Korean everyday sentences from a grammar, or sentences of one's own.
    """
    from asrbench.stages.prep import synthetic

    low, high = numbers("--snr", snr, 2, "10/30")
    with making("synthetic", out, strict=strict, force=force) as how:
        synthetic.prepare(
            out,
            hours=hours,
            language=language,
            text=text,
            seed=seed,
            splits=shares("--split", split),
            voices=voices,
            snr_db=(low, high),
            name=name,
            how=how,
        )


prep_app.command("librispeech")(cli_doors.librispeech)
prep_app.command("zeroth")(cli_doors.zeroth)
prep_app.command("commonvoice")(cli_doors.commonvoice)
prep_app.command("kaldi")(cli_doors.kaldi)
prep_app.command("nemo")(cli_doors.nemo)
prep_app.command("lhotse")(cli_doors.lhotse)
