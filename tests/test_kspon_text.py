"""Transcription marks: examples, composed lines, and properties of any line.

No line here is the corpus': they are composed by its rules, but for words that public issues quote.
"""

import re
from collections import Counter
from pathlib import Path
from unicodedata import is_normalized, name, normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asrbench.stages.prep.kspon_text import READINGS, REMARKS, transcript
from asrbench.text.normal_form import normalise

PAGE = (Path(__file__).parents[1] / "docs" / "ksponspeech.md").read_text(encoding="utf-8")


def sides(raw: str, id: str = "") -> tuple[str, str]:
    made = transcript(raw, id)
    return made.spelling, made.phonetic


# --- by example


@pytest.mark.parametrize(
    ("raw", "spelling", "phonetic"),
    [
        ("(3시)/(세 시)에 봐", "3시에 봐", "세 시에 봐"),
        ("(3시)/(세 시) 봐 (4시)/(네 시)까지", "3시 봐 4시까지", "세 시 봐 네 시까지"),
        ("(2월)/(이 월 )달에", "2월달에", "이 월 달에"),
        ("(내가)/(내) 갈게", "내가 갈게", "내 갈게"),
        ("(그래서)/(캐서*) 왔어", "그래서 왔어", "캐서 왔어"),
        ("(캐서*+)/(그+ 그래서)*+ 왔어", "캐서 왔어", "그 그래서 왔어"),
        ("(n/ 3시 b/)/(l/ 세 시)에", "3시 에", "세 시에"),
        ("(3시) / (세 시)에", "3시에", "세 시에"),
        ("(3시)/ (세 시)에", "3시에", "세 시에"),
        ("(3시)*/+(세 시)에", "3시에", "세 시에"),
        ("(3시) n/ / b/ (세 시)에", "3시에", "세 시에"),
        ("([010])/([공 일 공])으로", "010으로", "공 일 공으로"),
        ("(LG b)/(엘지 비)/ 봐", "LG b 봐", "엘지 비 봐"),
    ],
)
def test_dual(raw: str, spelling: str, phonetic: str) -> None:
    assert sides(raw) == (spelling, phonetic)
    assert not transcript(raw).remarks


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("들어서.b/", "들어서."),  # E00300
        ("먹을래 b/.", "먹을래."),  # E00866
        ("n/ 왔어 b/ 또 l/ 왔어 o/", "왔어 또 왔어"),
        ("왔어b/l/ 또", "왔어 또"),
        ("b/왔어", "왔어"),
        ("왔어.n/", "왔어."),
        ("왔어+b/", "왔어"),
        ("클럽b/ 클럽", "클럽 클럽"),
        ("club/ tv/ TV/", "club tv TV"),
        ("éb/ Ａb/ B/ x/", "éb Ａb B x"),
        ("b/", ""),
    ],
)
def test_tags_go_unless_a_latin_letter_is_before(raw: str, text: str) -> None:
    assert sides(raw) == (text, text)


def test_tag_is_told_before_duals_are_resolved() -> None:
    """The b follows a bracket in the line, but a letter once the dual is resolved."""
    assert sides("(TV)/(티비)b/ 봐") == ("TV 봐", "티비 봐")
    assert sides("(b)/(비)/ 봐") == ("b 봐", "비 봐")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("아/ 어/ 그/ 음/ 뭐/ 막/ 가", "아 어 그 음 뭐 막 가"),
        ("어/b/ 가", "어 가"),
        ("나+ 나는", "나 나는"),
        ("나 +나는", "나 나는"),
        ("그*렇지 뭐*+", "그렇지 뭐"),
        ("[팔 육 공 에 이 사 삼 칠*+]", "팔 육 공 에 이 사 삼 칠"),
        ("응. 그래? 와! 음, 자", "응. 그래? 와! 음, 자"),
        ("그 . 래 ?! 가", "그. 래?! 가"),
        ("값은 .5 .나", "값은 .5 .나"),
        ("가 ,나", "가 ,나"),  # glued on, the comma would part no words once it is dropped
        ("#을 #", "샾을 샾"),
        ("@$^&=:;-~가@나$다^라&마=바:사;아-자~", "가나다라마바사아자"),
        ("1/2 3:1 010-1234 0.1 1,000", "1/2 3:1 010-1234 0.1 1,000"),
        ("A/S R&B K-POP 3-D a@c 1.-2", "A/S R&B K-POP 3-D a@c 1.-2"),
        ("3- -5 3 : 1 A/가 가/A", "3 5 3 1 A가 가A"),
        ("b*/S club/TV 3:*1 1+1 01*0", "bS clubTV 3:1 11 010"),
        ("ㅋㅋ … “가” ½", "ㅋㅋ … “가” ½"),
        ("（3시）／（세 시）", "（3시）／（세 시）"),
        ("pc TV A", "pc TV A"),
    ],
)
def test_other_marks(raw: str, text: str) -> None:
    assert sides(raw) == (text, text)


