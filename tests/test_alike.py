"""All variants are trained on the same bytes, and only what they are trained on is augmented."""

from pathlib import Path
from typing import Any

import pytest
from tones import CHANCE, cell_of, sets_for, trained

from asrbench.data.corpus import Corpus
from asrbench.training.augmentation import Augmentation
from asrbench.training.step import Trainer

Fed = list[tuple[list[str], list[str], bytes]]
"""The ids, the references and the waveforms of each micro-batch, in their order."""


def test_every_variant_is_fed_the_same_bytes_in_the_same_order(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def noted(self: Trainer, micro_batches: Any, **options: Any) -> Any:
        fed.extend((b.ids, b.references, b.waves_BS.numpy().tobytes()) for b in micro_batches)
        return step(self, micro_batches, **options)

    monkeypatch.setattr(Trainer, "step", noted)
    by_variant: dict[str, Fed] = {}
    for name in ("ds2", "ds2_selfattn", "ds2_crossattn"):
        fed: Fed = []
        trained(cell_of(tmp_path, corpus, "train.epochs=2", *CHANCE, *sets_for(name)), tmp_path)
        by_variant[name] = fed
    first, *others = by_variant.values()
    assert [each == first for each in others] == [True, True]
    epoch, following = first[: len(first) // 2], first[len(first) // 2 :]
    assert sorted(id for ids, _, _ in epoch for id in ids) == Corpus.open(corpus).split("train").ids
    assert epoch != following


def test_training_utterances_alone_are_augmented(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    augmented: list[str] = []
    original = Augmentation._augmented

    def noted(self: Augmentation, epoch: int, wave: Any, id: str) -> Any:
        augmented.append(id)
        return original(self, epoch, wave, id)

    monkeypatch.setattr(Augmentation, "_augmented", noted)
    run = trained(cell_of(tmp_path, corpus, "train.epochs=2", *CHANCE), tmp_path)
    assert all("dev_cer" in row for row in run.history())
    assert sorted(augmented) == sorted(2 * Corpus.open(corpus).split("train").ids)
