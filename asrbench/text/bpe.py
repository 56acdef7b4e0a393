"""Subwords by byte pair encoding (BPE) over characters (Sennrich et al. 2016, arXiv:1508.07909).

SentencePiece (Kudo and Richardson 2018, arXiv:1808.06226) learns and applies them. Its unigram
model is not offered: it takes ten times as long, and it is fitted in floating point, so that it
differs between machines.
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
"""How a subword spells a space. Each text begins with one, so that its first word is encoded as any
other."""
RESERVED = f"\0{SPACE}\u2585"
"""Characters that SentencePiece reserves, so that no subword contains them."""

MAX_TEXT_BYTES = 1 << 30
"""The largest limit that SentencePiece allows. It ignores training texts longer than its limit."""


@dataclass(frozen=True)
class Bpe:
    """Learned subwords. A subword has an index from 1, because 0 is the blank."""

    model: bytes = field(repr=False)
    """The model in the serialised form of SentencePiece."""

    @classmethod
    def learn(cls, texts: Iterable[str], count: int) -> "Bpe":
        """Learns `count` subwords from `texts` in normal form. Every character is a subword.

        The order of `texts` does not matter. Raises `UserError` if no text has a character, and if
        `count` is below the number of characters or above what the texts allow.
        """
        free = str.maketrans("", "", RESERVED)
        lines = sorted(line for text in texts if (line := text.translate(free).strip()))
        if not lines:
            raise UserError("text.unit: the training split has no text to learn subwords from")
        characters = set(SPACE).union(*lines) - {" "}
        if count < len(characters):
            raise UserError(
                f"text.vocabulary: found {count}, allowed: {len(characters)} or more, because "
                f"every character of the training texts is a subword"
            )
        bpe = cls(_train(lines, count))
        if len(bpe.symbols) < count:
            raise UserError(
                f"text.vocabulary: found {count}, allowed: at most {len(bpe.symbols)}, because the "
                f"training texts yield no more subwords"
            )
        return bpe

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The subwords; that of index `i` is `symbols[i - 1]`."""
        known = range(1, self._processor.vocab_size())
        return tuple(map(self._processor.id_to_piece, known))

    @cached_property
    def characters(self) -> frozenset[str]:
        """All characters that the subwords can spell."""
        return frozenset(self.join(self.symbols))

    def encode(self, text: str) -> list[int]:
        """Returns the indices of `text`, which must consist of `characters`."""
        return list(self._processor.encode(text))

    def join(self, symbols: Iterable[str]) -> str:
        """Returns the text of subwords, with a space before its first word."""
        return "".join(symbols).replace(SPACE, " ")

    @cached_property
    def _processor(self) -> "SentencePieceProcessor":
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_proto=self.model)


def _train(lines: Sequence[str], count: int) -> bytes:
    """Returns a SentencePiece model of at most `count` subwords, and one for unknowns at index 0.

    It is deterministic: one thread reads all lines in their order.
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
        max_sentence_length=MAX_TEXT_BYTES,
        num_threads=1,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()
