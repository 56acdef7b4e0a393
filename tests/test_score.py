import subprocess
import sys
from pathlib import Path
from typing import get_args
from unicodedata import normalize

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.scoring.counted_text import CountedReferences, CountedTexts, counted, counts_symbol
from asrbench.scoring.edit_counts import (
    ErrorCounts,
    RunEdits,
    character_errors,
)
from asrbench.scoring.run_rates import MEASURES
from asrbench.scoring.score import Score, score
from asrbench.scoring.spacing import spaced_like
from asrbench.text.normal_form import normalise
from asrbench.text.profiles import PROFILES, ProfileName, versioned

# Few symbols, so that texts share some: Hangul, Latin letters, and the space, which has rules of
# its own in profiles.
texts = st.text(alphabet="가각 ab.", max_size=12)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=5)
# What profiles act on: case, punctuation, digits, apostrophes, spaces, jamo, accents.
wild = st.text(st.sampled_from("각ㅋ\u1100\u1161\u11a8aAßΣİé\u0301'’.,?!~$-01１²  \t"))
hangul = st.text(st.characters(min_codepoint=ord("가"), max_codepoint=ord("힣")), max_size=8)


def run_edits(references, hypotheses, profile):
    expected = CountedReferences.of(references, profile)
    return RunEdits(expected, expected.hypotheses(hypotheses))


def jamo_errors(references, hypotheses, profile):
    return run_edits(references, hypotheses, profile).jamo.total


def word_errors(references, hypotheses, profile):
    return run_edits(references, hypotheses, profile).words.total


def spaced_word_errors(references, hypotheses, profile):
    return run_edits(references, hypotheses, profile).spaced_words.total


