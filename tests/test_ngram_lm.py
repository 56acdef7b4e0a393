"""Language models of symbols: the reader of ARPA files and its scores, held to KenLM."""

import math
from pathlib import Path

import kenlm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.base.files import read_jsonl
from asrbench.text.ngram_lm import (
    END,
    START,
    LmSource,
    NgramLm,
    SymbolLm,
    word_of,
)
from asrbench.text.ngram_training import ORDERS, trained_arpa
from asrbench.text.tokenizer import Tokenizer

ROOT = Path(__file__).parent.parent
AN4 = sorted((ROOT / "results" / "published" / "an4" / "ds2").glob("*/hypotheses.test.jsonl"))[0]
TEXTS = [row["reference"] for row in read_jsonl(AN4)]
"""The 130 test texts of AN4: spelled words, numbers and addresses."""
TRAIN, OTHERS = TEXTS[:100], TEXTS[100:]

BY_HAND = """\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-99\t<s>\t-0.5
-1.0\t</s>
-0.5\ta\t-0.25
-0.75\tb

\\2-grams:
-0.125\t<s> a
-0.25\ta b
-0.375\ta </s>

\\end\\
"""


def source_of(tokenizer: Tokenizer) -> LmSource:
    return LmSource(tokenizer.digest, tokenizer.unit, len(tokenizer.symbols), "f1")


def lm_of(
    tmp_path: Path, order: int, tokenizer: Tokenizer, texts: list[str] = TRAIN
) -> tuple[SymbolLm, Path]:
    sentences = [[tokenizer.symbols[i - 1] for i in tokenizer.encode(text)] for text in texts]
    path = tmp_path / f"{order}.arpa"
    path.write_text(trained_arpa(sentences, order, source_of(tokenizer)), encoding="utf-8")
    return SymbolLm(NgramLm.read(path), tokenizer), path


