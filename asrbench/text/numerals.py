"""Korean numerals: how one in digits is read, and the digits of one in words.

A number is read in Sino-Korean (삼십오) or, below a hundred, in native Korean (서른다섯), which
depends on what is counted. Nothing here decides between them: both are readings.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple


class Notation(NamedTuple):
    """A stretch of a text, and another notation of it."""

    begin: int
    end: int
    text: str


UNITS = {
    "%": ("퍼센트", "프로"),
    "km": ("킬로미터", "킬로"),
    "cm": ("센티미터", "센티"),
    "mm": ("밀리미터", "밀리"),
    "ml": ("밀리리터",),
    "kg": ("킬로그램", "킬로"),
    "m": ("미터",),
    "g": ("그램",),
    "℃": ("도",),
}
"""The readings of each symbol that counts as a unit where it follows a digit."""

DIGITS = "0123456789"

_NUMERAL = re.compile(r"[0-9]+(?:[.,:~-][0-9]+)*")
_UNIT = re.compile(rf"(?<=[0-9]) ?({'|'.join(UNITS)})(?![A-Za-z])")

_DIGIT_WORDS = "영일이삼사오육칠팔구"
_SMALL = (("천", 1000), ("백", 100), ("십", 10))
_LARGE = (("조", 10**12), ("억", 10**8), ("만", 10**4), ("", 1))
_LONGEST = 16
"""Numerals with more digits are read by digit only."""
_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_ONES: tuple[tuple[str, ...], ...] = (
    ("",),
    ("한", "하나"),
    ("두", "둘"),
    ("세", "셋", "석"),
    ("네", "넷", "넉"),
    ("다섯",),
    ("여섯",),
    ("일곱",),
    ("여덟",),
    ("아홉",),
)


# From digits


def in_words(text: str) -> Iterator[Notation]:
    """Yields the other notations of each numeral in digits, and of each unit behind one.

    Besides readings these are mixed notations (2만5천 for 25000), and digits with and without
    commas. All are without spaces.
    """
    for match in _NUMERAL.finditer(text):
        following = text[match.end() : match.end() + 4].replace(" ", "")[:2]
        for reading in _readings(match[0], following):
            yield Notation(*match.span(), reading)
    for match in _UNIT.finditer(text):
        for reading in UNITS[match[1]]:
            yield Notation(*match.span(1), reading)


@lru_cache(maxsize=10_000)
def _readings(numeral: str, following: str) -> tuple[str, ...]:
    """Returns the other notations of a numeral before the letters `following`, without repeats."""
    plain = numeral
    if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?", numeral):
        plain = numeral.replace(",", "")
    found = [plain]
    match re.split(r"([.,:~-])", plain):
        case [whole]:
            found += _integer(whole)
            found += [
                reading
                for digits, before, reading in _IRREGULAR
                if whole == digits and following.startswith(before)
            ]
        case [whole, ".", fraction]:
            wholes = [*_sino(whole), *(("공",) if whole == "0" else ())]
            found += map("".join, product(wholes, ("점", "쩜"), _by_digit(fraction)))
        case [one, ":", other]:
            found += map("대".join, product(_sino(one), _sino(other)))
            if len(one) <= 2 == len(other) and int(one) <= 24 and int(other) < 60:
                minutes = [f"{each}분" for each in _sino(other)] if int(other) else [""]
                found += map("시".join, product([*_sino(one), *_native(one)], minutes))
        case [one, "~" | "-", other]:
            ends = ([*_sino(each), *_native(each)] for each in (one, other))
            found += [joint.join(each) for joint, each in product(("", "에서"), product(*ends))]
    groups = re.findall("[0-9]+", plain)
    if len(groups) > 1 or plain.startswith("0") or len(plain) > 2:
        zeros = (_by_digit(group) for group in groups)
        joints = ("", "에", "다시") if "-" in plain else ("",)
        found += [joint.join(each) for joint, each in product(joints, zip(*zeros, strict=True))]
    return tuple(dict.fromkeys(each for each in found if each != numeral))


_IRREGULAR = (
    ("6", "월", "유"),
    ("10", "월", "시"),
    ("1", "번째", "첫"),
    ("1", "째", "첫"),
    *(("1", large, "") for large in "십백천만억조"),
)
"""A numeral, what follows it, and its reading there: 유월, 시월, 첫번째; the 1 of 1만 is silent."""


def _integer(digits: str) -> Iterator[str]:
    if len(digits) > _LONGEST or (digits.startswith("0") and digits != "0"):
        return
    yield from _sino(digits)
    yield from _native(digits)
    number = int(digits)
    if digits == "0":
        yield "공"
    if number >= 1000:
        yield f"{number:,}"
        yield from _mixed(number)


def _sino(digits: str) -> list[str]:
    """Returns the Sino-Korean readings, which differ in where 일 is said: 만, 일만; 천, 일천."""
    if len(digits) > _LONGEST:
        return []
    number = int(digits)
    if number == 0:
        return ["영"]
    both = (False, True)
    return list(dict.fromkeys(_sino_with(number, *ones) for ones in product(both, both)))


def _sino_with(number: int, small_ones: bool, large_ones: bool) -> str:
    """Returns the reading with or without 일 before 십, 백, 천, and before 만, 억, 조."""
    words = ""
    for large, size in _LARGE:
        section = number // size % 10_000
        if section == 1 and large and not large_ones:
            words += large
        elif section:
            for small, unit in _SMALL:
                digit = section // unit % 10
                if digit:
                    words += ("" if digit == 1 and not small_ones else _DIGIT_WORDS[digit]) + small
            words += (_DIGIT_WORDS[section % 10] if section % 10 else "") + large
    return words


def _native(digits: str) -> list[str]:
    """Returns the native readings, in which hundreds are Sino-Korean, as in 백한."""
    hundreds, rest = divmod(int(digits[-_LONGEST:]), 100)
    if not rest or len(digits) > _LONGEST:
        return []
    tens, ones = divmod(rest, 10)
    last = (
        ("스무", "스물") if (tens, ones) == (2, 0) else (_TENS[tens] + each for each in _ONES[ones])
    )
    before = _sino(str(100 * hundreds)) if hundreds else [""]
    return list(map("".join, product(before, last)))


def _by_digit(digits: str) -> list[str]:
    """Returns the readings digit by digit, with 영 for zero and with 공."""
    words = "".join(_DIGIT_WORDS[int(digit)] for digit in digits)
    return [words, words.replace("영", "공")]


def _mixed(number: int) -> Iterator[str]:
    """Yields the notations with digits and the words 억, 만, 천, 백: 2만5000, 2만5천."""
    for sectioned in (str, _with_thousands):
        text = ""
        for large, size in _LARGE:
            section = number // size % 10_000
            text += sectioned(section) + large if section else ""
        yield text


def _with_thousands(section: int) -> str:
    thousands, hundreds, rest = section // 1000, section // 100 % 10, section % 100
    return "".join(
        f"{count}{unit}"
        for count, unit in ((thousands, "천"), (hundreds, "백"), (rest, ""))
        if count
    )


# From words

_NATIVE = {word: number for number in range(1, 100) for word in _native(str(number))}
_VALUES = {"공": 0} | {digit: value for value, digit in enumerate(_DIGIT_WORDS)}
_SIZES = dict((*_SMALL, *_LARGE[:-1]))
_NUMERAL_LETTERS = "".join({*_VALUES, *_SIZES, *"".join(_NATIVE)})
_WORDS = re.compile(f"(?<![0-9])[{_NUMERAL_LETTERS}]+")


def in_digits(letters: str) -> Iterator[Notation]:
    """Yields, for every stretch of `letters` that is an integer in words, its digits.

    `letters` are without spaces. A stretch may be within another: 십 within 이십일 is one too. None
    is directly behind a digit, whose number it would change.
    """
    for match in _WORDS.finditer(letters):
        for begin in range(*match.span()):
            for end in range(begin + 1, match.end() + 1):
                for digits in _digits(letters[begin:end]):
                    yield Notation(begin, end, digits)


@lru_cache(maxsize=100_000)
def _digits(words: str) -> tuple[str, ...]:
    """Returns the integers that a word without spaces may be, in digits."""
    found = []
    value = _value(words)
    if value is not None and words in _sino(str(value)):
        found.append(str(value))
    for cut in range(len(words)):
        value, last = _value(words[:cut]), _NATIVE.get(words[cut:])
        if value is not None and last is not None and words in _native(str(value + last)):
            found.append(str(value + last))
    if 2 < len(words) <= _LONGEST and set(words) <= _VALUES.keys():
        found.append("".join(str(_VALUES[letter]) for letter in words))
    return tuple(found)


def _value(words: str) -> int | None:
    """Returns what Sino-Korean letters add up to, in whatever order; None for other letters."""
    total = section = digit = 0
    for letter in words:
        if letter in _VALUES:
            digit = _VALUES[letter]
        elif letter not in _SIZES:
            return None
        elif (size := _SIZES[letter]) < 10_000:
            section, digit = section + (digit or 1) * size, 0
        else:
            total, section, digit = total + (section + digit or 1) * size, 0, 0
    value = total + section + digit
    return value if value < 10**_LONGEST else None
