"""From a plan of batches to tensors: int16 waveforms, lengths and targets.

Legend: B batch, S samples, U symbols.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asrbench.base.errors import UserError
from asrbench.data.batch_sampler import Batches
from asrbench.data.corpus import Split
from asrbench.data.waveform import Samples
from asrbench.text.tokenizer import Tokenizer

Transform = Callable[[Samples, str], Samples]
"""What happens to a waveform, given the id of its utterance, before it is batched."""


class Batch(NamedTuple):
    ids: list[str]
    references: list[str]
    waves_BS: Tensor
    """int16, zero beyond each utterance's samples."""
    samples_B: Tensor
    targets_BU: Tensor
    """Indices of the tokenizer, 0 beyond each utterance's symbols."""
    target_lengths_B: Tensor
    counts: bool = True
    """False for the dummy batch that a process gets where there are too few utterances for all."""


class _Batched(Dataset[Batch | UserError]):
    """Indexed by a list of utterances: one item is a batch, or what a transform raised instead.

    Raised in a process of the loader, an error would arrive with its traceback for a message.
    """

    def __init__(self, split: Split, tokenizer: Tokenizer, transform: Transform | None) -> None:
        self.split, self.tokenizer, self.transform = split, tokenizer, transform

    def __getitem__(self, indices: list[int]) -> Batch | UserError:
        try:
            return self._batch(indices) if indices else dummy_batch()
        except UserError as error:
            return error

    def _batch(self, indices: list[int]) -> Batch:
        ids = [self.split.ids[i] for i in indices]
        texts = [self.split.texts[i] for i in indices]
        waves = [self.split.audio(i) for i in indices]
        if self.transform is not None:
            waves = [self.transform(wave, id) for wave, id in zip(waves, ids, strict=True)]
        return make_batch(ids, texts, waves, self.tokenizer)


def make_batch(
    ids: list[str], texts: list[str], waves: list[Samples], tokenizer: Tokenizer
) -> Batch:
    """Pads waveforms and targets on the right."""
    targets = [np.asarray(tokenizer.encode(text), dtype=np.int64) for text in texts]
    return Batch(ids, texts, *_padded(waves), *_padded(targets))


def dummy_batch() -> Batch:
    """One utterance of silence, as short as can be: something to do while others have work."""
    nothing_1 = torch.zeros(1, dtype=torch.int64)
    silence_11 = torch.zeros(1, 1, dtype=torch.int16)
    return Batch([""], [""], silence_11, nothing_1, nothing_1[None], nothing_1, counts=False)


def load(
    split: Split,
    tokenizer: Tokenizer,
    plan: Batches,
    *,
    workers: int = 0,
    transform: Transform | None = None,
    pin: bool = False,
) -> Iterator[Batch]:
    """The batches of `plan`, in its order, read ahead by `workers` processes.

    Of an empty one comes a `dummy_batch`. Raises what `transform` does, if it is a `UserError`.
    """
    loader = DataLoader(
        _Batched(split, tokenizer, transform),
        batch_size=None,
        sampler=plan,
        num_workers=workers,
        pin_memory=pin,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _padded(rows: Sequence[npt.NDArray[Any]]) -> tuple[Tensor, Tensor]:
    lengths = [len(row) for row in rows]
    table = np.zeros((len(rows), max(lengths)), dtype=rows[0].dtype)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(table), torch.tensor(lengths)