def read(tmp_path: Path, text: str) -> NgramLm:
    path = tmp_path / "lm.arpa"
    path.write_text(text, encoding="utf-8")
    return NgramLm.read(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(str(tmp_path / "lm.arpa"))


# Symbols and words


@given(st.lists(st.text(min_size=1, max_size=3), unique=True))
def test_every_symbol_has_a_word_of_its_own(symbols: list[str]) -> None:
    words = [word_of(symbol) for symbol in symbols]
    assert len(set(words)) == len(words)
    assert not {START, END, "<unk>"} & set(words)
    for word in words:
        assert word.split() == [word]


def test_words_by_hand() -> None:
    assert [word_of(s) for s in (" ", "a", "각", "<", "▁the", "\u3000")] == [
        *("<space>", "a", "각", "<U+003C>", "▁the", "<U+3000>")
    ]


# Scores


def test_scores_by_hand(tmp_path: Path) -> None:
    """`a b`: listed, listed, then the end backs off from `b` without a weight."""
    lm = read(tmp_path, BY_HAND)
    a, b = lm.index["a"], lm.index["b"]
    assert lm.score([a, b]) == pytest.approx((-0.125 - 0.25 - 1.0) * math.log(10))
    # After the start, `b` is not listed: its own probability, scaled by the weight of `<s>`.
    assert lm.score([b, a]) == pytest.approx((-0.5 - 0.75 - 0.5 - 0.375) * math.log(10))
    assert lm.order == 2
    assert lm.counts == (4, 3)


@pytest.mark.parametrize("order", ORDERS)
def test_scores_are_those_of_kenlm(order: int, tmp_path: Path) -> None:
    """Of texts in and outside of training, symbol by symbol, the space and the end among them."""
    tokenizer = Tokenizer.of("char", TRAIN)
    lm, path = lm_of(tmp_path, order, tokenizer)
    oracle = kenlm.Model(str(path))
    assert oracle.order == lm.lm.order == order
    for text in [*TRAIN[:20], *OTHERS]:
        symbols = tokenizer.encode(text)
        words = [word_of(tokenizer.symbols[i - 1]) for i in symbols]
        expected = [score for score, _, _ in oracle.full_scores(" ".join(words))]
        state, found = lm.start, []
        for symbol in [*symbols, 0]:
            found.append(lm.log_probs(state)[symbol] / math.log(10))
            state = lm.next(state, symbol)
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_word_that_the_file_lacks_is_scored_as_kenlm_does(tmp_path: Path) -> None:
    text = BY_HAND.replace("ngram 1=4", "ngram 1=5").replace("-0.75\tb", "-0.75\tb\n-3\t<unk>")
    lm = SymbolLm(read(tmp_path, text), Tokenizer("char", ("a", "b", "c")))
    scores = kenlm.Model(str(tmp_path / "lm.arpa")).full_scores("a c b")
    state, found = lm.start, []
    for symbol in (1, 3, 2, 0):
        found.append(lm.log_probs(state)[symbol] / math.log(10))
        state = lm.next(state, symbol)
    np.testing.assert_allclose(found, [score for score, _, _ in scores], atol=1e-6)


def test_without_unknown_words_such_a_symbol_never_occurs(tmp_path: Path) -> None:
    lm = SymbolLm(read(tmp_path, BY_HAND), Tokenizer("char", ("a", "b", "c")))
    assert lm.log_probs(lm.start)[3] == pytest.approx(-99 * math.log(10))


@pytest.mark.parametrize("order", ORDERS)
def test_probabilities_sum_to_one_in_every_state(order: int, tmp_path: Path) -> None:
    tokenizer = Tokenizer.of("char", TRAIN)
    lm, _ = lm_of(tmp_path, order, tokenizer)
    for text in OTHERS[:10]:
        state = lm.start
        for symbol in tokenizer.encode(text):
            assert np.exp(lm.log_probs(state)).sum() == pytest.approx(1, abs=1e-5)
            assert len(state) < order
            state = lm.next(state, symbol)


def test_perplexity_is_that_of_kenlm_and_falls_with_the_order(tmp_path: Path) -> None:
    tokenizer = Tokenizer.of("char", TRAIN)
    encoded = [tokenizer.encode(text) for text in OTHERS]
    found = []
    for order in (2, 3, 4):
        lm, path = lm_of(tmp_path, order, tokenizer)
        found.append(lm.perplexity(encoded))
        oracle = kenlm.Model(str(path))
        sentences = [
            " ".join(word_of(tokenizer.symbols[i - 1]) for i in symbols) for symbols in encoded
        ]
        total = sum(oracle.score(sentence) for sentence in sentences)
        count = sum(map(len, encoded)) + len(encoded)
        assert found[-1] == pytest.approx(10 ** (-total / count), rel=1e-4)
    assert found == sorted(found, reverse=True)
    assert found[0] < len(tokenizer)


@pytest.mark.parametrize(
    ("unit", "texts"),
    [("jamo", ["안녕 하세요", "반갑습니다", "네 그래요"]), ("subword", TRAIN)],
)
def test_other_units_can_be_modelled(unit: str, texts: list[str], tmp_path: Path) -> None:
    tokenizer = Tokenizer.of(unit, texts, 60 if unit == "subword" else None)
    lm, path = lm_of(tmp_path, 3, tokenizer, texts)
    own = [tokenizer.encode(text) for text in texts]
    backwards = [symbols[::-1] for symbols in own]
    assert lm.perplexity(own) < lm.perplexity(backwards)
    assert kenlm.Model(str(path)).order == 3


def test_training_does_not_depend_on_the_order_of_texts(tmp_path: Path) -> None:
    tokenizer = Tokenizer.of("char", TRAIN)
    one, _ = lm_of(tmp_path, 3, tokenizer)
    other, _ = lm_of(tmp_path, 3, tokenizer, TRAIN[::-1])
    assert one.lm.digest == other.lm.digest
    assert one.lm.source == source_of(tokenizer)


# Other symbols


def test_a_model_of_other_symbols_is_one_line_that_names_both(tmp_path: Path) -> None:
    tokenizer = Tokenizer.of("char", TRAIN)
    lm, _ = lm_of(tmp_path, 2, tokenizer)
    other = Tokenizer("char", ("A", "B"))
    with pytest.raises(UserError) as caught:
        SymbolLm(lm.lm, other)
    for digest in (tokenizer.digest, other.digest, "char, 2 symbols"):
        assert digest in str(caught.value)
    with pytest.raises(UserError, match=r"found 1 words that are no symbols .* the first 'b'"):
        SymbolLm(read(tmp_path, BY_HAND), Tokenizer("char", ("a",)))


# What is no ARPA file


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", ": found no line \\data\\, allowed: an ARPA file"),
        ("ngram 2=3", "ngram 3=3", ", line 3: found 'ngram 3=3', allowed: ngram 2=NUMBER"),
        ("ngram 2=3", "ngram 2=x", ", line 3: found 'ngram 2=x', allowed: ngram 2=NUMBER"),
        ("ngram 1=4\nngram 2=3", "", ", line 4: found '\\1-grams:', allowed: ngram 1=NUMBER"),
        ("ngram 1=4", "ngram 1=5", ", line 11: found 4 1-grams, allowed: 5, as the head of the "),
        ("\\2-grams:", "\\3-grams:", ", line 11: found '\\3-grams:', allowed: \\2-grams:"),
        ("\\end\\\n", "", ", line 16: found the end of the file, allowed: \\end\\"),
        ("a b", "a c", ", line 13: found the word 'c', allowed: the words of the 1-grams"),
        ("a b", "a b b b", ", line 13: found '-0.25\ta b b b', allowed: a log probability, 2 wo"),
        ("-0.5\ta", "x\ta", ", line 8: found 'x', allowed: a number"),
        ("-0.5\ta", "nan\ta", ", line 8: found 'nan', allowed: a number"),
        ("-0.5\ta", "0.5\ta", ", line 8: found the log probability 0.5, allowed: a number up to"),
        ("a\t-0.25", "a\tinf", ", line 8: found 'inf', allowed: a number"),
        ("\tb\n", "\ta\n", ", line 9: found the word 'a' a second time, allowed: each word once"),
        ("</s>", "x", ": found no word '</s>', which every sentence ends with"),
        ("\\data\\", "# asrbench lm {}\n\\data\\", ", line 1, 'tokenizer': missing; train it ag"),
        ("\\data\\", "# asrbench lm {\n\\data\\", ", line 1: found '# asrbench lm {', allowed: "),
    ],
)
def test_a_damaged_file_is_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in BY_HAND
    assert refused(tmp_path, BY_HAND.replace(old, new)).startswith(message)


@given(st.data())
def test_any_cut_is_refused(data: st.DataObject) -> None:
    """Whatever is left of a file that was cut, it is an error of one line, not a smaller model."""
    import tempfile

    size = data.draw(st.integers(0, len(BY_HAND) - len("\\\n") - 1))
    with tempfile.TemporaryDirectory() as folder:
        refused(Path(folder), BY_HAND[:size])


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.arpa: no such file$"):
        NgramLm.read(tmp_path / "none.arpa")
