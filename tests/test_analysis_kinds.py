"""Errors by kind, by place and by speaker; degenerate hypotheses."""

import random
import unicodedata
from collections import Counter
from dataclasses import replace
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.analysis.confusions import Confusion
from asrbench.analysis.degenerate import (
    LOOP_LENGTH,
    DegenerateCounts,
    DegeneratePairs,
    is_empty,
    is_looped,
    is_truncated,
)
from asrbench.analysis.hangul import FIRST, LAST, NO_CODA, POSITIONS, decomposed
from asrbench.analysis.jamo import jamo_errors
from asrbench.analysis.kinds import ErrorKinds, SpaceErrors, error_kinds
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.segments import segments
from asrbench.analysis.speakers import SpeakerRates, by_speaker
from asrbench.analysis.words import EdgeErrors, WordPlaces
from asrbench.scoring.counted_text import CountedReferences
from asrbench.scoring.edit_counts import character_errors
from asrbench.text.profiles import PROFILES

texts = st.text(alphabet="가각나 ab", max_size=10)
rows = st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=6)


def kinds_of(references, runs, words=None, top=20) -> ErrorKinds:
    pairs = Pairs.of(references, {"a": runs}, words)
    return error_kinds(pairs, DegeneratePairs.of(pairs), WordPlaces.of(pairs), "a", top)


# Counts and confusions


def test_a_small_study_by_hand():
    """`어제 왔다` and `가자` have 7 characters. Two runs recognise 왔 as 왓. In the first run
    the space is missing; in the second 자 is missing and 요 is inserted after 다."""
    found = kinds_of(["어제 왔다", "가자"], [["어제왓다", "가자"], ["어제 왓다요", "가"]])
    assert (found.substitutions, found.deletions, found.insertions, found.n) == (2, 2, 1, 14)
    assert found.confusions.substituted == (Confusion("왔", "왓", 2),)
    assert found.confusions.deleted == (Confusion(" ", "", 1), Confusion("자", "", 1))
    assert found.confusions.inserted == (Confusion("", "요", 1),)
    assert found.spaces == SpaceErrors(0, 1, 0, 2)
    # 가자 and 어제 and 왔다 are all edges.
    assert found.edges == EdgeErrors(3, 12, 0, 0)


@given(rows)
@pytest.mark.parametrize("profile", PROFILES)
def test_counts_are_those_of_the_scorer(profile, rows):
    references, *runs = ([row[i] for row in rows] for i in range(3))
    expected = CountedReferences.of(references, profile)
    found = kinds_of(
        expected.characters,
        [expected.hypotheses(texts).characters for texts in runs],
        expected.worded,
    )
    each = [character_errors(references, texts, profile) for texts in runs]
    for count in ("substitutions", "deletions", "insertions", "n"):
        assert getattr(found, count) == sum(getattr(one, count) for one in each)


@given(rows)
def test_confusions_are_the_edits_one_by_one(rows):
    pairs = Pairs.of([row[0] for row in rows], {"a": [[row[1] for row in rows]]})
    expected = Counter()
    for p, times in enumerate(pairs.weights("a").tolist()):
        for part in segments(*pairs.texts(p)):
            if part.kind == "substitute":
                for one, other in zip(part.reference, part.hypothesis, strict=True):
                    expected[one, other] += times
            elif part.kind != "equal":
                for symbol in part.reference:
                    expected[symbol, ""] += times
                for symbol in part.hypothesis:
                    expected["", symbol] += times
    found = error_kinds(pairs, DegeneratePairs.of(pairs), None, "a", top=1000)
    named = (*found.confusions.substituted, *found.confusions.deleted, *found.confusions.inserted)
    assert {(each.reference, each.hypothesis): each.count for each in named} == expected


def test_the_most_frequent_come_first_and_ties_by_code_point():
    found = kinds_of(["abcc", "c"], [["xyzz", "y"]], top=3)
    assert [
        (each.reference, each.hypothesis, each.count) for each in found.confusions.substituted
    ] == [
        ("c", "z", 2),
        ("a", "x", 1),
        ("b", "y", 1),
    ]


