"""Edit alignments as sclite makes them, of many utterances of many runs at once.

sclite (NIST SCTK) gives a substitution the cost 4, and a deletion or an insertion the cost 3, so
five substitutions cost more than three insertions and three deletions. Among paths of equal cost
it prefers, from the end of the texts to their beginning, a match or substitution to an insertion,
and an insertion to a deletion. This order decides where errors stand, and with that the segments of
MAPSSWE. kaldialign has the same costs but prefers insertions and then deletions, which moves Z by
up to 0.2 between real runs by character; that is why the alignment is computed here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from asrbench.stats.blocks import Ints

Tokens = Sequence[str]
"""Words, or a text as its characters. Both texts of a pair have the same kind of token."""
Pair = tuple[Tokens, Tokens]

SUBSTITUTION, INDEL = 4, 3
DIAGONAL, DELETION, INSERTION = range(3)
BATCH_CELLS = 2**22
"""Number of cells of the dynamic programming tables that are filled at a time."""
BAND_STEP = 4
FAR = 2**29
"""Cost of a cell that no path leads to."""


@dataclass(frozen=True, eq=False)
class EditAlignment:
    """Errors by their place in the references.

    An utterance of n reference tokens has 2 n + 1 slots: before, at and after each token, in turn.
    A slot at a token holds at most one error; a slot between tokens holds insertions.
    """

    errors_RL: Ints
    utterance_L: Ints
    begin_L: Ints
    """Number of reference tokens, over all utterances, that end before the slot."""
    end_L: Ints
    """Number of reference tokens, over all utterances, that end with the slot or before it."""


def align(references: Sequence[Tokens], runs: Sequence[Sequence[Tokens]]) -> EditAlignment:
    """Aligns the hypotheses of each run with the references.

    Tokens are compared as they are: fold case and normalise them before.
    """
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
    # Number of each slot within its utterance; every second slot is a token.
    slot_L = np.arange(errors_RL.shape[1]) - (ends_U - 2 * lengths_U - 1)[utterance_L]
    before_L = (np.cumsum(lengths_U) - lengths_U)[utterance_L]
    begin_L, end_L = before_L + slot_L // 2, before_L + (slot_L + 1) // 2
    return EditAlignment(errors_RL, utterance_L, begin_L, end_L)


def _hashable(tokens: Tokens) -> Tokens:
    return tokens if isinstance(tokens, str) else tuple(tokens)


def _errors(pairs: list[Pair]) -> Iterator[tuple[Pair, npt.NDArray[np.int64]]]:
    """Yields each pair with the number of errors in each slot of its reference."""
    for band, group in groupby(sorted(pairs, key=_size), key=_band):
        batch: list[Pair] = []
        for pair in group:
            # Pairs are sorted by length, so the reference that was added last is the longest.
            if batch and (len(batch) + 1) * (len(pair[0]) + 1) * (2 * band + 1) > BATCH_CELLS:
                yield from zip(batch, _batch_errors(batch, band), strict=True)
                batch = []
            batch.append(pair)
        yield from zip(batch, _batch_errors(batch, band), strict=True)


def _size(pair: Pair) -> tuple[int, int]:
    return _band(pair), len(pair[0])


def _band(pair: Pair) -> int:
    """Returns the largest offset between the two texts on any best path, rounded up.

    If the pair has d edits at unit costs, the best alignment at sclite's costs is at most 4 d, and
    at most a third of that is insertions, or deletions. Cells outside this band are therefore on no
    best path and decide no tie between best paths.
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
    # There is at least one column, so that the index -1 exists.
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
    """Returns the step that sclite takes back from each cell.

    The first axis counts the reference tokens that are done; the second is `band` plus the number
    of hypothesis tokens done minus the number of reference tokens done.
    """
    (batch, rows), width = reference_BM.shape, 2 * band + 1
    # The batch is the last axis, so that each step below runs over contiguous memory.
    reference_MB = np.ascontiguousarray(reference_BM.T)
    # Padding by `band` in front, and behind as far as the last row needs, lets row m see the
    # columns m to m + width.
    behind = max(0, rows + band - hypothesis_BN.shape[1])
    hypothesis_NB = np.pad(hypothesis_BN.T, ((band, behind), (0, 0)), constant_values=-3)
    # Costs are stored minus the cost of inserting all hypothesis tokens so far. An insertion is
    # then free, and the insertions of a row are its running minimum.
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
