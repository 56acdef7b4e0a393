"""Names of experiments and variants, which are names of folders on Linux, macOS and Windows."""

import re
import unicodedata
from collections.abc import Sequence

from asrbench.base.errors import UserError

_LETTER = r"[^\W_\u115f\u1160\u3164\uffa0]"
"""A letter or a digit of any script; the Hangul fillers are letters that cannot be seen."""

NAME = re.compile(rf"{_LETTER}({_LETTER}|[._=,+-])*")

LONGEST_NAME = 200
"""Bytes of the longest name in UTF-8, where a Hangul syllable has 3; file systems take 255."""

_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3])(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, with any ending."""


def nfc(name: str) -> str:
    """Returns `name` in Unicode NFC, in which a Hangul syllable is one character.

    macOS hands over names whose syllables are taken apart, and the two look the same.
    """
    return unicodedata.normalize("NFC", name)


def folder_name(where: str, name: str) -> str:
    """Returns `name` in NFC. Raises `UserError`, with `where`, if no folder can have this name."""
    name = nfc(name)
    if not NAME.fullmatch(name):
        raise UserError(
            f"{where}: found the name '{name}', allowed: letters, digits, . _ = , + -, "
            f"a letter or digit first"
        )
    if (size := len(name.encode())) > LONGEST_NAME:
        raise UserError(
            f"{where}: found a name of {size:,} bytes in UTF-8, allowed: at most {LONGEST_NAME}"
        )
    if name.endswith(".") or _DEVICE.fullmatch(name):
        raise UserError(
            f"{where}: found the name '{name}', allowed: one that Windows can give to a folder, "
            f"which neither ends with a dot nor is con, prn, aux, nul, com1 or lpt1"
        )
    return name


def refuse_one_folder(where: str, names: Sequence[str]) -> None:
    """Raises `UserError` for two names that macOS and Windows take for the same folder."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other is not name:
            raise UserError(
                f"{where}: found '{other}' and '{name}', which are one folder on macOS and "
                f"Windows; rename one"
            )
