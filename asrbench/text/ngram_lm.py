"""Back-off n-gram language models of a tokenizer's symbols, read from ARPA files.

The format is that of SRILM (Stolcke 2002) and KenLM (Heafield 2011): log probabilities and back-off
weights to base 10. A word of the file is a symbol, written as `word_of` does. Scores here are
natural logarithms (nats). Legend: W words of the file, V symbols of a tokenizer with the blank.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asrbench.base.errors import UserError
from asrbench.base.files import TEXT_BYTES, parse_json, read_utf8
from asrbench.base.records import checked, field_values
from asrbench.text.tokenizer import Tokenizer

START, END, UNKNOWN, SPACE = "<s>", "</s>", "<unk>", "<space>"
"""Words of an ARPA file that are not written as they are."""

MOST_WORDS = 10
"""The highest order that is read."""

_HEADER = "# asrbench lm "
"""The beginning of the comment that says what a file of `asrbench lm` was made from."""
_LN10 = math.log(10)
_NEVER = -99.0
"""The logarithm to base 10 that stands for log 0 in ARPA files."""

State = tuple[int, ...]
"""The words that the next one depends on, by index, the latest last."""
Row = npt.NDArray[np.float64]


def word_of(symbol: str) -> str:
    """Returns how an ARPA file spells a symbol. A space is `<space>`.

    Any other white space or control character, and `<`, is written as `<U+003C>`: ARPA separates
    words by white space, and has words of its own in angle brackets.
    """
    if symbol == " ":
        return SPACE
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f<]", lambda c: f"<U+{ord(c[0]):04X}>", symbol)


@dataclass(frozen=True)
class LmSource:
    """What `asrbench lm` made a file from, which the file says in a comment."""

    tokenizer: str
    """The digest of the tokenizer."""
    unit: str
    """The unit of the tokenizer."""
    symbols: int
    """The number of symbols of the tokenizer, without the blank."""
    corpus: str
    """The fingerprint of the corpus."""
    side: str = "text"
    """The column of the texts."""
    fold: str | None = None
    """The fold without which it was trained, as `fold 2 of 5`; None for a whole corpus."""

    @property
    def comment(self) -> str:
        """The comment, a line."""
        return _HEADER + json.dumps(field_values(self), ensure_ascii=False)

    @classmethod
    def of_text(cls, text: str, where: str) -> "LmSource | None":
        """Returns what the first line of an ARPA file says; None if it is no such comment.

        Raises `UserError` for a damaged one.
        """
        line = text.partition("\n")[0]
        if not line.startswith(_HEADER):
            return None
        try:
            found = parse_json(line.removeprefix(_HEADER))
        except ValueError:
            found = line
        return checked(found, cls, f"{where}, line 1", "train it again with `asrbench lm`")


@dataclass(frozen=True)
class NgramLm:
    """An n-gram model: p(word | words before it), backed off to shorter contexts (Katz 1987)."""

    where: str
    """The file that it was read from, for messages."""
    digest: str
    """16 hexadecimal digits of the SHA-256 of the file."""
    source: LmSource | None
    """What it was made from; None for files of other programs."""
    words: tuple[str, ...]
    """The words of the file; its unigrams."""
    counts: tuple[int, ...]
    """The number of n-grams of each order, from 1."""
    following: dict[State, tuple[list[int], list[float]]] = field(repr=False)
    """The words after a context that the file lists, and their log probabilities in nats."""
    backoffs: dict[State, float] = field(repr=False)
    """The weight of a context by which shorter ones are scaled, in nats, where it is not 0."""

    @classmethod
    def read(cls, path: Path) -> "NgramLm":
        """Reads an ARPA file of at most 1 GiB. Raises `UserError` with the line at fault."""
        text = read_utf8(path, TEXT_BYTES)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return _Parser(str(path), text).parsed(digest)

    @property
    def order(self) -> int:
        """The number of words of the longest n-grams."""
        return len(self.counts)

    @cached_property
    def index(self) -> dict[str, int]:
        """The index of each word."""
        return {word: i for i, word in enumerate(self.words)}

    @property
    def start(self) -> State:
        """The state at the beginning of a sentence."""
        return self._shortened((self.index[START],)) if START in self.index else ()

    def next(self, state: State, word: int) -> State:
        """Returns the state after `word`: the words that can still matter."""
        return self._shortened((*state, word)[-(self.order - 1) :] if self.order > 1 else ())

    def _shortened(self, context: State) -> State:
        while context and context not in self.following and context not in self.backoffs:
            context = context[1:]
        return context

    def log_probs(self, state: State) -> Row:
        """Returns log_probs_W of the next word, in nats.

        A listed n-gram has its own probability; any other has that of the shorter context, scaled.
        """
        row: Row = np.full(len(self.words), _NEVER * _LN10)
        for length in range(len(state) + 1):
            context = state[len(state) - length :]
            row += self.backoffs.get(context, 0.0)
            if context in self.following:
                words, log_probs = self.following[context]
                row[words] = log_probs
        return row

    def score(self, words: Iterable[int]) -> float:
        """Returns the log probability of a sentence and its end, in nats."""
        total, state = 0.0, self.start
        for word in words:
            total += float(self.log_probs(state)[word])
            state = self.next(state, word)
        return total + float(self.log_probs(state)[self.index[END]])


class SymbolLm:
    """An n-gram model of exactly the symbols of a tokenizer, by their indices.

    Index 0, which is the blank elsewhere, is the end of a sentence.
    """

    def __init__(self, lm: NgramLm, tokenizer: Tokenizer) -> None:
        """Raises `UserError` if the model is of other symbols than those of `tokenizer`."""
        self.lm = lm
        _check_symbols(lm, tokenizer)
        unknown = lm.index.get(UNKNOWN, -1)
        words = [lm.index.get(word_of(symbol), unknown) for symbol in tokenizer.symbols]
        self.word_V = np.array([lm.index[END], *words])

    @property
    def start(self) -> State:
        """The state at the beginning of a sentence."""
        return self.lm.start

    def next(self, state: State, symbol: int) -> State:
        """Returns the state after the symbol of that index."""
        return self.lm.next(state, int(self.word_V[symbol]))

    def log_probs(self, state: State) -> Row:
        """Returns log_probs_V of the next symbol, at index 0 of the end, in nats.

        A symbol that the file neither has nor covers by `<unk>` has log probability -228, which
        stands for log 0 in ARPA files.
        """
        row: Row = self.lm.log_probs(state)[self.word_V]
        row[self.word_V < 0] = _NEVER * _LN10
        return row

    def perplexity(self, texts: Iterable[Sequence[int]]) -> float:
        """Returns the perplexity for each symbol and end of the texts, given as symbols."""
        total, count = 0.0, 0
        for symbols in texts:
            total += self.lm.score(int(self.word_V[symbol]) for symbol in symbols)
            count += len(symbols) + 1
        return math.exp(-total / count)


def _check_symbols(lm: NgramLm, tokenizer: Tokenizer) -> None:
    own = f"{tokenizer.unit}, {len(tokenizer.symbols)} symbols"
    if lm.source is not None and lm.source.tokenizer != tokenizer.digest:
        raise UserError(
            f"{lm.where}: found a language model of another tokenizer ({lm.source.unit}, "
            f"{lm.source.symbols} symbols, {lm.source.tokenizer}) than that of the run ({own}, "
            f"{tokenizer.digest}); `asrbench lm --run RUN` trains one for it"
        )
    known = {START, END, UNKNOWN, *map(word_of, tokenizer.symbols)}
    others = [word for word in lm.words if word not in known]
    if others:
        raise UserError(
            f"{lm.where}: found {len(others):,} words that are no symbols of the run's tokenizer "
            f"({own}), the first '{others[0]}'; `asrbench lm --run RUN` trains one for it"
        )


# Reading


class _Parser:
    """Reads one ARPA file line by line."""

    def __init__(self, where: str, text: str) -> None:
        self.where, self.text = where, text
        self.number = 0
        """The number of the current line, counted from 1."""
        self.lines = self._lines()
        self.index: dict[str, int] = {}
        self.following: dict[State, tuple[list[int], list[float]]] = {}
        self.backoffs: dict[State, float] = {}

    def parsed(self, digest: str) -> NgramLm:
        counts, line = self._counts()
        for order, count in enumerate(counts, start=1):
            self._expect(line, f"\\{order}-grams:")
            line = self._section(order, count)
        self._expect(line, "\\end\\")
        if END not in self.index:
            raise UserError(f"{self.where}: found no word '{END}', which every sentence ends with")
        return NgramLm(
            self.where,
            digest,
            LmSource.of_text(self.text, self.where),
            tuple(self.index),
            tuple(counts),
            self.following,
            self.backoffs,
        )

    def _lines(self) -> Iterator[str]:
        # splitlines() would also split at characters that may be symbols.
        for number, line in enumerate(self.text.split("\n"), start=1):
            self.number = number
            if stripped := line.strip(" \t\r"):
                yield stripped

    def _error(self, found: str, allowed: str) -> UserError:
        return UserError(f"{self.where}, line {self.number}: found {found}, allowed: {allowed}")

    def _expect(self, line: str, wanted: str) -> None:
        if line != wanted:
            raise self._error(_shown(line) if line else "the end of the file", wanted)

    def _counts(self) -> tuple[list[int], str]:
        """Returns the counts in the head of the file, and the line after it."""
        if not any(line == "\\data\\" for line in self.lines):
            raise UserError(f"{self.where}: found no line \\data\\, allowed: an ARPA file")
        counts: list[int] = []
        for line in self.lines:
            if not line.startswith("ngram "):
                break
            wanted = f"ngram {len(counts) + 1}=NUMBER"
            found = re.fullmatch(r"ngram +(\d+) *= *(\d{1,12})", line)
            if found is None or int(found[1]) != len(counts) + 1:
                raise self._error(_shown(line), wanted)
            counts.append(int(found[2]))
            if len(counts) > MOST_WORDS:
                raise self._error(f"{len(counts)}-grams", f"an order of at most {MOST_WORDS}")
        else:
            line = ""
        if not counts:
            raise self._error(_shown(line), "ngram 1=NUMBER")
        return counts, line

    def _section(self, order: int, count: int) -> str:
        """Reads the n-grams of one order and returns the line after them."""
        found = 0
        for line in self.lines:
            if line.startswith("\\") and line.endswith((":", "\\")):
                break
            self._ngram(line, order)
            found += 1
        else:
            line = ""
        if found != count:
            raise self._error(f"{found:,} {order}-grams", f"{count:,}, as the head of the file has")
        return line

    def _ngram(self, line: str, order: int) -> None:
        log_prob, *words = re.split("[ \t]+", line)
        backoff = words.pop() if len(words) == order + 1 else None
        if len(words) != order:
            raise self._error(
                _shown(line), f"a log probability, {order} words and perhaps a back-off weight"
            )
        if order == 1:
            if words[0] in self.index:
                raise self._error(f"the word '{words[0]}' a second time", "each word once")
            self.index[words[0]] = len(self.index)
        try:
            ngram = tuple(self.index[word] for word in words)
        except KeyError as error:
            raise self._error(f"the word {error}", "the words of the 1-grams") from None
        if self._number(log_prob) > 0:
            raise self._error(f"the log probability {log_prob}", "a number up to 0")
        indices, log_probs = self.following.setdefault(ngram[:-1], ([], []))
        indices.append(ngram[-1])
        log_probs.append(max(self._number(log_prob), _NEVER) * _LN10)
        if backoff is not None and (weight := max(self._number(backoff), _NEVER)):
            self.backoffs[ngram] = weight * _LN10

    def _number(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isnan(number) or number == math.inf:
            raise self._error(f"'{text[:40]}'", "a number")
        return number


def _shown(line: str) -> str:
    return f"'{line[:40]}'" + ("..." if len(line) > 40 else "")
