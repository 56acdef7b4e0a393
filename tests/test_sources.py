import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from asrbench.base.errors import Fault
from asrbench.data.corpus import Corpus
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.stages.prep.recipe import Preparation
from asrbench.stages.prep.sources import AHEAD, write_utterances


@dataclass(frozen=True)
class Counted:
    """Counts the utterances that were read and not yet written."""

    id: str
    reading: ClassVar[int] = 0
    most: ClassVar[int] = 0
    lock: ClassVar[threading.Lock] = threading.Lock()

    def read(self) -> Utterance:
        with Counted.lock:
            Counted.reading += 1
            Counted.most = max(Counted.most, Counted.reading)
        if int(self.id) % 10 == 3:
            raise Fault("missing", f"{self.id}.wav")
        return Utterance(self.id, np.full(160, int(self.id), np.int16), f"text {self.id}")


def made(out: Path, jobs: int) -> tuple[Corpus, list[tuple[int, int]]]:
    """Writes 200 utterances with so many jobs. Returns the corpus and the reported progress."""
    Counted.reading = Counted.most = 0
    reported = []

    def progress(done: int, total: int) -> None:
        with Counted.lock:
            Counted.reading -= 1
        reported.append((done, total))

    with CorpusWriter.create(out, name="n", recipe="r", source="s", text_profile="p") as writer:
        splits = {
            "train": [Counted(f"{i:03d}") for i in range(199, 99, -1)],
            "dev": [Counted(f"{i:03d}") for i in range(100)],
        }
        write_utterances(writer, splits, Preparation("r", out, jobs=jobs, progress=progress))
    return Corpus.open(out), reported


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_order_and_content_whatever_the_jobs(tmp_path: Path, jobs: int) -> None:
    corpus, reported = made(tmp_path / "out", jobs)
    expected = [f"{i:03d}" for i in range(100, 200) if i % 10 != 3]
    assert corpus.split("train").ids == expected
    assert [int(corpus.split("train").audio(i)[0]) for i in range(len(expected))] == [
        int(id) for id in expected
    ]
    assert reported == [(k + 1, 200) for k in range(200)]
    rejected = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    assert len(rejected) == 20
    assert rejected[0] == (
        '{"id": "003", "split": "dev", "reason": "missing", "detail": "003.wav"}'
    )


@pytest.mark.parametrize("jobs", [1, 3])
def test_no_more_is_read_ahead_than_a_few_for_each_job(tmp_path: Path, jobs: int) -> None:
    made(tmp_path / "out", jobs)
    assert 1 <= Counted.most <= (AHEAD + 1) * jobs + 1


def test_a_bug_in_reading_is_not_taken_for_a_fault(tmp_path: Path) -> None:
    class Broken:
        id = "1"

        def read(self) -> Utterance:
            raise ZeroDivisionError

    def prepare() -> None:
        with CorpusWriter.create(
            tmp_path / "out", name="n", recipe="r", source="s", text_profile="p"
        ) as writer:
            write_utterances(writer, {"train": [Broken()]}, Preparation("r", tmp_path, jobs=2))

    with pytest.raises(ZeroDivisionError):
        prepare()
    assert list(tmp_path.iterdir()) == []
