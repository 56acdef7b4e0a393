"""The files that `benchmarks/prep.py` reads, its processes and its tables; no timings."""

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from child import run_apart
from kospeech_text import check, prepare_texts, volumes_of
from kspon_tree import Spoken, composed, write_tree
from prep import OURS, READ, THEIRS, files_of, measured, read_seconds, tables
from report import figures_in

from asrbench.base.errors import UserError

KOSPEECH = {
    "preprocess.py": """
import os

def preprocess(dataset_path, mode):
    assert mode == "phonetic"
    found = []
    for volume in os.listdir(dataset_path):
        for folder in os.listdir(f"{dataset_path}/{volume}"):
            names = os.listdir(f"{dataset_path}/{volume}/{folder}")
            found += [f"{volume}/{folder}/{name}" for name in names if name.endswith(".txt")]
    return found, ["text"] * len(found)
""",
    "character.py": """
def generate_character_labels(transcripts, folder):
    open(f"{folder}/aihub_labels.csv", "x").close()

def generate_character_script(audio_paths, transcripts, folder):
    open(f"{folder}/aihub_labels.csv").close()
    with open("transcripts.txt", "x") as file:
        file.writelines(f"{path}\\n" for path in audio_paths)
""",
}
"""Its modules, as far as they are called: what they take, what they leave, and where."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "their_checkout/dataset/kspon/preprocess"
    folder.mkdir(parents=True)
    for name, code in KOSPEECH.items():
        (folder / name).write_text(code)
    return tmp_path / "their_checkout"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Makes 60 utterances, of which 2 are for evaluation, in one volume with lists."""
    (tmp_path / "download").mkdir()
    write_tree(tmp_path / "download/tree", composed(60, 0.2, seed=3))
    return tmp_path / "download/tree"


# A command in a process of its own


def python(code: str, folder: Path) -> Any:
    return run_apart([sys.executable, "-S", "-c", code], folder)


def test_peak_memory_is_that_of_the_command_alone(tmp_path: Path) -> None:
    """Whatever this process holds: torch, and 200 MB more."""
    held = bytearray(b"x" * 200_000_000)
    small = python("pass", tmp_path)
    large = python("x = b'x' * 50_000_000", tmp_path)
    assert small.peak_bytes < 50_000_000 < len(held)
    assert large.peak_bytes - small.peak_bytes == pytest.approx(50_000_000, rel=0.1)


