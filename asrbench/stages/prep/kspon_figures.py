"""Published figures of KsponSpeech, which a preparation of it is compared with.

Sources: [sogang] the README of sogang-isds/KsponSpeech, and speechbrain's recipe; [lhotse] the
hours in the README of lhotse's and icefall's recipe; [espnet] derived from N and the word counts in
ESPnet's and ESPnet2's RESULTS.md for ksponspeech; [audit] counts over the whole corpus that its
users published with their converters.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asrbench.text.normal_form import is_hangul, without_punctuation

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import Utterance

# Remarks that are counted.
ODD_BYTE = "odd_trailing_byte"
DIGIT_OUTSIDE = "digit outside a dual"


@dataclass(frozen=True)
class Published:
    """A published figure of a complete split. Anything from `low` to `high` agrees with it."""

    figure: str
    split: str
    low: float
    high: float
    source: str


def _exactly(figure: str, source: str, **splits: float) -> list[Published]:
    return [Published(figure, split, value, value, source) for split, value in splits.items()]


def _hours(**splits: float) -> list[Published]:
    # Hours are published with one decimal.
    return [
        Published("hours", split, round(hours - 0.05, 2), round(hours + 0.05, 2), "lhotse")
        for split, hours in splits.items()
    ]


UTTERANCES = {"train": 620_000, "dev": 2_545, "eval_clean": 3_000, "eval_other": 3_000}

PUBLISHED = [
    *_exactly("utterances", "sogang", **UTTERANCES),
    *_hours(train=965.2, eval_clean=2.6, eval_other=3.8),
    *_exactly("odd trailing byte", "audit", train=0, eval_clean=3_000, eval_other=3_000),
    *_exactly(DIGIT_OUTSIDE, "audit", train=68, dev=0, eval_clean=1, eval_other=0),
    *_exactly("different characters", "audit", train=2_340),
    Published("characters, spelling", "eval_clean", 48_056, 48_074, "espnet"),
    Published("characters, spelling", "eval_other", 68_995, 69_019, "espnet"),
    *_exactly("words, spelling", "espnet", eval_clean=20_401, eval_other=26_621),
    *_exactly("under 5 syllables", "audit", eval_clean=505),
    *_exactly("with Latin letters", "audit", eval_clean=24, eval_other=43),
]


@dataclass(frozen=True)
class Check:
    """A published figure beside the one that was found, as `corpus.json` records it."""

    figure: str
    split: str
    found: float
    published: tuple[float, float]
    source: str
    agrees: bool | None
    """`None` if the split is incomplete, so that it cannot be compared."""


class Census:
    """Counts the figures of a corpus that others have published.

    "different characters" counts the phonetic side, with spaces and punctuation. All other figures
    count the spelling: characters without spaces and punctuation, and words without punctuation.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._samples: Counter[str] = Counter()
        self._phonetic: dict[str, set[str]] = {}

    def count(self, split: str, utterance: "Utterance") -> None:
        """Counts one utterance of `split`."""
        spelling, phonetic = utterance.spelling or "", utterance.phonetic or ""
        bare = without_punctuation(spelling)
        letters = bare.replace(" ", "")
        self._samples[split] += len(utterance.audio)
        self._phonetic.setdefault(split, set()).update(phonetic)
        found = {
            "utterances": 1,
            "odd trailing byte": ODD_BYTE in utterance.remarks,
            DIGIT_OUTSIDE: DIGIT_OUTSIDE in utterance.remarks,
            "characters, spelling": len(letters),
            "words, spelling": len(bare.split()),
            "under 5 syllables": sum(map(is_hangul, letters)) < 5,
            "with Latin letters": any(c.isascii() and c.isalpha() for c in letters),
        }
        for figure, amount in found.items():
            self._counts[figure, split] += amount

    def checks(self) -> list[Check]:
        """Returns a check for every published figure of a split that is not empty."""
        rows = []
        for published in PUBLISHED:
            if not self._samples[published.split]:
                continue
            whole = self._counts["utterances", published.split] == UTTERANCES[published.split]
            found = self._found(published.figure, published.split)
            rows.append(
                Check(
                    published.figure,
                    published.split,
                    found,
                    (published.low, published.high),
                    published.source,
                    agrees=published.low <= found <= published.high if whole else None,
                )
            )
        return rows

    def _found(self, figure: str, split: str) -> float:
        from asrbench.data.waveform import SAMPLE_RATE_HZ

        match figure:
            case "hours":
                return round(self._samples[split] / SAMPLE_RATE_HZ / 3600, 2)
            case "different characters":
                return len(self._phonetic[split])
        return self._counts[figure, split]
