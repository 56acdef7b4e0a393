"""`asrbench corpus`: the statistics of a prepared corpus.

`--json` prints the fields of `asrbench.stages.corpus.records.CorpusStatistics` as one document.
`splits` and the `unknown` of a unit are objects by split. Numbers are not rounded. Loudness is in
dBFS, shares are fractions, and unknown values are null.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asrbench.base.errors import UserError
from asrbench.cli.terminal import Terminal, echo, echo_json
from asrbench.cli.terminal_corpus import print_statistics
from asrbench.text.profiles import Side

RECORDINGS = 5000
"""Recordings of each split that are measured by default."""


def corpus(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared corpus.")],
    side: Annotated[
        Side, typer.Option(help="Column of the texts, as text.side of a spec.")
    ] = "text",
    audio: Annotated[
        int, typer.Option("--audio", min=0, help="Recordings to measure in each split.")
    ] = RECORDINGS,
    all_audio: Annotated[
        bool, typer.Option("--all-audio", help="Measure all recordings, which reads all audio.")
    ] = False,
    check_files: Annotated[
        bool,
        typer.Option("--check-files", help="Read every file and compare it with its digest."),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw a picture too: a .png or .svg.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every figure as one JSON document.")
    ] = False,
) -> None:
    """Print the statistics of a prepared corpus.

    Hours and durations, texts, symbols that train does not have, texts and speakers that splits
    share, and the loudness of the recordings. The recordings to measure are evenly spaced over a
    split.
    """
    from asrbench.data.corpus import Corpus
    from asrbench.data.split_reading import read_splits
    from asrbench.stages.corpus.statistics import corpus_statistics

    if plot is not None:
        _check_plot(plot)
    opened = Corpus.open(folder)
    opened.check_files(again=check_files)
    with Terminal(quiet=as_json) as terminal:
        if check_files and not opened.files:
            terminal.say(
                f"{folder}: has no digests of its files, so they cannot be checked; a corpus that "
                f"is prepared again has them"
            )
        readings = read_splits(opened, side, None if all_audio else audio, terminal)
        statistics = corpus_statistics(opened, side, readings)
    if as_json:
        echo_json(json.dumps(asdict(statistics), ensure_ascii=False, indent=2))
    else:
        print_statistics(statistics)
    if plot is not None:
        from asrbench.stages.corpus.picture import draw

        draw(plot, statistics, readings)
        if not as_json:
            echo(f"wrote {plot}")


def _check_plot(path: Path) -> None:
    """Raises `UserError` if `--plot` names a folder or an unknown format."""
    from asrbench.report.plots.corpus import FORMATS

    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--plot: found '{path}', allowed: a name that ends in {' or '.join(FORMATS)}"
        )
    if path.is_dir():
        raise UserError(f"--plot: {path} is a folder; give the name of a file")
