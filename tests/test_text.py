import string
from unicodedata import category, normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.text.normal_form import (
    LONG,
    SYMBOLS,
    is_hangul,
    nfc,
    normalise,
    without_punctuation,
)
from asrbench.text.tokenizer import BLANK, UNITS, Tokenizer

PLAIN = [unit for unit in UNITS if unit != "subword"]
"""Units whose symbols are those of the texts. Subwords are learned; test_bpe tests them."""
hangul = st.characters(min_codepoint=ord("가"), max_codepoint=ord("힣"))
# Real text has keyboard jamo, conjoining jamo, accents and spaces beside syllables.
mixed = st.text(st.one_of(hangul, st.sampled_from("ab é\u0301.ㅋㅏ\u1100\u1161\u11a8 ")))
forms = st.sampled_from(["NFC", "NFD"])


def test_normalise():
    assert normalise("  a \t b\u3000c\n") == "a b c"
    assert normalise(normalize("NFD", "각")) == "각"


@given(st.text(st.sampled_from("aé가각\u1100\u1161\u11a8\u0301\u0323\u0344\u0f73\u0f71\u3099か")))
def test_long_texts_have_the_normal_form_of_unicode(text: str) -> None:
    long = text * (LONG // max(len(text), 1) + 1)
    assert nfc(long) == normalize("NFC", long)


def test_a_text_of_very_many_combining_marks_is_read() -> None:
    """`unicodedata` alone would take hours."""
    count = 1_000_000
    assert nfc("a" + "\u0301\u0323" * count) == "ạ" + "\u0323" * (count - 1) + "\u0301" * count


# Punctuation

marks = st.text(st.sampled_from("a가é\u0301 0１19.,'’!?:~$=%_-()“…、·ㅋ☂\u1100"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("어제 비가 왔어요. 진짜?", "어제 비가 왔어요 진짜"),
        ("0.1프로, 1,000원! 3:1…", "0.1프로 1,000원 3:1"),
        # Any run of punctuation between digits stays; at the ends of a number none does.
        ("2019.1.1. 1..2 3_4 5~6 7. 8", "2019.1.1 1..2 3_4 5~6 7 8"),
        ("100% $5 c++ a=b", "100 5 c ab"),
        ("don't rock’n’roll 'so' dogs'", "don't rock’n’roll so dogs"),
        ("q\u0301'q ' a", "q\u0301'q a"),
        ("그가'안녕'하고 “네”", "그가안녕하고 네"),
        ("·、。《》—", ""),
        ("ㅋㅋ ☂ ±1 ½", "ㅋㅋ ☂ ±1 ½"),
        (" a ,\tb ", "a b"),
    ],
)
def test_without_punctuation(text, expected):
    assert without_punctuation(text) == expected


def test_without_punctuation_but_for_what_is_kept():
    assert without_punctuation("네, 왔어요. 진짜? 와!", keep=".?!") == "네 왔어요. 진짜? 와!"
    assert without_punctuation("a-b, c", keep="-") == "a-b c"


def test_every_mark_that_perl_calls_punctuation_goes():
    """`string.punctuation` lists what `[[:punct:]]` matches in ASCII."""
    assert without_punctuation("".join(f"가{mark}" for mark in string.punctuation)) == "가" * 32
    assert set(SYMBOLS) == {c for c in string.punctuation if not category(c).startswith("P")}


@given(marks, forms, st.sampled_from(["", ".?!"]))
def test_without_punctuation_is_in_normal_form_and_the_same_twice(text, form, keep):
    bare = without_punctuation(normalize(form, text), keep)
    assert bare == normalise(bare) == without_punctuation(bare, keep)
    assert bare == without_punctuation(text, keep)


@given(marks)
def test_only_marks_go(text):
    """Letters, digits and symbols beyond ASCII stay in their order."""

    def rest(text):
        decomposed = normalize("NFD", text)
        return [c for c in decomposed if category(c)[0] != "P" and c not in SYMBOLS + " "]

    assert rest(without_punctuation(text)) == rest(text)


# Units


@pytest.mark.parametrize(
    ("unit", "symbols"),
    [
        ("char", ["각", " ", "a"]),
        ("syllable", ["각", " ", "a"]),
        ("jamo", ["\u1100", "\u1161", "\u11a8", " ", "a"]),
    ],
)
def test_split_by_hand(unit, symbols):
    """`각` is U+1100 (onset), U+1161 (vowel), U+11A8 (coda) when decomposed."""
    assert UNITS[unit].split("각 a") == symbols
    assert UNITS[unit].split(normalize("NFD", "각 a")) == symbols


@given(mixed, forms)
@pytest.mark.parametrize("unit", PLAIN)
def test_join_of_split_is_the_composed_text(unit, text, form):
    spelling = UNITS[unit]
    assert spelling.join(spelling.split(normalize(form, text))) == normalize("NFC", text)


@given(mixed)
def test_jamo_leaves_no_syllable_whole(text):
    assert not any("가" <= symbol <= "힣" for symbol in UNITS["jamo"].split(text))


@given(st.lists(mixed, min_size=1), forms)
@pytest.mark.parametrize("unit", PLAIN)
def test_decode_of_encode(unit, texts, form):
    tokenizer = Tokenizer.of(unit, ["가 ", *texts])
    for text in texts:
        indices = tokenizer.encode(normalize(form, text))
        assert BLANK not in indices
        assert tokenizer.decode(indices) == normalize("NFC", text)
    assert not tokenizer.unknown(texts)


def test_tokenizer_is_sorted_and_counts_the_blank():
    tokenizer = Tokenizer.of("char", ["ba", "b c"])
    assert tokenizer.symbols == (" ", "a", "b", "c")
    assert len(tokenizer) == 5
    assert tokenizer.encode("cab") == [4, 2, 3]
    assert tokenizer.decode([4, 2, 3]) == "cab"


def test_symbols_outside_the_training_texts_are_counted_and_left_out():
    tokenizer = Tokenizer.of("char", ["ab"])
    assert tokenizer.unknown(["abz", "zz q"]) == {"z": 3, " ": 1, "q": 1}
    assert tokenizer.decode(tokenizer.encode("azb")) == "ab"


def test_rare_syllable_is_known_by_its_jamo():
    """`뷁` never occurs in training, but its onset, vowel and coda do."""
    train = ["봐", "웩", "흙"]
    assert Tokenizer.of("syllable", train).unknown(["뷁"]) == {"뷁": 1}
    assert not Tokenizer.of("jamo", train).unknown(["뷁"])


@pytest.mark.parametrize("unit", ["syllable", "jamo"])
def test_unit_that_cannot_spell_the_corpus(unit):
    with pytest.raises(UserError) as caught:
        Tokenizer.of(unit, ["HELLO"])
    assert str(caught.value) == (
        f"text.unit: '{unit}' spells Hangul, but the training texts have none; use 'char'"
    )


def test_unknown_unit_and_no_text():
    with pytest.raises(UserError) as caught:
        Tokenizer.of("jammo", ["가"])
    assert str(caught.value) == (
        "text.unit: found 'jammo', allowed: char, syllable, jamo, subword; did you mean 'jamo'?"
    )
    with pytest.raises(UserError, match="no text to take a tokenizer from"):
        Tokenizer.of("char", [""])


def test_is_hangul():
    assert all(map(is_hangul, "가힣\u1100\u11a8"))
    assert not any(map(is_hangul, "aé1 中"))
