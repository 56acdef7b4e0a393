"""Korean text files that are not UTF-8, as older Windows programs write them.

cp949 is Windows' superset of EUC-KR (KS X 1001, 2,350 syllables), with all 11,172 syllables.
"""

from pathlib import Path

from asrbench.base.errors import UserError
from asrbench.base.files import TEXT_BYTES, read_bounded, read_utf8

CERTAIN = 0.9
"""Share of the characters beyond ASCII. Punctuation and Chinese characters are few in Korean."""

UTF8, CP949 = "UTF-8", "cp949"


def read_korean(path: Path) -> tuple[str, str]:
    """Returns the text of a file, and its encoding: UTF-8, or cp949 where that is certain.

    Raises `UserError` if the file cannot be read or is of another encoding.
    """
    try:
        return read_utf8(path), UTF8
    except UserError:
        try:
            text = read_bounded(path, TEXT_BYTES).decode(CP949)
        except (OSError, UnicodeDecodeError):
            text = ""
        if not is_korean(text):
            raise
        return text, CP949


def is_korean(text: str) -> bool:
    """Returns whether nearly all characters of `text` beyond ASCII are syllables of KS X 1001.

    Text of other languages that is read as cp949 has rare syllables and Chinese characters instead.
    Of Chinese text in GBK, about two thirds of the characters are such syllables.
    """
    beyond = [character for character in text if not character.isascii()]
    common = sum("가" <= c <= "힣" and _in_ks_x_1001(c) for c in beyond)
    return common > CERTAIN * len(beyond)


def _in_ks_x_1001(character: str) -> bool:
    try:
        return len(character.encode("euc_kr")) == 2
    except UnicodeEncodeError:
        return False
