"""Text as the recogniser spells it: normal form, units, inventory."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from asrbench.errors import UserError, pick

BLANK = 0
"""Index of CTC's blank. A decoder that has no blank uses the same index for start and end."""


def normalise(text: str) -> str:
    """NFC, with every run of white space one space and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def is_hangul(symbol: str) -> bool:
    """True for a Hangul syllable or a conjoining jamo."""
    return "가" <= symbol <= "힣" or "\u1100" <= symbol <= "\u11ff"


def _characters(text: str) -> list[str]:
    return list(unicodedata.normalize("NFC", text))


def _jamo(text: str) -> list[str]:
    """Hangul syllables as conjoining jamo, everything else as it is; NFC brings them back."""
    return [
        symbol
        for character in unicodedata.normalize("NFC", text)
        for symbol in (
            unicodedata.normalize("NFD", character) if is_hangul(character) else character
        )
    ]


@dataclass(frozen=True)
class Unit:
    """How text falls into symbols. `join` of `split` gives the NFC text back."""

    split: Callable[[str], list[str]]
    needs_hangul: bool

    def join(self, symbols: Iterable[str]) -> str:
        return unicodedata.normalize("NFC", "".join(symbols))


UNITS = {
    "char": Unit(_characters, needs_hangul=False),
    "syllable": Unit(_characters, needs_hangul=True),
    "jamo": Unit(_jamo, needs_hangul=True),
}


@dataclass(frozen=True)
class Inventory:
    """The symbols a model can emit, taken from the training texts only.

    Index 0 is the blank, symbol `i` of `symbols` has index `i + 1`.
    """

    unit: str
    symbols: tuple[str, ...]

    @classmethod
    def of(cls, unit: str, texts: Iterable[str]) -> "Inventory":
        """Every symbol of `texts`, sorted. Raises `UserError` if `unit` cannot spell them."""
        spelling = UNITS[pick("text.unit", unit, UNITS)]
        symbols = sorted({symbol for text in texts for symbol in spelling.split(text)})
        if not symbols:
            raise UserError("text.unit: the training split has no text to take an inventory from")
        if spelling.needs_hangul and not any(map(is_hangul, symbols)):
            raise UserError(
                f"text.unit: '{unit}' spells Hangul, but the training texts have none; use 'char'"
            )
        return cls(unit, tuple(symbols))

    def __len__(self) -> int:
        """Number of indices, the blank included."""
        return len(self.symbols) + 1

    def encode(self, text: str) -> list[int]:
        """Indices of `text`. Symbols outside the inventory are left out; see `unknown`."""
        return [self._index[s] for s in UNITS[self.unit].split(text) if s in self._index]

    def decode(self, indices: Sequence[int]) -> str:
        """Text of `indices`, none of which is the blank. NFC."""
        return UNITS[self.unit].join(self.symbols[i - 1] for i in indices)

    def unknown(self, texts: Iterable[str]) -> Counter[str]:
        """How often each symbol outside the inventory occurs: no model of it can get them right."""
        split = UNITS[self.unit].split
        return Counter(s for text in texts for s in split(text) if s not in self._index)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, start=1)}
