"""Text as the recogniser spells it: normal form, units, tokenizer."""

import base64
import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asrbench.base.errors import UserError, pick
from asrbench.text.bpe import Bpe
from asrbench.text.normal_form import is_hangul, normalise

BLANK = 0
"""Index of CTC's blank. A decoder that has no blank uses the same index for start and end."""


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
    """How text falls into symbols. `join` of `split` gives its NFC or its normal form back."""

    split: Callable[[str], list[str]]
    needs_hangul: bool

    def join(self, symbols: Iterable[str]) -> str:
        return unicodedata.normalize("NFC", "".join(symbols))


UNITS = {
    "char": Unit(_characters, needs_hangul=False),
    "syllable": Unit(_characters, needs_hangul=True),
    "jamo": Unit(_jamo, needs_hangul=True),
    "subword": Unit(lambda text: list(normalise(text)), needs_hangul=False),
}
"""Subwords are learned from the texts; this is what they are made of."""


@dataclass(frozen=True)
class Tokenizer:
    """The symbols a model can emit, taken from the training texts only.

    Index 0 is the blank, symbol `i` of `symbols` has index `i + 1`.
    """

    unit: str
    symbols: tuple[str, ...]
    pieces: Bpe | None = None
    """What cuts text into symbols, where they are subwords."""

    @classmethod
    def of(cls, unit: str, texts: Iterable[str], vocabulary: int | None = None) -> "Tokenizer":
        """Every symbol of `texts`, sorted; of subwords `vocabulary`.

        Raises `UserError` if `unit` cannot spell the texts.
        """
        spelling = UNITS[pick("text.unit", unit, UNITS)]
        if unit == "subword":
            assert vocabulary is not None
            pieces = Bpe.learned(map(normalise, texts), vocabulary)
            return cls(unit, pieces.symbols, pieces)
        symbols = sorted({symbol for text in texts for symbol in spelling.split(text)})
        if not symbols:
            raise UserError("text.unit: the training split has no text to take a tokenizer from")
        if spelling.needs_hangul and not any(map(is_hangul, symbols)):
            raise UserError(
                f"text.unit: '{unit}' spells Hangul, but the training texts have none; use 'char'"
            )
        return cls(unit, tuple(symbols))

    def __len__(self) -> int:
        """Number of indices, the blank included."""
        return len(self.symbols) + 1

    def encode(self, text: str) -> list[int]:
        """Indices of `text`. What is outside the tokenizer is left out; see `unknown`."""
        known = [each for each in UNITS[self.unit].split(text) if each in self._known]
        if self.pieces is not None:
            # No NFC again: what was apart may compose to a character that no piece spells.
            return self.pieces.encode(" ".join("".join(known).split()))
        return [self._index[symbol] for symbol in known]

    def decode(self, indices: Sequence[int]) -> str:
        """Text of `indices`, none of which is the blank. NFC; of subwords in normal form."""
        symbols = [self.symbols[i - 1] for i in indices]
        if self.pieces is not None:
            return normalise(self.pieces.join(symbols))
        return UNITS[self.unit].join(symbols)

    def unknown(self, texts: Iterable[str]) -> Counter[str]:
        """How often each symbol, or for subwords each character, occurs that the tokenizer cannot
        spell: no model of it can get them right."""
        split = UNITS[self.unit].split
        return Counter(each for text in texts for each in split(text) if each not in self._known)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, start=1)}

    @cached_property
    def _known(self) -> frozenset[str]:
        """What text may fall into."""
        return frozenset(self.symbols) if self.pieces is None else self.pieces.characters

    # On disk

    def plain(self) -> dict[str, Any]:
        """As plain data: what `of_plain` makes a tokenizer of."""
        if self.pieces is None:
            return {"unit": self.unit, "symbols": list(self.symbols)}
        return {"unit": self.unit, "pieces": base64.b64encode(self.pieces.model).decode()}

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> "Tokenizer":
        if "pieces" not in plain:
            return cls(plain["unit"], tuple(plain["symbols"]))
        pieces = Bpe(base64.b64decode(plain["pieces"]))
        return cls(plain["unit"], pieces.symbols, pieces)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over all that gives an index its meaning."""
        canonical = json.dumps(self.plain(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
