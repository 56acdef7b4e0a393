"""Errors that the user can fix. They are printed as one line, without a traceback.

The line says where, what was found, and what is allowed or what to do.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """An error that the user can fix: printed as one line, exit status 2, and no file is left.

    Every other exception is a bug and is printed with its traceback."""


class RankError(UserError):
    """An error of one rank alone. That rank prints it, because the first rank does not know it."""


class Fault(Exception):
    """Why an utterance is rejected: one of a few fixed reasons, which are counted, and details."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail


def nearest(found: str, allowed: Iterable[str]) -> str:
    """Returns `"; did you mean 'width'?"` for the closest allowed name, or "" if none is close."""
    matches = difflib.get_close_matches(found, list(allowed), n=1)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def pick(where: str, found: str, allowed: Iterable[str]) -> str:
    """Returns `found` if it is allowed. Otherwise raises `UserError` with the names that are."""
    names = list(allowed)
    if found not in names:
        raise UserError(
            f"{where}: found '{found}', allowed: {', '.join(names)}{nearest(found, names)}"
        )
    return found
