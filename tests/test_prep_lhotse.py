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
    reasons,
    refused,
    rejected,
    run,
    sound,
    texts,
)

prepare = preparer("lhotse")


def recording(id: str, *sources: dict[str, Any], **more: Any) -> dict[str, Any]:
    channels = [channel for source in sources for channel in source["channels"]]
    return {
        "id": id,
        "sources": list(sources),
        "sampling_rate": 16_000,
        "num_samples": 32_000,
        "duration": 2.0,
        "channel_ids": channels,
        **more,
    }


def file(source: object, *channels: int, type: str = "file") -> dict[str, Any]:
    return {"type": type, "channels": list(channels or (0,)), "source": str(source)}


def supervision(id: str, text: str | None, start: float, duration: float, **more: Any) -> Any:
    row = {
        "id": id,
        "recording_id": "r1",
        "start": start,
        "duration": duration,
        "channel": 0,
        "text": text,
    }
    return {key: value for key, value in (row | more).items() if value is not None}


def cut(id: str, start: float, *supervisions: Any, **more: Any) -> dict[str, Any]:
    row = {"id": id, "start": start, "duration": 1.0, "channel": 0, "type": "MonoCut"}
    return row | {"supervisions": list(supervisions)} | more


def put_rows(path: Path, *rows: Any) -> Path:
    put(path, *(json.dumps(row, ensure_ascii=False) for row in rows))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Makes a folder with a recording of 2 s and one of two channels, without a manifest."""
    home = tmp_path / "manifests"
    put_sound(home / "r1.wav", sound("r1", 32_000))
    put_sound(home / "r2.wav", np.stack([sound("left"), sound("right")], 1))
    return home


@pytest.fixture
def pair(home: Path) -> Path:
    put_rows(
        home / "recordings.jsonl.gz",
        recording("r1", file(home / "r1.wav")),
        recording("r2", file("r2.wav", 0, 1)),
    )
    put_rows(
        home / "supervisions.jsonl.gz",
        supervision("s1", "ONE", 0.25, 0.5, speaker="ada", language="Korean", gender="F"),
        supervision("s2", "둘  셋", 1.5, 0.5, custom={"any": [1]}),
        supervision("s3", "three", 0, 0.05, recording_id="r2", channel=0),
        supervision("s4", "four", 0.01, 0.04, recording_id="r2", channel=[1]),
    )
    return home


def test_recordings_and_supervisions_become_a_corpus(pair: Path, tmp_path: Path) -> None:
    prepare(pair, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out") == {
        "train": {"s1": "ONE", "s2": "둘 셋", "s3": "three", "s4": "four"}
    }
    assert column(tmp_path / "out", "train", "raw")["s2"] == "둘  셋"
    assert column(tmp_path / "out", "train", "speaker")["s1"] == "ada"
    assert column(tmp_path / "out", "train", "language")["s1"] == "Korean"
    assert column(tmp_path / "out", "train", "channel") == {
        "s1": "0",
        "s2": "0",
        "s3": "0",
        "s4": "1",
    }
    found = audio(tmp_path / "out", "train")
    np.testing.assert_array_equal(found["s1"], sound("r1", 32_000)[4_000:12_000])
    np.testing.assert_array_equal(found["s2"], sound("r1", 32_000)[24_000:])
    np.testing.assert_array_equal(found["s3"], sound("left"))
    np.testing.assert_array_equal(found["s4"], sound("right")[160:])
    assert about(tmp_path / "out")["name"] == "manifests"


def test_cuts_are_the_same_corpus(pair: Path, tmp_path: Path) -> None:
    """The times of a supervision are relative to the start of its cut."""
    prepare(pair, tmp_path / "a")
    first, second = recording("r1", file(pair / "r1.wav")), recording("r2", file("r2.wav", 0, 1))
    one = supervision("s1", "ONE", -0.1, 0.5, speaker="ada", language="Korean")
    two = supervision("s2", "둘  셋", 1.15, 0.5)
    cuts = put_rows(
        pair / "deeper" / "cuts_train.jsonl",
        cut("c1", 0.35, one, two, recording=first, features={"type": "fbank"}),
        cut("c2", 0, supervision("s3", "three", 0, 0.05), recording=second | {"id": "r2"}),
        cut("c3", 0.01, supervision("s4", "four", 0, 0.04, channel=1), recording=second),
    )
    put_sound(cuts.parent / "r2.wav", np.stack([sound("left"), sound("right")], 1))
    prepare(cuts, tmp_path / "b", strict=True)
    assert about(tmp_path / "b")["fingerprint"] == about(tmp_path / "a")["fingerprint"]


def test_the_sum_of_two_times_may_be_off_by_a_bit(home: Path, tmp_path: Path) -> None:
    cuts = put_rows(
        home / "cuts.jsonl",
        cut(
            "c",
            0.3,
            supervision("s", "x", -0.1 - 0.2, 0.5),
            recording=recording("r1", file("r1.wav")),
        ),
    )
    assert 0.3 + (-0.1 - 0.2) < 0
    prepare(cuts, tmp_path / "out", strict=True)
    np.testing.assert_array_equal(audio(tmp_path / "out", "train")["s"], sound("r1", 32_000)[:8000])


def test_names_tell_the_splits(home: Path, tmp_path: Path) -> None:
    for number, part in enumerate(("", "_valid", "_eval", "_test-other")):
        put_rows(home / f"my_recordings{part}.jsonl", recording("r1", file("r1.wav")))
        put_rows(
            home / f"my_supervisions{part}.jsonl.gz", supervision(f"s{number}", part or "x", 0, 1)
        )
    put(home / "readme.jsonl.txt", "not a manifest")
    prepare(home, tmp_path / "out", strict=True)
    assert texts(tmp_path / "out") == {
        "train": {"s0": "x"},
        "dev": {"s1": "_valid"},
        "test": {"s2": "_eval"},
        "test-other": {"s3": "_test-other"},
    }


def test_a_path_is_relative_to_where_asrbench_runs_first(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    put_sound(tmp_path / "work" / "r2.wav", np.stack([sound("right"), sound("left")], 1))
    prepare(pair, tmp_path / "out")
    np.testing.assert_array_equal(audio(tmp_path / "out", "train")["s3"], sound("right"))


def test_a_channel_in_a_file_of_its_own(home: Path, tmp_path: Path) -> None:
    put_sound(home / "x0.wav", sound("x0"))
    put_sound(home / "x1.wav", sound("x1"))
    put_rows(home / "recordings.jsonl", recording("r1", file("x0.wav", 0), file("x1.wav", 1)))
    put_rows(home / "supervisions.jsonl", supervision("s", "one", 0, 0.05, channel=1))
    prepare(home, tmp_path / "out", strict=True)
    np.testing.assert_array_equal(audio(tmp_path / "out", "train")["s"], sound("x1"))


def resampled(rate_hz: int) -> dict[str, Any]:
    settings = {"source_sampling_rate": 48_000, "target_sampling_rate": rate_hz}
    return {"name": "Resample", "kwargs": settings}


def test_only_a_harmless_transform_is_passed_over(home: Path, tmp_path: Path) -> None:
    """Resampling to 16 kHz or more loses nothing below 8 kHz, so it is accepted."""
    speed = {"name": "Speed", "kwargs": {"factor": 0.9}}
    for number, transforms in enumerate(
        ([], None, [resampled(16_000)], [resampled(8_000)], [resampled(24_000), speed])
    ):
        put_rows(
            home / f"cuts_part{number}.jsonl",
            cut(
                f"c{number}",
                0,
                supervision(f"s{number}", "x", 0, 1),
                recording=recording("r1", file("r1.wav"), transforms=transforms),
            ),
        )
    prepare(home, tmp_path / "out")
    assert sorted(texts(tmp_path / "out")) == ["part0", "part1", "part2"]
    where = "cuts_part3.jsonl, line 1"
    assert rejected(tmp_path / "out") == [
        ("s3", "part3", "transformed audio", f"{where}: by 'Resample'"),
        ("s4", "part4", "transformed audio", "cuts_part4.jsonl, line 1: by 'Speed'"),
    ]


def test_what_is_not_plain_in_recordings_is_listed(pair: Path, tmp_path: Path) -> None:
    odd = {
        "command": recording("q1", file("sox r1.wav -t wav -", type="command")),
        "url": recording("q2", file("s3://bucket/r1.wav", type="url")),
        "video": recording("q3", file("r1.wav") | {"video": {"fps": 25}}),
        "malformed": recording("q4", file("r1.wav")) | {"sources": [{"type": "file"}]},
        "worse": recording("q5", file("r1.wav")) | {"sources": "r1.wav"},
        "unused": recording("q6", file("r1.wav")),
    }
    put_rows(
        pair / "recordings.jsonl.gz", recording("r1", file("r1.wav")), *odd.values(), odd["url"]
    )
    put_rows(
        pair / "supervisions.jsonl.gz",
        supervision("s0", "kept", 0, 1),
        *(supervision(f"s{n}", "x", 0, 1, recording_id=f"q{n}") for n in range(1, 6)),
        supervision("s6", "x", 0, 1, recording_id="q9"),
    )
    prepare(pair, tmp_path / "out")
    assert texts(tmp_path / "out") == {"train": {"s0": "kept"}}
    assert reasons(tmp_path / "out") == [
        ("", "duplicate recording"),
        ("q6", "recording without a supervision"),
        ("s1", "audio not in a file"),
        ("s2", "audio not in a file"),
        ("s3", "audio not in a file"),
        ("s4", "wrong type"),
        ("s5", "wrong type"),
        ("s6", "no recording"),
    ]


def test_supervisions_that_cannot_be_used_are_listed(pair: Path, tmp_path: Path) -> None:
    rows: list[Any] = [
        supervision("s0", "kept", 0, 1),
        supervision("s0", "again", 0, 1),
        supervision("s1", None, 0, 1),
        supervision("s2", "20 ms", 0, 0.02),
        supervision("s3", "beyond", 1.5, 1),
        supervision("s4", "both", 0, 0.05, recording_id="r2", channel=[0, 1]),
        supervision("s5", "third", 0, 0.05, recording_id="r2", channel=2),
        supervision("s6", "channel", 0, 0.05, channel="A"),
        supervision("s7", "backwards", 0, -1),
        supervision("s8", "text", 0, 1) | {"start": "0"},
        {"id": "s9", "recording_id": "r1", "text": "no times"},
        supervision("", "no id", 0, 1),
        supervision("t0", "x", 0, 1) | {"text": ["x"]},
    ]
    path = put_rows(pair / "supervisions.jsonl", *rows)
    (pair / "supervisions.jsonl.gz").unlink()
    put(path, *path.read_text(encoding="utf-8").splitlines(), "{")
    prepare(pair, tmp_path / "out")
    assert texts(tmp_path / "out") == {"train": {"s0": "kept"}}
    assert reasons(tmp_path / "out") == [
        ("", "no id"),
        ("", "not JSON"),
        ("s0", "duplicate id"),
        ("s1", "text empty after normalisation"),
        ("s2", "shorter than a frame"),
        ("s3", "beyond the end"),
        ("s4", "several channels"),
        ("s5", "no such channel"),
        ("s6", "wrong type"),
        ("s7", "segment times"),
        ("s8", "wrong type"),
        ("s9", "missing field"),
        ("t0", "wrong type"),
    ]
    details = {id: detail for id, _, _, detail in rejected(tmp_path / "out")}
    assert details["s5"] == "supervisions.jsonl, line 7: 2 of 0, 1"


def test_cuts_that_are_not_plain_are_listed(home: Path, tmp_path: Path) -> None:
    good = recording("r1", file("r1.wav"))
    cuts = put_rows(
        home / "cuts.jsonl.gz",
        cut("c0", 0, supervision("s0", "kept", 0, 1), recording=good),
        cut("c1", 0, supervision("s1", "x", 0, 1), recording=good) | {"type": "MultiCut"},
        {"id": "c2", "tracks": [], "type": "MixedCut"},
        cut("c3", 0, recording=good),
        cut("c4", 0, supervision("s4", "x", 0, 1)),
        cut("c5", 0, supervision("s0", "again", 0, 1), recording=good),
        cut("c6", 0, recording=good) | {"supervisions": {}, "start": "x"},
        cut("c7", 0, recording=good) | {"supervisions": ["s"]},
    )
    prepare(cuts, tmp_path / "out")
    assert texts(tmp_path / "out") == {"train": {"s0": "kept"}}
    assert rejected(tmp_path / "out") == [
        ("c1", "train", "not a plain cut", "cuts.jsonl.gz, line 2: of type 'MultiCut'"),
        ("c2", "train", "not a plain cut", "cuts.jsonl.gz, line 3: of type 'MixedCut'"),
        ("c3", "train", "cut without a supervision", "cuts.jsonl.gz, line 4"),
        ("s4", "train", "no recording", "cuts.jsonl.gz, line 5: a cut of features"),
        ("s0", "train", "duplicate id", "cuts.jsonl.gz, line 6"),
        ("c6", "train", "wrong type", "cuts.jsonl.gz, line 7: 'start' is no number"),
        (
            "c7",
            "train",
            "wrong type",
            "cuts.jsonl.gz, line 8: 'supervisions' is no list of objects",
        ),
    ]


def test_windows_line_ends_and_a_byte_order_mark(pair: Path, tmp_path: Path) -> None:
    prepare(pair, tmp_path / "a")
    for path in pair.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        like_windows(path.with_suffix(""))
        path.unlink()
    prepare(pair, tmp_path / "b")
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_dev_takes_whole_speakers(pair: Path, tmp_path: Path) -> None:
    prepare(pair, tmp_path / "out", dev=2, seed=1, name="mine")
    assert len(texts(tmp_path / "out")["dev"]) == 2
    assert about(tmp_path / "out")["name"] == "mine"


def test_the_number_of_jobs_does_not_matter(pair: Path, tmp_path: Path) -> None:
    put_sound(pair / "r3.mp3", sound("r3", 48_000) / 32_768)
    put_rows(pair / "recordings.jsonl.gz", recording("r3", file("r3.mp3")))
    rows = [
        supervision(f"s{n}", "x", n * 0.05, 0.1, recording_id="r3", speaker=f"p{n}")
        for n in range(40)
    ]
    put_rows(pair / "supervisions.jsonl.gz", *rows)
    assert_same_for_any_jobs(lambda out, jobs: prepare(pair, out, dev=5, jobs=jobs), tmp_path)
    put_rows(pair / "supervisions.jsonl.gz", *rows[::-1])
    prepare(pair, tmp_path / "backwards", dev=5)
    assert everything(tmp_path / "backwards") == everything(tmp_path / "jobs1")


def test_what_has_no_manifests_or_too_many_is_one_line(pair: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    assert refused(lambda out: prepare(empty, out), tmp_path).startswith(
        f"{empty}: found no manifest; SOURCE has recordings.jsonl.gz and supervisions.jsonl.gz, "
    )
    message = refused(lambda out: prepare(pair / "recordings.jsonl.gz", out), tmp_path)
    assert message.endswith(": its name has no 'cuts'; SOURCE is a file of cuts, or a folder")
    cuts = put_rows(pair / "cuts_train.jsonl")
    message = refused(lambda out: prepare(pair, out), tmp_path)
    assert message.startswith(f"{pair}: train: found cuts and recordings and supervisions, allowed")
    cuts.rename(pair / "supervisions_train.jsonl")
    assert refused(lambda out: prepare(pair, out), tmp_path) == (
        f"{pair / 'supervisions_train.jsonl'}: the same split as supervisions.jsonl.gz; move one "
        f"away"
    )
    (pair / "supervisions_train.jsonl").rename(pair / "supervisions_a.b.jsonl")
    assert refused(lambda out: prepare(pair, out), tmp_path) == (
        f"{pair / 'supervisions_a.b.jsonl'}: split: found 'a.b', allowed: up to 64 letters, "
        f"digits, '_' and '-'"
    )


def test_the_command(pair: Path, tmp_path: Path) -> None:
    code, out, _ = run("prep", "lhotse", pair, "--out", tmp_path / "out", "--dev", 1)
    assert code == 0
    assert [row.split()[:2] for row in out.splitlines() if " 0.00 " in row] == [
        ["dev", "1"],
        ["train", "3"],
    ]
    wrong = error("prep", "lhotse", tmp_path / "no", "--out", tmp_path / "out2")
    assert wrong.startswith(f"{tmp_path / 'no'}: found no manifest; ")
