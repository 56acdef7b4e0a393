from functools import partial
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from doors import (
    assert_same_for_any_jobs,
    audio,
    column,
    error,
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

from asrbench.data.corpus import Corpus

prepare = partial(preparer("zeroth"), dev=0)

TRAIN = {
    "106": ["그는 걸었다", "비가 온다"],
    "112": ["비가 온다", "달이 밝다"],
    "117": ["문을 열었다", "창을 닫았다"],
}


def put_script(source: Path, part: str, speaker: str, *lines: str) -> Path:
    name = f"{speaker}_003"
    texts = {f"{name}_{number:04d}": line for number, line in enumerate(lines, start=1)}
    return put_chapter(source / part / "003" / speaker, name, texts)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Makes the unpacked corpus with three speakers of train and one of test."""
    source = tmp_path / "zeroth_korean"
    for speaker, lines in TRAIN.items():
        put_script(source, "train_data_01", speaker, *lines)
    put_script(source, "test_data_01", "205", "새가 운다")
    put(source / "AUDIO_INFO", "SPEAKERID|NAME|SEX|SCRIPTID|DATASET")
    put(source / "README", "Zeroth-Korean")
    return source


def test_the_distribution_becomes_a_corpus(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out") == {
        "train": {
            f"{speaker}_003_{number:04d}": line
            for speaker, lines in TRAIN.items()
            for number, line in enumerate(lines, start=1)
        },
        "test": {"205_003_0001": "새가 운다"},
    }
    assert set(column(tmp_path / "out", "train", "speaker").values()) == set(TRAIN)
    for id, samples in audio(tmp_path / "out", "train").items():
        np.testing.assert_array_equal(samples, sound(id))
    assert Corpus.open(tmp_path / "out").name == "zeroth"


def test_dev_takes_whole_speakers(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out", dev=2, seed=1)
    speakers = {s: set(column(tmp_path / "out", s, "speaker").values()) for s in ("train", "dev")}
    assert speakers["train"] | speakers["dev"] == set(TRAIN)
    assert not speakers["train"] & speakers["dev"]
    assert len(texts(tmp_path / "out")["dev"]) == 2
    assert texts(tmp_path / "out")["test"].keys() == {"205_003_0001"}


def test_decomposed_text_is_composed_and_kept_as_it_was(source: Path, tmp_path: Path) -> None:
    raw = normalize("NFD", "새가  운다")
    put(source / "test_data_01/003/205/205_003.trans.txt", f"205_003_0001 {raw}")
    prepare(source, tmp_path / "out")
    assert texts(tmp_path / "out")["test"] == {"205_003_0001": "새가 운다"}
    assert column(tmp_path / "out", "test", "raw") == {"205_003_0001": raw}


def test_windows_line_ends_and_audio_without_a_line(source: Path, tmp_path: Path) -> None:
    for path in source.rglob("*.trans.txt"):
        like_windows(path)
    put_sound(source / "test_data_01/003/205/205_003_0002.flac", sound("x"))
    prepare(source, tmp_path / "out")
    assert sum(map(len, texts(tmp_path / "out").values())) == 7
    detail = "test_data_01/003/205/205_003_0002.flac"
    assert rejected(tmp_path / "out") == [("205_003_0002", "test", "no transcript", detail)]


def test_the_number_of_jobs_does_not_matter(source: Path, tmp_path: Path) -> None:
    assert_same_for_any_jobs(lambda out, jobs: prepare(source, out, dev=2, jobs=jobs), tmp_path)


def test_what_is_not_the_corpus_is_one_line(source: Path, tmp_path: Path) -> None:
    message = refused(lambda out: prepare(tmp_path, out), tmp_path)
    assert message.startswith(f"{tmp_path / 'train_data_01'}: not found; SOURCE is the folder that")
    assert refused(lambda out: prepare(source, out, dev=6), tmp_path) == (
        "--dev: found 6, allowed: 1 to 5 of the 6 utterances of train"
    )
    (source / "test_data_01").rename(source / "elsewhere")
    message = refused(lambda out: prepare(source, out), tmp_path)
    assert message.startswith(f"{source / 'test_data_01'}: not found; ")


def test_the_command(source: Path, tmp_path: Path) -> None:
    code, out, _ = run("prep", "zeroth", source, "--out", tmp_path / "out", "--dev", 2)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines() if " 0.00 " in line] == [
        ["dev", "2"],
        ["test", "1"],
        ["train", "4"],
    ]
    wrong = error("prep", "zeroth", tmp_path, "--out", tmp_path / "out2")
    assert wrong.startswith(f"{tmp_path / 'train_data_01'}: not found; ")