def test_a_command_is_told_by_its_status_and_last_words(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    ended = python("import os; print(os.getcwd())", tmp_path / "here")
    assert (ended.status, ended.last_line) == (0, str(tmp_path / "here"))
    failed = python("print('first', flush=True); raise SystemExit('at\\nlast')", tmp_path)
    assert (failed.status, failed.last_line) == (1, "last")
    assert python("import os; os.kill(os.getpid(), 9)", tmp_path).status == -9
    assert python("pass", tmp_path).last_line == "it said nothing"


# What is read


def named(tree: Path, files: list[Path]) -> list[str]:
    return [str(file.relative_to(tree)) for file in files]


def test_read_is_what_prep_reads(tree: Path) -> None:
    """Texts beside the audio are read only for utterances that are in no list."""
    (tree / "notes.txt").write_text("no part of the corpus")
    (tree / "KsponSpeech_01/KsponSpeech_0001/other.pcm").write_bytes(b"\0")
    audio = {path for path in tree.rglob("KsponSpeech_*.pcm")}
    lists = set(tree.rglob("*.trn"))
    assert len(audio) == 60
    assert files_of(tree) == sorted(audio | lists)
    (tree / "KsponSpeech_scripts/eval_other.trn").unlink()
    texts = set((tree / "KsponSpeech_eval/eval_other").glob("*.txt"))
    assert len(texts) == 1
    assert files_of(tree) == sorted(audio | lists.intersection(tree.rglob("*.trn")) | texts)
    shutil.rmtree(tree / "KsponSpeech_scripts")
    assert len(files_of(tree)) == 2 * 60


def test_what_is_packed_or_missing_is_refused(tree: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tree / "more.zip", "w") as archive:
        archive.writestr("KsponSpeech_02/KsponSpeech_0125/KsponSpeech_124001.pcm", bytes(800))
    with pytest.raises(UserError, match=r"KsponSpeech_124001.pcm and 0 more are in zips; unpack"):
        files_of(tree)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: found none of KsponSpeech's audio there"):
        files_of(tmp_path / "empty")


def test_files_of_any_size_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prep.BUFFER_BYTES", 10)
    files = [tmp_path / str(size) for size in (0, 9, 10, 11, 1000)]
    for file in files:
        file.write_bytes(bytes(int(file.name)))
    assert read_seconds(files) > 0
    with pytest.raises(FileNotFoundError):
        read_seconds([*files, tmp_path / "missing"])


# KoSpeech


def test_kospeech_is_refused_where_it_is_not(tree: Path, tmp_path: Path, checkout: Path) -> None:
    check(checkout)
    with pytest.raises(
        UserError, match=r"--kospeech .*download: not a checkout of KoSpeech; dataset"
    ):
        check(tmp_path / "download")
    with pytest.raises(
        UserError, match=r"tree/KsponSpeech_01: found no KsponSpeech_01 at its top level"
    ):
        volumes_of(tree / "KsponSpeech_01")


def test_kospeech_reads_the_volumes_and_nothing_beside(
    tree: Path, tmp_path: Path, checkout: Path
) -> None:
    """Evaluation sets and lists have KsponSpeech in their names, but are no volumes."""
    (tmp_path / "scratch").mkdir()
    count, ended = prepare_texts(checkout, volumes_of(tree), tmp_path / "scratch")
    assert (count, ended.status) == (58, 0)
    lines = (tmp_path / "scratch/kospeech/transcripts.txt").read_text().splitlines()
    texts = tree.glob("KsponSpeech_01/*/*.txt")
    assert sorted(lines) == sorted(str(path.relative_to(tree)) for path in texts)


def test_what_kospeech_fails_on_is_one_line(tree: Path, tmp_path: Path, checkout: Path) -> None:
    (tree / "KsponSpeech_01/thumbs.db").write_bytes(b"")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(UserError, match=r"its preparation failed: NotADirectoryError: .*thumbs.db"):
        prepare_texts(checkout, volumes_of(tree), tmp_path / "scratch")


# The whole of it


def test_all_take_turns_and_leave_nothing(tree: Path, checkout: Path) -> None:
    before = sorted(tree.rglob("*"))
    figures = measured(tree, checkout, jobs=2, rounds=2, scratch=None)
    assert json.loads(json.dumps(figures)) == figures
    assert figures["files"] == 60 + 3
    assert figures["bytes"] == sum(
        path.stat().st_size for path in before if path.suffix in (".pcm", ".trn")
    )
    assert [list(each) for each in figures["rounds"]] == 2 * [[READ, OURS, THEIRS]]
    for each in figures["rounds"]:
        assert (each[OURS]["utterances"], each[THEIRS]["utterances"]) == (60, 58)
    assert sorted(tree.rglob("*")) == before
    assert list(tree.parent.iterdir()) == [tree]
    assert [table.title for table in tables(figures)]


def test_a_disk_without_room_is_refused_beforehand(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prep.SPARE_BYTES", 1 << 60)
    with pytest.raises(UserError, match=r"--scratch: found [\d.]+ GB free at .*download, allowed:"):
        measured(tree, None, jobs=1, rounds=1, scratch=None)
    with pytest.raises(UserError, match=r"--scratch nowhere: no such folder"):
        measured(tree, None, jobs=1, rounds=1, scratch=Path("nowhere"))
    assert list(tree.parent.iterdir()) == [tree]


def test_prep_that_fails_is_one_line(tmp_path: Path) -> None:
    """All audio is shorter than a frame."""
    (tmp_path / "download").mkdir()
    short = Spoken("train", "000001", next(composed(10, 1, seed=0)).audio[:10], "응")
    write_tree(tmp_path / "download/tree", [short])
    with pytest.raises(UserError, match=r"asrbench prep failed: .*no usable utterance"):
        measured(tmp_path / "download/tree", None, jobs=1, rounds=1, scratch=None)
    assert [path.name for path in (tmp_path / "download").iterdir()] == ["tree"]


# Tables


def process(seconds: float, utterances: int, peak: int, **more: float) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "cpu_seconds": seconds / 2,
        "peak_bytes": peak,
        "utterances": utterances,
        **more,
    }


FIGURES = {
    "files": 1_003,
    "bytes": 4_000_000_000,
    "jobs": 2,
    "first_read_seconds": 40.0,
    "rounds": [
        {
            READ: {"seconds": 1.0},
            OURS: process(10.0, 1_000, 200_000_000, hours=1.5),
            THEIRS: process(8.0, 500, 100_000_000),
        },
        {
            READ: {"seconds": 2.0},
            OURS: process(10.0, 1_000, 300_000_000, hours=1.5),
            THEIRS: process(12.0, 500, 100_000_000),
        },
    ],
}


def test_tables_say_what_the_figures_say() -> None:
    """An utterance: ours 10 ms, theirs 16 and 24 ms. Over the read: 10/1 and 10/2."""
    time, rate = tables(FIGURES)
    assert time.rows == [
        [READ, "1", "2", "1", "-"],
        [OURS, "10", "10", "7.5 (5.0-10.0)", "1"],
        [THEIRS, "8", "12", "-", "2.00 (1.60-2.40)"],
    ]
    # 4,000 MB in 1 s and 2 s; 500 texts in 8 s and 12 s, 20 ms each in the median.
    assert rate.rows == [
        [READ, "3,000", "-", "-", "-"],
        [OURS, "400", "100", "0.50", "300"],
        [THEIRS, "-", "50", "0.50", "100"],
    ]
    assert "1,000 utterances, 1.5 h of audio, in 1,003 files of 4.00 GB" in time.note
    assert "at 100 MB/s" in time.note
    assert "KoSpeech read 500 texts" in time.note
    assert all(len(table.header) == len(row) for table in (time, rate) for row in table.rows)


def test_tables_without_kospeech_do_not_speak_of_it() -> None:
    rounds = [{name: each[name] for name in (READ, OURS)} for each in FIGURES["rounds"]]
    for table in tables(FIGURES | {"rounds": rounds}):
        assert [row[0] for row in table.rows] == [READ, OURS]
        assert "KoSpeech" not in table.note


def test_the_page_does_without_these_figures_and_no_others(tmp_path: Path) -> None:
    names = ["train_step", "attention", "feeding"]
    for name in names:
        (tmp_path / f"{name}.json").write_text(json.dumps({"benchmark": name}))
    assert [figures["benchmark"] for figures in figures_in(tmp_path)] == names
    (tmp_path / "prep.json").write_text(json.dumps({"benchmark": "prep"}))
    assert [figures["benchmark"] for figures in figures_in(tmp_path)] == [*names, "prep"]
    (tmp_path / "feeding.json").unlink()
    with pytest.raises(UserError, match=r"feeding\.json: no such file"):
        figures_in(tmp_path)