@given(rows, st.randoms(use_true_random=False))
def test_neither_order_nor_form_of_utterances_matters(rows, order):
    other = [tuple(normalize("NFD", text) for text in row) for row in rows]
    order.shuffle(other)
    one, two = (
        kinds_of([row[0] for row in rows], [[row[i] for row in rows] for i in (1, 2)])
        for rows in (rows, other)
    )
    assert one == two


@given(rows)
def test_runs_add_up(rows):
    """Two runs at once are each alone, one after the other."""
    references, *runs = ([row[i] for row in rows] for i in range(3))
    both = kinds_of(references, runs, top=1000)
    twice = kinds_of(references * 2, [runs[0] + runs[1]], top=1000)
    assert replace(both, runs=0) == replace(twice, runs=0)


# Jamo


@pytest.mark.parametrize(
    ("letters", "names"),
    [("onset", "CHOSEONG"), ("vowel", "JUNGSEONG"), ("coda", "JONGSEONG")],
)
def test_every_syllable_falls_into_the_jamo_that_unicode_names(letters, names):
    place = list(POSITIONS).index(letters)
    numbers = decomposed(np.arange(FIRST, LAST + 1))[:, place].tolist()
    for code, number in zip(range(FIRST, LAST + 1), numbers, strict=True):
        jamo = normalize("NFD", chr(code))
        letter = POSITIONS[letters][number]
        if place == len(jamo):
            assert letter == NO_CODA
        else:
            conjoining, compatible = unicodedata.name(jamo[place]), unicodedata.name(letter)
            assert conjoining.removeprefix(f"HANGUL {names} ") == compatible.removeprefix(
                "HANGUL LETTER "
            )


def test_jamo_by_hand():
    """왔 to 왓: the coda alone, twice. 가 to 각: a coda alone. 나 to 도: onset and vowel. ㅋ is no
    syllable and b is none."""
    found = kinds_of(["왔왔 가나ㅋa"], [["왓왓 각도가b"]])
    assert found.jamo.syllables == 4
    onset, vowel, coda = found.jamo.onset, found.jamo.vowel, found.jamo.coda
    assert (onset.errors, onset.alone) == (1, 0)
    assert (vowel.errors, vowel.alone) == (1, 0)
    assert (coda.errors, coda.alone) == (3, 3)
    assert onset.confusions == (Confusion("ㄴ", "ㄷ", 1),)
    assert vowel.confusions == (Confusion("ㅏ", "ㅗ", 1),)
    assert coda.confusions == (Confusion("ㅆ", "ㅅ", 2), Confusion("-", "ㄱ", 1))


def test_other_languages_have_no_jamo():
    assert kinds_of(["abc"], [["가bc"]]).jamo is None


syllables = st.characters(min_codepoint=FIRST, max_codepoint=LAST)


@given(st.lists(st.tuples(syllables, syllables), min_size=1))
def test_a_substituted_syllable_differs_in_a_position(pairs):
    pairs = [(one, other) for one, other in pairs if one != other]
    codes = np.array([[ord(one), ord(other)] for one, other in pairs], dtype=np.int64)
    one, other = codes.reshape(-1, 2).T
    found = jamo_errors(one, other, np.ones(len(pairs), dtype=np.int64), top=1000)
    assert found.syllables == len(pairs)
    assert sum(part.errors for part in (found.onset, found.vowel, found.coda)) >= len(pairs)
    assert sum(part.alone for part in (found.onset, found.vowel, found.coda)) <= len(pairs)
    for part in (found.onset, found.vowel, found.coda):
        assert sum(each.count for each in part.confusions) == part.errors


# Places


