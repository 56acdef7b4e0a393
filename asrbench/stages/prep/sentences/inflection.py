"""Korean particles, verb endings and spoken numbers, as the recipe `synthetic` needs them.

Spelling follows the standard orthography (한글 맞춤법): numbers have a space after each unit of ten
thousand, and counters are separate words.
"""

import re
from dataclasses import dataclass

_FIRST = ord("가")
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = "_ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_PER_INITIAL = len(_VOWELS) * len(_FINALS)


def final_of(text: str) -> str:
    """Returns the final consonant of the last syllable, or "": `책` -> `ㄱ`, `나무` -> ``."""
    index = (ord(text[-1]) - _FIRST) % len(_FINALS)
    return _FINALS[index] if index else ""


def _with_final(text: str, final: str) -> str:
    """Replaces the final consonant of the last syllable, also by none: `가`, `ㅆ` -> `갔`."""
    code = ord(text[-1]) - _FIRST
    index = _FINALS.index(final) if final else 0
    return text[:-1] + chr(_FIRST + code - code % len(_FINALS) + index)


def _vowel_of(text: str) -> str:
    return _VOWELS[(ord(text[-1]) - _FIRST) % _PER_INITIAL // len(_FINALS)]


def _with_vowel(text: str, vowel: str) -> str:
    """Replaces the vowel of the last syllable, which has no final consonant: `오`, `ㅘ` -> `와`."""
    initial = (ord(text[-1]) - _FIRST) // _PER_INITIAL
    place = initial * _PER_INITIAL + _VOWELS.index(vowel) * len(_FINALS)
    return text[:-1] + chr(_FIRST + place)


# ------------------------------------------------------------------------------------ particles

PARTICLES = (
    *("을/를", "이/가", "은/는", "과/와", "으로/로", "이나/나", "이랑/랑"),
    *("이에요/예요", "이라고/라고"),
)
"""Pairs of the form after a final consonant and the form after a vowel."""

_PAIR = re.compile(f"([가-힣])({'|'.join(PARTICLES)})")


def with_particles(text: str) -> str:
    """Replaces each pair of `PARTICLES` by the form that fits its syllable: `책을/를` -> `책을`.

    After ㄹ, `으로/로` is `로`: `지하철으로/로` -> `지하철로`.
    """

    def chosen(match: re.Match[str]) -> str:
        before, pair = match.groups()
        closed, open_ = pair.split("/")
        final = final_of(before)
        if pair == "으로/로" and final == "ㄹ":
            return before + open_
        return before + (closed if final else open_)

    return _PAIR.sub(chosen, text)


# ---------------------------------------------------------------------------------------- verbs

ENDINGS = {
    # After the bare stem.
    "want": ("stem", "고 싶어요"),
    "wanted": ("stem", "고 싶었어요"),
    "doing": ("stem", "고 있어요"),
    "was_doing": ("stem", "고 있었어요"),
    "and": ("stem", "고"),
    "though": ("stem", "지만"),
    "dont": ("stem", "지 마세요"),
    "not": ("stem", "지 않아요"),
    "did_not": ("stem", "지 않았어요"),
    "could_not": ("stem", "지 못했어요"),
    "before": ("stem", "기 전에"),
    "decided": ("stem", "기로 했어요"),
    "oh": ("stem", "네요"),
    # After the form in -아/어.
    "now": ("infinitive", "요"),
    "past": ("infinitive", "ㅆ어요"),
    "formal_past": ("infinitive", "ㅆ습니다"),
    "past_and": ("infinitive", "ㅆ는데"),
    "past_oh": ("infinitive", "ㅆ네요"),
    "past_ask": ("infinitive", "ㅆ나요"),
    "because": ("infinitive", "서"),
    "for_me": ("infinitive", " 주세요"),
    "for_me_soft": ("infinitive", " 줄래요"),
    "for_me_polite": ("infinitive", " 주시겠어요"),
    "for_you": ("infinitive", " 드릴게요"),
    "for_you_ask": ("infinitive", " 드릴까요"),
    "must": ("infinitive", "야 해요"),
    "must_have": ("infinitive", "야 했어요"),
    "may": ("infinitive", "도 돼요"),
    "may_i": ("infinitive", "도 될까요"),
    "tried": ("infinitive", " 봤어요"),
    "try": ("infinitive", " 보세요"),
    "tried_ask": ("infinitive", " 본 적 있어요"),
    # After the form in -(으).
    "will": ("soft", "ㄹ게요"),
    "shall": ("soft", "ㄹ까요"),
    "going": ("soft", "ㄹ 거예요"),
    "will_you": ("soft", "ㄹ래요"),
    "can": ("soft", "ㄹ 수 있어요"),
    "cannot": ("soft", "ㄹ 수 없어요"),
    "like": ("soft", "ㄹ 것 같아요"),
    "when": ("soft", "ㄹ 때"),
    "please": ("honorific", "세요"),
    "if": ("soft", "면"),
    "intend": ("soft", "려고 해요"),
    "since": ("soft", "니까"),
    "after": ("soft", "ㄴ 다음에"),
    "of": ("soft", "ㄴ"),
    "honor_past": ("honorific", "셨어요"),
    "honor_going": ("honorific", "실 거예요"),
    "honor_doing": ("stem", "고 계세요"),
    "formal": ("stem", "습니다"),
}
"""The base and the ending of each name. A leading consonant joins the syllable before it."""

_HONORIFIC = {"먹": "드", "마시": "드", "자": "주무"}
"""Verbs whose honorific is another word."""


@dataclass(frozen=True)
class Verb:
    """The bases of a verb or an adjective, to which endings are added."""

    stem: str
    infinitive: str
    soft: str

    @classmethod
    def parse(cls, phrase: str) -> "Verb":
        """Parses a phrase ending in a stem, `책을 읽`, or in three bases, `음악을 듣:들어:들으`."""
        stem, *others = phrase.split(":")
        if others:
            head = stem[: stem.rfind(" ") + 1]
            infinitive, soft = others
            return cls(stem, head + infinitive, head + soft)
        return cls(stem, _infinitive(stem), stem if final_of(stem) in ("", "ㄹ") else f"{stem}으")

    @property
    def honorific(self) -> str:
        """Returns the base for -시-: `읽으`, `가`, and `드` for 먹다."""
        head, _, last = self.stem.rpartition(" ")
        word = _HONORIFIC.get(last)
        return self.soft if word is None else f"{head} {word}".strip()

    def ending(self, name: str) -> str:
        """Returns the verb with the ending of this name in `ENDINGS`."""
        base, ending = ENDINGS[name]
        if name == "formal" and final_of(self.stem) in ("", "ㄹ"):
            ending = "ㅂ니다"
        return _joined(getattr(self, base), ending)


def _joined(base: str, ending: str) -> str:
    """Joins base and ending: 만들 + 니까 -> 만드니까.

    A final ㄹ is dropped before ㄴ, ㅂ, ㅅ and another ㄹ.
    """
    if final_of(base) == "ㄹ":
        if ending[0] == "ㄹ":
            return base + ending[1:]
        if ending[0] in "ㄴㅂ" or "나" <= ending[0] <= "닣" or "사" <= ending[0] <= "싷":
            base = _with_final(base, "")
    if ending[0] in _FINALS:
        return _with_final(base, ending[0]) + ending[1:]
    return base + ending


def _infinitive(stem: str) -> str:
    """Returns the form in -아/어 of a regular stem: 읽 -> 읽어, 가 -> 가, 오 -> 와, 하 -> 해."""
    vowel = _vowel_of(stem)
    if final_of(stem):
        return stem + ("아" if vowel in "ㅏㅑㅗ" else "어")
    if stem[-1] == "하":
        return _with_vowel(stem, "ㅐ")
    if vowel in "ㅏㅓㅐㅔㅕ":
        return stem
    contracted = {"ㅗ": "ㅘ", "ㅜ": "ㅝ", "ㅣ": "ㅕ", "ㅚ": "ㅙ"}.get(vowel)
    if contracted:
        return _with_vowel(stem, contracted)
    if vowel == "ㅡ":
        raise ValueError(f"{stem}: give its three bases, as in 쓰:써:쓰")
    return f"{stem}어"


# -------------------------------------------------------------------------------------- numbers

_DIGITS = ("", "일", "이", "삼", "사", "오", "육", "칠", "팔", "구")
_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")


def sino(number: int) -> str:
    """Returns a number from 1 to 99,999,999 in Sino-Korean: 12500 -> `만 이천오백`."""
    if not 0 < number < 10**8:
        raise ValueError(f"{number}: not between 1 and 99,999,999")
    upper, lower = divmod(number, 10_000)
    # 10,000 is 만, not 일만, and a space follows it.
    parts = [f"{_thousands(upper) if upper > 1 else ''}만"] if upper else []
    return " ".join([*parts, _thousands(lower)] if lower else parts)


def _thousands(number: int) -> str:
    """Returns a number from 1 to 9,999. A leading one is not spoken: 110 -> `백십`."""
    read = ""
    for value, name in ((1000, "천"), (100, "백"), (10, "십"), (1, "")):
        digit = number // value % 10
        if digit:
            read += ("" if digit == 1 and name else _DIGITS[digit]) + name
    return read


def native(number: int) -> str:
    """Returns a number from 1 to 99 before a counter: 1 -> `한`, 20 -> `스무`, 21 -> `스물한`."""
    if not 0 < number < 100:
        raise ValueError(f"{number}: not between 1 and 99")
    return "스무" if number == 20 else _TENS[number // 10] + _ONES[number % 10]


def digits(number: str) -> str:
    """Reads a telephone number digit by digit: `010` -> `공일공`."""
    return "".join(_DIGITS[int(digit)] or "공" for digit in number)


def month(number: int) -> str:
    """Returns the name of a month from 1 to 12, as `일월`; June is `유월` and October `시월`."""
    return {6: "유월", 10: "시월"}.get(number, f"{sino(number)}월")
