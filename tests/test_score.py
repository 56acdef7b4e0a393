from unicodedata import normalize

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.score import ErrorCounts, character_errors, word_errors

# Few symbols, so that texts share some: Hangul, Latin and the space that profiles treat apart.
texts = st.text(alphabet="가각 ab.", max_size=12)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=5)


def distance(one: str, other: str) -> int:
    """Levenshtein's recurrence, row by row."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def test_each_kind_of_edit_by_hand():
    """`abcd` to `axcde`: b becomes x, e is put in. Two edits over four characters."""
    assert character_errors(["abcd"], ["axcde"], "verbatim") == ErrorCounts(1, 0, 1, 4)
    assert character_errors(["abcd"], ["axcde"], "verbatim").rate == 2 / 4
    assert character_errors(["abcd"], ["ad"], "verbatim") == ErrorCounts(0, 2, 0, 4)


def test_corpus_rate_is_edits_over_characters_not_the_mean_of_rates():
    """One of 1 character wrong, none of 9: 1 / 10, where the mean of 1 / 1 and 0 / 9 is 1 / 2."""
    assert character_errors(["a", "abcdefghi"], ["b", "abcdefghi"], "verbatim").rate == 1 / 10


def test_korean_sentence_under_each_profile():
    """`어제 비가 왔어요. 진짜?` has 14 characters, 3 of them spaces.

    Against `어제 비가 왓어요 진짜` one syllable differs and two marks are missing: 3 edits over 14,
    and over 11 once spaces are gone.
    """
    reference, hypothesis = ["어제 비가 왔어요. 진짜?"], ["어제 비가 왓어요 진짜"]
    assert character_errors(reference, hypothesis, "verbatim") == ErrorCounts(1, 2, 0, 14)
    assert character_errors(reference, hypothesis, "nospace") == ErrorCounts(1, 2, 0, 11)


def test_spacing_error_counts_only_where_spaces_do():
    """`이 월` written `이월`: one space missing of 3 characters, nothing of 2."""
    assert character_errors(["이 월"], ["이월"], "verbatim").rate == 1 / 3
    assert character_errors(["이 월"], ["이월"], "nospace").rate == 0 / 2


def test_composed_and_decomposed_spelling_are_one():
    text = "어제 왔어요 café"
    assert character_errors([text], [normalize("NFD", text)], "verbatim").errors == 0


def test_white_space_is_one_space():
    assert character_errors(["a b"], ["  a \t\n b "], "verbatim").errors == 0


def test_words_by_hand():
    """`go to school` to `go two school now`: one word differs, one is put in: 2 / 3."""
    assert word_errors(["go to school"], ["go two school now"]) == ErrorCounts(1, 0, 1, 3)


def test_empty_hypothesis_is_all_deletions():
    assert character_errors(["ab", "c"], ["", ""], "verbatim") == ErrorCounts(0, 3, 0, 3)


def test_empty_reference_counts_insertions_against_the_rest():
    assert character_errors(["", "abc"], ["x", "abc"], "verbatim") == ErrorCounts(0, 0, 1, 3)
    assert word_errors(["", "a b"], ["x", "a b"]).rate == 1 / 2


def test_no_reference_character_at_all():
    assert character_errors([""], [""], "verbatim").rate == 0
    assert character_errors([""], ["ab"], "verbatim").rate == float("inf")


def test_rate_may_exceed_one():
    """`a` to `abcd`: three insertions over one character."""
    assert character_errors(["a"], ["abcd"], "verbatim").rate == 3 / 1


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="lengths must match"):
        character_errors(["a", "b"], ["a"], "verbatim")


@given(pairs)
def test_characters_as_by_the_plain_recurrence(pairs):
    references, hypotheses = [r for r, _ in pairs], [h for _, h in pairs]
    tidy = [(" ".join(r.split()), " ".join(h.split())) for r, h in pairs]
    for profile, sides in {
        "verbatim": tidy,
        "nospace": [(r.replace(" ", ""), h.replace(" ", "")) for r, h in tidy],
    }.items():
        counts = character_errors(references, hypotheses, profile)
        assert counts.errors == sum(distance(r, h) for r, h in sides)
        assert counts.n == sum(len(r) for r, _ in sides)


@given(pairs, pairs)
def test_parts_add_up(one, other):
    def score(pairs):
        return character_errors([r for r, _ in pairs], [h for _, h in pairs], "verbatim").plain()

    parts = (score(one), score(other))
    assert {key: sum(part[key] for part in parts) for key in parts[0]} == score(one + other)


@given(pairs)
def test_agrees_with_jiwer(pairs):
    """jiwer strips ends but keeps inner runs of spaces, so it is given tidy text."""
    references = ["a b", *(" ".join(r.split()) for r, _ in pairs)]
    hypotheses = ["a b", *(" ".join(h.split()) for _, h in pairs)]
    cer = character_errors(references, hypotheses, "verbatim").rate
    assert cer == pytest.approx(jiwer.cer(references, hypotheses))
    assert word_errors(references, hypotheses).rate == pytest.approx(
        jiwer.wer(references, hypotheses)
    )
