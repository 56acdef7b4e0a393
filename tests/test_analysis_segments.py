"""One pair, aligned and shown; all pairs of a study, aligned once."""

import re
from itertools import combinations
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from asrbench.analysis.edit_alignment import (
    DELETION,
    INSERTION,
    MOST_SURPLUS,
    SUBSTITUTION,
    edits,
    paired,
    similarity,
)
from asrbench.analysis.pairs import Pairs
from asrbench.analysis.segments import EditSegment, marked, segments
from asrbench.cli.terminal_aligned import aligned, coloured
from asrbench.scoring.counted_text import CountedReferences
from asrbench.scoring.edit_counts import character_errors
from asrbench.text.profiles import PROFILES

texts = st.text(alphabet="가각나 ab", max_size=10)
wild = st.text(st.sampled_from("각나ㅋ\u1100\u1161\u11a8aAé\u0301'.,?!0-9  "), max_size=14)


def test_segments_by_hand():
    """One syllable is another, a mark is missing, a word is put in."""
    assert segments("왔어요.", "왓어요 네") == (
        EditSegment("substitute", "왔", "왓"),
        EditSegment("equal", "어요", "어요"),
        EditSegment("insert", "", " "),
        EditSegment("substitute", ".", "네"),
    )
    assert segments("가나다", "가다") == (
        EditSegment("equal", "가", "가"),
        EditSegment("delete", "나", ""),
        EditSegment("equal", "다", "다"),
    )
    assert segments("", "") == ()


@given(texts, texts)
def test_segments_give_both_texts_back_and_are_what_is_counted(reference, hypothesis):
    parts = segments(reference, hypothesis)
    assert "".join(part.reference for part in parts) == reference
    assert "".join(part.hypothesis for part in parts) == hypothesis
    for part in parts:
        assert (part.kind == "equal") == (part.reference == part.hypothesis)
        assert part.kind != "substitute" or len(part.reference) == len(part.hypothesis)
        assert (part.kind == "delete") == (part.hypothesis == "")
        assert (part.kind == "insert") == (part.reference == "")
    pairs = Pairs.of([reference], {"a": [[hypothesis]]})
    tidy = segments(*pairs.texts(0))
    errors = sum(part.errors for part in tidy)
    assert errors == pairs.errors("a").item()
    assert errors == character_errors([reference], [hypothesis], "verbatim").errors


def test_marks_by_hand():
    assert marked(segments("왔어요 네", "왓어요")) == "[-왔-]{+왓+}어요[- 네-]"


@given(texts, texts)
def test_marks_can_be_read_back(reference, hypothesis):
    line = marked(segments(reference, hypothesis))
    assert re.sub(r"\{\+.*?\+\}", "", line).replace("[-", "").replace("-]", "") == reference
    assert re.sub(r"\[-.*?-\]", "", line).replace("{+", "").replace("+}", "") == hypothesis


# Pairing


def test_the_missing_is_a_space_and_a_syllable_is_beside_its_like():
    """Both ways have two edits; a plain one has the space recognised as 왓."""
    assert edits("제 왔다", "제왓다") == [(DELETION, 1, 1), (SUBSTITUTION, 2, 1)]
    assert edits("가왔나", "가나왓나") == [(INSERTION, 1, 1), (SUBSTITUTION, 1, 2)]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("왔", "왓", 6),
        ("가", "나", 6),
        ("가", "각", 6),
        ("가", "돌", 4),
        ("가", "a", 4),
        ("가", " ", 0),
    ],
)
def test_similarity(one, other, expected):
    assert similarity(one, other) == similarity(other, one) == expected


stretches = st.text(alphabet="가각낙나도 a", max_size=4)


@given(stretches.filter(bool), stretches.filter(bool))
def test_no_other_way_to_pair_is_more_similar(short, more):
    """Of all ways to choose places in order, this is the first of the best."""
    long = short[::-1] + more

    def total_similarity(places):
        return sum(similarity(c, long[j]) for c, j in zip(short, places, strict=True))

    ways = list(combinations(range(len(long)), len(short)))
    best = max(map(total_similarity, ways))
    assert paired(short, long) == next(way for way in ways if total_similarity(way) == best)


def test_beside_a_loop_the_first_are_paired():
    assert paired("가", "도" * MOST_SURPLUS + "각") == (MOST_SURPLUS,)
    assert paired("가", "도" * MOST_SURPLUS + "도각") == (0,)


# On a terminal


def test_colours_stand_where_texts_differ():
    text = coloured(segments("왔어요 네", "왓어요"))
    assert text.plain == "왔왓어요␣네"
    spans = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert {said: style.split()[1] for said, style in spans.items()} == {
        "왔": "strike",
        "왓": "underline",
        "␣네": "strike",
    }


def test_marks_stand_in_for_colours_when_piped():
    parts = segments("가나", "가다")
    assert aligned(parts, Console(force_terminal=False)).plain == "가[-나-]{+다+}"
    assert aligned(parts, Console(force_terminal=True)).plain == "가나다"


@pytest.mark.parametrize("terminal", [True, False])
def test_no_text_changes_the_terminal(terminal):
    text = aligned(segments("[red]a\x1b[2J", "[red]a\x1b\u202e"), Console(force_terminal=terminal))
    assert text.plain.isprintable()
    assert text.plain.startswith("[red]a\ufffd")


# All pairs


def by_profile(profile: str, references: list[str], runs: list[list[str]]) -> Pairs:
    expected = CountedReferences.of(references, profile)
    found = [expected.hypotheses(texts).characters for texts in runs]
    return Pairs.of(expected.characters, {"a": found}, expected.worded)


@given(st.lists(st.tuples(wild, wild, wild), min_size=1, max_size=6))
@pytest.mark.parametrize("profile", PROFILES)
def test_errors_are_those_of_the_scorer(profile, rows):
    references = [row[0] for row in rows]
    runs = [[row[1] for row in rows], [row[2] for row in rows]]
    errors_SU = by_profile(profile, references, runs).errors("a")
    for errors_U, texts_U in zip(errors_SU, runs, strict=True):
        assert errors_U.sum() == character_errors(references, texts_U, profile).errors


def test_equal_pairs_are_aligned_once():
    pairs = Pairs.of(["네", "아니", "네"], {"a": [["에", "아니", "에"]], "b": [["에", "", "네"]]})
    assert len(pairs) == 4
    assert pairs.runs["a"].tolist() == [[0, 1, 0]]
    assert pairs.weights("a").tolist() == [2, 1, 0, 0]
    assert pairs.errors("b").tolist() == [[1, 2, 0]]


def test_the_form_does_not_matter():
    """Decomposed, a syllable is two or three characters."""
    texts = ["각 é", "나"]
    other = [normalize("NFD", text) for text in texts]
    assert Pairs.of(texts, {"a": [other]}).errors("a").tolist() == [[0, 0]]
    assert Pairs.of(other, {"a": [texts]}).symbols_U.tolist() == [3, 1]


def test_lists_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="argument 2 is"):
        Pairs.of(["a", "b"], {"a": [["a"]]})
    with pytest.raises(ValueError, match="a has no run"):
        Pairs.of(["a"], {"a": []})
