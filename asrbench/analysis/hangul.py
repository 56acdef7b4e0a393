"""Hangul syllables as what they are composed of.

A syllable is onset, vowel and, or not, coda, numbered in this order by the Unicode Standard (3.12,
Conjoining Jamo Behavior): its code point is 0xAC00 + 588 onset + 28 vowel + coda.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", int, npt.NDArray[np.int64])

FIRST, LAST = ord("가"), ord("힣")
NO_CODA = "-"

PARTS = {
    "onset": "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ",
    "vowel": "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ",
    "coda": NO_CODA + "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ",
}
"""The letters in each place, in order."""


def are_syllables(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return (codes >= FIRST) & (codes <= LAST)


def decomposed(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Onset, vowel and coda of each of some syllables, by number: their last axis."""
    return np.stack(numbers(codes - FIRST), axis=-1)


def shared_parts(one: str, other: str) -> int:
    """Of onset, vowel and coda, how many two characters have in common; none if one is no
    syllable."""
    codes = ord(one) - FIRST, ord(other) - FIRST
    if not all(0 <= code <= LAST - FIRST for code in codes):
        return 0
    return sum(a == b for a, b in zip(*map(numbers, codes), strict=True))


def numbers(index: Number) -> tuple[Number, Number, Number]:
    return index // 588, index % 588 // 28, index % 28
