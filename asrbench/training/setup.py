"""The training set-up: a cell with its corpus, tokenizer, augmentation, run folder and device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from asrbench.base.distributed import ALONE, Ranks
from asrbench.base.errors import UserError
from asrbench.data.corpus import Corpus, Split
from asrbench.data.folds import CorpusFold
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell, FoldSpec, TextSpec
from asrbench.recogniser.devices import resolve_device
from asrbench.recogniser.recogniser import Recogniser
from asrbench.text.profiles import PROFILES, Side
from asrbench.text.tokenizer import Tokenizer
from asrbench.training import initial_weights
from asrbench.training.augmentation import Augmentation
from asrbench.training.freezing import freeze

CACHED = 10
"""Corpora and folds that stay open while the runs of a study are set up."""


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that training reads and does not change."""

    cell: Cell
    corpus: Corpus
    train: Split
    """The training split, or `train.share` of it, with the texts of `text.side`."""
    dev: Split
    """The development split, with the texts that the scoring profile takes as references."""
    tokenizer: Tokenizer
    augmentation: Augmentation
    run: Run
    device: torch.device
    ranks: Ranks = ALONE


def set_up(
    cell: Cell, results: Path, ranks: Ranks = ALONE, tokenizer: Tokenizer | None = None
) -> TrainingSetup:
    """Opens the corpus, the sounds, the weights and the device that `cell` names.

    A run that has weights keeps their tokenizer; a new run takes `tokenizer` or, without it, learns
    one from the training texts. Creates no files. Raises `UserError` for anything that cannot be
    opened, for starting weights that do not fit, and for modules that cannot be frozen.
    """
    folder = Path(cell.corpus)
    share = cell.train.share
    corpus, train, dev = _opened(folder, cell.text.side, cell.fold, share)
    augmentation = Augmentation.open(cell.augment, cell.seed)

    def run_of(cell: Cell) -> Run:
        return Run.of(results, cell, corpus.fingerprint, *augmentation.fingerprints)

    cell = initial_weights.resolved(cell, run_of)
    run = run_of(cell)
    device = resolve_device(cell.run.device, ranks)
    tokenizer = (
        Recogniser.tokenizer_of(run.weights_path("last"))
        or tokenizer
        or learned_tokenizer(folder, corpus.fingerprint, cell.text, cell.fold, share)
    )
    if cell.train.freeze:
        freeze(initial_weights.outline(cell, len(tokenizer)), cell.train.freeze)
    if not initial_weights.has_begun(run):
        initial_weights.check(cell, tokenizer)
    dev = dev.on(PROFILES[cell.score.profile].side_among(dev.sides))
    return TrainingSetup(cell, corpus, train, dev, tokenizer, augmentation, run, device, ranks)


def set_up_all(cells: Sequence[Cell], results: Path, ranks: Ranks) -> list[TrainingSetup]:
    """Returns the set-ups of `cells`, on every rank.

    Raises `UserError`, on every rank, if a rank cannot open one, or if the ranks find different
    corpora, sounds or devices.
    """
    with ranks.errors_shared():
        setups = [set_up(cell, results, ranks) for cell in cells]
    found = ", ".join(f"{each.run.folder.name} on {each.device.type}" for each in setups)
    first, *others = ranks.gather(found)
    for rank, other in enumerate(others, start=1):
        if other != first:
            raise UserError(
                f"rank {rank}: found the runs {other}, but rank 0 found {first}; "
                f"give every machine the same spec, corpus, sounds and kind of device"
            )
    # Only the main rank may have the run folder, with the tokenizer of a run that resumes.
    tokenizers = ranks.broadcast([each.tokenizer for each in setups])
    return [replace(each, tokenizer=t) for each, t in zip(setups, tokenizers, strict=True)]


@lru_cache(maxsize=CACHED)
def _opened(
    folder: Path, side: Side, fold: FoldSpec | None, share: float
) -> tuple[Corpus, Split, Split]:
    """Returns the corpus, or a fold of it, with a share of its training split, and its dev split.

    Cached, because the cells of a study share them and reading all texts takes time.
    """
    corpus = Corpus.open(folder)
    for name in ("train", "dev"):
        if name not in corpus.split_names:
            found = ", ".join(corpus.split_names)
            raise UserError(
                f"{corpus.folder}: found the splits {found}, but training needs '{name}'; "
                f"prepare it with --dev N or --split"
            )
    if fold is not None:
        corpus = CorpusFold.of(corpus, fold.index, fold.of)
    train = corpus.split("train").part(share)
    if side not in train.sides:
        raise UserError(
            f"text.side: found '{side}', allowed: {', '.join(train.sides)}, the sides that every "
            f"training utterance of {corpus.folder} has"
        )
    return corpus, train.on(side), corpus.split("dev")


@lru_cache(maxsize=CACHED)
def learned_tokenizer(
    folder: Path,
    fingerprint: str,
    text: TextSpec,
    fold: FoldSpec | None = None,
    share: float = 1.0,
) -> Tokenizer:
    """Returns the tokenizer of the training texts, cached because learning subwords takes long."""
    _, train, _ = _opened(folder, text.side, fold, share)
    return Tokenizer.of(text.unit, train.texts, text.vocabulary)


def trainable(
    setup: TrainingSetup, recogniser: Recogniser
) -> tuple[list[int], list[dict[str, Any]]]:
    """Returns the indices of the training utterances that have as many frames as their text needs.

    Also returns a row for each of the other utterances, with its id, its frames and the frames
    needed. Frames are counted at the fastest speed of `augment.speeds`. Raises `UserError` if no
    utterance has enough.
    """
    split, fastest = setup.train, max(setup.cell.augment.speeds)
    samples = (torch.from_numpy(split.samples.copy()) / fastest).floor().long()
    model = recogniser.model
    frames = model.encoder.lengths(recogniser.features.frames(samples)).tolist()
    kept, excluded = [], []
    for i, text in enumerate(split.texts):
        needed = model.head.frames_needed(setup.tokenizer.encode(text))
        if frames[i] >= needed:
            kept.append(i)
        else:
            excluded.append({"id": split.ids[i], "frames": frames[i], "needed": needed})
    if not kept:
        raise UserError(
            f"{setup.corpus.folder}: no training utterance has the frames that its text needs; "
            f"lower features.hop_ms or the time stride of the encoder"
        )
    return kept, excluded
