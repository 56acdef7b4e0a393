"""The test set of a run, read back from its stored hypotheses."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from types import NoneType
from typing import Any

from asrbench.base.errors import UserError
from asrbench.base.files import read_jsonl
from asrbench.text.profiles import Profile


@dataclass(frozen=True)
class TestSet:
    """The utterances on which runs were scored."""

    ids: tuple[str, ...]
    references: tuple[str, ...]
    other_side: tuple[str, ...] | None
    """The other side of the dual transcriptions; None unless the profile counts it as well."""
    seconds: tuple[float, ...] | None
    """Duration of each; None if `asrbench eval` did not record it."""
    speakers: tuple[str, ...] | None
    """Speaker of each; None unless all are known."""
    in_train: tuple[bool, ...] | None
    """Whether its text is also that of a training utterance, under the run's own profile.

    None if `asrbench eval` did not record it.
    """

    @cached_property
    def by_id(self) -> dict[str, str]:
        """The reference of each utterance."""
        return dict(zip(self.ids, self.references, strict=True))

    @cached_property
    def other_by_id(self) -> dict[str, str]:
        """The other side of each utterance; empty unless the profile counts it as well."""
        return dict(zip(self.ids, self.other_side or (), strict=self.other_side is not None))


_OPTIONAL: dict[str, frozenset[type]] = {
    "seconds": frozenset({float, int, NoneType}),
    "speaker": frozenset({str, NoneType}),
    "in_train": frozenset({bool, NoneType}),
}
"""The types of the values that a row of hypotheses may have beside its texts."""


def stored_rows(
    path: Path, keys: Sequence[str], count: int | None = None
) -> dict[str, dict[str, Any]]:
    """Returns the row of each utterance by id.

    Raises `UserError` for a row without its texts or with a value of another type, and if the file
    does not have `count` rows, where that is known.
    """
    remedy = "run `asrbench eval` again"
    rows = read_jsonl(path)
    # Sets of types are compared, not each value: a study has hundreds of thousands of rows.
    try:
        texts = [*map(itemgetter("id", *keys, "hypothesis"), rows)]
        beside = {key: {type(row.get(key)) for row in rows} for key in _OPTIONAL}
    except (KeyError, TypeError, AttributeError):
        texts, beside = [(None,)], {}
    if not set(map(type, itertools.chain.from_iterable(texts))) <= {str}:
        wanted = ", ".join(f"'{key}'" for key in ("id", *keys))
        raise UserError(f"{path}: found a row without {wanted} and 'hypothesis'; {remedy}")
    for key, found in beside.items():
        if wrong := found - _OPTIONAL[key]:
            raise UserError(f"{path}: found {min(wrong, key=str).__name__} as '{key}'; {remedy}")
    by_id = {row["id"]: row for row in rows}
    if len(by_id) < len(rows):
        raise UserError(f"{path}: found an id a second time; {remedy}")
    if not rows or len(rows) != (count or len(rows)):
        raise UserError(
            f"{path}: found {len(rows)} utterances, scores.json has {count or 'some'}; {remedy}"
        )
    return by_id


def test_set_of(
    by_id: dict[str, dict[str, Any]], keys: Sequence[str], known: list[TestSet]
) -> TestSet:
    """Returns the test set of `known` that has these texts; adds a new one if none has."""
    key, *others = keys
    references = {id: row[key] for id, row in by_id.items()}
    other = {id: row[others[0]] for id, row in by_id.items()} if others else {}
    for test_set in known:
        if (test_set.by_id, test_set.other_by_id) == (references, other):
            return test_set
    rows = by_id.values()
    seconds: list[Any] = [row.get("seconds") for row in rows]
    speakers: list[Any] = [row.get("speaker") for row in rows]
    in_train: list[Any] = [row.get("in_train") for row in rows]
    known.append(
        TestSet(
            tuple(references),
            tuple(references.values()),
            tuple(other.values()) if others else None,
            None if None in seconds else tuple(seconds),
            None if None in speakers else tuple(speakers),
            None if None in in_train else tuple(in_train),
        )
    )
    return known[-1]


def text_keys(stored: dict[str, Any], scoring: Profile) -> list[str]:
    """Returns the key of the references that the profile counts, in a row of hypotheses.

    The key of the other side comes second if the profile counts it as well.
    """
    sides = stored.get("sides", ())
    counted = (scoring.side_among(sides), scoring.other_side_among(sides))
    own = stored.get("side", "text")
    return ["reference" if side == own else side for side in counted if side is not None]
