"""What training stands on: a cell with its corpus, its tokenizer, its run folder and a device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from asrbench.base.distributed import ALONE, Ranks
from asrbench.base.errors import UserError
from asrbench.data.corpus import Corpus, Split
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec import Cell, TextSpec
from asrbench.models.objective import frames_needed
from asrbench.recogniser.devices import resolve_device
from asrbench.recogniser.recogniser import Recogniser
from asrbench.text.profiles import PROFILES, Side
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.augmentation import Augmentation


@dataclass(frozen=True)
class TrainingSetup:
    """What training needs and does not change."""

    cell: Cell
    corpus: Corpus
    train: Split
    """Its texts are those of `text.side`."""
    dev: Split
    """Its texts are what the scoring profile holds hypotheses against."""
    tokenizer: Tokenizer
    augmentation: Augmentation
    run: Run
    device: torch.device
    ranks: Ranks = ALONE


def set_up(
    cell: Cell, results: Path, ranks: Ranks = ALONE, tokenizer: Tokenizer | None = None
) -> TrainingSetup:
    """Opens what `cell` names. Raises `UserError`, with nothing created.

    A run that has weights keeps their tokenizer; another takes `tokenizer`, or one of its texts.
    """
    folder = Path(cell.corpus)
    corpus, train, dev = _opened(folder, cell.text.side)
    augmentation = Augmentation.open(cell.augment, cell.seed)
    run = Run.of(results, cell, corpus.fingerprint, *augmentation.fingerprints)
    device = resolve_device(cell.run.device, ranks)
    tokenizer = (
        Recogniser.tokenizer_of(run.weights_path("last"))
        or tokenizer
        or _tokenizer(folder, corpus.fingerprint, cell.text)
    )
    dev = dev.on(PROFILES[cell.score.profile].side_among(dev.sides))
    return TrainingSetup(cell, corpus, train, dev, tokenizer, augmentation, run, device, ranks)


def set_up_all(cells: Sequence[Cell], results: Path, ranks: Ranks) -> list[TrainingSetup]:
    """Opens what `cells` name, on every rank.

    Raises `UserError`, on every rank, where one cannot, or where they do not find the same.
    """
    with ranks.errors_shared():
        setup = [set_up(cell, results, ranks) for cell in cells]
    found = ", ".join(f"{each.run.folder.name} on {each.device.type}" for each in setup)
    first, *others = ranks.gather(found)
    for rank, other in enumerate(others, start=1):
        if other != first:
            raise UserError(
                f"rank {rank}: found the runs {other}, but rank 0 found {first}; "
                f"give every machine the same spec, corpus, sounds and kind of device"
            )
    # The first rank alone has the run folder, and with it the tokenizer of a run that goes on.
    tokenizers = ranks.broadcast([each.tokenizer for each in setup])
    return [replace(each, tokenizer=i) for each, i in zip(setup, tokenizers, strict=True)]


@lru_cache(maxsize=1)
def _opened(folder: Path, side: Side) -> tuple[Corpus, Split, Split]:
    """Kept, because the cells of a study share it and its texts are many."""
    corpus = Corpus.open(folder)
    for name in ("train", "dev"):
        if name not in corpus.split_names:
            found = ", ".join(corpus.split_names)
            raise UserError(
                f"{corpus.folder}: found the splits {found}, but training needs '{name}'; "
                f"set_up it with --dev N or --split"
            )
    train = corpus.split("train")
    if side not in train.sides:
        raise UserError(
            f"text.side: found '{side}', allowed: {', '.join(train.sides)}, the texts that "
            f"{corpus.folder} has of every training utterance"
        )
    return corpus, train.on(side), corpus.split("dev")


@lru_cache(maxsize=8)
def _tokenizer(folder: Path, fingerprint: str, text: TextSpec) -> Tokenizer:
    """Of the training texts. Kept, because to learn pieces takes its time."""
    _, train, _ = _opened(folder, text.side)
    return Tokenizer.of(text.unit, train.texts, text.vocabulary)


def alignable(
    setup: TrainingSetup, recogniser: Recogniser
) -> tuple[list[int], list[dict[str, Any]]]:
    """Indices of the training utterances that CTC can align, at the fastest speed drawn, and a
    row for each of the others. Raises `UserError` if none can be."""
    split, fastest = setup.train, max(setup.cell.augment.speeds)
    samples = (torch.from_numpy(split.samples.copy()) / fastest).floor().long()
    frames = recogniser.model.output_lengths(recogniser.features.frames(samples)).tolist()
    kept, excluded = [], []
    for i, text in enumerate(split.texts):
        needed = frames_needed(setup.tokenizer.encode(text))
        if frames[i] >= needed:
            kept.append(i)
        else:
            excluded.append({"id": split.ids[i], "frames": frames[i], "needed": needed})
    if not kept:
        raise UserError(
            f"{setup.corpus.folder}: no training utterance has the frames CTC needs; "
            f"lower model.front_end.time_stride or features.hop_ms"
        )
    return kept, excluded
