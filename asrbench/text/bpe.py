"""Subword pieces: byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909) over characters, as
SentencePiece (Kudo and Richardson 2018, arXiv:1808.06226) learns and cuts it.

Its other model, unigram, is fitted in floating point, which differs between machines, and takes ten
times as long.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from asrbench.base.errors import UserError

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

SPACE = "\u2581"
"""How a piece writes a space; each text begins with one, so that its first word is as any other."""
RESERVED = f"\0{SPACE}\u2585"
"""Characters that SentencePiece keeps for itself: no piece spells them."""

LONGEST = 1 << 30
"""SentencePiece's own limit in bytes; what is longer than it is told, it would pass over."""


@dataclass(frozen=True)
class Bpe:
    """What texts are cut into. A piece has an index from 1; 0 is left to the blank."""

    model: bytes = field(repr=False)
    """As SentencePiece stores it."""

    @classmethod
    def learned(cls, texts: Iterable[str], count: int) -> "Bpe":
        """`count` pieces of `texts`, whose order does not matter, every character among them.

        Texts are in normal form. Raises `UserError` if there are none, or if they make no such
        number of pieces.
        """
        free = str.maketrans("", "", RESERVED)
        lines = sorted(line for text in texts if (line := text.translate(free).strip()))
        if not lines:
            raise UserError("text.unit: the training split has no text to learn pieces from")
        characters = set(SPACE).union(*lines) - {" "}
        if count < len(characters):
            raise UserError(
                f"text.vocabulary: found {count}, allowed: {len(characters)} or more, for every "
                f"character of the training texts is a piece"
            )
        pieces = cls(_trained(lines, count))
        if len(pieces.symbols) < count:
            raise UserError(
                f"text.vocabulary: found {count}, allowed: at most {len(pieces.symbols)}, for the "
                f"training texts make no more pieces"
            )
        return pieces

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The piece of index `i` is `symbols[i - 1]`."""
        known = range(1, self._processor.vocab_size())
        return tuple(map(self._processor.id_to_piece, known))

    @cached_property
    def characters(self) -> frozenset[str]:
        """All that they can spell."""
        return frozenset(self.join(self.symbols))

    def encode(self, text: str) -> list[int]:
        """Indices of `text`, which holds `characters` alone."""
        return list(self._processor.encode(text))

    def join(self, symbols: Iterable[str]) -> str:
        return "".join(symbols).replace(SPACE, " ")

    @cached_property
    def _processor(self) -> "SentencePieceProcessor":
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_proto=self.model)


def _trained(lines: Sequence[str], count: int) -> bytes:
    """A model of at most `count` pieces beside the one for the unknown, which has index 0.

    The same for the same lines in the same order: by one thread, and all of them are read.
    """
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=count + 1,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        max_sentence_length=LONGEST,
        num_threads=1,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()
