"""All of it at once: what `compare` asks for and every output shows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asrbench.analysis.degenerate import DegeneratePairs
from asrbench.analysis.kinds import Kinds, kinds
from asrbench.analysis.lengths import ByLength, by_length
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.speakers import Speaker, by_speaker
from asrbench.analysis.utterances import MOST, Utterance, by_utterance
from asrbench.analysis.words import Places
from asrbench.base.errors import pick
from asrbench.scoring.score import Texts
from asrbench.stats.bootstrap import REPLICATES


@dataclass(frozen=True)
class Findings:
    """What differs, and where."""

    by_duration: ByLength | None
    """None where durations are not known."""
    by_reference_length: ByLength
    kinds: dict[str, Kinds]
    """By the label of the system."""
    utterances: tuple[Utterance, ...]
    speakers: tuple[Speaker, ...] | None
    """None where speakers are not known."""

    def plain(self) -> dict[str, Any]:
        """As `compare --json` has them."""
        return {
            "lengths": {
                "duration": None if self.by_duration is None else self.by_duration.plain(),
                "reference_length": self.by_reference_length.plain(),
            },
            "kinds": {label: each.plain() for label, each in self.kinds.items()},
            "utterance_table": [utterance.plain() for utterance in self.utterances],
            "speakers_table": None
            if self.speakers is None
            else [speaker.plain() for speaker in self.speakers],
        }


def find(
    ids: Sequence[str],
    references: Texts,
    systems: Mapping[str, Sequence[Texts]],
    baseline: str,
    *,
    words: Texts | None = None,
    durations_s: Sequence[float] | None = None,
    speakers: Sequence[str | None] | None = None,
    replicates: int = REPLICATES,
    most: int = MOST,
    untrained: Collection[str] = (),
) -> Findings:
    """`systems` are, by label, the hypotheses of each run; for these texts and for `words` see
    `Pairs.of`. Intervals draw speakers where each is known and there are two, else utterances.
    `most`: see `by_utterance`. Systems that are `untrained` are described, but choose no utterance
    and have no interaction.

    Raises `UserError` if no system is the baseline, `ValueError` for lists not equally long.
    """
    pick("baseline", baseline, systems)
    pairs = Pairs.of(references, systems, words)
    odd, places = DegeneratePairs.of(pairs), Places.of(pairs)
    known = speakers is not None and None not in speakers and len(set(speakers)) > 1

    def lengths(lengths_U: Sequence[float], unit: str) -> ByLength:
        blocks = speakers if known else None
        return by_length(pairs, lengths_U, unit, baseline, blocks, replicates, untrained=untrained)

    return Findings(
        None if durations_s is None else lengths(durations_s, "second"),
        lengths(pairs.symbols_U.tolist(), "character"),
        {label: kinds(pairs, odd, places, label) for label in systems},
        by_utterance(pairs, odd, ids, baseline, speakers, durations_s, most, untrained=untrained),
        None if speakers is None else by_speaker(pairs, speakers, baseline),
    )
