"""LibriSpeech as OpenSLR 12 distributes it, 982 hours; Mini LibriSpeech (OpenSLR 31) as well.

    LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt     103-1240-0000 <text>
    LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac     one for each of its lines

The first folder below a subset is the speaker. SPEAKERS.TXT and its like are not needed.
"""

from collections.abc import Sequence
from pathlib import Path

from asrbench.base.errors import UserError, pick
from asrbench.data.corpus import CorpusWriter
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.openslr import chapters
from asrbench.stages.prep.sources import write_utterances

SMALLER = {"dev": ("dev-clean", "dev-clean-2"), "test": ("test-clean",)}
"""What these splits are made of, if it is there and the user names nothing else."""


def prepare(
    source: Path,
    out: Path,
    *,
    train: Sequence[str] = (),
    dev: Sequence[str] = (),
    test: Sequence[str] = (),
    how: How = PLAINLY,
) -> None:
    """Reads the folder LibriSpeech, or the one above it, and leaves a corpus in `out`.

    Each split is made of the subsets named for it. By default train is every train-*, dev is
    dev-clean and test is test-clean. Where train subsets are named, the others are left out; any
    other subset that is there is a split of its own: test-other is `test_other`.

    `raw` is the text as it is; `corpus.json` says what became of each subset. Raises `UserError`,
    leaving nothing behind: there are no subsets, a named one is not there or is wanted in two
    splits, or as `CorpusWriter.create` does.
    """
    inner = source / "LibriSpeech"
    root = inner if inner.is_dir() else source
    there = _subsets(root)
    splits = _choose(there, {"train": train, "dev": dev, "test": test})
    with CorpusWriter.create(
        out,
        name="librispeech",
        recipe="librispeech",
        source=str(source),
        text_profile="verbatim",
        strict=how.strict,
        force=how.force,
    ) as writer:
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
                    for utterance in chapters(root / subset, split, _speaker, writer)
                ]
                for split, subsets in splits.items()
            },
            how,
        )


def _choose(there: list[str], wanted: dict[str, Sequence[str]]) -> dict[str, list[str]]:
    """Split -> the subsets it is made of, none of them in two splits."""
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
    """The split of a subset that nobody named, blank if it is left out."""
    if subset.startswith("train-"):
        return "" if wanted["train"] else "train"
    for split, usual in SMALLER.items():
        if subset in usual and not wanted[split]:
            return split
    return subset.replace("-", "_")


def _subsets(root: Path) -> list[str]:
    found = root.glob("*/*/*/*.trans.txt")
    subsets = sorted({path.relative_to(root).parts[0] for path in found})
    if not subsets:
        raise UserError(
            f"{root}: found no subset of LibriSpeech; SOURCE is the folder 'LibriSpeech' or the "
            f"one above, with train-clean-100/103/1240/103-1240.trans.txt and the like"
        )
    return subsets


def _speaker(chapter: Path) -> str:
    return chapter.parent.name
