"""KsponSpeech's transcription marks: the spelling and the pronunciation of a line.

    n/ 그/ (3시)/(세 시)에+ 봐* b/.      spelling  그 3시에 봐.      phonetic  그 세 시에 봐.

A dual `(A)/(B)` has the spelling on its left and the pronunciation on its right. Marks are removed,
and the text around them stays. `docs/ksponspeech.md` has every rule with an example.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from asrbench.text.normal_form import normalise

READINGS = {
    "087797": "퍼센트",
    "215401": "퍼센트",
    "284574": "퍼센트",
    "397184": "퍼센트",
    "501006": "프로",
    "502173": "프로",
    "542363": "프로",
    "581483": "퍼센트",
}
"""The reading of `%` in the utterances, by number, that have it outside a dual, from KoSpeech."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A line without its marks, in normal form, with `. ? ! ,` as written.

    `remarks` are those of `REMARKS` that apply to the line, in that order.
    """

    spelling: str
    phonetic: str
    remarks: tuple[str, ...]


def transcript(raw: str, id: str = "") -> Transcript:
    """Returns both sides of a line. No line is refused; unusual lines get remarks.

    `id` is the number of the utterance or ends in it (`KsponSpeech_087797`), for `READINGS`. A side
    is at most as long as `raw` in NFC, plus two characters for each `%` that has a reading. A side
    that is passed as `raw` comes back unchanged.
    """
    line = normalise(_UNSEEN.sub("", raw.replace("\u200b", " ")))
    # Tags are removed before duals are resolved. Otherwise the b of `(TV)/(티비)b/` would follow a
    # Latin letter, where it is text, and `(b)/(비)/` would become a tag.
    words = _TAG.sub("", line)
    written = said = outside = words
    duals = list(_DUAL.finditer(words)) if "(" in words else []
    if duals:
        written, said = _DUAL.sub(_written, words), _DUAL.sub(_said, words)
        outside = _DUAL.sub("", words)
    spelling = phonetic = _without_marks(written)
    if said != written:
        phonetic = _without_marks(said)
    phonetic = phonetic.replace("%", READINGS.get(id.rpartition("_")[2], "%"))
    parsed = _Parsed(line, duals, outside, written + said, spelling, phonetic)
    return Transcript(spelling, phonetic, tuple(r for r, holds in _CHECKS.items() if holds(parsed)))


_UNSEEN = re.compile("[\u00ad\u200c-\u200f\u2060\ufeff]")
"""Characters without width. U+200B is not among them: it separates words, so it is a space."""

_LATIN = "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿＡ-Ｚａ-ｚ"
_TAGS = "blnou"
_TAG = re.compile(rf"(?<![{_LATIN}])[{_TAGS}]/")
"""Breath, laughter, noise, another voice, unintelligible. The b of `club/` is no tag."""

_SLASH = r"[ *+]*/[ *+/]*"
_DUAL = re.compile(
    rf"\((?P<spelling>[^()]*)\)(?P<slash>{_SLASH})?\((?P<phonetic>[^()]*)\)"
    rf"(?(slash)|(?!{_SLASH}\())"  # in `(A)(B)/(C)`, the dual is the one with a slash
)

_SIGNS = "@$^&=:;~-"
_SIGN = re.compile(f"[{_SIGNS}]")
_LOOSE = re.compile(rf"((?<=[\d{_LATIN}])(?<![{_TAGS}])[^\w\s]+(?=[\d{_LATIN}]))|[/{_SIGNS}]")
"""A slash or a sign. Group 1 stays, as text between digits or Latin letters: 3:1, A/S.

Nothing stays after the letter of a tag, because the tag may have just appeared, as in `b*/S`.
"""

_NOTHING = re.compile(rf"[\s\[\]+*/{_SIGNS}]*")
_MARKS = str.maketrans({**dict.fromkeys("()[]+*", ""), "#": "샾"})

_GAP = re.compile(r" (?=[.?!,]+(?: |$))")
"""The space that a tag leaves before a full stop: `먹을래 b/.` becomes `먹을래.`."""


def _written(dual: re.Match[str]) -> str:
    return dual["phonetic" if _NOTHING.fullmatch(dual["spelling"]) else "spelling"]


def _said(dual: re.Match[str]) -> str:
    return dual["spelling" if _NOTHING.fullmatch(dual["phonetic"]) else "phonetic"]


def _without_marks(text: str) -> str:
    """Removes the remaining marks from a text whose tags and duals are already resolved."""
    return _GAP.sub("", normalise(_LOOSE.sub(r"\1", text.translate(_MARKS))))


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A line in the forms that the checks need.

    `outside` is the text outside all duals, and `marked` is both sides with their marks.
    """

    line: str
    duals: list[re.Match[str]]
    outside: str
    marked: str
    spelling: str
    phonetic: str


_DIGIT, _LETTER = re.compile(r"\d"), re.compile(f"[{_LATIN}]")

_CHECKS: dict[str, Callable[[_Parsed], bool]] = {
    "lone bracket": lambda line: "(" in line.outside or ")" in line.outside,
    "dual without a slash": lambda line: any(dual["slash"] is None for dual in line.duals),
    "empty side of a dual": lambda line: any(map(_has_empty_side, line.duals)),
    "digit outside a dual": lambda line: bool(_DIGIT.search(line.outside)),
    "Latin letter outside a dual": lambda line: bool(_LETTER.search(line.outside)),
    "percent sign without a reading": lambda line: "%" in line.phonetic,
    "number sign written 샾": lambda line: "#" in line.marked,
    "sign outside the rules left out": lambda line: _signs(line.marked) > _signs(*_sides(line)),
    "unintelligible speech": lambda line: "u/" in line.line and "u/" in _TAG.findall(line.line),
    "empty text": lambda line: not all(_sides(line)),
}

REMARKS = tuple(_CHECKS)
"""The possible remarks about a line. Each applies at most once, in this order."""


def _has_empty_side(dual: re.Match[str]) -> bool:
    return any(_NOTHING.fullmatch(dual[side]) for side in ("spelling", "phonetic"))


def _sides(line: _Parsed) -> tuple[str, str]:
    return line.spelling, line.phonetic


def _signs(*texts: str) -> int:
    return sum(len(_SIGN.findall(text)) for text in texts)
