"""The independent blocks of a test set: utterances, or speakers with all their utterances.

Errors in utterances of one speaker are correlated, so where speakers are known the bootstrap draws
speakers (block bootstrap; Liu et al. 2019, arXiv:1912.09508).
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asrbench.base.errors import UserError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHUNK = 2**21
"""Number of counts in memory at a time (16 MB)."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """The block of each utterance, and the number of reference symbols in each block."""

    block_U: Ints
    symbols_U: Floats
    """Reference symbols per utterance: characters for a CER, words for a WER."""
    symbols_G: Floats
    """Reference symbols per block."""
    kind: str
    """The kind of block, in the plural: `utterances` or `speakers`."""

    @classmethod
    def of(cls, symbols_U: npt.ArrayLike, speakers_U: Sequence[Hashable] | None = None) -> "Blocks":
        """Makes each speaker a block, or each utterance where `speakers_U` is None.

        Raises `UserError` if the references have no symbol, or if there are fewer than two blocks.
        """
        symbols = np.asarray(symbols_U, dtype=np.float64)
        if speakers_U is None:
            kind, block_U = "utterances", np.arange(len(symbols))
        else:
            numbers = {name: i for i, name in enumerate(dict.fromkeys(speakers_U))}
            kind, block_U = "speakers", np.array([numbers[name] for name in speakers_U], np.int64)
        if block_U.shape != symbols.shape:
            raise ValueError(f"{len(symbols)} utterances, {len(block_U)} speakers of utterances")
        count = len(set(block_U.tolist()))
        if count < 2:
            raise UserError(f"the test set: found {count} of {kind}; an interval needs 2 or more")
        if not symbols.sum():
            raise UserError(
                "the test set: found no symbol in the references, so no rate can be computed"
            )
        symbols_G = np.bincount(block_U, symbols).astype(np.float64)
        return cls(block_U, symbols, symbols_G, kind)

    @property
    def count(self) -> int:
        """Number of blocks, G."""
        return len(self.symbols_G)

    @property
    def utterances(self) -> int:
        return len(self.block_U)

    @property
    def symbols(self) -> float:
        """Number of reference symbols, N: the denominator of every rate."""
        return float(self.symbols_G.sum())

    def summed(self, errors_SU: npt.ArrayLike) -> Floats:
        """Returns errors_SG, the errors of each run in each block. One run may come as errors_U."""
        errors = self.of_utterances(errors_SU)
        return np.stack([np.bincount(self.block_U, run, self.count) for run in errors])

    def of_utterances(self, errors_SU: npt.ArrayLike) -> Floats:
        """Returns errors_SU as an array of two axes. One run may come as errors_U."""
        errors = np.atleast_2d(np.asarray(errors_SU, dtype=np.float64))
        if errors.ndim != 2 or errors.shape[1] != self.utterances or not len(errors):
            raise ValueError(f"errors of shape {errors.shape} for {self.utterances} utterances")
        return errors

    def drawn(self, generator: np.random.Generator, replicates: int) -> Iterator[Floats]:
        """Yields counts_BG, how often each block is in each replicate, a chunk at a time.

        Each replicate draws G blocks with replacement. A replicate without any reference symbol has
        no rate and is drawn again.
        """
        rows = max(1, CHUNK // self.count)
        for start in range(0, replicates, rows):
            counts = self._draw(generator, min(rows, replicates - start))
            while (empty := counts @ self.symbols_G == 0).any():
                counts[empty] = self._draw(generator, int(empty.sum()))
            yield counts

    def _draw(self, generator: np.random.Generator, rows: int) -> Floats:
        chosen = generator.integers(0, self.count, (rows, self.count))
        chosen += self.count * np.arange(rows)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=rows * self.count)
        return counts.reshape(rows, self.count).astype(np.float64)
