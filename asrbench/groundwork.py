"""What training stands on: a cell with its corpus, its inventory, its run folder and a device."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from asrbench.data.corpus import Corpus, Split
from asrbench.devices import resolve_device
from asrbench.errors import UserError
from asrbench.objective import frames_needed
from asrbench.recogniser import Recogniser
from asrbench.runs import Run
from asrbench.spec import Cell
from asrbench.text import Inventory


@dataclass(frozen=True)
class Prepared:
    """What training needs and does not change."""

    cell: Cell
    corpus: Corpus
    train: Split
    dev: Split
    inventory: Inventory
    run: Run
    device: torch.device


def prepare(cell: Cell, results: Path) -> Prepared:
    """Opens what `cell` names. Raises `UserError`, with nothing created."""
    corpus, train, dev, inventory = _opened(Path(cell.corpus), cell.text.unit)
    run = Run.of(results, cell, corpus.fingerprint)
    return Prepared(cell, corpus, train, dev, inventory, run, resolve_device(cell.run.device))


@lru_cache(maxsize=1)
def _opened(folder: Path, unit: str) -> tuple[Corpus, Split, Split, Inventory]:
    """Kept, because the cells of a study share it and its texts are many."""
    corpus = Corpus.open(folder)
    for name in ("train", "dev"):
        if name not in corpus.split_names:
            found = ", ".join(corpus.split_names)
            raise UserError(
                f"{corpus.folder}: found the splits {found}, but training needs '{name}'; "
                f"prepare it with --dev N or --split"
            )
    train = corpus.split("train")
    return corpus, train, corpus.split("dev"), Inventory.of(unit, train.texts)


def alignable(prepared: Prepared, recogniser: Recogniser) -> tuple[list[int], list[dict[str, Any]]]:
    """Indices of the training utterances that CTC can align, at the fastest speed drawn, and a
    row for each of the others. Raises `UserError` if none can be."""
    split, fastest = prepared.train, max(prepared.cell.augment.speeds)
    samples = (torch.from_numpy(split.samples.copy()) / fastest).floor().long()
    frames = recogniser.model.output_lengths(recogniser.features.frames(samples)).tolist()
    kept, excluded = [], []
    for i, text in enumerate(split.texts):
        needed = frames_needed(prepared.inventory.encode(text))
        if frames[i] >= needed:
            kept.append(i)
        else:
            excluded.append({"id": split.ids[i], "frames": frames[i], "needed": needed})
    if not kept:
        raise UserError(
            f"{prepared.corpus.folder}: no training utterance has the frames CTC needs; "
            f"lower model.front_end.time_stride or features.hop_ms"
        )
    return kept, excluded
