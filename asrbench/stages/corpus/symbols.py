"""Symbols of the splits in each tokenizer unit, and those that train lacks."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from asrbench.data.split_reading import TRAIN, SplitReading
from asrbench.stages.corpus.records import UnitStatistics, UnknownSymbols
from asrbench.text.normal_form import is_hangul
from asrbench.text.tokenizer import UNITS

FEW = 5
"""Number of examples in a list."""

Cut = Callable[[str], list[str]]
"""Cuts a text into symbols."""


def unit_statistics(readings: Sequence[SplitReading]) -> tuple[UnitStatistics, ...]:
    """Returns the symbols of train in each unit; empty without a split `train`."""
    train = train_of(readings)
    if train is None:
        return ()
    others = [reading for reading in readings if reading is not train]
    found = []
    for names, cut in units_of(train.symbols).items():
        vocabulary = symbol_counts(train, cut)
        found.append(
            UnitStatistics(
                names,
                symbols=len(vocabulary),
                once=sum(n == 1 for n in vocabulary.values()),
                unknown={other.name: _unknown(other, cut, vocabulary) for other in others},
            )
        )
    return tuple(found)


def train_of(readings: Sequence[SplitReading]) -> SplitReading | None:
    """Returns the split `train`, if there is one."""
    return next((reading for reading in readings if reading.name == TRAIN), None)


def units_of(characters: Mapping[str, int]) -> dict[tuple[str, ...], Cut]:
    """Returns the units that can spell these characters. Units that cut text alike share a key.

    Subwords are not among them, because they have to be learned first.
    """
    hangul = any(map(is_hangul, characters))
    names = defaultdict(list)
    for name, unit in UNITS.items():
        if name != "subword" and (hangul or not unit.needs_hangul):
            names[unit.split].append(name)
    return {tuple(alike): cut for cut, alike in names.items()}


def symbol_counts(reading: SplitReading, cut: Cut) -> Counter[str]:
    """Counts each symbol. In NFC, a text is cut into the symbols of its characters."""
    counts = Counter[str]()
    for character, n in reading.symbols.items():
        for symbol in cut(character):
            counts[symbol] += n
    return counts


def most_frequent(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Returns the `FEW` most frequent keys with their counts, ties in alphabetical order."""
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:FEW])


def _unknown(reading: SplitReading, cut: Cut, vocabulary: Mapping[str, int]) -> UnknownSymbols:
    symbols = symbol_counts(reading, cut)
    unknown = Counter({each: n for each, n in symbols.items() if each not in vocabulary})
    unspelled = {c for c in reading.symbols if not vocabulary.keys() >= set(cut(c))}
    return UnknownSymbols(
        symbols=len(unknown),
        occurrences=unknown.total(),
        share=unknown.total() / max(symbols.total(), 1),
        utterances=sum(n for text, n in reading.texts.items() if not unspelled.isdisjoint(text)),
        most_frequent=most_frequent(unknown),
    )
