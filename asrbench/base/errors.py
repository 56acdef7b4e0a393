"""What is the user's to mend is one line: where, what was found, what is allowed or what to do."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Shown as one line, exit status 2, with nothing created. Everything else is a bug."""


class RankError(UserError):
    """What one of several processes met alone, and so has to say itself, whichever it is."""


class Fault(Exception):
    """Why something is no utterance: one of a few fixed reasons, and the particulars."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail


def nearest(found: str, allowed: Iterable[str]) -> str:
    """`"; did you mean 'width'?"` for the closest allowed name, or nothing when none is close."""
    matches = difflib.get_close_matches(found, list(allowed), n=1)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def pick(where: str, found: str, allowed: Iterable[str]) -> str:
    """`found` itself, if allowed; otherwise a `UserError` that names what is."""
    names = list(allowed)
    if found not in names:
        raise UserError(
            f"{where}: found '{found}', allowed: {', '.join(names)}{nearest(found, names)}"
        )
    return found
