"""Scoring profiles: what a CER counts, by a name and a version that stand beside every figure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

ProfileName = Literal["verbatim", "nospace", "kospeech", "espnet"]
Side = Literal["text", "spelling", "phonetic"]
"""Column of a corpus: its `text`, or one side of its dual transcriptions, (3시)/(세 시)."""
Unit = Literal["character", "word"]
"""What errors are counted in: for a CER or a WER."""
RATES: Mapping[Unit, str] = {"character": "CER", "word": "WER"}


@dataclass(frozen=True)
class Profile:
    """What is left of a reference and a hypothesis before they are held against each other."""

    name: ProfileName
    version: int
    """Goes up when the meaning changes: figures of two versions are not compared."""
    words: str
    """What it counts, to be read beside a figure."""
    side: Side = "text"
    """Column of the references, where the corpus has it; otherwise `text`."""
    spaces: bool = True
    """Whether spaces count as characters. Words are separated by them either way."""
    marks: str | None = None
    """Punctuation that counts; nothing means all of it. Between two digits it always does."""
    lower: bool = False
    """Whether letters are put in lower case."""

    def side_among(self, sides: Collection[str]) -> Side:
        """The column that its references come from, where the corpus has `sides`."""
        return self.side if self.side in sides else "text"

    def __str__(self) -> str:
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
        # As KoSpeech's metrics count what its preprocessing leaves by default.
        Profile(
            "kospeech",
            1,
            "NFC, pronunciation where there is one, spaces left out, of punctuation . ? ! counted",
            side="phonetic",
            spaces=False,
            marks=".?!",
        ),
        # As ESPnet's recipe, but for punctuation within numbers, which that takes out (0.1 is 01).
        Profile(
            "espnet",
            1,
            "NFC, spelling where there is one, lower case, spaces counted, punctuation left out",
            side="spelling",
            marks="",
            lower=True,
        ),
    )
}


def versioned(stored: str) -> str:
    """Name and version of a profile as it was stored: before there were versions, the first."""
    return stored if "/" in stored else f"{stored}/1"
