import gzip
import json
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
    put_sound,
    refused,
    rejected,
    run,
    sound,
    texts,
)

prepare = preparer("nemo")


def line(audio_filepath: str, text: str, **more: Any) -> str:
    return json.dumps({"audio_filepath": audio_filepath, "text": text, **more}, ensure_ascii=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Makes a folder with a recording of 2 s, three short ones, and a manifest of each split."""
    home = tmp_path / "mine"
    put_sound(home / "calls" / "long.wav", sound("long", 32_000))
    for name in "abc":
        put_sound(home / f"{name}.flac", sound(name))
    put(
        home / "train.json",
        line("calls/long.wav", "one", offset=0.5, duration=0.25, speaker="ada", lang="ko"),
        line("calls/long.wav", "two", offset=1.5, duration=None, speaker=7),
        line("calls/long.wav", "whole"),
        line(str(home / "a.flac"), " 안녕\t하세요 ", offset=None, duration=0.05),
    )
    put(home / "dev.json", line("b.flac", "dev", duration=0.05))
    put(home / "test.json", line("c.flac", "test", duration=0.05))
    return home


def test_manifests_become_a_corpus(home: Path, tmp_path: Path) -> None:
    prepare(
        home / "train.json",
        tmp_path / "out",
        dev=str(home / "dev.json"),
        test=home / "test.json",
        strict=True,
    )
    assert texts(tmp_path / "out") == {
        "train": {
            "a": "안녕 하세요",
            "calls/long": "whole",
            "calls/long-00000.500": "one",
            "calls/long-00001.500": "two",
        },
        "dev": {"b": "dev"},
        "test": {"c": "test"},
    }
    assert column(tmp_path / "out", "train", "raw")["a"] == " 안녕\t하세요 "
    assert column(tmp_path / "out", "train", "speaker") == {
        "a": None,
        "calls/long": None,
        "calls/long-00000.500": "ada",
        "calls/long-00001.500": "7",
    }
    assert column(tmp_path / "out", "train", "language")["calls/long-00000.500"] == "ko"
    found = audio(tmp_path / "out", "train")
    np.testing.assert_array_equal(found["a"], sound("a"))
    np.testing.assert_array_equal(found["calls/long"], sound("long", 32_000))
    np.testing.assert_array_equal(found["calls/long-00000.500"], sound("long", 32_000)[8000:12000])
    np.testing.assert_array_equal(found["calls/long-00001.500"], sound("long", 32_000)[24_000:])
    assert about(tmp_path / "out")["name"] == "mine"


def test_one_manifest_is_train_by_either_name(home: Path, tmp_path: Path) -> None:
    prepare(home / "train.json", tmp_path / "a")
    prepare(None, tmp_path / "b", train=home / "train.json")
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert list(texts(tmp_path / "a")) == ["train"]


def test_dev_may_be_a_number(home: Path, tmp_path: Path) -> None:
    prepare(home / "train.json", tmp_path / "out", dev="2", name="calls")
    assert {split: len(rows) for split, rows in texts(tmp_path / "out").items()} == {
        "train": 2,
        "dev": 2,
    }
    assert about(tmp_path / "out")["name"] == "calls"


def test_a_path_is_relative_to_the_manifest_first(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in ("b", "d"):
        put_sound(tmp_path / "work" / f"{name}.flac", sound("work"))
    put(home / "dev.json", line("b.flac", "beside"), line("d.flac", "here"))
    prepare(home / "dev.json", tmp_path / "out")
    found = audio(tmp_path / "out", "train")
    np.testing.assert_array_equal(found["b"], sound("b"))
    np.testing.assert_array_equal(found["d"], sound("work"))


def test_the_same_audio_in_two_manifests_stays_where_it_is_held_out(
    home: Path, tmp_path: Path
) -> None:
    put(home / "dev.json", line("calls/long.wav", "one", offset=0.5, duration=0.25))
    prepare(home / "train.json", tmp_path / "out", dev=str(home / "dev.json"))
    assert texts(tmp_path / "out")["dev"] == {"calls/long-00000.500": "one"}
    assert len(texts(tmp_path / "out")["train"]) == 3
    assert rejected(tmp_path / "out") == [("calls/long-00000.500", "train", "duplicate id", "")]


def test_the_same_audio_twice_in_one_has_two_ids(home: Path, tmp_path: Path) -> None:
    put(home / "dev.json", *(line("b.flac", text) for text in ("one", "two", "three")))
    prepare(home / "dev.json", tmp_path / "out")
    assert texts(tmp_path / "out")["train"] == {"b": "one", "b-2": "two", "b-3": "three"}


def test_gz_windows_line_ends_and_a_byte_order_mark(home: Path, tmp_path: Path) -> None:
    prepare(home / "train.json", tmp_path / "a")
    like_windows(home / "train.json")
    prepare(home / "train.json", tmp_path / "b")
    packed = home / "train.json.gz"
    packed.write_bytes(gzip.compress((home / "train.json").read_bytes()))
    prepare(packed, tmp_path / "c")
    rows = [
        {name: data for name, data in everything(tmp_path / out).items() if name != "corpus.json"}
        for out in "abc"
    ]
    assert rows[0] == rows[1] == rows[2]


def test_everything_is_kept_or_listed(home: Path, tmp_path: Path) -> None:
    put_sound(home / "stereo.wav", np.zeros((800, 2)))
    put(
        home / "dev.json",
        line("b.flac", "kept", duration=0.05),
        line("b.flac", "  "),
        json.dumps({"audio_filepath": "b.flac"}),
        json.dumps({"text": "no audio"}),
        line(" ", "no audio"),
        json.dumps({"audio_filepath": ["b.flac", "c.flac"], "text": "two files"}),
        '{"audio_filepath": "b.flac", "text": "cut',
        '["b.flac"]',
        line("b.flac", "half a pair \ud800").replace("\ud800", "\\ud800"),
        line("b.flac", "text for a number", duration="0.05"),
        line("b.flac", "a flag for a number", offset=True),
        line("b.flac", "backwards", offset=0.02, duration=-0.01),
        '{"audio_filepath": "b.flac", "text": "infinite", "duration": 1e999}',
        line("b.flac", "20 ms", offset=0.01, duration=0.02),
        line("b.flac", "beyond", offset=0.01, duration=0.2),
        line("gone.flac", "missing"),
        line("stereo.wav", "stereo"),
        line("b.flac", 3.5),  # type: ignore[arg-type]
        line("b.flac", None),  # type: ignore[arg-type]
    )
    prepare(home / "dev.json", tmp_path / "out")
    assert texts(tmp_path / "out") == {"train": {"b": "kept"}}
    found = [(reason, detail) for _, _, reason, detail in rejected(tmp_path / "out")]
    lines = [
        (reason, detail.removeprefix("dev.json, line ").split(":")[0]) for reason, detail in found
    ]
    assert lines[:14] == [
        ("text empty after normalisation", "2"),
        ("missing field", "3"),
        ("missing field", "4"),
        ("no audio path", "5"),
        ("wrong channel count", "6"),
        ("not JSON", "7"),
        ("not a JSON object", "8"),
        ("not Unicode", "9"),
        ("wrong type", "10"),
        ("wrong type", "11"),
        ("segment times", "12"),
        ("segment times", "13"),
        ("wrong type", "18"),
        ("text empty after normalisation", "19"),
    ]
    assert sorted(reason for reason, _ in found[14:]) == [
        "beyond the end",
        "missing",
        "shorter than a frame",
        "wrong channel count",
    ]


def test_the_number_of_jobs_does_not_matter(home: Path, tmp_path: Path) -> None:
    rows = [line("calls/long.wav", "x", offset=i / 32, duration=0.03) for i in range(32)]
    put(home / "many.json", *rows)
    assert_same_for_any_jobs(
        lambda out, jobs: prepare(home / "many.json", out, dev="5", jobs=jobs), tmp_path
    )
    put(home / "many.json", *rows[::-1])
    prepare(home / "many.json", tmp_path / "backwards", dev="5")
    assert everything(tmp_path / "backwards") == everything(tmp_path / "jobs1")


def test_what_is_no_manifest_is_one_line(home: Path, tmp_path: Path) -> None:
    assert refused(lambda out: prepare(home / "no.json", out), tmp_path) == (
        f"{home / 'no.json'}: no such file"
    )
    assert refused(lambda out: prepare(home, out), tmp_path).startswith(f"{home}: cannot be read ")
    assert refused(lambda out: prepare(None, out), tmp_path) == (
        "SOURCE, --train, --dev and --test: found none; name a manifest"
    )
    train = home / "train.json"
    assert refused(lambda out: prepare(train, out, train=train), tmp_path) == (
        f"--train: found {train}, but SOURCE is the manifest of train: {train}"
    )
    (home / "broken.json.gz").write_bytes(gzip.compress(b"{}" * 99)[:-9])
    message = refused(lambda out: prepare(home / "broken.json.gz", out), tmp_path)
    assert message.startswith(f"{home / 'broken.json.gz'}: cannot be read (")
    assert refused(lambda out: prepare(home / "no.json.gz", out), tmp_path) == (
        f"{home / 'no.json.gz'}: no such file"
    )


def test_the_command(home: Path, tmp_path: Path) -> None:
    out_dir = ("--out", tmp_path / "out")
    code, out, _ = run("prep", "nemo", home / "train.json", *out_dir, "--dev", home / "dev.json")
    assert code == 0
    assert [row.split()[:2] for row in out.splitlines() if " 0.00 " in row] == [
        ["dev", "1"],
        ["train", "4"],
    ]
    out_dir = ("--out", tmp_path / "out2")
    code, out, _ = run("prep", "nemo", "--train", home / "train.json", *out_dir, "--dev", "1")
    assert code == 0
    assert error("prep", "nemo", home / "no.json", "--out", tmp_path / "out3") == (
        f"{home / 'no.json'}: no such file"
    )
    assert error("prep", "nemo", "--out", tmp_path / "out3").startswith("SOURCE, --train, ")
