"""Alignment as sclite makes it, of many utterances of many runs at once.

sclite (NIST SCTK) weighs a substitution 4, a deletion and an insertion 3 each, so five
substitutions give way to three insertions and three deletions. Of equal paths, from the end to
the beginning, it prefers a match or substitution to an insertion and that to a deletion. The
order decides where errors stand, and so the segments of MAPSSWE: kaldialign, which has the same
weights, prefers insertions, then deletions, which moves Z by up to 0.2 between real runs by
character; hence one of our own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from asrbench.stats.blocks import Ints

Tokens = Sequence[str]
"""Words, or a text as its characters: both sides of a pair alike."""
Pair = tuple[Tokens, Tokens]

SUBSTITUTION, INDEL = 4, 3
DIAGONAL, DELETION, INSERTION = range(3)
BATCH_CELLS = 2**22
"""Cells of the tables that are filled at a time."""
BAND_STEP = 4
FAR = 2**29
"""Cost of a cell that nothing leads to."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """Errors by their place. An utterance of n reference tokens has 2 n + 1 slots: before, at and
    after each token, in turn. At a token there is at most one error, between them are insertions.
    """

    errors_RL: Ints
    utterance_L: Ints
    begin_L: Ints
    """Reference tokens of all utterances that end before the slot."""
    end_L: Ints
    """Those that end with it or before."""


def align(references: Sequence[Tokens], runs: Sequence[Sequence[Tokens]]) -> Alignment:
    """Aligns the hypotheses of each run with the references. Tokens are alike or they are not:
    fold case and normalise before."""
    lengths_U = np.array([len(reference) for reference in references], dtype=np.int64)
    ends_U = np.cumsum(2 * lengths_U + 1)
    places = dict[Pair, list[tuple[int, int]]]()
    for r, hypotheses in enumerate(runs):
        for u, pair in enumerate(zip(references, hypotheses, strict=True)):
            if pair[0] != pair[1]:
                places.setdefault((_hashable(pair[0]), _hashable(pair[1])), []).append((r, u))
    errors_RL = np.zeros((len(runs), ends_U[-1] if len(ends_U) else 0), dtype=np.int64)
    for pair, errors in _errors(list(places)):
        for r, u in places[pair]:
            errors_RL[r, ends_U[u] - len(errors) : ends_U[u]] = errors
    utterance_L = np.repeat(np.arange(len(lengths_U)), 2 * lengths_U + 1)
    # Slots of earlier utterances and in this one: of these every second is a token.
    slot_L = np.arange(errors_RL.shape[1]) - (ends_U - 2 * lengths_U - 1)[utterance_L]
    before_L = (np.cumsum(lengths_U) - lengths_U)[utterance_L]
    begin_L, end_L = before_L + slot_L // 2, before_L + (slot_L + 1) // 2
    return Alignment(errors_RL, utterance_L, begin_L, end_L)


def _hashable(tokens: Tokens) -> Tokens:
    return tokens if isinstance(tokens, str) else tuple(tokens)


def _errors(pairs: list[Pair]) -> Iterator[tuple[Pair, npt.NDArray[np.int64]]]:
    """Each pair and the errors in the slots of its reference."""
    for band, group in groupby(sorted(pairs, key=_size), key=_band):
        batch: list[Pair] = []
        for pair in group:
            # The reference that was last added is the longest.
            if batch and (len(batch) + 1) * (len(pair[0]) + 1) * (2 * band + 1) > BATCH_CELLS:
                yield from zip(batch, _batch_errors(batch, band), strict=True)
                batch = []
            batch.append(pair)
        yield from zip(batch, _batch_errors(batch, band), strict=True)


def _size(pair: Pair) -> tuple[int, int]:
    return _band(pair), len(pair[0])


def _band(pair: Pair) -> int:
    """By how many tokens the two sides may be apart on the way, at most, rounded up.

    With d edits at unit weights no alignment that is best at sclite's costs more than 4 d, and it
    has no more than a third of that in insertions, or in deletions. What leads out of the band so
    is on no best path, and settles no tie between them.
    """
    most = SUBSTITUTION * Levenshtein.distance(*pair) // INDEL
    return -(-most // BAND_STEP) * BAND_STEP


def _batch_errors(pairs: list[Pair], band: int) -> list[npt.NDArray[np.int64]]:
    codes: dict[str, int] = {}
    reference_BM, rows_B = _padded([pair[0] for pair in pairs], codes, -1)
    hypothesis_BN, columns_B = _padded([pair[1] for pair in pairs], codes, -2)
    steps_MKB = _steps(reference_BM, hypothesis_BN, band)
    errors_BL = np.zeros((len(pairs), 2 * reference_BM.shape[1] + 1), dtype=np.int64)
    m, n, b = rows_B.copy(), columns_B.copy(), np.arange(len(pairs))
    while len(b):
        step = np.where(n == 0, DELETION, steps_MKB[m, n - m + band, b])
        here = step == INSERTION
        errors_BL[b[here], 2 * m[here]] += 1
        token = ~here
        same = reference_BM[b, m - 1] == hypothesis_BN[b, n - 1]
        wrong = token & ~(same & (step == DIAGONAL))
        errors_BL[b[wrong], 2 * m[wrong] - 1] = 1
        m = m - token
        n = n - (step != DELETION)
        left = (m > 0) | (n > 0)
        m, n, b = m[left], n[left], b[left]
    return [errors_BL[i, : 2 * rows + 1] for i, rows in enumerate(rows_B)]


def _padded(
    sequences: list[Tokens], codes: dict[str, int], padding: int
) -> tuple[npt.NDArray[np.int32], Ints]:
    lengths = np.array([len(tokens) for tokens in sequences])
    # A column at least, so that looking before the beginning finds one.
    out = np.full((len(sequences), max(1, lengths.max())), padding, dtype=np.int32)
    for row, tokens in zip(out, sequences, strict=True):
        row[: len(tokens)] = _coded(tokens, codes)
    return out, lengths


def _coded(tokens: Tokens, codes: dict[str, int]) -> npt.ArrayLike:
    if isinstance(tokens, str):
        return np.frombuffer(tokens.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return [codes.setdefault(token, len(codes)) for token in tokens]


def _steps(
    reference_BM: npt.NDArray[np.int32], hypothesis_BN: npt.NDArray[np.int32], band: int
) -> npt.NDArray[np.uint8]:
    """The step that sclite takes back from each cell, by reference tokens done and by how many
    hypothesis tokens are done beyond those, plus `band`."""
    (batch, rows), width = reference_BM.shape, 2 * band + 1
    # The batch runs along the last axis, so that each step below is one over contiguous memory.
    reference_MB = np.ascontiguousarray(reference_BM.T)
    # With `band` before and as much behind as the last row reaches, row m sees m to m + width.
    behind = max(0, rows + band - hypothesis_BN.shape[1])
    hypothesis_NB = np.pad(hypothesis_BN.T, ((band, behind), (0, 0)), constant_values=-3)
    # Costs less those of inserting all hypothesis tokens so far, so that an insertion is free and
    # a row's insertions are its running minimum.
    cost_KB = np.full((width, batch), FAR, dtype=np.int32)
    cost_KB[band:] = 0
    steps_MKB = np.full((rows + 1, width, batch), INSERTION, dtype=np.uint8)
    deletion_KB = np.full_like(cost_KB, FAR)
    for m in range(rows):
        differs_KB = reference_MB[m] != hypothesis_NB[m : m + width]
        diagonal_KB = cost_KB + differs_KB * np.int32(SUBSTITUTION) - np.int32(INDEL)
        np.add(cost_KB[1:], np.int32(INDEL), out=deletion_KB[:-1])
        np.minimum(diagonal_KB, deletion_KB, out=cost_KB)
        np.minimum.accumulate(cost_KB, axis=0, out=cost_KB)
        steps_KB = steps_MKB[m + 1]
        np.greater(diagonal_KB, deletion_KB, out=steps_KB, casting="unsafe")
        inserts_KB = (cost_KB[:-1] <= deletion_KB[1:]) & (cost_KB[:-1] < diagonal_KB[1:])
        steps_KB[1:][inserts_KB] = INSERTION
    return steps_MKB
