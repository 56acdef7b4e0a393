"""Inspects one trained run on one split, and writes what was seen to its run folder.

inspect.<split>.json                 figures of the split and of the chosen utterances
inspect.<split>.npz                  weights and posteriors of the chosen utterances
inspect.<split>.layers.png           attention by layer (each picture also as .svg)
inspect.<split>.<k>.attention.png    attention maps of the k-th chosen utterance
inspect.<split>.<k>.posteriors.png   its CTC posteriors, with the reference aligned to them
inspect.<split>.<k>.alignment.png    or the alignment alone, where posteriors depend on the text
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asrbench.base.files import atomic, write_json
from asrbench.base.reporting import Reporter
from asrbench.data.corpus import Corpus
from asrbench.experiment.run_folder import Run
from asrbench.recogniser.loading import load_recogniser, open_corpus, split_label
from asrbench.recogniser.recogniser import Recogniser
from asrbench.stages.inspect.attention import choose, inspect_split
from asrbench.stages.inspect.pictures import Pictures, draw
from asrbench.stages.inspect.records import Arrays, Inspection
from asrbench.text.profiles import PROFILES


@dataclass(frozen=True)
class InspectedRun:
    """One run that was inspected, and the files that this left."""

    run: Run
    split: str
    inspection: Inspection
    pictures: Pictures


def inspect_run(
    run: Run,
    splits: Sequence[str],
    ids: Sequence[str],
    count: int,
    weights: str | None,
    device: str,
    reporter: Reporter,
    *,
    corpus: Path | None = None,
    trust_plugins: bool = False,
) -> Iterator[InspectedRun]:
    """Inspects `run` on splits, and writes the figures, arrays and pictures to its run folder.

    Without `splits` they are all evaluation splits of the corpus. `corpus` is its folder, otherwise
    that of the spec; it may be another corpus than the run was trained on. `weights` is the
    checkpoint, otherwise the one that is tested. The chosen utterances are those of `ids`, or else
    `count` of them. Raises `UserError` for a split or an id that the corpus does not have.
    """
    recogniser = load_recogniser(run, device, weights, trust_plugins=trust_plugins)
    inspected = open_corpus(run, recogniser, corpus)
    for split in splits or inspected.evaluation_splits:
        yield _inspect_split(run, recogniser, inspected, split, ids, count, weights, reporter)


def _inspect_split(
    run: Run,
    recogniser: Recogniser,
    corpus: Corpus,
    corpus_split: str,
    ids: Sequence[str],
    count: int,
    weights: str | None,
    reporter: Reporter,
) -> InspectedRun:
    split = corpus.split(corpus_split)
    split = split.on(PROFILES[run.cell.score.profile].side_among(split.sides))
    chosen = choose(split, ids, count, f"{corpus.folder}, {corpus_split}: --utterance")
    split_name = split_label(corpus_split, corpus, recogniser)
    inspection = inspect_split(recogniser, split, chosen, reporter)
    earlier = _earlier_pictures(run, split_name)
    _write_arrays(run.inspect_path(split_name, "npz"), inspection.arrays)
    pictures = draw(run, split_name, inspection)
    # The JSON is written last, because it names the pictures.
    document = inspection.plain(
        split=split_name,
        checkpoint=weights or run.rule,
        side=split.side,
        pictures=[path.name for path in pictures.layers],
        utterance_pictures=[[path.name for path in each] for each in pictures.utterances],
    )
    write_json(run.inspect_path(split_name), document)
    for path in earlier - pictures.paths:
        path.unlink(missing_ok=True)  # one that a kill left half written has been swept away
    return InspectedRun(run, split_name, inspection, pictures)


def _earlier_pictures(run: Run, split: str) -> set[Path]:
    """The pictures of an earlier inspection of the same split."""
    # A wider pattern would match another split, such as `test.clean` beside `test`.
    kinds = ("attention", "posteriors", "alignment")
    patterns = ["layers.*", *(f"[0-9]*.{kind}.*" for kind in kinds)]
    return {path for each in patterns for path in run.folder.glob(f"inspect.{split}.{each}")}


def _write_arrays(path: Path, arrays: Arrays) -> None:
    by_name: dict[str, Any] = dict(arrays)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **by_name)