def test_edges_by_hand():
    """In `abcd efg h` a, d, e, g and h are edges, and b, c and f are inner characters. d and f are
    wrong and h is missing; insertions and spaces are at neither."""
    found = kinds_of(["abcd efg h"], [["abcxy eyg"]]).edges
    assert found == EdgeErrors(2, 5, 1, 3)
    assert (found.share, found.expected) == (2 / 3, 5 / 8)
    assert (found.edge_rate, found.inner_rate) == (2 / 5, 1 / 3)


def test_words_tell_edges_where_spaces_do_not_count():
    assert kinds_of(["abcdefgh"], [["abcxeyg"]], ["abcd efg h"]).edges == EdgeErrors(2, 5, 1, 3)
    assert kinds_of(["abcdefgh"], [["abcxeyg"]]).edges is None


def test_the_same_letters_may_be_other_words():
    """`이월` has no character of `이 월` or of itself; of `이월가` it has 월."""
    pairs = ["이월가", "이월가"], [["이가", "이가"]]
    assert kinds_of(*pairs, ["이 월가", "이월가"]).edges == EdgeErrors(1, 5, 1, 1)


def test_what_composes_across_a_space_is_one_character():
    """`e` and an accent after the space: the word begins and ends in one place."""
    assert kinds_of(["xéz"], [["xz"]], ["xe \u0301z"]).edges == EdgeErrors(1, 3, 0, 0)


@given(rows)
def test_every_error_but_insertions_is_at_an_edge_an_inner_character_or_a_space(rows):
    references, runs = ["가 나", *(row[0] for row in rows)], [["가 나", *(row[1] for row in rows)]]
    found = kinds_of(references, runs, top=1000)
    at_spaces = sum(
        each.count
        for each in (*found.confusions.substituted, *found.confusions.deleted)
        if each.reference == " "
    )
    at_edges = found.edges.edge_errors + found.edges.inner_errors
    assert at_edges + at_spaces == found.substitutions + found.deletions
    assert found.edges.edge_symbols + found.edges.inner_symbols + found.spaces.n == found.n


def test_each_error_of_spacing():
    """One space is missing, one is inserted, one is a letter, and one letter is a space."""
    references = ["가 나", "다라", "마 바", "사아자"]
    found = kinds_of(references, [["가나", "다 라", "마요바", "사 자"]])
    assert found.spaces == SpaceErrors(2, 1, 1, 2)
    assert found.spaces.errors == 4


def test_spaces_that_do_not_count_have_no_errors():
    assert kinds_of(["가나"], [["가"]], ["가 나"]).spaces is None


# Degenerate hypotheses


@pytest.mark.parametrize(
    ("reference", "hypothesis", "looped"),
    [
        ("그래서", "그래그래그래그래", True),
        ("그래서", "그래그래그래", False),
        # What was said is no loop, nor is a little more of it.
        ("ㅋㅋㅋㅋ", "ㅋㅋㅋㅋ", False),
        ("ㅋㅋㅋ", "ㅋㅋㅋㅋ", False),
        ("ㅋㅋ", "ㅋㅋㅋㅋ", True),
        # Wherever the reference has it.
        ("네 그 네 음 네", "네 네 네 네 네 ", False),
        ("", "네 네 네 네 ", True),
        ("abc", "x" + 4 * ("y" * 19 + "z"), True),
        ("abc", 4 * "defghijklmnopqrstuvwx", False),
        ("abcdefgh", "", False),
    ],
)
def test_looped(reference, hypothesis, looped):
    assert is_looped(reference, hypothesis) is looped


@pytest.mark.parametrize(
    ("reference", "hypothesis", "truncated"),
    [
        ("오늘은 날씨가 좋네요", "오늘은 날", True),
        # A slip before does not matter, nor that the last character is another of the same kind.
        ("어제 갔어요 그래서 왔어요", "어재 갔어요", True),
        ("오늘은 날씨가 좋네요", "오늘은 날씨가 좋", False),
        ("오늘은 날씨가 좋네요", "", False),
        ("오늘은 날씨가 좋네요", "날씨가 좋네요", False),
        # Five are missing, but a quarter would be six.
        ("abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrs", False),
        ("abcdefghijklmnopqrst", "abcdefghijklmno", True),
        ("abcd", "a", False),
    ],
)
def test_truncated(reference, hypothesis, truncated):
    assert is_truncated(reference, hypothesis) is truncated


