from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doors import (
    about,
    assert_same_for_any_jobs,
    audio,
    column,
    error,
    everything,
    like_windows,
    preparer,
    put,
    put_chapter,
    put_sound,
    refused,
    rejected,
    run,
    sound,
    texts,
)

from asrbench.base.errors import UserError
from asrbench.data.corpus import Corpus

prepare = preparer("librispeech")

SUBSETS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)


def put_lines(root: Path, subset: str, speaker: int, chapter: int, *lines: str) -> Path:
    name = f"{speaker}-{chapter}"
    texts = {f"{name}-{number:04d}": line for number, line in enumerate(lines)}
    return put_chapter(root / subset / str(speaker) / str(chapter), name, texts)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Makes LibriSpeech with its seven subsets: two speakers in the first, one in each other."""
    root = tmp_path / "LibriSpeech"
    put_lines(root, "train-clean-100", 103, 1240, "CHAPTER ONE", "MISSUS RACHEL LYNDE'S")
    put_lines(root, "train-clean-100", 19, 198, "NORTHANGER ABBEY")
    put(root / "SPEAKERS.TXT", ";ID  |SEX| SUBSET           |MINUTES| NAME")
    for speaker, subset in enumerate(SUBSETS[1:], start=200):
        put_lines(root, subset, speaker, 1, f"IN {subset.upper()}")
    return root


def test_the_distribution_becomes_a_corpus(root: Path, tmp_path: Path) -> None:
    prepare(root, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out") == {
        "train": {
            "103-1240-0000": "CHAPTER ONE",
            "103-1240-0001": "MISSUS RACHEL LYNDE'S",
            "19-198-0000": "NORTHANGER ABBEY",
            "200-1-0000": "IN TRAIN-CLEAN-360",
            "201-1-0000": "IN TRAIN-OTHER-500",
        },
        "dev": {"202-1-0000": "IN DEV-CLEAN"},
        "dev_other": {"203-1-0000": "IN DEV-OTHER"},
        "test": {"204-1-0000": "IN TEST-CLEAN"},
        "test_other": {"205-1-0000": "IN TEST-OTHER"},
    }
    assert column(tmp_path / "out", "train", "speaker")["103-1240-0001"] == "103"
    assert column(tmp_path / "out", "train", "raw")["19-198-0000"] == "NORTHANGER ABBEY"
    for id, samples in audio(tmp_path / "out", "train").items():
        np.testing.assert_array_equal(samples, sound(id))
    assert rejected(tmp_path / "out") == []
    assert about(tmp_path / "out")["subsets"] == {
        "dev": ["dev-clean"],
        "dev_other": ["dev-other"],
        "test": ["test-clean"],
        "test_other": ["test-other"],
        "train": ["train-clean-100", "train-clean-360", "train-other-500"],
    }


def test_the_folder_above_is_as_good(root: Path, tmp_path: Path) -> None:
    prepare(root, tmp_path / "a")
    prepare(tmp_path, tmp_path / "b")
    assert Corpus.open(tmp_path / "a").fingerprint == Corpus.open(tmp_path / "b").fingerprint


def test_named_subsets_make_the_splits(root: Path, tmp_path: Path) -> None:
    prepare(
        root,
        tmp_path / "out",
        train=["train-clean-100"],
        dev=["dev-other", "dev-clean"],
        test=["test-other"],
    )
    assert {split: len(rows) for split, rows in texts(tmp_path / "out").items()} == {
        "train": 3,
        "dev": 2,
        "test": 1,
        "test_clean": 1,
    }
    reason = "subset not asked for"
    assert rejected(tmp_path / "out") == [
        ("", "train", reason, "train-clean-360"),
        ("", "train", reason, "train-other-500"),
    ]


def test_what_was_left_out_on_request_is_no_fault(root: Path, tmp_path: Path) -> None:
    prepare(root, tmp_path / "out", train=["train-clean-100"], strict=True)
    assert len(rejected(tmp_path / "out")) == 2


def test_mini_librispeech_has_its_dev(tmp_path: Path) -> None:
    put_lines(tmp_path / "LibriSpeech", "train-clean-5", 1, 1, "ONE")
    put_lines(tmp_path / "LibriSpeech", "dev-clean-2", 2, 1, "TWO")
    prepare(tmp_path, tmp_path / "out")
    assert texts(tmp_path / "out") == {"train": {"1-1-0000": "ONE"}, "dev": {"2-1-0000": "TWO"}}


def test_windows_line_ends_and_blank_lines(root: Path, tmp_path: Path) -> None:
    prepare(root, tmp_path / "a")
    for path in root.rglob("*.trans.txt"):
        like_windows(path)
    prepare(root, tmp_path / "b")
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_everything_is_kept_or_listed(root: Path, tmp_path: Path) -> None:
    chapter = root / "dev-clean" / "202" / "1"
    put(
        chapter / "202-1.trans.txt",
        "202-1-0000 KEPT",
        "202-1-0000 AGAIN",
        "202-1-0001",
        "202-1-0002 MISSING",
        "202-1-0003 TOO SHORT",
        "202-1-0004\tA TAB  AND SPACES ",
    )
    for number, samples in ((1, 800), (3, 399), (4, 400), (5, 800)):
        put_sound(chapter / f"202-1-{number:04d}.flac", sound("x", samples))
    with pytest.raises(UserError, match=": 5 utterances rejected "):
        prepare(root, tmp_path / "out", strict=True)
    prepare(root, tmp_path / "out")
    assert texts(tmp_path / "out")["dev"] == {
        "202-1-0000": "KEPT",
        "202-1-0004": "A TAB AND SPACES",
    }
    assert column(tmp_path / "out", "dev", "raw")["202-1-0004"] == "A TAB  AND SPACES "
    listed = "dev-clean/202/1/202-1.trans.txt, line"
    assert rejected(tmp_path / "out") == [
        ("202-1-0000", "dev", "duplicate id", f"{listed} 2"),
        ("202-1-0001", "dev", "text empty after normalisation", f"{listed} 3: ''"),
        ("202-1-0005", "dev", "no transcript", "dev-clean/202/1/202-1-0005.flac"),
        ("202-1-0002", "dev", "missing", str(chapter / "202-1-0002.flac")),
        (
            "202-1-0003",
            "dev",
            "shorter than a frame",
            f"{chapter / '202-1-0003.flac'}: 399 samples",
        ),
    ]


def test_neither_the_number_of_jobs_nor_the_order_of_folders_matters(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "hgfedcba":
        put_sound(root / "dev-clean" / "202" / "1" / f"{name}.flac", sound(name))
    for chapter in ("2", "3"):  # the first of them has the utterance
        put(root / "dev-clean" / "202" / chapter / f"202-{chapter}.trans.txt", "202-0 TWICE")
        put_sound(root / "dev-clean" / "202" / chapter / "202-0.flac", sound(chapter))
    assert_same_for_any_jobs(lambda out, jobs: prepare(root, out, jobs=jobs), tmp_path)
    listing = Path.rglob
    for backwards in (False, True):

        def ordered(self: Path, pattern: str, backwards: bool = backwards) -> Any:
            return sorted(listing(self, pattern), reverse=backwards)

        monkeypatch.setattr(Path, "rglob", ordered)
        prepare(root, tmp_path / f"{backwards}")
        assert everything(tmp_path / f"{backwards}") == everything(tmp_path / "jobs1")


def test_another_folder_is_one_line_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    for wrong in (root / "dev-clean", tmp_path / "none"):
        message = refused(lambda out, wrong=wrong: prepare(wrong, out), tmp_path)  # type: ignore[misc]
        assert message.startswith(f"{wrong}: found no subset of LibriSpeech; SOURCE is the folder ")


def test_subsets_that_are_not_there_or_wanted_twice(root: Path, tmp_path: Path) -> None:
    message = refused(lambda out: prepare(root, out, dev=["dev-cleen"]), tmp_path)
    assert message == (
        f"--dev: found 'dev-cleen', allowed: {', '.join(sorted(SUBSETS))}; "
        f"did you mean 'dev-clean'?"
    )
    message = refused(
        lambda out: prepare(root, out, dev=["dev-clean"], test=["dev-clean"]), tmp_path
    )
    assert message == "--test: 'dev-clean' is in dev already"


def test_the_command(root: Path, tmp_path: Path) -> None:
    code, out, _ = run(
        "prep",
        "librispeech",
        root,
        "--out",
        tmp_path / "out",
        *("--train", "train-clean-100", "--train", "train-clean-360"),
    )
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines() if " 0.00 " in line] == [
        ["dev", "1"],
        ["dev_other", "1"],
        ["test", "1"],
        ["test_other", "1"],
        ["train", "4"],
    ]
    assert "1 left out: subset not asked for" in out
    wrong = error("prep", "librispeech", tmp_path / "no", "--out", tmp_path / "out2")
    assert wrong.startswith(f"{tmp_path / 'no'}: found no subset of LibriSpeech; ")
