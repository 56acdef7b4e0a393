"""Numerals in any notation, either side of a dual, and the best combination of both."""

import csv
import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from asrbench.scoring.counted_text import CountedReferences
from asrbench.scoring.edit_counts import character_errors
from asrbench.scoring.readings import in_notation_of, other_readings
from asrbench.scoring.results import read_scored_runs
from asrbench.scoring.score import score
from asrbench.stages.compare.study import study_of
from asrbench.text.numerals import DIGITS, Notation, in_digits, in_words
from tests.scored_runs import begin
from tests.scored_runs import score as leave_scores

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ksponspeech.md").read_text(encoding="utf-8")
SELVAS = ROOT.parent / "shared/data/selvas_ko"


def errors(reference, hypothesis, profile="readings", other_side=None):
    other = None if other_side is None else [other_side]
    return character_errors([reference], [hypothesis], profile, other).errors


def read(numeral):
    """The other notations of the whole of `numeral`, whatever follows it."""
    return [text for begin, end, text in in_words(numeral) if (begin, end) == (0, len(numeral))]


# Numerals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", {"삼", "세", "셋", "석"}),
        ("20", {"이십", "스무", "스물"}),
        ("21", {"이십일", "스물한", "스물하나"}),
        ("0", {"영", "공"}),
        ("101", {"백일", "일백일", "백한", "백하나", "일백한", "일백하나", "일공일", "일영일"}),
        ("2021", {"이천이십일", "이공이일", "2,021"}),
        ("010", {"공일공", "영일영"}),
        ("10000", {"만", "일만", "일공공공공", "10,000"}),
        ("25,000", {"이만오천", "25000", "2만5000", "2만5천"}),
        ("100000000", {"억", "일억", "1억"}),
        ("0.1", {"영점일", "영쩜일", "공점일", "영일"}),
        ("6.25", {"육점이오", "육쩜이오", "육이오"}),
        ("3:30", {"세시삼십분", "삼시삼십분", "삼대삼십"}),
        ("3:00", {"세시", "삼시"}),
        ("3:1", {"삼대일"}),
        ("3~4", {"삼사", "삼에서사"}),
        ("5~10", {"오에서열"}),
        ("010-1234", {"공일공일이삼사", "공일공에일이삼사", "영일영다시일이삼사"}),
    ],
)
def test_readings_of_a_numeral(text, expected):
    assert expected <= set(read(text))


@pytest.mark.parametrize(
    ("text", "reading", "accepted"),
    [
        ("6월", "유월", True),
        ("10 월", "시월", True),
        ("6일", "유일", False),
        ("1번째", "첫번째", True),
        ("2번째", "첫번째", False),
        ("1만 원", "만원", True),
        ("1원", "원", False),
        ("5km", "오킬로", True),
        ("5%", "오프로", True),
        ("50m", "오십미터", True),
        ("m을", "미터을", False),
        ("34일", "삼사일", False),
        ("3시", "네시", False),
        ("35명", "삼십오명", True),
        ("35명", "서른다섯명", True),
        ("100개", "백개", True),
        ("3층", "삼층", True),
        # Two numbers side by side are not one.
        ("204호", "이십사호", False),
        ("1002호", "백이호", False),
        ("23명", "이삼명", False),
    ],
)
def test_a_reading_is_right_in_either_notation(text, reading, accepted):
    assert (errors(text, reading) == 0) is accepted
    assert (errors(reading, text) == 0) is accepted


@given(st.integers(1, 10**16 - 1))
@example(1111111111111111)
@example(99)
@example(10_0000)
def test_every_integer_in_words_is_that_integer(number):
    """Each reading that is no mixed notation is found again in words, among others."""
    readings = [each for each in read(str(number)) if not re.search("[0-9]", each)]
    assert readings
    for reading in readings:
        whole = [n.text for n in in_digits(reading) if (n.begin, n.end) == (0, len(reading))]
        assert str(number) in whole


@pytest.mark.parametrize("words", ["십이십", "일이", "백천", "만만", "열시", "세네", "가"])
def test_what_is_no_integer(words):
    assert len(words) not in [n.end - n.begin for n in in_digits(words)]


@given(st.from_regex(r"[0-9]{1,20}([.,:~-][0-9]{1,4})?", fullmatch=True))
@example("0")
def test_no_numeral_is_silent(numeral):
    """Otherwise a numeral of the hypothesis that was not said could be left out. 1만 is 만."""
    assert "" not in read(numeral)
    assert [n.text for n in in_words("1만원") if not n.text] == [""]


def test_long_numbers_are_read_by_digit_only():
    assert set(read("1" * 17)) == {"일" * 17}


# The page


def table(header):
    lines = PAGE.split(f"\n{header}\n")[1].splitlines()[1:]
    rows = [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines]
    return rows[: rows.index([])]


