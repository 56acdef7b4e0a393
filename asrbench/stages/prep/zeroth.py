"""Zeroth-Korean as OpenSLR 40 distributes it: 22,263 utterances of 105 speakers, and 457 of 10.

    train_data_01/003/106/106_003.trans.txt     106_003_0001 <text>, a line an utterance
    train_data_01/003/106/106_003_0001.flac

and the same under test_data_01. The folders are the script and the speaker who read it. Speakers
of train read from the same 3,000 sentences: a development set taken from train shares its texts,
though not its speakers, and its CER flatters.
"""

from pathlib import Path

from asrbench.base.errors import UserError
from asrbench.data.corpus import CorpusWriter
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.openslr import chapters
from asrbench.stages.prep.sources import write_utterances
from asrbench.stages.prep.splits import with_dev

SPLITS = {"train": "train_data_01", "test": "test_data_01"}


def prepare(source: Path, out: Path, *, dev: int = 0, seed: int = 0, how: How = PLAINLY) -> None:
    """Reads the folder that zeroth_korean.tar.gz was unpacked in, and leaves a corpus in `out`.

    `dev` > 0 takes about so many utterances from train, whole speakers drawn by `seed`. `raw` is
    the text as it is.

    Raises `UserError`, leaving nothing behind: `source` is no such folder, `dev` is more than
    train has, or as `CorpusWriter.create` does.
    """
    with CorpusWriter.create(
        out,
        name="zeroth",
        recipe="zeroth",
        source=str(source),
        text_profile="verbatim",
        strict=how.strict,
        force=how.force,
    ) as writer:
        splits = {
            split: chapters(_folder(source, name), split, _speaker, writer)
            for split, name in SPLITS.items()
        }
        write_utterances(writer, with_dev(splits, dev, seed), how)


def _folder(source: Path, name: str) -> Path:
    if not (source / name).is_dir():
        raise UserError(
            f"{source / name}: not found; SOURCE is the folder that zeroth_korean.tar.gz was "
            f"unpacked in, with train_data_01/ and test_data_01/"
        )
    return source / name


def _speaker(chapter: Path) -> str:
    return chapter.name
