"""Folds of a corpus for cross-validation: each utterance is tested once, by a model without it.

The folds depend on the corpus and on their number alone, so every variant and seed has the same.
docs/folds.md explains them.
"""

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from asrbench.base.errors import UserError, pick
from asrbench.base.formatting import counted
from asrbench.base.records import field_values
from asrbench.data.corpus import Corpus, Rows, Split

TRAIN, DEV, TEST = SPLITS = ("train", "dev", "test")
"""The splits of a corpus fold."""


@dataclass(frozen=True, kw_only=True)
class CorpusFold(Corpus):
    """A corpus whose `test` is one fold of all its utterances, and whose other splits are the rest.

    The fingerprint is that of the whole corpus.
    """

    corpus: Corpus
    """The corpus that the fold is of."""
    rows: Mapping[str, Rows]
    """The rows of each split in `whole`."""

    @classmethod
    def of(cls, corpus: Corpus, index: int, count: int) -> "CorpusFold":
        """Returns fold `index`, counted from 1, of the `count` folds of `corpus`.

        A fold has whole speakers if the speaker of every utterance is known, otherwise single
        utterances. `dev` is drawn from the rest in the same way, with about the share that the
        corpus' own dev split has in train and dev together.

        Raises `UserError` if the corpus has no train or dev split, or too few speakers.
        """
        whole = corpus.whole
        speakers = whole.column("speaker")
        kind = "utterance" if None in speakers else "speaker"
        groups = whole.ids if None in speakers else speakers
        samples: Counter[str] = Counter()
        for group, length in zip(groups, whole.samples.tolist(), strict=True):
            samples[group] += length
        folds = partition(samples, count)
        if not all(folds) or min(len(samples) - len(fold) for fold in folds) < 2:
            raise UserError(
                f"{corpus.folder}: found {counted(len(samples), kind)}, which cannot be divided "
                f"into {count} folds: each needs at least one, and has to leave two for train and "
                f"dev"
            )
        test = dict.fromkeys(folds[index - 1], TEST)
        rest = {group: length for group, length in samples.items() if group not in test}
        split_of = dict.fromkeys(rest, TRAIN) | dict.fromkeys(_dev_of(rest, corpus), DEV) | test
        names = np.array([split_of[group] for group in groups])
        rows = {name: np.flatnonzero(names == name) for name in SPLITS}
        return cls(**field_values(corpus) | {"split_names": list(SPLITS)}, corpus=corpus, rows=rows)

    @property
    def whole(self) -> Split:
        """The utterances of all splits of the corpus."""
        return self.corpus.whole

    def split(self, name: str) -> Split:
        """Opens the split `name`, one of `SPLITS`. Raises `UserError` for another one."""
        pick(f"{self.folder}: split of a fold", name, SPLITS)
        return self.whole.only(self.rows[name])


def _dev_of(rest: Mapping[str, int], corpus: Corpus) -> list[str]:
    """Returns the part of `rest` that has the share of the corpus' own dev split in train and dev.

    The rest is divided into parts of that share, of which it is the smallest.
    """
    train_hours, dev_hours = (corpus.split(name).hours for name in (TRAIN, DEV))
    wanted = max(2, round((train_hours + dev_hours) / dev_hours))
    parts = partition(rest, min(wanted, len(rest)))
    return min(parts, key=lambda part: sum(rest[group] for group in part))


def partition(sizes: Mapping[str, int], count: int) -> list[list[str]]:
    """Divides names into `count` parts of about the same total size.

    The largest comes first, and each goes to the part that is smallest so far; ties are resolved by
    name and by number. The largest part is at most 4/3 of the optimum (Graham 1969, "Bounds on
    multiprocessing timing anomalies"). Parts are empty if there are fewer names than parts.

    Runs are evaluated on the fold that this rule gives. With another rule, runs trained before
    would be tested on what they were trained on.
    """
    parts: list[list[str]] = [[] for _ in range(count)]
    totals = [(0, number) for number in range(count)]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        total, number = totals[0]
        parts[number].append(name)
        heapq.heapreplace(totals, (total + sizes[name], number))
    return parts
