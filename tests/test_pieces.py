"""Subwords: learned from the training texts alone, the same each time, and no text is lost."""

import pickle
import subprocess
import sys
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.errors import UserError
from asrbench.pieces import RESERVED, Pieces
from asrbench.text import BLANK, Inventory, normalise

TEXTS = [
    "어제 비가 왔어요",
    "비가 오면 어제처럼 비가 와요",
    "오늘도 비가 왔다",
    "어제도 비가 왔어요 어제",
    "go to school",
    "going to go",
]
CHARACTERS = len(set("".join(TEXTS)))
"""Spaces included: each begins a piece."""

texts = st.text(st.sampled_from("어제비가왔요오면처럼와 goinch"), max_size=30)
wild = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(RESERVED)))


def inventory_of(texts=TEXTS, vocabulary=CHARACTERS + 4):
    return Inventory.of("subword", texts, vocabulary)


def message(texts, vocabulary):
    with pytest.raises(UserError) as caught:
        inventory_of(texts, vocabulary)
    return str(caught.value)


# Round trips


@given(texts, st.sampled_from(["NFC", "NFD"]))
def test_decode_of_encode_is_the_text_in_normal_form(text, form):
    inventory = inventory_of()
    indices = inventory.encode(normalize(form, text))
    assert BLANK not in indices
    assert all(0 < index < len(inventory) for index in indices)
    assert inventory.decode(indices) == normalise(text)
    assert not inventory.unknown([text])


@given(st.lists(wild, min_size=1, max_size=5))
def test_whatever_was_learned_from_can_be_spelled(learned):
    """Any characters at all, but for those that SentencePiece keeps for itself."""
    learned = ["가", *learned]
    known = set("".join(map(normalise, learned))) - set(RESERVED)
    inventory = inventory_of(learned, len(known | {" "}))
    for text in learned:
        free = "".join(c for c in normalise(text) if c not in RESERVED)
        assert inventory.decode(inventory.encode(text)) == normalise(free)
        assert set(inventory.unknown([text])) <= set(RESERVED)


def test_what_is_unknown_is_counted_by_character_and_left_out():
    inventory = inventory_of()
    assert inventory.unknown(["비가z zq\u2581", "어\u2585제"]) == {
        "z": 2,
        "q": 1,
        "\u2581": 1,
        "\u2585": 1,
    }
    assert inventory.decode(inventory.encode("비가z zq\u2581 어\u2585제")) == "비가 어제"
    assert inventory.encode("z") == inventory.encode("") == []


def test_what_composes_once_the_unknown_is_gone_is_no_blank():
    """`e` and an accent are known, `é` is not."""
    inventory = inventory_of(["e a", "\u0301"], 4)
    for between in ("q", "\u2581"):
        indices = inventory.encode(f"e{between}\u0301")
        assert BLANK not in indices
        assert inventory.decode(indices) == "é"


def test_a_word_is_spelled_alike_at_the_start_and_within():
    inventory = inventory_of()
    assert inventory.encode("비가 비가") == 2 * inventory.encode("비가")


def test_what_occurs_often_is_one_piece_with_the_space_before_it():
    inventory = inventory_of()
    assert "\u2581어제" in inventory.symbols
    assert len(inventory.encode("어제 어제")) == 2


# Learning


def test_as_many_symbols_as_were_asked_for_and_the_blank():
    for vocabulary in (CHARACTERS, CHARACTERS + 4):
        inventory = inventory_of(vocabulary=vocabulary)
        assert len(inventory.symbols) == len(set(inventory.symbols)) == vocabulary
        assert len(inventory) == vocabulary + 1


@given(st.permutations(TEXTS))
def test_the_same_texts_in_any_order_make_the_same_pieces(shuffled):
    assert inventory_of(shuffled) == inventory_of()
    assert inventory_of(shuffled).digest == inventory_of().digest


def test_other_texts_or_another_number_make_others():
    digests = {
        inventory_of().digest,
        inventory_of(vocabulary=CHARACTERS + 3).digest,
        inventory_of([*TEXTS, "학교 학교에"], CHARACTERS + 4).digest,
        Inventory.of("char", TEXTS).digest,
        Inventory.of("char", [*TEXTS, "학교"]).digest,
    }
    assert len(digests) == 5


def test_a_character_that_occurs_once_in_a_very_long_text_is_a_piece():
    """SentencePiece passes over texts of more than 4,192 bytes unless told otherwise."""
    long = "가나 " * 3000 + "힣"
    assert "힣" in inventory_of([long, "다"], 5).symbols


def test_numbers_of_pieces_that_cannot_be():
    assert message(TEXTS, CHARACTERS - 1) == (
        f"text.vocabulary: found {CHARACTERS - 1}, allowed: {CHARACTERS} or more, for every "
        f"character of the training texts is a piece"
    )
    line = message(TEXTS, 5000)
    assert line.startswith("text.vocabulary: found 5000, allowed: at most ")
    assert line.endswith(", for the training texts make no more pieces")
    most = int(line.removeprefix("text.vocabulary: found 5000, allowed: at most ").split(",")[0])
    assert len(inventory_of(vocabulary=most).symbols) == most
    assert f"allowed: at most {most}," in message(TEXTS, most + 1)


@pytest.mark.parametrize("nothing", [[], [""], [" ", "\u2581"]])
def test_no_text_to_learn_from(nothing):
    assert message(nothing, 5) == ("text.unit: the training split has no text to learn pieces from")


# Kept


@pytest.mark.parametrize("unit", ["char", "subword"])
def test_an_inventory_is_the_same_when_it_is_read_back(unit):
    inventory = Inventory.of(unit, TEXTS, CHARACTERS + 4 if unit == "subword" else None)
    again = Inventory.of_plain(inventory.plain())
    assert again == inventory
    assert again.digest == inventory.digest
    assert again.encode(TEXTS[0]) == inventory.encode(TEXTS[0])


def test_an_inventory_goes_to_a_loaders_process():
    inventory = inventory_of()
    inventory.encode("비가")  # so that it holds what it made for that
    again = pickle.loads(pickle.dumps(inventory))
    assert again.encode("어제 비가") == inventory.encode("어제 비가")


def test_nothing_is_printed():
    """By the library either, whose messages bypass Python."""
    code = (
        "from asrbench.errors import UserError\n"
        "from asrbench.text import Inventory\n"
        f"inventory = Inventory.of('subword', {TEXTS!r}, {CHARACTERS})\n"
        "inventory.decode(inventory.encode('비가 zz'))\n"
        "try:\n"
        f"    Inventory.of('subword', {TEXTS!r}, 5000)\n"
        "except UserError:\n"
        "    pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_pieces_are_as_sentencepiece_cuts_them():
    from sentencepiece import SentencePieceProcessor

    pieces = Pieces.learned(TEXTS, CHARACTERS + 4)
    theirs = SentencePieceProcessor(model_proto=pieces.model)
    for text in TEXTS:
        assert [pieces.symbols[i - 1] for i in pieces.encode(text)] == theirs.encode(
            text, out_type=str
        )
