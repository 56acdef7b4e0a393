"""All error analyses of a study at once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from asrbench.analysis.degenerate import DegeneratePairs
from asrbench.analysis.kinds import ErrorKinds, error_kinds
from asrbench.analysis.lengths import ByLength, by_length
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.seen_texts import SeenTexts, by_seen_text
from asrbench.analysis.speakers import SpeakerRates, by_speaker
from asrbench.analysis.utterances import MOST, UtteranceErrors, by_utterance
from asrbench.analysis.words import WordPlaces
from asrbench.base.errors import pick
from asrbench.scoring.counted_text import Texts
from asrbench.stats.bootstrap import REPLICATES


@dataclass(frozen=True)
class Lengths:
    """Error rates by two measures of length."""

    duration: ByLength | None
    """Rates by duration; None if durations are not known."""
    reference_length: ByLength


@dataclass(frozen=True)
class Findings:
    """The differences between systems by length, text, kind of error, speaker and utterance."""

    lengths: Lengths
    kinds: dict[str, ErrorKinds]
    """Errors by kind of each system, by label."""
    utterances: tuple[UtteranceErrors, ...]
    """The utterances with the largest differences."""
    speakers: tuple[SpeakerRates, ...] | None
    """Rates by speaker; None if speakers are not known."""
    seen_texts: SeenTexts | None = None
    """Rates on texts that occur in train and on the others.

    None if it is not known which do, and if all do or none does.
    """


def analyse(
    ids: Sequence[str],
    references: Texts,
    systems: Mapping[str, Sequence[Texts]],
    baseline: str,
    *,
    words: Texts | None = None,
    durations_s: Sequence[float] | None = None,
    speakers: Sequence[str | None] | None = None,
    in_train: Sequence[bool] | None = None,
    replicates: int = REPLICATES,
    most: int = MOST,
    untrained: Collection[str] = (),
    incomparable: Collection[str] = (),
) -> Findings:
    """Analyses the errors of all systems, whose hypotheses are given by label and run.

    `Pairs.of` says how texts and `words` must look; `by_utterance` explains `most`. Intervals draw
    speakers if all are known and there are two or more, otherwise utterances. Systems that are
    `untrained` are described, but choose no utterance. `in_train` says for each utterance whether
    its text occurs in train. Systems that are `untrained`, or `incomparable` with the baseline,
    have no difference to it on a part of the test set, and no interaction.

    Raises `UserError` if no system is the baseline, `ValueError` for lists of different length.
    """
    pick("baseline", baseline, systems)
    pairs = Pairs.of(references, systems, words)
    degenerate, places = DegeneratePairs.of(pairs), WordPlaces.of(pairs)
    known = speakers is not None and None not in speakers and len(set(speakers)) > 1

    blocks = speakers if known else None
    apart = {*untrained, *incomparable}

    def lengths(lengths_U: Sequence[float], unit: str) -> ByLength:
        return by_length(pairs, lengths_U, unit, baseline, blocks, replicates, apart=apart)

    return Findings(
        Lengths(
            None if durations_s is None else lengths(durations_s, "second"),
            lengths(pairs.symbols_U.tolist(), "character"),
        ),
        {label: error_kinds(pairs, degenerate, places, label) for label in systems},
        by_utterance(
            pairs, degenerate, ids, baseline, speakers, durations_s, most, untrained=untrained
        ),
        None if speakers is None else by_speaker(pairs, speakers, baseline),
        None
        if in_train is None
        else by_seen_text(pairs, in_train, baseline, blocks, replicates, apart),
    )