def test_empty():
    assert is_empty("가", "")
    assert not is_empty("", "")
    assert not is_empty("가", "나")


def test_degenerate_hypotheses_are_counted_in_every_run():
    """Of one reference no more is missing than the least that counts."""
    references = ["오늘은 날씨가 좋네요", "가", "abcdefghijklmnopqrst"]
    one = ["오늘은 날", "", "abcdefghijklmno"]
    found = kinds_of(references, [one, ["네네네네", "", references[2]]])
    assert found.hypotheses == DegenerateCounts(6, empty=2, looped=1, truncated=2)


few = st.text(alphabet="ab ", max_size=8)
loops = st.tuples(few, few, st.integers(0, 6), few).map(lambda t: t[0] + t[1] * t[2] + t[3])


@given(st.lists(st.tuples(few, st.one_of(few, loops)), min_size=1, max_size=8))
def test_all_at_once_is_one_by_one(rows):
    pairs = Pairs.of([row[0] for row in rows], {"a": [[row[1] for row in rows]]})
    degenerate = DegeneratePairs.of(pairs)
    for p in range(len(pairs)):
        assert degenerate.names(p) == [
            name
            for name, is_kind in (
                ("empty", is_empty),
                ("looped", is_looped),
                ("truncated", is_truncated),
            )
            if is_kind(*pairs.texts(p))
        ]


def test_loops_of_every_length_are_seen_among_others():
    texts = random.Random(0)
    units = ["".join(texts.sample("abcdefghijklmnopqrstuvwxyz", n)) for n in range(1, 27)]
    pairs = Pairs.of(["가"] * len(units), {"a": [[f"나{unit * 4}다" for unit in units]]})
    assert DegeneratePairs.of(pairs).looped_P.tolist() == [
        len(unit) <= LOOP_LENGTH for unit in units
    ]


# Speakers


def test_speakers_by_hand():
    """ann: 1 of 5 and 2 of 5 characters wrong in two runs, so 3 / 10. bob: 1 / 2 in both."""
    pairs = Pairs.of(["abc", "de", "fg"], {"a": [["abx", "de", "f"], ["xbx", "de", "f"]]})
    bob, ann = by_speaker(pairs, ["ann", "ann", "bob"], "a")
    assert ann == SpeakerRates("ann", 2, 5, {"a": 3 / 10})
    assert bob == SpeakerRates("bob", 1, 2, {"a": 1 / 2})


def test_speakers_without_a_character_or_a_name():
    pairs = Pairs.of(["", "ab"], {"a": [["x", "ab"]]})
    assert [(s.speaker, s.cer["a"]) for s in by_speaker(pairs, ["ann", None], "a")] == [
        (None, 0 / 2),
        ("ann", None),
    ]
    with pytest.raises(ValueError, match="2 utterances, 1 speakers"):
        by_speaker(pairs, ["ann"], "a")


@given(rows, st.lists(st.sampled_from("xyz"), min_size=6, max_size=6))
def test_speakers_add_up(rows, names):
    references, texts_U = [row[0] for row in rows], [row[1] for row in rows]
    pairs = Pairs.of(references, {"a": [texts_U]})
    speakers = by_speaker(pairs, names[: len(rows)], "a")
    assert sum(speaker.n for speaker in speakers) == pairs.symbols_U.sum()
    assert sum(speaker.utterances for speaker in speakers) == len(rows)
    for speaker in speakers:
        own = [u for u, name in enumerate(names[: len(rows)]) if name == speaker.speaker]
        counts = character_errors(
            [references[u] for u in own], [texts_U[u] for u in own], "verbatim"
        )
        assert speaker.cer["a"] == (counts.rate if counts.n else None)