def test_white_space_and_normal_form() -> None:
    raw = "\ufeff 가\u00a0나\u3000 다\u200b라\r\n마\u200d바\u2060사 "
    assert sides(raw) == ("가 나 다 라 마바사",) * 2
    assert sides(normalize("NFD", "각 (3시)/(세 시)")) == ("각 3시", "각 세 시")
    assert sides("\u1100*\u1161") == ("가", "가")  # what a mark kept apart composes


@pytest.mark.parametrize(
    ("raw", "spelling", "phonetic", "remarks"),
    [
        # What KoSpeech's brackets make of these two: "1시" and nothing.
        (
            "(안녕) 하세요 (하나)/(한 시)에",
            "안녕 하세요 하나에",
            "안녕 하세요 한 시에",
            ["lone bracket"],
        ),
        (
            "(100%) 왜",
            "100% 왜",
            "100% 왜",
            ["lone bracket", "digit outside a dual", "percent sign without a reading"],
        ),
        ("(어제 (3시)/(세 시)에", "어제 3시에", "어제 세 시에", ["lone bracket"]),
        ("어제) 왜", "어제 왜", "어제 왜", ["lone bracket"]),
        ("(셋)/(세 시", "셋세 시", "셋세 시", ["lone bracket"]),
        ("(셋)/(세)/(삼)", "셋삼", "세삼", ["lone bracket"]),
        ("((셋)/(세)쯤)/(그)", "셋쯤그", "세쯤그", ["lone bracket"]),
        ("(3시)(세 시)에", "3시에", "세 시에", ["dual without a slash"]),
        ("(응)(3시)/(세 시)", "응3시", "응세 시", ["lone bracket"]),
        ("(응) (세 시)", "응 세 시", "응 세 시", ["lone bracket"]),
        ("()/(세 시)에", "세 시에", "세 시에", ["empty side of a dual"]),
        ("(3시)/( * b/)에", "3시에", "3시에", ["empty side of a dual"]),
        (
            "(3%)/()",
            "3%",
            "3%",
            ["empty side of a dual", "percent sign without a reading"],
        ),
        ("( )/(+)", "", "", ["empty side of a dual", "empty text"]),
        ("3시에", "3시에", "3시에", ["digit outside a dual"]),
        ("(A3)/(에이 3)에", "A3에", "에이 3에", []),
        ("LG가", "LG가", "LG가", ["Latin letter outside a dual"]),
        ("삼% 올라", "삼% 올라", "삼% 올라", ["percent sign without a reading"]),
        ("(3%)/(삼 프로) 올라", "3% 올라", "삼 프로 올라", []),
        ("#", "샾", "샾", ["number sign written 샾"]),
        ("그-래", "그래", "그래", ["sign outside the rules left out"]),
        (
            "(셋)/(세~#)",
            "셋",
            "세샾",
            ["number sign written 샾", "sign outside the rules left out"],
        ),
        ("(3:1)/(삼 대 일) (A&B)/(에이 앤 비)", "3:1 A&B", "삼 대 일 에이 앤 비", []),
        ("(-5)/(영하 오) 도", "5 도", "영하 오 도", ["sign outside the rules left out"]),
        ("그 u/ u/ 래", "그 래", "그 래", ["unintelligible speech"]),
        ("menu/ 줘", "menu 줘", "menu 줘", ["Latin letter outside a dual"]),
        ("b/ l/", "", "", ["empty text"]),
        ("", "", "", ["empty text"]),
    ],
)
def test_odd_line_keeps_its_text_and_is_remarked(
    raw: str, spelling: str, phonetic: str, remarks: list[str]
) -> None:
    assert sides(raw) == (spelling, phonetic)
    assert transcript(raw).remarks == tuple(remarks)


