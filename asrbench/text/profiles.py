"""Scoring profiles: what a CER counts. Every figure names its profile and the version of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

ProfileName = Literal["verbatim", "nospace", "kospeech", "espnet", "readings"]
Side = Literal["text", "spelling", "phonetic"]
"""Column of a corpus: `text`, or one side of its dual transcriptions, (3시)/(세 시)."""
Unit = Literal["character", "word"]
"""The unit in which systems are compared, by CER or by WER."""
RATES: Mapping[Unit, str] = {"character": "CER", "word": "WER"}
"""Name of the error rate of each unit."""


@dataclass(frozen=True)
class Profile:
    """Rules for what counts of references and hypotheses, after both are put into normal form."""

    name: ProfileName
    version: int
    """Increased whenever the rules change, because figures of two versions are not comparable."""
    words: str
    """Description of the rules, shown beside figures."""
    side: Side = "text"
    """Column that references come from if the corpus has it; otherwise they come from `text`."""
    spaces: bool = True
    """Whether spaces count as characters. They separate words in either case."""
    marks: str | None = None
    """The punctuation that counts, or None for all. Between two digits all of it counts."""
    lower: bool = False
    """Whether letters are put into lower case."""
    readings: bool = False
    """Whether numerals count in any notation, and the other side of a dual as well as `side`. The
    rules are in `asrbench.scoring.readings`."""

    def side_among(self, sides: Collection[str]) -> Side:
        """Returns the column that references come from in a corpus that has `sides`."""
        return self.side if self.side in sides else "text"

    def other_side_among(self, sides: Collection[str]) -> Side | None:
        """Returns the column whose readings count as well; None if there is none."""
        both: tuple[Side, Side] = ("spelling", "phonetic")
        if not self.readings or not {*both} <= {*sides}:
            return None
        return both[self.side == both[0]]

    def __str__(self) -> str:
        """Returns name and version, as in `nospace/2`."""
        return f"{self.name}/{self.version}"


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("verbatim", 1, "NFC, spaces and punctuation counted"),
        Profile(
            "nospace",
            2,
            "NFC, spelling where there is one, spaces and punctuation left out",
            side="spelling",
            spaces=False,
            marks="",
        ),
        # Counts as KoSpeech's metrics do after its default preprocessing.
        Profile(
            "kospeech",
            1,
            "NFC, pronunciation where there is one, spaces left out, of punctuation . ? ! counted",
            side="phonetic",
            spaces=False,
            marks=".?!",
        ),
        # Counts as ESPnet's recipe does, except that the recipe also drops the point of 0.1.
        Profile(
            "espnet",
            1,
            "NFC, spelling where there is one, lower case, spaces counted, punctuation left out",
            side="spelling",
            marks="",
            lower=True,
        ),
        # The percent sign counts because it is spoken, and is a part of the numeral.
        Profile(
            "readings",
            1,
            "NFC, spelling where there is one, spaces and punctuation left out except %, numerals "
            "in any notation, either side of a dual",
            side="spelling",
            spaces=False,
            marks="%",
            readings=True,
        ),
    )
}


def versioned(stored: str) -> str:
    """Returns name and version of a stored profile. One without a version is of version 1."""
    return stored if "/" in stored else f"{stored}/1"
