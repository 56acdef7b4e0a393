"""The sentences of a synthetic corpus: from the Korean grammar, or from a file of the user."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrbench.base.errors import UserError
from asrbench.base.files import read_utf8
from asrbench.stages.prep.sentences import sentences
from asrbench.stages.prep.splits import SPLITS, Fractions
from asrbench.text.normal_form import normalise


@dataclass(frozen=True)
class SentenceSource:
    """The sentences of every split; no sentence is in two splits."""

    of: Callable[[str], Iterator[str]]
    """Returns a new iterator over the distinct sentences of a split."""
    repeated: Sequence[str] = ()
    """The lines of the user's file that repeat an earlier line, as `line 4`."""


def grammar_sentences(language: str, seed: int, shares: Fractions) -> SentenceSource:
    """Returns the sentences of the Korean grammar, assigned to splits by a hash.

    Raises `UserError` for another language.
    """
    if language != "ko":
        raise UserError(
            f"language: found '{language}', but the built-in sentences are Korean; give your own, "
            f"one a line, with --text FILE"
        )
    bounds = np.cumsum(shares)

    def split_of(sentence: str) -> str:
        digest = hashlib.sha256(f"{seed} {sentence}".encode()).digest()
        place = int.from_bytes(digest[:6], "big") / 2**48
        return SPLITS[min(int(np.searchsorted(bounds, place, side="right")), len(SPLITS) - 1)]

    return SentenceSource(lambda split: (s for s in sentences(seed) if split_of(s) == split))


def file_sentences(path: Path, seed: int, shares: Fractions) -> SentenceSource:
    """Returns the lines of `path`, shuffled and cut by `shares`, at least one for each split.

    Raises `UserError` if the file cannot be read or has fewer distinct sentences than splits.
    """
    texts: dict[str, None] = {}
    repeated = []
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        sentence = normalise(line)
        if sentence in texts:
            repeated.append(f"line {number}")
        elif sentence:
            texts[sentence] = None
    if len(texts) < len(SPLITS):
        raise UserError(
            f"{path}: found {len(texts)} distinct sentences, allowed: {len(SPLITS)} or more, one "
            f"for each of {', '.join(SPLITS)}"
        )
    order = np.random.default_rng((seed, len(SPLITS))).permutation(len(texts))
    shuffled = [list(texts)[i] for i in order]
    dev, test = (max(1, round(len(texts) * share)) for share in shares[1:])
    dev, test = (min(n, max(1, (len(texts) - 1) // 2)) for n in (dev, test))
    parts = {
        "dev": shuffled[:dev],
        "test": shuffled[dev : dev + test],
        "train": shuffled[dev + test :],
    }
    return SentenceSource(lambda split: iter(parts[split]), repeated)
