"""The loader, which turns lists of utterances into batches of tensors.

Legend: B batch, S samples, U symbols.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asrbench.base.errors import UserError
from asrbench.base.process_map import available
from asrbench.base.signals import STOP_SIGNALS, end_with_parent
from asrbench.data.batch_sampler import Batches
from asrbench.data.corpus import Split
from asrbench.data.waveform import Samples
from asrbench.text.tokenizer import Tokenizer

Transform = Callable[[Samples, str], Samples]
"""A function from a waveform and its utterance id to the waveform that enters the batch."""


class Batch(NamedTuple):
    """Some utterances as padded tensors: waveforms, targets and their lengths."""

    ids: list[str]
    references: list[str]
    waves_BS: Tensor
    """int16 waveforms, zero beyond each utterance's samples."""
    samples_B: Tensor
    targets_BU: Tensor
    """The tokenizer's indices, 0 beyond each utterance's symbols."""
    target_lengths_B: Tensor
    counts: bool = True
    """False for a dummy batch, which a rank gets where there are fewer utterances than ranks."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Has a batch travel between processes as bytes in a pipe.

        By default torch puts its tensors into shared memory (/dev/shm), of which a container often
        has 64 MB. A batch that finds no room there is lost, and training waits for it for ever.
        """
        return _from_arrays, tuple(
            part.numpy() if isinstance(part, Tensor) else part for part in self
        )


def _from_arrays(*parts: Any) -> Batch:
    """Returns the batch of `Batch.__reduce__`."""
    return Batch._make(
        torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in parts
    )


class _Batched(Dataset[Batch | UserError]):
    """A data set indexed by lists of utterances; an item is a batch, or the error of a transform.

    Errors are returned, not raised, because a worker process of the loader would replace their
    message by a traceback.
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
    """Returns a batch of the utterances, with waveforms and targets padded on the right."""
    targets = [np.asarray(tokenizer.encode(text), dtype=np.int64) for text in texts]
    return Batch(ids, texts, *_padded(waves), *_padded(targets))


def dummy_batch() -> Batch:
    """Returns a batch of one silent sample, for a rank without utterances to stay in step."""
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
    """Yields the batches of `plan`, in its order, read ahead by `workers` processes.

    There are at most as many processes as batches and as cores that this process may use. An empty
    list of utterances gives a `dummy_batch`. Raises the `UserError`s of `transform`. A process that
    dies is a `RuntimeError` that torch raises in whatever this process does at that moment.
    """
    loader = DataLoader(
        _Batched(split, tokenizer, transform),
        batch_size=None,
        sampler=plan,
        num_workers=min(workers, available(), len(plan)),
        pin_memory=pin,
        worker_init_fn=_begin_worker,
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _begin_worker(number: int) -> None:
    """Separates a process of the loader from the signals that stop training.

    Training finishes its batch after Ctrl-C, for which it needs this process. The process inherits
    the handlers of training, with which SIGTERM would not end it.
    """
    if sys.platform != "win32":
        os.setpgid(0, 0)
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    end_with_parent(signal.SIGKILL, os.getppid())


def _padded(rows: Sequence[npt.NDArray[Any]]) -> tuple[Tensor, Tensor]:
    lengths = [len(row) for row in rows]
    table = np.zeros((len(rows), max(lengths)), dtype=rows[0].dtype)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(table), torch.tensor(lengths)
