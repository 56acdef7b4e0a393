"""Functions that assign utterances to splits, for a corpus that has no splits.

They are pure functions of the utterances and a seed. Random choices are made by a hash of the seed
and a name, so they depend neither on the order of the rows nor on the version of a library.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from asrbench.base.errors import UserError

SPLITS = ("train", "dev", "test")

Fractions = tuple[float, float, float]
"""Shares of train, dev and test in the utterances. They sum to 1. A share of 0 makes no split."""


class Assignable(Protocol):
    """The fields that the splits depend on. Ids are unique. An unknown speaker is `None`."""

    @property
    def id(self) -> str: ...
    @property
    def speaker(self) -> str | None: ...
    @property
    def text(self) -> str: ...


R = TypeVar("R", bound=Assignable)


class LeftOut(NamedTuple):
    """An utterance in no split: its speaker is in `split`, and its text is in `text_split`."""

    split: str
    text_split: str


class DisjointSplits(NamedTuple):
    """The result of `disjoint_splits`. Every id is a key of exactly one of the two mappings."""

    assignment: dict[str, str]  # id -> split
    left_out: dict[str, LeftOut]


def take_dev(train: Sequence[Assignable], n: int, seed: int) -> set[str]:
    """Returns the ids of a development set of about `n` utterances, at least one and never all.

    Draws whole speakers, so that dev and train share none. The size differs from `n` by less than
    the utterances of the smallest speaker left in train. An utterance without a speaker counts as a
    speaker of its own. If no speaker is known, the set therefore has exactly `n` utterances.

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
    """Returns `splits` with a dev split taken from train by `take_dev`; unchanged if `n` is 0.

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


def disjoint_splits(rows: Sequence[Assignable], fractions: Fractions, seed: int) -> DisjointSplits:
    """Assigns utterances to splits that share neither a speaker nor a text, sized by `fractions`.

    Draws whole speakers for test and dev; train has the others. Then each text that occurs in
    several splits stays in the split where it occurs most (see `_splits_of_texts`), and its other
    utterances are left out. Utterances without a speaker are assigned by their text, and none of
    them is left out.

    Raises `UserError` if `fractions` do not sum to 1, or if a split would be empty.
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
    home = _splits_of_texts(spoken, shares, seed)
    kept = {row.id: home[row.text] for row in rows if split_of[row.id] == home[row.text]}
    if empty := [split for split in shares if split not in set(kept.values())]:
        raise UserError(
            f"--split: the speakers say the same texts, so that {' and '.join(empty)} would be "
            f"empty; give a split the share 0, or mark the splits in the corpus"
        )
    lost = {r.id: LeftOut(split_of[r.id], home[r.text]) for r in rows if r.id not in kept}
    return DisjointSplits(kept, lost)


def _shares(fractions: Fractions) -> dict[str, float]:
    """Returns the share of each split, without the splits whose share is 0."""
    if min(fractions) < 0 or fractions[0] == 0 or not abs(sum(fractions) - 1) < 1e-6:
        raise UserError(
            f"--split: found {'/'.join(f'{share:g}' for share in fractions)}, allowed: shares of "
            f"train, dev and test that sum to 1, train's above 0"
        )
    return {split: share for split, share in zip(SPLITS, fractions, strict=True) if share > 0}


def _groups(rows: Iterable[tuple[str, str | None, str]]) -> dict[str, list[str]]:
    """Groups the ids that must stay in one split: by speaker, or else by the third field."""
    groups: dict[str, list[str]] = defaultdict(list)
    for id, speaker, otherwise in rows:
        groups[f"row {otherwise}" if speaker is None else f"speaker {speaker}"].append(id)
    return groups


def _near(groups: dict[str, list[str]], n: int, seed: int, *, keep: int) -> list[str]:
    """Returns the ids of randomly drawn groups, about `n` ids, and leaves at least `keep` groups.

    Takes each group that still fits. Then takes the smallest remaining group if that is nearer to
    `n`, or if no group fitted.
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
    """Returns the split of each id. Groups are drawn for test and dev; train has the others."""
    left = dict(groups)
    total = sum(map(len, groups.values()))
    split_of: dict[str, str] = {}
    smaller = [split for split in ("test", "dev") if split in shares]
    for i, split in enumerate(smaller):
        ids = _near(left, max(1, round(shares[split] * total)), seed, keep=len(smaller) - i)
        split_of.update(dict.fromkeys(ids, split))
        left = {name: ids for name, ids in left.items() if ids[0] not in split_of}
    return {id: split_of.get(id, "train") for ids in groups.values() for id in ids}


def _splits_of_texts(
    spoken: dict[str, Counter[str]], shares: dict[str, float], seed: int
) -> dict[str, str]:
    """Returns the one split that keeps each text: where it occurs most, or test, or dev in a tie.

    If all speakers read the same texts, this would leave the small splits empty. A split with less
    than half of its share then gets more texts, first those that lose the fewest utterances.
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
    """Returns a sort key that puts names in a random order, which depends on `seed` alone."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
