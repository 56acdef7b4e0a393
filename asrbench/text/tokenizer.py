"""Units of text that a recogniser emits, and the tokenizer between texts and their indices."""

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
from asrbench.text.bpe import SPACE, Bpe
from asrbench.text.normal_form import is_hangul, nfc, normalise

BLANK = 0
"""Index of the blank of CTC. An attention decoder uses the same index for start and end."""


def _characters(text: str) -> list[str]:
    return list(nfc(text))


def _jamo(text: str) -> list[str]:
    """Returns `text` with Hangul syllables as conjoining jamo, which NFC composes again."""
    return [
        symbol
        for character in nfc(text)
        for symbol in (
            unicodedata.normalize("NFD", character) if is_hangul(character) else character
        )
    ]


@dataclass(frozen=True)
class Unit:
    """A way to split text into symbols. `join` of the symbols returns the text in NFC."""

    split: Callable[[str], list[str]]
    needs_hangul: bool

    def join(self, symbols: Iterable[str]) -> str:
        return nfc("".join(symbols))


UNITS = {
    "char": Unit(_characters, needs_hangul=False),
    "syllable": Unit(_characters, needs_hangul=True),
    "jamo": Unit(_jamo, needs_hangul=True),
    "subword": Unit(lambda text: list(normalise(text)), needs_hangul=False),
}
"""Units by name. That of `subword` gives the characters that subwords are learned from."""


@dataclass(frozen=True)
class Tokenizer:
    """The symbols that a model can emit, which come from the training texts only.

    Index 0 is the blank, and `symbols[i]` has index `i + 1`.
    """

    unit: str
    symbols: tuple[str, ...]
    bpe: Bpe | None = None
    """The byte pair encoding that splits text into subwords; None for other units."""

    @classmethod
    def of(cls, unit: str, texts: Iterable[str], vocabulary: int | None = None) -> "Tokenizer":
        """Returns a tokenizer of every symbol in `texts`, sorted, or of `vocabulary` subwords.

        Raises `UserError` if `unit` cannot spell the texts.
        """
        spelling = UNITS[pick("text.unit", unit, UNITS)]
        if unit == "subword":
            assert vocabulary is not None
            bpe = Bpe.learn(map(normalise, texts), vocabulary)
            return cls(unit, bpe.symbols, bpe)
        symbols = sorted({symbol for text in texts for symbol in spelling.split(text)})
        if not symbols:
            raise UserError("text.unit: the training split has no text to take a tokenizer from")
        if spelling.needs_hangul and not any(map(is_hangul, symbols)):
            raise UserError(
                f"text.unit: '{unit}' spells Hangul, but the training texts have none; use 'char'"
            )
        return cls(unit, tuple(symbols))

    def __len__(self) -> int:
        """Returns the number of indices, including the blank."""
        return len(self.symbols) + 1

    def encode(self, text: str) -> list[int]:
        """Returns the indices of `text` without what the tokenizer cannot spell; see `unknown`."""
        known = [each for each in UNITS[self.unit].split(text) if each in self._known]
        if self.bpe is not None:
            # Not NFC again: neighbours could now compose to a character that no subword spells.
            return self.bpe.encode(" ".join("".join(known).split()))
        return [self._index[symbol] for symbol in known]

    def decode(self, indices: Sequence[int]) -> str:
        """Returns the text of `indices`, none of which is the blank, in NFC.

        That of subwords is in normal form.
        """
        symbols = [self.symbols[i - 1] for i in indices]
        if self.bpe is not None:
            return normalise(self.bpe.join(symbols))
        return UNITS[self.unit].join(symbols)

    def words(self, indices: Sequence[int]) -> list[range]:
        """Returns the places in `indices` of the symbols of each word of the text, in order.

        Symbols that are white space alone belong to no word.
        """
        words: list[range] = []
        begins = True
        for place, index in enumerate(indices):
            symbol = self.symbols[index - 1]
            if self.bpe is not None:
                begins, symbol = begins or symbol.startswith(SPACE), symbol.replace(SPACE, " ")
            if symbol.isspace():
                begins = True
            elif begins:
                words.append(range(place, place + 1))
                begins = False
            else:
                words[-1] = range(words[-1].start, place + 1)
        return words

    def unknown(self, texts: Iterable[str]) -> Counter[str]:
        """Counts the symbols in `texts` that the tokenizer cannot spell; for subwords, characters.

        A model with this tokenizer always gets them wrong.
        """
        split = UNITS[self.unit].split
        return Counter(each for text in texts for each in split(text) if each not in self._known)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, start=1)}

    @cached_property
    def _known(self) -> frozenset[str]:
        """The symbols of a unit, or for subwords the characters, that the tokenizer can spell."""
        return frozenset(self.symbols) if self.bpe is None else self.bpe.characters

    # On disk

    def plain(self) -> dict[str, Any]:
        """Returns the tokenizer as JSON data, which `of_plain` reads."""
        if self.bpe is None:
            return {"unit": self.unit, "symbols": list(self.symbols)}
        # The key is part of the digest, which checkpoints of earlier versions hold too.
        return {"unit": self.unit, "bpe": base64.b64encode(self.bpe.model).decode()}

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> "Tokenizer":
        """Returns the tokenizer that `plain` describes."""
        if "bpe" not in plain:
            return cls(plain["unit"], tuple(plain["symbols"]))
        bpe = Bpe(base64.b64decode(plain["bpe"]))
        return cls(plain["unit"], bpe.symbols, bpe)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the SHA-256 of all that gives an index its meaning."""
        canonical = json.dumps(self.plain(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
