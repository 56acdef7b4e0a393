"""Subwords are learned from the training texts alone, deterministically, and encode every text."""

import pickle
import subprocess
import sys
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.text.bpe import RESERVED, Bpe
from asrbench.text.normal_form import normalise
from asrbench.text.tokenizer import BLANK, Tokenizer

TEXTS = [
    "어제 비가 왔어요",
    "비가 오면 어제처럼 비가 와요",
    "오늘도 비가 왔다",
    "어제도 비가 왔어요 어제",
    "go to school",
    "going to go",
]
CHARACTERS = len(set("".join(TEXTS)))
"""Spaces included: each begins a subword."""

texts = st.text(st.sampled_from("어제비가왔요오면처럼와 goinch"), max_size=30)
wild = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(RESERVED)))


def tokenizer_of(texts=TEXTS, vocabulary=CHARACTERS + 4):
    return Tokenizer.of("subword", texts, vocabulary)


def message(texts, vocabulary):
    with pytest.raises(UserError) as caught:
        tokenizer_of(texts, vocabulary)
    return str(caught.value)


# Round trips


@given(texts, st.sampled_from(["NFC", "NFD"]))
def test_decode_of_encode_is_the_text_in_normal_form(text, form):
    tokenizer = tokenizer_of()
    indices = tokenizer.encode(normalize(form, text))
    assert BLANK not in indices
    assert all(0 < index < len(tokenizer) for index in indices)
    assert tokenizer.decode(indices) == normalise(text)
    assert not tokenizer.unknown([text])


@given(st.lists(wild, min_size=1, max_size=5))
def test_whatever_was_learned_from_can_be_spelled(learned):
    """Any characters can be learned, except those that SentencePiece reserves."""
    learned = ["가", *learned]
    known = set("".join(map(normalise, learned))) - set(RESERVED)
    tokenizer = tokenizer_of(learned, len(known | {" "}))
    for text in learned:
        free = "".join(c for c in normalise(text) if c not in RESERVED)
        assert tokenizer.decode(tokenizer.encode(text)) == normalise(free)
        assert set(tokenizer.unknown([text])) <= set(RESERVED)


def test_what_is_unknown_is_counted_by_character_and_left_out():
    tokenizer = tokenizer_of()
    assert tokenizer.unknown(["비가z zq\u2581", "어\u2585제"]) == {
        "z": 2,
        "q": 1,
        "\u2581": 1,
        "\u2585": 1,
    }
    assert tokenizer.decode(tokenizer.encode("비가z zq\u2581 어\u2585제")) == "비가 어제"
    assert tokenizer.encode("z") == tokenizer.encode("") == []


def test_what_composes_once_the_unknown_is_gone_is_no_blank():
    """The tokenizer knows `e` and an accent, but not `é`."""
    tokenizer = tokenizer_of(["e a", "\u0301"], 4)
    for between in ("q", "\u2581"):
        indices = tokenizer.encode(f"e{between}\u0301")
        assert BLANK not in indices
        assert tokenizer.decode(indices) == "é"


def test_a_word_is_spelled_alike_at_the_start_and_within():
    tokenizer = tokenizer_of()
    assert tokenizer.encode("비가 비가") == 2 * tokenizer.encode("비가")


def test_what_occurs_often_is_one_subword_with_the_space_before_it():
    tokenizer = tokenizer_of()
    assert "\u2581어제" in tokenizer.symbols
    assert len(tokenizer.encode("어제 어제")) == 2


# Learning


def test_as_many_symbols_as_were_asked_for_and_the_blank():
    for vocabulary in (CHARACTERS, CHARACTERS + 4):
        tokenizer = tokenizer_of(vocabulary=vocabulary)
        assert len(tokenizer.symbols) == len(set(tokenizer.symbols)) == vocabulary
        assert len(tokenizer) == vocabulary + 1


@given(st.permutations(TEXTS))
def test_the_same_texts_in_any_order_make_the_same_subwords(shuffled):
    assert tokenizer_of(shuffled) == tokenizer_of()
    assert tokenizer_of(shuffled).digest == tokenizer_of().digest


def test_other_texts_or_another_number_make_others():
    digests = {
        tokenizer_of().digest,
        tokenizer_of(vocabulary=CHARACTERS + 3).digest,
        tokenizer_of([*TEXTS, "학교 학교에"], CHARACTERS + 4).digest,
        Tokenizer.of("char", TEXTS).digest,
        Tokenizer.of("char", [*TEXTS, "학교"]).digest,
    }
    assert len(digests) == 5


def test_a_character_that_occurs_once_in_a_very_long_text_is_a_subword():
    """SentencePiece ignores texts of more than 4,192 bytes by default."""
    long = "가나 " * 3000 + "힣"
    assert "힣" in tokenizer_of([long, "다"], 5).symbols


def test_numbers_of_subwords_that_cannot_be():
    assert message(TEXTS, CHARACTERS - 1) == (
        f"text.vocabulary: found {CHARACTERS - 1}, allowed: {CHARACTERS} or more, because every "
        f"character of the training texts is a subword"
    )
    line = message(TEXTS, 5000)
    assert line.startswith("text.vocabulary: found 5000, allowed: at most ")
    assert line.endswith(", because the training texts yield no more subwords")
    most = int(line.removeprefix("text.vocabulary: found 5000, allowed: at most ").split(",")[0])
    assert len(tokenizer_of(vocabulary=most).symbols) == most
    assert f"allowed: at most {most}," in message(TEXTS, most + 1)


@pytest.mark.parametrize("nothing", [[], [""], [" ", "\u2581"]])
def test_no_text_to_learn_from(nothing):
    assert message(nothing, 5) == (
        "text.unit: the training split has no text to learn subwords from"
    )


# Storage


@pytest.mark.parametrize("unit", ["char", "subword"])
def test_a_tokenizer_is_the_same_when_it_is_read_back(unit):
    tokenizer = Tokenizer.of(unit, TEXTS, CHARACTERS + 4 if unit == "subword" else None)
    again = Tokenizer.of_plain(tokenizer.plain())
    assert again == tokenizer
    assert again.digest == tokenizer.digest
    assert again.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


def test_a_tokenizer_goes_to_a_loaders_process():
    tokenizer = tokenizer_of()
    tokenizer.encode("비가")  # fills its caches
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode("어제 비가") == tokenizer.encode("어제 비가")


def test_nothing_is_printed():
    """SentencePiece prints its messages from C++, so a process is checked."""
    code = (
        "from asrbench.base.errors import UserError\n"
        "from asrbench.text.tokenizer import Tokenizer\n"
        f"tokenizer = Tokenizer.of('subword', {TEXTS!r}, {CHARACTERS})\n"
        "tokenizer.decode(tokenizer.encode('비가 zz'))\n"
        "try:\n"
        f"    Tokenizer.of('subword', {TEXTS!r}, 5000)\n"
        "except UserError:\n"
        "    pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_subwords_are_as_sentencepiece_cuts_them():
    from sentencepiece import SentencePieceProcessor

    bpe = Bpe.learn(TEXTS, CHARACTERS + 4)
    theirs = SentencePieceProcessor(model_proto=bpe.model)
    for text in TEXTS:
        assert [bpe.symbols[i - 1] for i in bpe.encode(text)] == theirs.encode(text, out_type=str)
