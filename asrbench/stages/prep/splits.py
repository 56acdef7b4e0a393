"""Which utterance is in which split, where the corpus does not say.

Pure functions of the utterances and a seed. What is random is ordered by a hash of seed and name:
the order of the rows does not matter, nor does the version of any library.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from asrbench.base.errors import UserError

SPLITS = ("train", "dev", "test")

Fractions = tuple[float, float, float]
"""Shares of train, dev and test in the utterances; they sum to 1. A share of 0 is no split."""


class Row(Protocol):
    """What a split is decided on. Ids are unique; `speaker` is `None` where it is not known."""

    @property
    def id(self) -> str: ...
    @property
    def speaker(self) -> str | None: ...
    @property
    def text(self) -> str: ...


R = TypeVar("R", bound=Row)


class LeftOut(NamedTuple):
    """An utterance in no split: its speaker is in `split`, but its text is kept in `text_split`."""

    split: str
    text_split: str


class DisjointSplits(NamedTuple):
    """What `disjoint_splits` decides. Every id is a key of exactly one of the two."""

    assignment: dict[str, str]  # id -> split
    left_out: dict[str, LeftOut]


def take_dev(train: Sequence[Row], n: int, seed: int) -> set[str]:
    """Ids of a development set of about `n` utterances, never none and never all.

    Whole speakers at random, so that dev and train share none; its size is off `n` by less than
    the size of the smallest speaker left in train. An utterance without a speaker counts as a
    speaker of its own: where none is known, the set has exactly `n`.

    Raises `UserError` if `n` is not smaller than train, or if train has a single speaker.
    """
    if len(train) < 2:
        raise UserError(f"--dev: found {n}, but train has {len(train)} utterances to take it from")
    if not 0 < n < len(train):
        raise UserError(
            f"--dev: found {n}, allowed: 1 to {len(train) - 1} of the {len(train)} utterances "
            f"of train"
        )
    groups = _groups((row.id, row.speaker, row.id) for row in train)
    if len(groups) == 1:
        raise UserError(
            f"--dev: '{train[0].speaker}' is the only speaker of train, and dev may share none; "
            f"mark a split 'dev' in the corpus, or leave the speaker out"
        )
    return set(_near(groups, n, seed, keep=1))


def with_dev(splits: dict[str, list[R]], n: int, seed: int) -> dict[str, list[R]]:
    """`splits` with a dev split that `take_dev` takes from train; as they are if `n` is 0.

    Raises `UserError` like `take_dev`, and if there is a dev split already.
    """
    if n == 0 or not splits:
        return splits
    if "dev" in splits:
        raise UserError(
            f"--dev: found {n}, but the corpus has a dev split of {len(splits['dev'])} utterances; "
            f"leave --dev out to keep it"
        )
    train = splits.get("train", [])
    ids = take_dev(train, n, seed)
    return splits | {
        "train": [row for row in train if row.id not in ids],
        "dev": [row for row in train if row.id in ids],
    }


def disjoint_splits(rows: Sequence[Row], fractions: Fractions, seed: int) -> DisjointSplits:
    """Splits that share neither a speaker nor a text, of about the sizes of `fractions`.

    Test and dev take whole speakers at random and train has the others. Then a text said in
    several splits stays where it is said most (see `_homes`), and its utterances elsewhere are left
    out. Utterances without a speaker go by their text instead, and lose nothing.

    Raises `UserError` if `fractions` are none, or if a split would be empty.
    """
    shares = _shares(fractions)
    groups = _groups((row.id, row.speaker, row.text) for row in rows)
    if len(groups) < len(shares):
        raise UserError(
            f"--split: {len(shares)} splits that share nothing need as many speakers (or texts, "
            f"where speakers are unknown), found {len(groups)}; give a split the share 0"
        )
    split_of = _by_speaker(groups, shares, seed)
    spoken: dict[str, Counter[str]] = defaultdict(Counter)  # text -> split -> utterances
    for row in rows:
        spoken[row.text][split_of[row.id]] += 1
    home = _homes(spoken, shares, seed)
    kept = {row.id: home[row.text] for row in rows if split_of[row.id] == home[row.text]}
    if empty := [split for split in shares if split not in set(kept.values())]:
        raise UserError(
            f"--split: the speakers say the same texts, so that {' and '.join(empty)} would be "
            f"empty; give a split the share 0, or mark the splits in the corpus"
        )
    lost = {r.id: LeftOut(split_of[r.id], home[r.text]) for r in rows if r.id not in kept}
    return DisjointSplits(kept, lost)


def _shares(fractions: Fractions) -> dict[str, float]:
    """Split -> its share, without those that have none."""
    if min(fractions) < 0 or fractions[0] == 0 or not abs(sum(fractions) - 1) < 1e-6:
        raise UserError(
            f"--split: found {'/'.join(f'{share:g}' for share in fractions)}, allowed: shares of "
            f"train, dev and test that sum to 1, train's above 0"
        )
    return {split: share for split, share in zip(SPLITS, fractions, strict=True) if share > 0}


def _groups(rows: Iterable[tuple[str, str | None, str]]) -> dict[str, list[str]]:
    """Ids of (id, speaker, otherwise) that must stay together, under a name for each group."""
    groups: dict[str, list[str]] = defaultdict(list)
    for id, speaker, otherwise in rows:
        groups[f"row {otherwise}" if speaker is None else f"speaker {speaker}"].append(id)
    return groups


def _near(groups: dict[str, list[str]], n: int, seed: int, *, keep: int) -> list[str]:
    """Ids of groups taken at random, about `n` of them, with at least `keep` groups left over.

    Takes what still fits; then, if nearer to `n` or nothing fitted, the smallest of the others.
    """
    taken: list[str] = []
    over: list[str] = []
    names = sorted(groups, key=lambda name: _shuffled(seed, name))
    for i, name in enumerate(names):
        can_spare = len(over) + len(names) - i > keep
        if can_spare and len(taken) + len(groups[name]) <= n:
            taken += groups[name]
        else:
            over.append(name)
    if len(over) > keep:
        smallest = groups[min(over, key=lambda name: len(groups[name]))]
        if not taken or len(taken) + len(smallest) - n < n - len(taken):
            taken += smallest
    return taken


def _by_speaker(
    groups: dict[str, list[str]], shares: dict[str, float], seed: int
) -> dict[str, str]:
    """Id -> the split its group is in: test and dev are drawn, train has the rest."""
    left = dict(groups)
    total = sum(map(len, groups.values()))
    split_of: dict[str, str] = {}
    smaller = [split for split in ("test", "dev") if split in shares]
    for i, split in enumerate(smaller):
        ids = _near(left, max(1, round(shares[split] * total)), seed, keep=len(smaller) - i)
        split_of.update(dict.fromkeys(ids, split))
        left = {name: ids for name, ids in left.items() if ids[0] not in split_of}
    return {id: split_of.get(id, "train") for ids in groups.values() for id in ids}


def _homes(spoken: dict[str, Counter[str]], shares: dict[str, float], seed: int) -> dict[str, str]:
    """Text -> the one split that keeps it: where it is said most; ties: test, then dev.

    Where all speakers read the same texts, that would leave the small splits nothing. A split with
    less than half its share then gets more texts, those that cost least first.
    """
    home = {
        text: max(counts, key=lambda split: (counts[split], SPLITS.index(split)))
        for text, counts in spoken.items()
    }
    kept = Counter({split: 0 for split in shares})
    for text, split in home.items():
        kept[split] += spoken[text][split]

    def least(split: str) -> float:
        return max(1.0, shares[split] * kept.total() / 2)

    for split in reversed(shares):
        movable = [text for text in spoken if split in spoken[text] and home[text] != split]
        cost = {text: spoken[text][home[text]] - spoken[text][split] for text in movable}
        for text in sorted(movable, key=lambda text: (cost[text], _shuffled(seed, text))):
            if kept[split] >= least(split):
                break
            donor, counts = home[text], spoken[text]
            if kept[donor] - counts[donor] >= least(donor):
                kept[donor] -= counts[donor]
                kept[split] += counts[split]
                home[text] = split
    return home


def _shuffled(seed: int, name: str) -> bytes:
    """A key that sorts names at random, the same for the same seed everywhere."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