@pytest.mark.parametrize(
    ("number", "reading"),
    [
        ("087797", "퍼센트"),
        ("215401", "퍼센트"),
        ("284574", "퍼센트"),
        ("397184", "퍼센트"),
        ("501006", "프로"),
        ("502173", "프로"),
        ("542363", "프로"),
        ("581483", "퍼센트"),
    ],
)
def test_eight_utterances_have_a_reading(number: str, reading: str) -> None:
    for id in (number, f"KsponSpeech_{number}"):
        made = transcript("(3%)/(삼 프로) 아니 사%", id)
        assert (made.spelling, made.phonetic) == ("3% 아니 사%", f"삼 프로 아니 사{reading}")
        assert not made.remarks
    for id in ("", "KsponSpeech_087798", "KsponSpeech_E07797"):
        assert sides("사%", id) == ("사%", "사%")


# --- by composition: every piece knows what it becomes

syllables = st.sampled_from("가각나뷁뭐어요세시ㅋ")
words = st.text(syllables, min_size=1, max_size=4)
tags = st.lists(st.sampled_from(["b/", "l/", "n/", "o/", "u/"]), min_size=1, max_size=2).map(
    "".join
)
ends = st.sampled_from(["", "*", "+", "*+"])


def alike(raw: str, text: str) -> tuple[str, str, str]:
    return raw, text, text


@st.composite
def duals(draw: st.DrawFn) -> tuple[str, str, str]:
    """`(spelling)/(phonetic)particle`, marks and tags within and behind."""
    written = draw(st.sampled_from(["3시", "0.1%", "3:1", "1/2", "A/S", "TV", "LG 3", "내가"]))
    said = draw(st.lists(words, min_size=1, max_size=3).map(" ".join))
    particle = draw(st.one_of(st.just(""), words))
    first, second, behind, last = (draw(ends) for _ in range(4))
    slash = draw(st.sampled_from(["/", " / ", "/ ", " /"]))
    tag = draw(st.one_of(st.just(""), tags))
    raw = f"({written}{first}){slash}({said}{second}){tag}{behind}{particle}{last}"
    return raw, written + particle, said + particle


pieces = st.one_of(
    st.builds(lambda word, end: alike(word + end, word), words, ends),
    st.builds(lambda word: alike(f"{word}/", word), words),
    st.builds(lambda tag: alike(tag, ""), tags),
    st.builds(lambda tag, word: alike(tag + word, word), tags, words),
    st.builds(lambda tag, word: alike(word + tag, word), tags, words),
    st.builds(
        lambda said, end: alike(f"[{' '.join(said)}{end}]", " ".join(said)),
        st.lists(words, min_size=1, max_size=4),
        ends,
    ),
    duals(),
)
closings = st.sampled_from(
    [
        ("", ""),
        (".", "."),
        ("?", "?"),
        (" b/.", "."),
        (".n/", "."),
        (" l/ ?! o/", "?!"),
        (" ,", ","),
    ]
)


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, str, str]:
    """Draws a line by the rules, and its two sides."""
    some = draw(st.lists(pieces, min_size=1, max_size=8))
    raw, spelling, phonetic = (" ".join(column) for column in zip(*some, strict=True))
    marked, mark = draw(closings)
    return raw + marked, normalise(spelling) + mark, normalise(phonetic) + mark


@given(lines())
def test_line_by_the_rules(line: tuple[str, str, str]) -> None:
    raw, spelling, phonetic = line
    made = transcript(raw)
    assert (made.spelling, made.phonetic) == (spelling, phonetic)
    expected = {"unintelligible speech"} if "u/" in raw else set()
    expected |= set() if spelling else {"empty text"}
    assert set(made.remarks) == expected


# --- what holds for any line whatever

FRAGMENTS = [
    *(
        "(",
        ")",
        ")/(",
        ") / (",
        ")(",
        "/",
        " ",
        " .",
        ".",
        "b/",
        "u/",
        "+",
        "*",
        "[",
        "]",
        "#",
        "%",
    ),
    *(
        "-",
        ":",
        "&",
        "가",
        "각",
        "\u1100",
        "\u1161",
        "어/",
        "3",
        "TV",
        "b",
        "é",
        "\u0301",
        "\u200b",
    ),
]
characters = st.text(
    st.sampled_from(
        "()/+*[]#%@$^&=:;~-.?!, \u3000bnuSLxéＡ가각나ㅋ39\u0301\u0307\u1100\u1161\ufeff"
    )
)
anything = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS)).map("".join),
    characters,
    st.text(),
    lines().map(lambda line: line[0]),
)


