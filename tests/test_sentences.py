"""Korean grammar: worked examples of particles, endings and numbers, and the sentences."""

import itertools
import re
import unicodedata

import numpy as np
import pytest

from asrbench.stages.prep.sentences import NUMBERS, TEMPLATES, WORDS, say, sentences
from asrbench.stages.prep.sentences.inflection import (
    ENDINGS,
    Verb,
    digits,
    month,
    native,
    sino,
    with_particles,
)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("책을/를 나무을/를", "책을 나무를"),
        ("아이이/가 이름이/가", "아이가 이름이"),
        ("딸은/는 저은/는", "딸은 저는"),
        ("빵과/와 우유과/와", "빵과 우유와"),
        ("버스으로/로 지하철으로/로 집으로/로 호으로/로", "버스로 지하철로 집으로 호로"),
        ("의사이에요/예요 살이에요/예요", "의사예요 살이에요"),
        ("김철수이라고/라고 김민준이라고/라고", "김철수라고 김민준이라고"),
        ("형이랑/랑 누나이랑/랑 한 잔이나/나", "형이랑 누나랑 한 잔이나"),
    ],
)
def test_particles_follow_the_last_sound(written: str, said: str) -> None:
    assert with_particles(written) == said


@pytest.mark.parametrize(
    ("verb", "ending", "said"),
    [
        ("책을 읽", "past", "책을 읽었어요"),
        ("가", "past", "갔어요"),
        ("오", "past", "왔어요"),
        ("배우", "now", "배워요"),
        ("마시", "now", "마셔요"),
        ("쉬", "now", "쉬어요"),
        ("되", "past", "됐어요"),
        ("공부하", "past", "공부했어요"),
        ("보내", "past", "보냈어요"),
        ("먹", "formal", "먹습니다"),
        ("가", "formal", "갑니다"),
        ("만들", "formal", "만듭니다"),  # ㄹ falls before ㅂ, ㄴ and ㅅ
        ("만들", "oh", "만드네요"),
        ("만들", "please", "만드세요"),
        ("만들", "will", "만들게요"),
        ("만들", "if", "만들면"),
        ("만들", "of", "만든"),
        ("음악을 듣:들어:들으", "past", "음악을 들었어요"),
        ("음악을 듣:들어:들으", "oh", "음악을 듣네요"),
        ("음악을 듣:들어:들으", "going", "음악을 들을 거예요"),
        ("굽:구워:구우", "since", "구우니까"),
        ("부르:불러:부르", "for_me", "불러 주세요"),
        ("춥:추워:추우", "like", "추울 것 같아요"),
        ("밥을 먹", "honor_past", "밥을 드셨어요"),
        ("낮잠을 자", "please", "낮잠을 주무세요"),
        ("읽", "honor_going", "읽으실 거예요"),
    ],
)
def test_endings(verb: str, ending: str, said: str) -> None:
    assert Verb.parse(verb).ending(ending) == said


def test_a_stem_in_eu_must_say_its_bases() -> None:
    with pytest.raises(ValueError, match="three bases"):
        Verb.parse("쓰")


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (1, "일"),
        (10, "십"),
        (16, "십육"),
        (100, "백"),
        (111, "백십일"),
        (1_000, "천"),
        (3_500, "삼천오백"),
        (10_000, "만"),
        (12_500, "만 이천오백"),
        (20_010, "이만 십"),
        (110_000, "십일만"),
        (1_050_000, "백오만"),
        (99_999_999, "구천구백구십구만 구천구백구십구"),
    ],
)
def test_sino_korean_numbers(number: int, read: str) -> None:
    assert sino(number) == read


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (1, "한"),
        (4, "네"),
        (10, "열"),
        (11, "열한"),
        (20, "스무"),
        (21, "스물한"),
        (99, "아흔아홉"),
    ],
)
def test_native_numbers_before_a_counter(number: int, read: str) -> None:
    assert native(number) == read


def test_months_and_telephone_numbers() -> None:
    assert [month(n) for n in (1, 6, 10, 11)] == ["일월", "유월", "시월", "십일월"]
    assert digits("0107") == "공일공칠"


@pytest.mark.parametrize("number", [0, 100])
def test_what_is_not_counted(number: int) -> None:
    with pytest.raises(ValueError, match="not between 1 and 99"):
        native(number)


def test_every_slot_and_ending_is_known_and_used() -> None:
    written = "\n".join([*TEMPLATES, *itertools.chain.from_iterable(WORDS.values())])
    slots = set(re.findall(r"{(\w+)", written))
    endings = set(re.findall(r"{\w+:(\w+)}", written))
    assert slots == set(WORDS) | set(NUMBERS)
    assert endings == set(ENDINGS)


def test_no_entry_or_template_is_written_twice() -> None:
    assert len(set(TEMPLATES)) == len(TEMPLATES)
    assert [slot for slot, words in WORDS.items() if len(set(words)) != len(words)] == []


def test_every_verb_takes_every_ending() -> None:
    rng = np.random.default_rng(0)
    written = "\n".join(TEMPLATES)
    verbs = sorted(set(re.findall(r"{(\w+):\w+}", written)))
    for word in itertools.chain.from_iterable(WORDS[slot] for slot in verbs):
        for ending in ENDINGS:
            said = say(Verb.parse(word).ending(ending), rng)
            assert re.fullmatch("[가-힣]+( [가-힣]+)*", said), (word, ending)


@pytest.fixture(scope="module")
def drawn() -> list[str]:
    return list(itertools.islice(sentences(0), 50_000))


def test_fifty_thousand_distinct_sentences_of_one_to_twelve_words(drawn: list[str]) -> None:
    assert len(set(drawn)) == 50_000
    assert {len(sentence.split()) for sentence in drawn} == set(range(1, 13))
    assert all(re.fullmatch("[가-힣]+( [가-힣]+)*", sentence) for sentence in drawn)
    assert all(unicodedata.is_normalized("NFC", sentence) for sentence in drawn)


def test_many_syllables(drawn: list[str]) -> None:
    assert len(set("".join(drawn)) - {" "}) > 650


def test_nobody_goes_from_seoul_to_seoul() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        first, second = say("{season} {season}", rng).split()
        assert first != second


def test_same_seed_same_sentences(drawn: list[str]) -> None:
    assert list(itertools.islice(sentences(0), 300)) == drawn[:300]
    other = list(itertools.islice(sentences(1), 300))
    assert len(set(other) & set(drawn[:300])) < 30


def test_a_small_grammar_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrbench.stages.prep.sentences.TEMPLATES", ("{season}이/가 좋아요",))
    assert sorted(sentences(0)) == [
        "가을이 좋아요",
        "겨울이 좋아요",
        "봄이 좋아요",
        "여름이 좋아요",
    ]
