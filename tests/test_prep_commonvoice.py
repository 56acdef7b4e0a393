from pathlib import Path

import numpy as np
import pytest
from doors import (
    assert_same_for_any_jobs,
    audio,
    column,
    error,
    everything,
    preparer,
    put,
    put_sound,
    refused,
    rejected,
    run,
    sound,
    texts,
)

from asrbench.data.audio import read_audio

prepare = preparer("commonvoice")

OLD = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment"
NEW = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\t"
    "accents\tvariant\tlocale\tsegment"
)


def row(client: str, clip: str, sentence: str) -> str:
    return f"{client}\t{clip}\t{sentence}\t2\t0\t\t\t\tko\t"


def put_clip(source: Path, name: str, rate_hz: int = 48_000) -> None:
    wave = np.repeat(sound(name), rate_hz // 16_000) / 32_768
    put_sound(source / "clips" / f"{name}.mp3", wave, rate_hz)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Makes a language with four speakers; `bob` is in test and in validated."""
    source = tmp_path / "cv-corpus-1.0" / "ko"
    for name in ("t1", "t2", "v1", "v2", "v3", "d1", "e1"):
        put_clip(source, name)
    train = [row("ann", "t1.mp3", "하나"), row("ann", "t2.mp3", '"둘" 그리고 "')]
    dev = [row("cid", "d1.mp3", "셋")]
    test = [row("bob", "e1.mp3", "넷")]
    more = [
        row("bob", "v1.mp3", "다섯"),  # a speaker of test
        row("dan", "v2.mp3", " 셋 "),  # a text of dev
        row("dan", "v3.mp3", "여섯"),
    ]
    put(source / "train.tsv", OLD, *train)
    put(source / "dev.tsv", OLD, *dev)
    put(source / "test.tsv", OLD, *test)
    put(source / "validated.tsv", OLD, *more, *test, *dev, *train)
    return source


def test_the_lists_make_the_splits(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out") == {
        "train": {"t1": "하나", "t2": '"둘" 그리고 "'},
        "dev": {"d1": "셋"},
        "test": {"e1": "넷"},
    }
    assert column(tmp_path / "out", "train", "speaker") == {"t1": "ann", "t2": "ann"}
    assert column(tmp_path / "out", "train", "language") == {"t1": "ko", "t2": "ko"}
    assert column(tmp_path / "out", "train", "raw")["t2"] == '"둘" 그리고 "'
    found = audio(tmp_path / "out", "train")
    for id in ("t1", "t2"):
        np.testing.assert_array_equal(found[id], read_audio(source / "clips" / f"{id}.mp3"))
    assert not np.array_equal(found["t1"], found["t2"])
    assert rejected(tmp_path / "out") == []


def test_validated_shares_nothing_with_dev_and_test(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out", validated=True, strict=True)
    found = texts(tmp_path / "out")
    assert {split: sorted(rows) for split, rows in found.items()} == {
        "train": ["t1", "t2", "v3"],
        "dev": ["d1"],
        "test": ["e1"],
    }
    assert rejected(tmp_path / "out") == [
        ("v1", "train", "speaker held out", "in test: bob"),
        ("v2", "train", "text held out", "in dev: 셋"),
    ]


def test_the_columns_of_newer_releases(source: Path, tmp_path: Path) -> None:
    put(
        source / "train.tsv",
        NEW,
        "ann\tt1.mp3\tf00d\t하나\thealthcare\t2\t0\ttwenties\tmale\t\t\tko\t",
    )
    prepare(source, tmp_path / "out")
    assert texts(tmp_path / "out")["train"] == {"t1": "하나"}
    assert column(tmp_path / "out", "train", "language") == {"t1": "ko"}


def test_paths_without_their_suffix_and_no_locale(source: Path, tmp_path: Path) -> None:
    """The first releases named clips without their suffix."""
    put(source / "train.tsv", "client_id\tpath\tsentence", "ann\tt1\t하나", "\tt2\t둘")
    prepare(source, tmp_path / "out", strict=True)
    assert column(tmp_path / "out", "train", "speaker") == {"t1": "ann", "t2": None}
    assert column(tmp_path / "out", "train", "language") == {"t1": None, "t2": None}


@pytest.mark.parametrize("rate_hz", [32_000, 48_000])
def test_clips_come_at_16_khz(source: Path, tmp_path: Path, rate_hz: int) -> None:
    put_clip(source, "t1", rate_hz)
    prepare(source, tmp_path / "out")
    assert len(audio(tmp_path / "out", "train")["t1"]) == 800


def test_windows_line_ends_and_a_byte_order_mark(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "a", validated=True)
    for path in source.glob("*.tsv"):
        text = path.read_bytes().replace(b"\n", b"\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text + b"\r\n")
    prepare(source, tmp_path / "b", validated=True)
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_everything_is_kept_or_listed(source: Path, tmp_path: Path) -> None:
    put_sound(source / "clips" / "short.mp3", sound("short", 300) / 32_768)
    put(
        source / "train.tsv",
        OLD,
        row("ann", "t1.mp3", "하나"),
        row("ann", "t1.mp3", "다시"),
        row("ann", "t2.mp3", " \u3000"),
        row("ann", "", "없음"),
        row("ann", "gone.mp3", "없음"),
        row("ann", "short.mp3", "짧다"),
        row("ann", "v1.mp3", "한 칸\t더"),
        row("ann", "e1.mp3", "test에도 있다"),
    )
    prepare(source, tmp_path / "out")
    assert texts(tmp_path / "out")["train"] == {"t1": "하나"}
    short = source / "clips" / "short.mp3"
    assert rejected(tmp_path / "out") == [
        ("t1", "train", "duplicate id", "train.tsv, line 3"),
        ("t2", "train", "text empty after normalisation", "train.tsv, line 4: ' \\u3000'"),
        ("", "train", "no audio path", "train.tsv, line 5"),
        (
            "",
            "train",
            "wrong field count",
            "train.tsv, line 8: 11 fields, the first line has 10",
        ),
        ("e1", "train", "duplicate id", ""),
        ("gone", "train", "missing", str(source / "clips" / "gone.mp3")),
        ("short", "train", "shorter than a frame", f"{short}: 300 samples"),
    ]


def test_a_small_language_has_lists_without_rows(source: Path, tmp_path: Path) -> None:
    put(source / "dev.tsv", OLD)
    prepare(source, tmp_path / "out")
    assert sorted(texts(tmp_path / "out")) == ["test", "train"]


@pytest.mark.parametrize("validated", [False, True])
def test_the_number_of_jobs_does_not_matter(source: Path, tmp_path: Path, validated: bool) -> None:
    assert_same_for_any_jobs(
        lambda out, jobs: prepare(source, out, validated=validated, jobs=jobs), tmp_path
    )


def test_nor_does_the_order_of_the_rows(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "a")
    for path in source.glob("*.tsv"):
        first, *rows = path.read_text(encoding="utf-8").splitlines()
        put(path, first, *rows[::-1])
    prepare(source, tmp_path / "b")
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_what_is_no_language_folder_is_one_line(source: Path, tmp_path: Path) -> None:
    message = refused(lambda out: prepare(source.parent, out), tmp_path)
    assert message.startswith(f"{source.parent / 'dev.tsv'}: not found; SOURCE is the folder of")
    put(source / "test.tsv", "client_id\tpath\ttext", "bob\te1.mp3\t넷")
    assert refused(lambda out: prepare(source, out), tmp_path) == (
        f"{source / 'test.tsv'}: column 'sentence': not found; the first line has client_id, "
        f"path, text"
    )
    put(source / "test.tsv")
    assert refused(lambda out: prepare(source, out), tmp_path).endswith("has no columns")


def test_the_command(source: Path, tmp_path: Path) -> None:
    code, out, _ = run("prep", "commonvoice", source, "--out", tmp_path / "out", "--validated")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines() if " 0.00 " in line] == [
        ["dev", "1"],
        ["test", "1"],
        ["train", "3"],
    ]
    assert "1 left out: speaker held out" in out
    wrong = error("prep", "commonvoice", tmp_path, "--out", tmp_path / "out2")
    assert wrong.startswith(f"{tmp_path / 'dev.tsv'}: not found; ")
