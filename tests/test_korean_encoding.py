"""cp949 is told from other encodings, and never guessed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrbench.base.errors import UserError
from asrbench.text.korean_encoding import CP949, UTF8, is_korean, read_korean

KOREAN = "안녕하세요. 오늘은 날씨가 참 좋습니다, 3시에 봐요!\n"
OTHERS = {
    "latin-1": "Müller größe Äpfel Ölçü naïve café déjà vu çà et là",
    "cp1252": "Ä Ö Ü “Grüße” … naïveté façade",
    "shift_jis": "こんにちは、今日は天気がいいですね。",
    "euc_jp": "こんにちは、今日は天気がいいですね。",
    "gb18030": "你好,今天天气很好。我们去公园散步吧,那里的花开得正好。",
    "big5": "你好,今天天氣很好。我們去公園散步吧。",
    "cp1251": "Привет, как дела? Сегодня ХОРОШАЯ погода.",
}


@given(st.lists(st.sampled_from([*KOREAN, "가", "힝", "쌀"]), min_size=1).map("".join))
def test_korean_comes_back_from_both_encodings(tmp_path_factory, text: str) -> None:
    text += "한"  # some Korean is in it
    path = tmp_path_factory.mktemp("k") / "list"
    path.write_bytes(text.encode("utf-8-sig"))
    assert read_korean(path) == (text, UTF8)
    path.write_bytes(text.encode("cp949"))
    assert read_korean(path) == (text, CP949)


def test_syllables_that_only_cp949_has_are_read_among_others(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes((KOREAN + "똠").encode("cp949"))
    assert read_korean(path) == (KOREAN + "똠", CP949)


@pytest.mark.parametrize("encoding", OTHERS)
def test_other_encodings_are_no_korean(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list"
    path.write_bytes(OTHERS[encoding].encode(encoding))
    with pytest.raises(UserError, match=r"list, line 1: not UTF-8; convert the file"):
        read_korean(path)


def test_text_of_ascii_or_of_other_marks_is_no_korean() -> None:
    assert not is_korean("plain")
    assert not is_korean("▲ ÷ ● 한")
