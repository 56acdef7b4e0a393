"""LibriSpeech as OpenSLR 12 distributes it, 982 hours; Mini LibriSpeech (OpenSLR 31) as well.

    LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt     103-1240-0000 <text>
    LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac     one for each of its lines

The first folder below a subset is the speaker. SPEAKERS.TXT and its like are not needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from asrbench.base.errors import UserError, pick
from asrbench.base.folders import folders_below
from asrbench.stages.prep.lists import check_split_name
from asrbench.stages.prep.openslr import read_chapters
from asrbench.stages.prep.recipe import Argument, Option, Preparation, Recipe
from asrbench.stages.prep.sources import write_utterances

SMALLER = {"dev": ("dev-clean", "dev-clean-2"), "test": ("test-clean",)}
"""The subsets of dev and of test, unless the user names others."""


@dataclass(frozen=True)
class Options:
    source: Annotated[Path, Argument("The folder LibriSpeech, or the one above it.")]
    train: Annotated[
        list[str] | None, Option("A subset to train on; may be repeated.", "train-*")
    ] = None
    dev: Annotated[list[str] | None, Option("A subset for dev; may be repeated.", "dev-clean")] = (
        None
    )
    test: Annotated[
        list[str] | None, Option("A subset for test; may be repeated.", "test-clean")
    ] = None


def prepare(options: Options, preparation: Preparation) -> None:
    """Prepares LibriSpeech. Each split is made of the subsets that the options name for it.

    By default train is every train-*, dev is dev-clean and test is test-clean. If train subsets
    are named, the other train subsets are left out. Any other subset in the folder becomes a split
    of its own: test-other becomes `test_other`. `corpus.json` lists the subsets of each split. The
    column `raw` holds the text as distributed.

    Raises `UserError`, leaving nothing behind, if there are no subsets, or if a named subset is
    missing or is named for two splits.
    """
    inner = options.source / "LibriSpeech"
    root = inner if inner.is_dir() else options.source
    there = _subsets(root)
    named = {"train": options.train, "dev": options.dev, "test": options.test}
    splits = _choose(there, {split: subsets or () for split, subsets in named.items()})
    with preparation.new_corpus(name="librispeech", source=str(options.source)) as writer:
        writer.about = {"subsets": splits}
        for subset in there:
            if not any(subset in subsets for subsets in splits.values()):
                writer.leave_out("", "train", "subset not asked for", subset)
        write_utterances(
            writer,
            {
                split: [
                    utterance
                    for subset in subsets
                    for utterance in read_chapters(root / subset, split, _speaker, writer)
                ]
                for split, subsets in splits.items()
            },
            preparation,
        )


def _choose(there: list[str], wanted: dict[str, Sequence[str]]) -> dict[str, list[str]]:
    """Returns the subsets of each split; no subset is in two splits."""
    home: dict[str, str] = {}
    for split, subsets in wanted.items():
        for subset in subsets:
            pick(f"--{split}", subset, there)
            if subset in home:
                raise UserError(f"--{split}: '{subset}' is in {home[subset]} already")
            home[subset] = split
    for subset in there:
        if subset not in home and (split := _default(subset, wanted)):
            home[subset] = split
    return {split: [s for s in there if home.get(s) == split] for split in sorted({*home.values()})}


def _default(subset: str, wanted: dict[str, Sequence[str]]) -> str:
    """Returns the split of a subset that the user did not name, or "" if it is left out."""
    if subset.startswith("train-"):
        return "" if wanted["train"] else "train"
    for split, usual in SMALLER.items():
        if subset in usual and not wanted[split]:
            return split
    return check_split_name(f"{subset}: split", subset.replace("-", "_"))


def _subsets(root: Path) -> list[str]:
    subsets = sorted(
        {
            folder.relative_to(root).parts[0]
            for folder, files in folders_below(root, depth=3)
            if folder.parts[:-3] == root.parts and any(f.endswith(".trans.txt") for f in files)
        }
    )
    if not subsets:
        raise UserError(
            f"{root}: found no subset of LibriSpeech; SOURCE is the folder 'LibriSpeech' or the "
            f"one above, with train-clean-100/103/1240/103-1240.trans.txt and the like"
        )
    return subsets


def _speaker(chapter: Path) -> str:
    return chapter.parent.name


RECIPE = Recipe(
    details="Other subsets become splits of their own: test-other becomes test_other.",
    options=Options,
    prepare=prepare,
)
