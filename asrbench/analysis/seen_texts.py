"""Error rates on the test texts that occur in train, and on those that do not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asrbench.analysis.pairs import Pairs
from asrbench.analysis.subsets import Speakers, SubsetRate, drawn_within, subset_rates
from asrbench.stats.bootstrap import REPLICATES, Difference


@dataclass(frozen=True)
class TextGroup:
    """The utterances whose texts occur in train, or those whose texts do not."""

    utterances: int
    n: int
    """Reference characters."""
    systems: dict[str, SubsetRate]
    """The rate of each system, by label."""
    differences: dict[str, Difference]
    """The difference of each system to the baseline, by label, of those that are compared with it.

    Its interval is drawn over blocks and training seeds, as every difference of
    `stats.bootstrap`. Empty if the baseline stands apart, and if the group has fewer than two
    blocks.
    """


@dataclass(frozen=True)
class SeenTexts:
    """A test set in two groups.

    A model that has learned the texts of train by heart has a low rate on the seen texts and a
    high one on the unseen. The rate of the whole test set then says little about other texts.
    """

    seen: TextGroup
    """The utterances whose texts occur in train."""
    unseen: TextGroup


def by_seen_text(
    pairs: Pairs,
    in_train_U: Sequence[bool],
    baseline: str,
    speakers_U: Speakers = None,
    replicates: int = REPLICATES,
    apart: Collection[str] = (),
) -> SeenTexts | None:
    """Returns the rates and differences of both groups; None if one of them has no utterance.

    `in_train_U` says for each utterance whether its text occurs in train. Systems that stand
    `apart`, because they are not trained or not comparable, have rates but no difference. Raises
    `ValueError` if there are not as many flags as utterances.
    """
    seen_U = np.asarray(in_train_U, dtype=bool)
    if seen_U.shape != pairs.symbols_U.shape:
        raise ValueError(f"{len(pairs.symbols_U)} utterances, {len(seen_U)} flags of them")
    if seen_U.all() or not seen_U.any():
        return None

    def group(flags_U: npt.NDArray[np.bool_]) -> TextGroup:
        chosen = np.flatnonzero(flags_U)
        symbols_U = pairs.symbols_U[chosen]
        errors = {label: pairs.errors(label)[:, chosen] for label in (baseline, *pairs.runs)}
        drawn = drawn_within(chosen, symbols_U, speakers_U, [*errors.values()], replicates)
        differences = {}
        if drawn is not None and baseline not in apart:
            differences = {
                label: drawn.difference(k, 0)
                for k, label in enumerate(errors)
                if label != baseline and label not in apart
            }
        return TextGroup(
            len(chosen),
            int(symbols_U.sum()),
            subset_rates(symbols_U, errors, drawn),
            differences,
        )

    return SeenTexts(group(seen_U), group(~seen_U))
