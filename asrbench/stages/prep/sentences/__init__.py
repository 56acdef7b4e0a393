"""Everyday Korean sentences from a small grammar, for the recipe `synthetic`.

The sentences are written as they are spoken: Hangul, single spaces, numbers in words, and no
punctuation. They have one to twelve words.

A template is a sentence with slots. `{dish}` draws from `WORDS` or calls one of `NUMBERS`, and the
drawn word may have slots too. `{deed:past}` adds an ending of `inflection.ENDINGS` to a verb. The
syllable before `을/를` decides between the two. A sentence never draws a word twice, so nobody goes
`서울에서 서울까지`.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from asrbench.stages.prep.sentences.inflection import (
    Verb,
    digits,
    month,
    native,
    sino,
    with_particles,
)
from asrbench.stages.prep.sentences.templates import TEMPLATES
from asrbench.stages.prep.sentences.words import WORDS

MAX_WORDS = 12
_PATIENCE = 20_000
"""The grammar is exhausted after this many draws without a new sentence."""


def sentences(seed: int) -> Iterator[str]:
    """Yields distinct sentences until none are left, in an order that the seed determines.

    All templates are equally likely, so the short ones are exhausted first.
    """
    rng = np.random.default_rng((seed, 0x5E47))
    said: set[str] = set()
    misses = 0
    while misses < _PATIENCE:
        sentence = say(TEMPLATES[_index(rng, len(TEMPLATES))], rng)
        if sentence in said or sentence.count(" ") >= MAX_WORDS:
            misses += 1
            continue
        misses = 0
        said.add(sentence)
        yield sentence


def say(template: str, rng: np.random.Generator) -> str:
    """Returns a sentence: fills the slots, conjugates the verbs and chooses the particles."""
    return with_particles(template.format_map(_Slots(rng)))


class _Slots(Mapping[str, "_Word"]):
    """The mapping for `str.format_map`. It draws a word for each slot, and no word twice."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._drawn: set[str] = set()

    def __getitem__(self, slot: str) -> "_Word":
        if slot in NUMBERS:
            return _Word(NUMBERS[slot](self._rng))
        words = WORDS[slot]
        word = words[_index(self._rng, len(words))]
        while word in self._drawn:
            word = words[_index(self._rng, len(words))]
        self._drawn.add(word)
        return _Word(word.format_map(self) if "{" in word else word)

    def __iter__(self) -> Iterator[str]:
        return iter((*WORDS, *NUMBERS))

    def __len__(self) -> int:
        return len(WORDS) + len(NUMBERS)


class _Word(str):
    """A drawn word. The format `{word:past}` conjugates it as a verb with that ending."""

    def __format__(self, ending: str) -> str:
        return Verb.parse(str(self)).ending(ending) if ending else str(self)


# -------------------------------------------------------------------------------------- numbers


def _index(rng: np.random.Generator, count: int) -> int:
    # Four times as fast as `integers`; a sentence needs a dozen draws.
    return int(rng.random() * count)


def _between(rng: np.random.Generator, low: int, high: int, step: int = 1) -> int:
    """Draws a number from `low` to `high`, both included."""
    return low + step * _index(rng, (high - low) // step + 1)


def _count(counter: str, high: int) -> Callable[[np.random.Generator], str]:
    return lambda rng: f"{native(_between(rng, 1, high))} {counter}"


def _measure(unit: str, low: int, high: int, step: int = 1) -> Callable[[np.random.Generator], str]:
    return lambda rng: f"{sino(_between(rng, low, high, step))} {unit}"


def _clock(rng: np.random.Generator, low: int = 1, high: int = 24) -> str:
    """Draws a time such as `오후 세 시 반`, with native hours and Sino-Korean minutes."""
    hour = _between(rng, low, high)
    parts = [part for part, low, high in _DAY_PARTS if low <= hour <= high]
    part = parts[_index(rng, len(parts))]
    minutes = ("", "", " 반", f" {sino(_between(rng, 5, 55, 5))} 분")[_index(rng, 4)]
    return f"{part} {native((hour - 1) % 12 + 1)} 시{minutes}"


_DAY_PARTS = (
    *(("새벽", 1, 5), ("아침", 6, 9), ("오전", 6, 11), ("낮", 12, 14)),
    *(("오후", 13, 18), ("저녁", 18, 21), ("밤", 21, 24)),
)


def _date(rng: np.random.Generator) -> str:
    number = _between(rng, 1, 12)
    days = 29 if number == 2 else 30 if number in (4, 6, 9, 11) else 31
    return f"{month(number)} {sino(_between(rng, 1, days))}일"


def _price(*kinds: tuple[int, int, int]) -> Callable[[np.random.Generator], str]:
    def price(rng: np.random.Generator) -> str:
        return f"{sino(_between(rng, *kinds[_index(rng, len(kinds))]))} 원"

    return price


_COINS, _NOTES, _FORTUNES = (500, 9_900, 100), (10_000, 99_500, 500), (100_000, 3_000_000, 10_000)


def _telephone(rng: np.random.Generator) -> str:
    middle, last = (f"{_between(rng, 1000, 9999)}" for _ in range(2))
    return f"공일공 {digits(middle)} {digits(last)}"


NUMBERS: dict[str, Callable[[np.random.Generator], str]] = {
    "clock": _clock,
    "morning": lambda rng: _clock(rng, 6, 11),
    "evening": lambda rng: _clock(rng, 13, 23),
    "date": _date,
    "price": _price(_COINS, _NOTES, _FORTUNES),
    "cheap": _price(_COINS),
    "meal": _price((5_000, 25_000, 500)),
    "modest": _price(_NOTES),
    "dear": _price(_NOTES, _FORTUNES),
    "telephone": _telephone,
    "month": lambda rng: month(_between(rng, 1, 12)),
    "year": _measure("년", 1940, 2015),
    "recent_year": _measure("년", 1995, 2025),
    "age": _count("살", 60),
    "age_old": lambda rng: f"{native(_between(rng, 60, 95))} 살",
    "pieces": _count("개", 30),
    "people": _count("명", 40),
    "guests": _count("분", 9),
    "cups": _count("잔", 6),
    "bottles": _count("병", 12),
    "books": _count("권", 20),
    "sheets": _count("장", 20),
    "animals": _count("마리", 12),
    "cars": _count("대", 12),
    "bowls": _count("그릇", 6),
    "portions": lambda rng: f"{sino(_between(rng, 1, 6))} 인분",
    "flowers": _count("송이", 30),
    "pairs": _count("켤레", 6),
    "clothes_count": _count("벌", 6),
    "times": _count("번", 60),
    "few_times": _count("번", 6),
    "bundles": _count("상자", 10),
    "hours": _count("시간", 12),
    "minutes": _measure("분", 5, 55, 5),
    "days": _measure("일", 2, 30),
    "weeks": _measure("주", 2, 8),
    "months": _count("달", 11),
    "years": _measure("년", 2, 30),
    "floor": _measure("층", 1, 35),
    "room": _measure("호", 101, 1909),
    "bus": _measure("번 버스", 1, 999),
    "line": _measure("호선", 1, 9),
    "exit": _measure("번 출구", 1, 12),
    "percent": _measure("퍼센트", 5, 95, 5),
    "frost": _measure("도", 1, 20),
    "degrees": _measure("도", 1, 38),
    "kilos": _measure("킬로", 1, 20),
    "metres": _measure("미터", 50, 950, 50),
    "score": _measure("점", 45, 100),
    "page": _measure("쪽", 3, 480),
    "grade": _measure("학년", 1, 6),
}