def test_the_page_says_what_is_counted():
    rows = table("| reference | other side | hypothesis | counted as | errors |")
    assert len(rows) == 10
    for reference, other, hypothesis, as_counted, expected in rows:
        references = CountedReferences.of([reference], "readings", [other] if other else None)
        assert references.hypotheses([hypothesis]).worded == [as_counted]
        found = character_errors([reference], [hypothesis], "readings", [other] if other else None)
        assert f"{found.errors}/{found.n}" == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wrong"),
    [
        ("네, 알겠습니다.", "네 알겠습니다", 0),
        ("사과 세 개 주세요", "사과 3개 주세요", 0),
        ("세 시 삼십 분", "3시 30분", 0),
        ("이천이십사 년 십이 월", "2024년 12월", 0),
        ("오십 퍼센트", "50%", 0),
        ("사과 세 개 주세요", "사과 네 개 주세요", 1),
        ("세 시 삼십 분", "3시 13분", 2),
        # Latin letters are read in duals alone, where kocer reads them everywhere.
        ("에이아이 모델", "AI 모델", 4),
    ],
)
def test_pairs_that_kocer_publishes(reference, hypothesis, wrong):
    """From the table of kocer's README, version 0.4.0, with all of its errors but in the last."""
    assert errors(reference, hypothesis) == wrong


# Duals


def test_a_dual_counts_in_its_place_only():
    """Elsewhere 월 is not 원, although a dual of 원래 says 월래."""
    assert errors("원래 천 원", "월래 천 원", other_side="월래 천 원") == 0
    assert errors("원래 천 원", "원래 천 월", other_side="월래 천 원") == 1
    assert errors("원래 천 원", "월래 천 원") == 1


def test_a_side_may_lack_a_word():
    """`(그)/(b/ 그 그)`-like duals: a word of one side only may be there or not."""
    assert errors("어제 그 비", "어제 비", other_side="어제 비") == 0
    assert errors("어제 비", "어제 그 비", other_side="어제 그 비") == 0
    assert errors("어제 비", "어제 그 비") == 1
    assert errors("그 비", "비", other_side="비") == 0


def test_sides_may_be_mixed():
    other = "세 시 삼십 분에 티비"
    for hour, minute, device in product(["3", "세 "], ["30", "삼십 "], ["TV", "티비"]):
        hypothesis = f"{hour}시 {minute}분에 {device}"
        assert errors("3시 30분에 TV", hypothesis, other_side=other) == 0


def test_words_take_the_spaces_of_the_reference():
    """Of four words none is wrong, and without the other notation all but one are."""
    found = score(["세 시 이십 분"], ["3시 20분"], "readings")
    assert (found.words.errors, found.spaced_words.errors, found.words.n) == (0, 0, 4)
    assert score(["세 시 이십 분"], ["3시 20분"], "nospace").words.errors == 4
    # 시 is another word in the hypothesis, which no numeral makes right.
    assert score(["세 시 봐"], ["3 시봐"], "readings").words.errors == 2


def test_the_hypothesis_is_left_alone_where_nothing_is_gained():
    for reference, hypothesis in [("3시", "3시"), ("네", "4 네"), ("가", "이천이십일")]:
        assert in_notation_of(reference, hypothesis) == hypothesis


# Properties

numeral_texts = st.text(st.sampled_from("13502,.:%이삼오십백만세한스무시월 가"), max_size=10)
wild = st.text(st.sampled_from("각ㅋ\u1100\u1161\u11a8aé\u0301.,%-:~01１²3삼세십 m"), max_size=10)


@given(numeral_texts | wild, numeral_texts | wild, st.none() | numeral_texts | wild)
def test_never_more_errors_and_the_same_n(reference, hypothesis, other):
    texts = [reference, "가"], [hypothesis, "가"]
    found = character_errors(*texts, "readings", None if other is None else [other, "가"])
    assert found.n == sum(map(len, CountedReferences.of(texts[0], "readings").characters))
    assert found.errors <= errors_as_written(reference, hypothesis)


def errors_as_written(reference, hypothesis):
    """The errors under the same rules, but with the hypothesis as it stands."""
    one, other = (
        CountedReferences.of([text], "readings").characters[0] for text in (reference, hypothesis)
    )
    return Levenshtein.distance(one, other)


short = st.text(st.sampled_from("13이삼십세시 가"), max_size=5).map(lambda t: " ".join(t.split()))