def content(text: str) -> list[str]:
    """Letters and digits of `text`, syllables as jamo, but for the letters of tags."""
    decomposed = normalize("NFD", text.replace("#", "샾"))
    return [c for c in decomposed if c.isalnum() and c not in "blnou"]


def is_within(part: list[str], whole: list[str]) -> bool:
    """Returns whether `part` is a subsequence of `whole`."""
    rest = iter(whole)
    return all(symbol in rest for symbol in part)


@given(anything)
@example("b*/S")
@example("A-b*\u0307")
def test_side_comes_back_as_it_is(raw: str) -> None:
    for side in sides(raw):
        assert sides(side) == (side, side)


@given(anything)
@example("()(가)/(나)")
def test_no_text_is_lost_and_none_is_made_up(raw: str) -> None:
    spelling, phonetic = map(content, sides(raw))
    for side in (spelling, phonetic):
        assert is_within(side, content(raw))
        assert is_within(content(re.sub(r"\([^()]*\)", "", raw)), side)
    assert Counter(content(raw)) <= Counter(spelling) + Counter(phonetic)


@given(anything)
def test_without_duals_the_sides_are_one(raw: str) -> None:
    for line in (raw.replace("(", ""), raw.replace(")", "")):
        spelling, phonetic = sides(line)
        assert spelling == phonetic
        assert content(spelling) == content(line)


def is_latin_or_digit(character: str) -> bool:
    return character.isdecimal() or "LATIN" in name(character, "")


@given(anything)
@example("0^×")
def test_no_mark_is_left(raw: str) -> None:
    for side in sides(raw):
        assert not set(side) & set("()[]+*#")
        assert not re.search("[blnou]/", side)
        for signs in re.finditer(r"[^\w\s]+", side):
            if set(signs[0]) & set("/@$^&=:;~-"):
                start, end = signs.span()
                assert 0 < start < end < len(side)
                assert is_latin_or_digit(side[start - 1])
                assert is_latin_or_digit(side[end])


@given(anything, st.sampled_from(["", *READINGS]))
def test_form_length_and_remarks(raw: str, id: str) -> None:
    made = transcript(raw, id)
    for side in (made.spelling, made.phonetic):
        assert side == normalise(side)
        assert is_normalized("NFC", side)
    composed = normalize("NFC", raw)
    assert len(made.spelling) <= len(composed)
    assert len(made.phonetic) <= len(composed) + (2 * composed.count("%") if id else 0)
    assert made.remarks == tuple(remark for remark in REMARKS if remark in made.remarks)
    assert len(set(REMARKS)) == len(REMARKS)


@given(anything, st.sampled_from(sorted(READINGS)))
def test_reading_changes_nothing_but_the_percent_sign(raw: str, id: str) -> None:
    plain, made = transcript(raw), transcript(raw, f"KsponSpeech_{id}")
    assert made.spelling == plain.spelling
    assert made.phonetic == plain.phonetic.replace("%", READINGS[id])


# --- the page


def table(section: str) -> list[list[str]]:
    """Returns the cells of the table under a heading of the page, without its header."""
    part = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = [line for line in part.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def quoted(cell: str) -> str:
    assert re.fullmatch("`[^`]+`", cell), f"{cell}: one piece of code"
    return cell.strip("`")


@pytest.mark.parametrize("row", table("The marks"), ids=lambda row: row[0])
def test_page_says_what_the_code_does(row: list[str]) -> None:
    assert len(row) == 8
    rule, line, spelling, phonetic, *_ = row
    id, _, raw = quoted(line).rpartition(" :: ")
    made = transcript(raw, id)
    assert (made.spelling, made.phonetic) == (quoted(spelling), quoted(phonetic))
    assert list(made.remarks) == re.findall(r"\*([^*]+)\*", rule)


def test_page_names_every_remark() -> None:
    assert [row[0] for row in table("Remarks")] == list(REMARKS)
