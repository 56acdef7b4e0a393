"""The lists beside a corpus: `rejected.jsonl` and `remarks.jsonl`."""

import json
from collections import Counter
from pathlib import Path

SHOWN = 1000
"""Characters of an id and of a detail that are kept of an utterance that is left out."""


class Ledger:
    """A JSON Lines file of utterances with reasons, and how often each reason occurs."""

    def __init__(self, path: Path) -> None:
        # File names need not be Unicode. JSON's escapes can hold what UTF-8 cannot.
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace")
        self.reasons: Counter[str] = Counter()
        self.first = ""
        """The details of the first utterance."""

    def enter(self, id: str, split: str, reason: str, detail: str) -> None:
        self.first = self.first or detail[:SHOWN]
        self.reasons[reason] += 1
        row = {"id": id[:SHOWN], "split": split, "reason": reason, "detail": detail[:SHOWN]}
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()
