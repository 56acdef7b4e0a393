"""Runs KoSpeech's preparation of KsponSpeech, which covers its texts only, in a new process.

Started as a script, this file is that process. It does what KoSpeech's `dataset/kspon/main.py` does
with its defaults, `--output_unit character --preprocess_mode phonetic`.
"""

import re
import sys
from importlib import import_module
from pathlib import Path

from child import Ended, run_apart

from asrbench.base.errors import UserError

PROGRAM = Path("dataset") / "kspon"
READER = PROGRAM / "preprocess" / "preprocess.py"

_VOLUME = re.compile(r"KsponSpeech_\d\d")


def check(checkout: Path) -> None:
    """Raises `UserError` if `checkout` is not a checkout of KoSpeech."""
    if not (checkout / READER).is_file():
        raise UserError(f"--kospeech {checkout}: not a checkout of KoSpeech; {READER} is missing")


def volumes_of(tree: Path) -> list[Path]:
    """Returns the folders KsponSpeech_01 to KsponSpeech_05 that exist in `tree`.

    They are linked into a folder of their own, because KoSpeech reads every entry whose name begins
    with KsponSpeech.
    """
    volumes = sorted(path for path in tree.resolve().iterdir() if _VOLUME.fullmatch(path.name))
    if not volumes:
        raise UserError(
            f"{tree}: found no KsponSpeech_01 at its top level, where KoSpeech looks; name the "
            f"folder that has it, or leave out --kospeech"
        )
    return volumes


def prepare_texts(checkout: Path, volumes: list[Path], scratch: Path) -> tuple[int, Ended]:
    """Runs KoSpeech on the texts of `volumes`, with a new folder in `scratch` for its output.

    Returns the number of texts that it prepared, and how its process ended.
    """
    tree, out = scratch / "volumes", scratch / "kospeech"
    tree.mkdir()
    out.mkdir()
    for volume in volumes:
        (tree / volume.name).symlink_to(volume)
    program = str((checkout / PROGRAM).resolve())
    ended = run_apart([sys.executable, str(Path(__file__).resolve()), program, str(tree)], out)
    if ended.status:
        raise UserError(f"--kospeech {checkout}: its preparation failed: {ended.last_line}")
    return int(ended.last_line), ended


def _prepare(program: str, tree: str) -> None:
    sys.path.insert(0, program)
    audio_paths, transcripts = import_module("preprocess.preprocess").preprocess(tree, "phonetic")
    character = import_module("preprocess.character")
    character.generate_character_labels(transcripts, ".")
    character.generate_character_script(audio_paths, transcripts, ".")
    print(len(transcripts))


if __name__ == "__main__":
    _prepare(*sys.argv[1:])
