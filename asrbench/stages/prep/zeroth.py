"""Zeroth-Korean as OpenSLR 40 distributes it: 22,263 utterances of 105 speakers, and 457 of 10.

    train_data_01/003/106/106_003.trans.txt     106_003_0001 <text>, a line an utterance
    train_data_01/003/106/106_003_0001.flac

and the same under test_data_01. The folders are the script and the speaker who read it. All
speakers of train read from the same 3,000 sentences. A development set that is taken from train
therefore shares its texts, though not its speakers, and its CER is too low.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from asrbench.base.errors import UserError
from asrbench.stages.prep.openslr import read_chapters
from asrbench.stages.prep.recipe import Argument, Preparation, Recipe, SplitSeed, TakeDev
from asrbench.stages.prep.sources import write_utterances
from asrbench.stages.prep.splits import with_dev

SPLITS = {"train": "train_data_01", "test": "test_data_01"}


@dataclass(frozen=True)
class Options:
    source: Annotated[Path, Argument("The folder with train_data_01, test_data_01.")]
    dev: TakeDev = 1000
    seed: SplitSeed = 0


def prepare(options: Options, preparation: Preparation) -> None:
    """Prepares Zeroth-Korean. `options.dev` > 0 takes about that many utterances from train.

    The column `raw` holds the text as distributed.
    """
    with preparation.new_corpus(name="zeroth", source=str(options.source)) as writer:
        splits = {
            split: read_chapters(_folder(options.source, name), split, _speaker, writer)
            for split, name in SPLITS.items()
        }
        write_utterances(writer, with_dev(splits, options.dev, options.seed), preparation)


def _folder(source: Path, name: str) -> Path:
    if not (source / name).is_dir():
        raise UserError(
            f"{source / name}: not found; SOURCE is the folder that zeroth_korean.tar.gz was "
            f"unpacked in, with train_data_01/ and test_data_01/"
        )
    return source / name


def _speaker(chapter: Path) -> str:
    return chapter.name


RECIPE = Recipe(
    details="All speakers of train read from the same sentences, and so do those of dev.",
    options=Options,
    prepare=prepare,
)