@settings(max_examples=300)
@given(short, short, st.none() | short)
def test_the_best_of_all_combinations(reference, hypothesis, other):
    """Every choice of notations, and of stretches held against another reading, is tried.

    A stretch and its reading become the same block of symbols that nothing else has, so long that
    no better alignment puts the block against something else. Once it is written as the reference
    has it, letters may align better still, as 11 beside a third 1 does.
    """
    readings = other_readings(reference, other)
    letters = hypothesis.replace(" ", "")
    words = [*in_letters(hypothesis, in_words(hypothesis))]
    numbers = [*in_digits(letters)] if re.search("[0-9]", reference) else []
    expected = reference.replace(" ", "")
    choices = [
        choice
        for variant in rewritten(letters, words, numbers)
        for choice in blocked(expected, variant, readings)
    ]
    in_place = min(Levenshtein.distance(one, other) for one, other, _ in choices)
    written = min(Levenshtein.distance(expected, text) for _, _, text in choices)
    found = in_notation_of(reference, hypothesis, readings)
    assert written <= errors_as_written(reference, found) <= in_place
    assert found.replace(" ", "") in [text for _, _, text in choices]


def in_letters(text, notations):
    for start, end, other in notations:
        spaces = text[:start].count(" "), text[:end].count(" ")
        yield Notation(start - spaces[0], end - spaces[1], other)


def rewritten(letters, words, numbers, here=0, behind_number=False):
    """Yields each list of symbols that `letters` from `here` on may be written as: a letter as it
    stands is (letter, True), one of another notation (letter, False). Behind a number that is put
    into digits no digit may stand."""
    if here == len(letters):
        yield []
        return
    if not (behind_number and letters[here] in DIGITS):
        for rest in rewritten(letters, words, numbers, here + 1):
            yield [(letters[here], True), *rest]
    for notation in words + ([] if behind_number else numbers):
        if notation.begin == here:
            number = notation in numbers
            for rest in rewritten(letters, words, numbers, notation.end, number):
                yield [*((letter, False) for letter in notation.text), *rest]


def blocked(reference, variant, readings):
    """Yields the pairs in which some stretches are blocks, and the hypothesis with them written as
    in the reference. Only letters as they were recognised are held against another reading."""
    letters = [letter for letter, _ in variant]
    yield list(reference), letters, "".join(letters)
    for k, (first, end, text) in enumerate(readings):
        for at in range(len(variant) - len(text) + 1):
            if variant[at : at + len(text)] == [(letter, True) for letter in text]:
                later = [Notation(b - end, e - end, t) for b, e, t in readings if b >= end]
                block = [f"block {k}"] * 30
                one = [*reference[:first], *block]
                text_before = "".join(letters[:at]) + reference[first:end]
                for rest, last, written in blocked(
                    reference[end:], variant[at + len(text) :], later
                ):
                    yield [*one, *rest], [*letters[:at], *block, *last], text_before + written


# Whole systems


def test_real_speech_in_both_notations():
    """The 89 scripts of SELVAS with a digit, and what their speakers said. By hand, the 13 errors
    left are M, CC and PT said as words (6), cm written 쎈티미터 (4), 66 and 77 said digit by digit
    (2), and an English 투 (1)."""
    if not SELVAS.is_dir():
        pytest.skip("no shared data")

    def column(name, key):
        with (SELVAS / name).open(encoding="utf-8") as lines:
            return {row["utt_id"]: row[key] for row in csv.DictReader(lines, delimiter="\t")}

    scripts = column("scripts_orthographic.tsv", "script")
    said = column("transcripts.tsv", "text")
    ids = [id for id, text in scripts.items() if re.search("[0-9]", text)]
    digits, words = [scripts[id] for id in ids], [said[id] for id in ids]
    assert len(ids) == 89
    assert character_errors(digits, words, "nospace").errors == 368
    assert character_errors(digits, words, "readings").errors == 13
    assert character_errors(words, digits, "readings").errors == 10


def test_a_study_counts_both_sides(tmp_path, monkeypatch):
    """One run writes the spelling and one the pronunciation; `readings` finds no error in either,
    and says the same in the rates, the error analysis and the record of each run."""
    monkeypatch.chdir(tmp_path)
    sides = {
        "spelling": ["3시에 봐", "그래서 왔어", "네 가요"],
        "text": ["3시에 봐", "그래서 왔어", "네 가요"],
        "phonetic": ["세 시에 봐", "캐서 왔어", "네 가요"],
    }
    for variant, side in (("ds2", "spelling"), ("ds2_selfattn", "phonetic")):
        run = begin(variant, 0, more=["score.profile=nospace"])
        leave_scores(run, sides[side], sides=sides)
    strict, tolerant = (
        study_of([Path("results")], profile=p, replicates=20) for p in ("nospace", "readings")
    )
    assert [system.cer for system in strict.systems] == [0, (1 + 2) / 12]
    assert [system.cer for system in tolerant.systems] == [0, 0]
    assert strict.n == tolerant.n == 12
    scored = read_scored_runs([run], "test", [], [], "readings")[0]
    assert scored.test_set.other_side == tuple(sides["phonetic"])
    assert read_scored_runs([run], "test", [], [], "nospace")[0].test_set.other_side is None
