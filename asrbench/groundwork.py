"""What training stands on: a cell with its corpus, its inventory, its run folder and a device."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from asrbench.data.corpus import Corpus, Split
from asrbench.devices import resolve_device
from asrbench.errors import UserError
from asrbench.objective import frames_needed
from asrbench.ranks import ALONE, Ranks
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
    ranks: Ranks = ALONE


def prepare(cell: Cell, results: Path, ranks: Ranks = ALONE) -> Prepared:
    """Opens what `cell` names. Raises `UserError`, with nothing created."""
    corpus, train, dev, inventory = _opened(Path(cell.corpus), cell.text.unit)
    run = Run.of(results, cell, corpus.fingerprint)
    device = resolve_device(cell.run.device, ranks)
    return Prepared(cell, corpus, train, dev, inventory, run, device, ranks)


def prepare_all(cells: Sequence[Cell], results: Path, ranks: Ranks) -> list[Prepared]:
    """Opens what `cells` name, on every rank.

    Raises `UserError`, on every rank, where one cannot, or where they do not find the same.
    """
    with ranks.together():
        prepared = [prepare(cell, results, ranks) for cell in cells]
    found = ", ".join(f"{each.run.folder.name} on {each.device.type}" for each in prepared)
    first, *others = ranks.gather(found)
    for rank, other in enumerate(others, start=1):
        if other != first:
            raise UserError(
                f"rank {rank}: found the runs {other}, but rank 0 found {first}; "
                f"give every machine the same spec, corpus and kind of device"
            )
    return prepared


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
