"""`asrbench transcribe`: prints the text of audio files."""

from pathlib import Path
from typing import Annotated

import typer

from asrbench.base.errors import UserError
from asrbench.cli.options import Decode, DecodeSets, Device, Lm, TrustPlugins, decode_sets
from asrbench.cli.terminal import echo


def transcribe(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    files: Annotated[
        list[Path], typer.Argument(help="Audio files: wav, flac, ogg, mp3; any sample rate.")
    ],
    decode: Decode = None,
    lm: Lm = None,
    sets: DecodeSets = None,
    device: Device = "auto",
    trust_plugins: TrustPlugins = False,
) -> None:
    """Print the text of audio files.

    Each file is one line: its path, a tab, its text.
    """
    from asrbench.experiment.run_folder import Run
    from asrbench.stages import evaluate as stage

    runs = Run.find([run])
    if len(runs) > 1:
        raise UserError(f"{run}: found {len(runs)} runs, allowed: one; the first is {runs[0]}")
    changes = decode_sets(sets, lm)
    for path, text in stage.transcribe(
        runs[0], files, decode, device, sets=changes, trust_plugins=trust_plugins
    ):
        echo(f"{path}\t{text}")
