"""KoSpeech's preparation of KsponSpeech, which is one of its texts, in a process of its own.

Started as a script this file is that process: what KoSpeech's `dataset/kspon/main.py` does with
`--output_unit character --preprocess_mode phonetic`, its defaults.
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
    if not (checkout / READER).is_file():
        raise UserError(f"--kospeech {checkout}: no checkout of KoSpeech, {READER} is missing")


def volumes_of(tree: Path) -> list[Path]:
    """KsponSpeech_01 to KsponSpeech_05, as far as they are there: what KoSpeech can read.

    It takes every other entry that is called so for one more of them.
    """
    volumes = sorted(path for path in tree.resolve().iterdir() if _VOLUME.fullmatch(path.name))
    if not volumes:
        raise UserError(
            f"{tree}: found no KsponSpeech_01 right in it, where KoSpeech reads; name the folder "
            f"that has it, or leave --kospeech out"
        )
    return volumes


def prepare_texts(checkout: Path, volumes: list[Path], scratch: Path) -> tuple[int, Ended]:
    """How many texts of `volumes` KoSpeech prepared, into a new folder in `scratch`, and how."""
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