def distance(one: str, other: str) -> int:
    """Computes the Levenshtein distance by its recurrence, row by row."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def test_each_kind_of_edit_by_hand():
    """`abcd` to `axcde`: b is substituted by x, e is inserted. Two edits over four characters."""
    assert character_errors(["abcd"], ["axcde"], "verbatim") == ErrorCounts(1, 0, 1, 4)
    assert character_errors(["abcd"], ["axcde"], "verbatim").rate == 2 / 4
    assert character_errors(["abcd"], ["ad"], "verbatim") == ErrorCounts(0, 2, 0, 4)


def test_corpus_rate_is_edits_over_characters_not_the_mean_of_rates():
    """1 of 1 character is wrong and 0 of 9: the rate is 1 / 10, the mean of rates is 1 / 2."""
    assert character_errors(["a", "abcdefghi"], ["b", "abcdefghi"], "verbatim").rate == 1 / 10


REFERENCE, HYPOTHESIS = "어제 비가 왔어요. 진짜?", "어제 비가 왓어요 진짜"


@pytest.mark.parametrize(
    ("profile", "errors", "n"),
    [
        ("verbatim", 3, 14),
        ("espnet", 1, 12),
        ("kospeech", 3, 11),
        ("nospace", 1, 9),
        ("readings", 1, 9),
    ],
)
def test_korean_sentence_under_each_profile(profile, errors, n):
    """Of 14 characters 3 are spaces and 2 are punctuation. One syllable is wrong and both marks are
    missing, which makes 21.4, 8.3, 27.3 or 11.1 %, depending on what counts."""
    counts = character_errors([REFERENCE], [HYPOTHESIS], profile)
    assert (counts.errors, counts.n) == (errors, n)
    assert counts.rate == errors / n


@pytest.mark.parametrize(
    ("profile", "text", "expected"),
    [
        ("verbatim", " A,  0.1 b! ", "A, 0.1 b!"),
        ("nospace", "네, 0.1 프로 TV!", "네0.1프로TV"),
        ("kospeech", "네, 0.1 프로 TV! 왜?", "네0.1프로TV!왜?"),
        ("espnet", "네, 0.1 프로 TV!", "네 0.1 프로 tv"),
        ("readings", "네, 0.1 % TV!", "네0.1%TV"),
    ],
)
def test_what_a_profile_counts(profile, text, expected):
    assert counted(text, profile) == expected


def test_every_profile_says_what_it_is():
    assert set(PROFILES) == set(get_args(ProfileName))
    assert [str(profile) for profile in PROFILES.values()] == [
        "verbatim/1",
        "nospace/2",
        "kospeech/1",
        "espnet/1",
        "readings/1",
    ]
    for name, profile in PROFILES.items():
        assert profile.name == name
        spaces = counted("a b", name) == "a b"
        assert ("spaces left out" in profile.words or "spaces and p" in profile.words) or spaces
        assert ("lower case" in profile.words) == (counted("A", name) == "a")
        assert ("punctuation left out" in profile.words) == (counted("a.", name) == "a")
        said = {"spelling": "spelling", "phonetic": "pronunciation"}.get(profile.side, "NFC")
        assert said in profile.words


def test_the_page_says_what_the_profiles_do():
    """Its table has a row for each profile, with its references and one example."""
    text = (Path(__file__).parents[1] / "docs/scoring.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    heard, spoken = next(r[-1].split("` for `") for r in rows if r and "` for `" in r[-1])
    found = {row[0]: (row[1], row[-1]) for row in rows if row and "/" in row[0]}
    for name, profile in PROFILES.items():
        edits = character_errors([spoken], [heard], name)
        assert found[str(profile)] == (profile.side, f"{edits.errors}/{edits.n}")


def test_references_are_of_the_side_where_the_corpus_has_it():
    both = ("text", "spelling", "phonetic")
    assert PROFILES["kospeech"].side_among(both) == "phonetic"
    assert PROFILES["espnet"].side_among(both) == PROFILES["nospace"].side_among(both) == "spelling"
    assert {profile.side_among(["text"]) for profile in PROFILES.values()} == {"text"}
    assert PROFILES["verbatim"].side_among(both) == "text"


def test_a_stored_profile_without_a_version_is_version_1():
    assert versioned("nospace") == "nospace/1" != str(PROFILES["nospace"])
    assert versioned("nospace/2") == "nospace/2"


@given(wild, st.sampled_from(["NFC", "NFD"]))
@pytest.mark.parametrize("profile", PROFILES)
def test_twice_under_a_profile_is_once_whatever_the_form(profile, text, form):
    once = counted(text, profile)
    assert counted(once, profile) == once == normalize("NFC", once)
    assert counted(normalize(form, text), profile) == once


@given(pairs, st.sampled_from(["NFC", "NFD"]), st.sampled_from(["NFC", "NFD"]))
@pytest.mark.parametrize("profile", PROFILES)
def test_rates_do_not_depend_on_the_form(profile, pairs, one, other):
    pairs = [("각", "가"), *pairs]
    references, hypotheses = [r for r, _ in pairs], [h for _, h in pairs]
    assert score(references, hypotheses, profile) == score(
        [normalize(one, text) for text in references],
        [normalize(other, text) for text in hypotheses],
        profile,
    )


def test_reference_of_punctuation_alone_counts_nothing():
    """`?!` is empty without punctuation, so that its hypothesis is an insertion."""
    counts = character_errors(["?!", "네."], ["아", "네"], "nospace")
    assert counts == ErrorCounts(0, 0, 1, 1)
    assert word_errors(["?!", "네."], ["아", "네"], "nospace") == ErrorCounts(0, 0, 1, 1)
    assert spaced_word_errors(["?!", "네."], ["아", "네"], "nospace") == ErrorCounts(0, 0, 1, 1)


def test_no_character_in_any_reference_is_refused():
    with pytest.raises(UserError) as caught:
        score(["?!", ""], ["아", "네"], "nospace", "ref.trn")
    assert str(caught.value) == (
        "ref.trn: found no character in the references under nospace/2; a CER needs at least one"
    )
    assert score(["?!"], ["아"]).cer == 2 / 2


def test_counts_symbol():
    left_out = {p: {s for s in ".? 가'A\u0301" if not counts_symbol(s, p)} for p in PROFILES}
    assert left_out == {
        "verbatim": set(),
        "nospace": {".", "?", " "},
        "kospeech": {" "},
        "espnet": {".", "?"},
        "readings": {".", "?", " "},
    }


# Jamo


def test_jamo_by_hand():
    """`왔` is three jamo, and `왓` differs in the last. Nine syllables are 20 jamo, so the rate is
    1 / 20. With spaces it is 1 / 23, and with punctuation, of which . and ? are missing, 3 / 22."""
    assert jamo_errors([REFERENCE], [HYPOTHESIS], "nospace").rate == 1 / 20
    assert jamo_errors([REFERENCE], [HYPOTHESIS], "espnet").rate == 1 / 23
    assert jamo_errors([REFERENCE], [HYPOTHESIS], "kospeech").rate == 3 / 22


def test_jamo_tell_onset_from_coda_and_leave_other_letters_whole():
    """One of three jamo is missing. A conjoining coda composes, a keyboard ㄱ does not."""
    assert jamo_errors(["각"], ["가"], "verbatim") == ErrorCounts(0, 1, 0, 3)
    assert jamo_errors(["각"], ["가\u11a8"], "verbatim").errors == 0
    assert jamo_errors(["각"], ["가ㄱ"], "verbatim") == ErrorCounts(1, 0, 0, 3)
    assert jamo_errors(["é"], ["e"], "verbatim") == ErrorCounts(1, 0, 0, 1)


@given(st.lists(st.tuples(hangul, hangul), min_size=1))
def test_jamo_errors_are_a_syllables_at_most_three(pairs):
    references, hypotheses = [r for r, _ in pairs], [h for _, h in pairs]
    syllables = character_errors(references, hypotheses, "verbatim")
    jamo = jamo_errors(references, hypotheses, "verbatim")
    assert syllables.errors <= jamo.errors <= 3 * syllables.errors
    assert 2 * syllables.n <= jamo.n <= 3 * syllables.n


# Spacing


def spaced(references, hypotheses):
    forms = [CountedTexts.of(texts, "verbatim") for texts in (references, hypotheses)]
    return [" ".join(words) for words in spaced_like(*forms)]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        # Equal letters take the spacing of the reference.
        ("이 월 십일", "이월 십 일", "이 월 십일"),
        ("이 월", "이 월", "이 월"),
        # A substituted letter starts a word if it did before.
        ("어제 비가 왔어요", "어제비가 왓어요", "어제 비가 왓어요"),
        ("가 나다", "가라다", "가라다"),
        ("가나다", "가 라다", "가 라다"),
        # So does an inserted letter.
        ("가 나", "가 아나", "가 아 나"),
        ("가 나", "가아나", "가아 나"),
        # Where the first letter of a word is deleted, so is the start of the word.
        ("가 나다", "가 다", "가다"),
        # An empty side changes nothing.
        ("", "가 나", "가 나"),
        ("가 나", "", ""),
    ],
)
def test_spaced_like_by_hand(reference, hypothesis, expected):
    assert spaced([reference], [hypothesis]) == [expected]


def test_spacing_alone_is_no_error_of_spaced_words():
    """Of three words two are joined and one is split: 3 / 3 are wrong, or 0 / 3."""
    assert word_errors(["이 월 십일"], ["이월 십 일"], "verbatim").rate == 3 / 3
    assert spaced_word_errors(["이 월 십일"], ["이월 십 일"], "verbatim").rate == 0 / 3


def test_spaced_words_by_hand():
    """`왓어요` is one wrong word of four. `어제비가` is two more in the WER, none in the sWER."""
    hypothesis = "어제비가 왓어요 진짜"
    assert word_errors([REFERENCE], [hypothesis], "espnet").rate == 3 / 4
    assert spaced_word_errors([REFERENCE], [hypothesis], "espnet").rate == 1 / 4


def test_words_are_separated_by_spaces_under_a_profile_that_counts_none():
    assert word_errors(["네, 왔어요."], ["네 왔어요"], "nospace") == ErrorCounts(0, 0, 0, 2)
    assert word_errors(["네, 왔어요."], ["네 왔어요"], "verbatim") == ErrorCounts(2, 0, 0, 2)


@given(pairs)
def test_spacing_changes_spaces_only(pairs):
    references, hypotheses = ([normalise(pair[side]) for pair in pairs] for side in (0, 1))
    found = spaced(references, hypotheses)
    for before, after in zip(hypotheses, found, strict=True):
        assert after.replace(" ", "") == before.replace(" ", "")
        assert after == normalise(after)
    assert spaced(references, references) == references


@given(st.lists(st.tuples(texts, st.lists(st.booleans(), min_size=12, max_size=12)), min_size=1))
def test_any_spacing_of_the_same_characters_is_no_error(texts_and_spaces):
    references = ["가 나", *(text for text, _ in texts_and_spaces)]
    hypotheses = ["가나"]
    for text, spaces in texts_and_spaces:
        letters = text.replace(" ", "")
        hypotheses.append("".join(c + " " * s for c, s in zip(letters, spaces, strict=False)))
    assert spaced_word_errors(references, hypotheses, "verbatim").errors == 0


# Characters and words


def test_spacing_error_counts_only_where_spaces_do():
    """`이 월` as `이월`: a space is missing of 3 characters, and nothing of 2 without spaces."""
    assert character_errors(["이 월"], ["이월"], "verbatim").rate == 1 / 3
    assert character_errors(["이 월"], ["이월"], "nospace").rate == 0 / 2


def test_composed_and_decomposed_spelling_are_one():
    text = "어제 왔어요 café"
    assert character_errors([text], [normalize("NFD", text)], "verbatim").errors == 0


def test_white_space_is_one_space():
    assert character_errors(["a b"], ["  a \t\n b "], "verbatim").errors == 0


def test_words_by_hand():
    """`go to school` to `go two school now`: one word is substituted, one inserted: 2 / 3."""
    assert word_errors(["go to school"], ["go two school now"], "verbatim") == ErrorCounts(
        1, 0, 1, 3
    )


def test_empty_hypothesis_is_all_deletions():
    assert character_errors(["ab", "c"], ["", ""], "verbatim") == ErrorCounts(0, 3, 0, 3)


def test_empty_reference_counts_insertions_against_the_rest():
    assert character_errors(["", "abc"], ["x", "abc"], "verbatim") == ErrorCounts(0, 0, 1, 3)
    assert word_errors(["", "a b"], ["x", "a b"], "verbatim").rate == 1 / 2


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
        "kospeech": [(r.replace(" ", ""), h.replace(" ", "")) for r, h in tidy],
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


# The public function, which counts by jiwer


def test_a_score_by_hand():
    """`어제 비가` as `어제비까`: of 5 characters (8 jamo and a space) the space is missing and one
    syllable is wrong; of 2 words both are wrong, and one with the right spacing."""
    found = score(["어제 비가", "네"], ["어제비까", "네"])
    assert found == Score(
        profile="verbatim/1",
        utterances=2,
        characters=ErrorCounts(1, 1, 0, 6),
        jamo=ErrorCounts(1, 1, 0, 11),
        words=ErrorCounts(1, 1, 0, 3),
        spaced_words=ErrorCounts(1, 0, 0, 3),
    )
    assert (found.cer, found.jer, found.wer, found.swer) == (2 / 6, 2 / 11, 2 / 3, 1 / 3)
    assert (found.n, found.characters.hits, found.characters.errors) == (6, 4, 2)
    assert score(["어제 비가", "네"], ["어제비까", "네"], "nospace").cer == 1 / 5


def test_two_texts_are_one_utterance():
    assert score("a b c", "a x c") == score(["a b c"], ["a x c"])
    assert score("a b c", "a x c").wer == 1 / 3
    assert score(iter(["ab"]), ("a",)).cer == 1 / 2


def test_white_space_is_one_space_and_none_at_the_ends():
    assert score([" a \t b\u3000c\n"], ["a b c"]).cer == 0
    assert score([" a \t b\u3000c\n"], ["a b c"]).n == 5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            (["a", "b", "c"], ["a", "b"]),
            "score: found lengths 3 (references) and 2 (hypotheses), allowed: equal lengths",
        ),
        (
            ("ab", ["a", "b"]),
            "score: found lengths 1 (references) and 2 (hypotheses), allowed: equal lengths",
        ),
        (
            (["a", "b"], ["a", None]),
            "score: hypotheses: found None as number 2, allowed: texts",
        ),
        (
            ({"u": "a"}, {"u": "b"}),
            "score: references: found dict, allowed: texts in order, or one text",
        ),
        (
            (["a"], None),
            "score: hypotheses: found NoneType, allowed: texts in order, or one text",
        ),
        (
            (["a"], ["a"], "nospce"),
            "score: profile: found 'nospce', allowed: verbatim, nospace, kospeech, espnet, "
            "readings; "
            "did you mean 'nospace'?",
        ),
        (
            ([], []),
            "score: found no character in the references under verbatim/1; a CER needs at least "
            "one",
        ),
    ],
)
def test_what_cannot_be_scored_is_one_line(arguments, expected):
    with pytest.raises(UserError) as caught:
        score(*arguments)
    assert str(caught.value) == expected


# jiwer and RapidFuzz


def test_jiwer_is_imported_when_it_counts():
    """So that `--help` and `compare` do not wait for it."""
    code = (
        "import sys\n"
        "import asrbench.cli.app, asrbench.stages.compare.study\n"
        "from asrbench.scoring.score import score\n"
        "print('jiwer' in sys.modules)\n"
        "score('a', 'a')\n"
        "print('jiwer' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@given(st.lists(st.tuples(wild, wild), max_size=5), pairs)
@pytest.mark.parametrize("profile", PROFILES)
def test_jiwer_and_rapidfuzz_count_alike(profile, some, others):
    """Rates and numbers of edits of each kind are equal to the last bit, also for empty references
    and hypotheses."""
    sides = [("각", ""), ("", "나 a"), *some, *others]
    references, hypotheses = [r for r, _ in sides], [h for _, h in sides]
    by_jiwer = score(references, hypotheses, profile)
    found = run_edits(references, hypotheses, profile)
    for name, measure in MEASURES.items():
        by_rapidfuzz = getattr(found, measure)
        assert getattr(by_jiwer, measure) == by_rapidfuzz.total
        assert getattr(by_jiwer, name) == by_rapidfuzz.rate == by_rapidfuzz.total.rate


@given(pairs)
def test_rates_and_hits_are_those_that_jiwer_states(pairs):
    """jiwer strips ends but keeps inner runs of spaces, so that it is given text in normal form."""
    references = ["a b", *(normalise(r) for r, _ in pairs)]
    hypotheses = ["a b", *(normalise(h) for _, h in pairs)]
    found = score(references, hypotheses)
    characters = jiwer.process_characters(references, hypotheses)
    words = jiwer.process_words(references, hypotheses)
    assert (found.cer, found.wer) == (characters.cer, words.wer)
    assert (found.characters.hits, found.words.hits) == (characters.hits, words.hits)


@given(pairs)
def test_edits_by_utterance_are_those_of_each_alone(pairs):
    references, hypotheses = [r for r, _ in pairs], [h for _, h in pairs]
    for profile in PROFILES:
        edits = run_edits(references, hypotheses, profile).spaced_words
        assert edits.errors_U.tolist() == [
            spaced_word_errors([r], [h], profile).errors for r, h in pairs
        ]
        assert edits.total == spaced_word_errors(references, hypotheses, profile)
