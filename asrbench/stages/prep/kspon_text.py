"""KsponSpeech's transcription marks: what was written and what was said, from one line.

    n/ 그/ (3시)/(세 시)에+ 봐* b/.      spelling  그 3시에 봐.      phonetic  그 세 시에 봐.

A dual `(A)/(B)` has the spelling on its left, the pronunciation on its right. A mark goes, the text
around it never does. `docs/ksponspeech.md` has every rule with an example.
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
"""How `%` is said in the utterances, by number, that have it outside a dual: KoSpeech's table."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A line without its marks, in normal form, `. ? ! ,` as written.

    `remarks` are those of `REMARKS` that hold for the line, in their order.
    """

    spelling: str
    phonetic: str
    remarks: tuple[str, ...]


def transcript(raw: str, id: str = "") -> Transcript:
    """Both sides of any line; nothing is refused, what is odd is remarked.

    `id` may be the utterance's number or end in it (`KsponSpeech_087797`); only `READINGS` asks.
    A side is no longer than `raw` in NFC, but for two characters for each `%` that has a reading,
    and a side given as `raw` comes back as it is.
    """
    line = normalise(_UNSEEN.sub("", raw.replace("\u200b", " ")))
    # Tags go while what they touch still stands: resolved first, `(TV)/(티비)b/` would have its b
    # after a Latin letter, where it is text, and `(b)/(비)/` would become a tag.
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
    seen = _Seen(line, duals, outside, written + said, spelling, phonetic)
    return Transcript(spelling, phonetic, tuple(r for r, holds in _CHECKS.items() if holds(seen)))


_UNSEEN = re.compile("[\u00ad\u200c-\u200f\u2060\ufeff]")
"""Characters without width. U+200B is not here: Unicode has it part words, so it is a space."""

_LATIN = "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿＡ-Ｚａ-ｚ"
_TAGS = "blnou"
_TAG = re.compile(rf"(?<![{_LATIN}])[{_TAGS}]/")
"""Breath, laughter, noise, another voice, unintelligible; but `club/` ends in a b."""

_SLASH = r"[ *+]*/[ *+/]*"
_DUAL = re.compile(
    rf"\((?P<spelling>[^()]*)\)(?P<slash>{_SLASH})?\((?P<phonetic>[^()]*)\)"
    rf"(?(slash)|(?!{_SLASH}\())"  # in `(A)(B)/(C)`, the dual is the one with a slash
)

_SIGNS = "@$^&=:;~-"
_SIGN = re.compile(f"[{_SIGNS}]")
_LOOSE = re.compile(rf"((?<=[\d{_LATIN}])(?<![{_TAGS}])[^\w\s]+(?=[\d{_LATIN}]))|[/{_SIGNS}]")
"""A slash or sign; group 1 is what stays, being text between digits or Latin letters: 3:1, A/S.

After a tag's letter nothing stays: the tag might only now have come about, as in `b*/S`.
"""

_NOTHING = re.compile(rf"[\s\[\]+*/{_SIGNS}]*")
_MARKS = str.maketrans({**dict.fromkeys("()[]+*", ""), "#": "샾"})

_GAP = re.compile(r" (?=[.?!,]+(?: |$))")
"""What a tag leaves before a full stop: `먹을래 b/.` becomes `먹을래.`."""


def _written(dual: re.Match[str]) -> str:
    return dual["phonetic" if _NOTHING.fullmatch(dual["spelling"]) else "spelling"]


def _said(dual: re.Match[str]) -> str:
    return dual["spelling" if _NOTHING.fullmatch(dual["phonetic"]) else "phonetic"]


def _without_marks(text: str) -> str:
    """`text`, whose tags and duals are gone, without the other marks."""
    return _GAP.sub("", normalise(_LOOSE.sub(r"\1", text.translate(_MARKS))))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a line is judged by. `outside` is what no dual holds, `marked` both sides with marks."""

    line: str
    duals: list[re.Match[str]]
    outside: str
    marked: str
    spelling: str
    phonetic: str


_DIGIT, _LETTER = re.compile(r"\d"), re.compile(f"[{_LATIN}]")

_CHECKS: dict[str, Callable[[_Seen], bool]] = {
    "lone bracket": lambda seen: "(" in seen.outside or ")" in seen.outside,
    "dual without a slash": lambda seen: any(dual["slash"] is None for dual in seen.duals),
    "empty side of a dual": lambda seen: any(map(_has_empty_side, seen.duals)),
    "digit outside a dual": lambda seen: bool(_DIGIT.search(seen.outside)),
    "Latin letter outside a dual": lambda seen: bool(_LETTER.search(seen.outside)),
    "percent sign without a reading": lambda seen: "%" in seen.phonetic,
    "number sign written 샾": lambda seen: "#" in seen.marked,
    "sign outside the rules left out": lambda seen: _signs(seen.marked) > _signs(*_sides(seen)),
    "unintelligible speech": lambda seen: "u/" in seen.line and "u/" in _TAG.findall(seen.line),
    "empty text": lambda seen: not all(_sides(seen)),
}

REMARKS = tuple(_CHECKS)
"""What may be said of a line; each at most once, in this order."""


def _has_empty_side(dual: re.Match[str]) -> bool:
    return any(_NOTHING.fullmatch(dual[side]) for side in ("spelling", "phonetic"))


def _sides(seen: _Seen) -> tuple[str, str]:
    return seen.spelling, seen.phonetic


def _signs(*texts: str) -> int:
    return sum(len(_SIGN.findall(text)) for text in texts)
