import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from doors import preparer

from asrbench.base.errors import UserError
from asrbench.data.corpus import Corpus
from asrbench.data.waveform import Samples

prepare_an4, prepare_table = partial(preparer("an4"), dev=0), preparer("table")

DATA = Path(__file__).parents[2] / "shared" / "data"

TRAIN = {"an251-fash-b": "YES", "cen1-fash-b": "F A S H", "an1-mblb-b": "GO", "an2-mblb-b": "NO"}
TEST = {"an3-fcaw-b": "RUBOUT G M"}


def sound(id: str) -> Samples:
    return np.random.default_rng(list(id.encode())).integers(-9000, 9000, 1600).astype(np.int16)


def put(source: Path, fileid: str, suffix: str = ".sph") -> Path:
    path = source / "wav" / f"{fileid}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".sph": "NIST", ".wav": "WAV"}[suffix]
    soundfile.write(path, sound(path.stem), 16_000, format=kind, subtype="PCM_16")
    return path


def put_list(source: Path, name: str, lines: list[str]) -> None:
    (source / "etc").mkdir(parents=True, exist_ok=True)
    (source / "etc" / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def fileid(folder: str, id: str) -> str:
    return f"{folder}/{id.split('-')[1]}/{id}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Makes a distribution of three speakers. The test transcripts have no <s>, as in CMU's."""
    source = tmp_path / "an4"
    for split, folder, texts in (
        ("train", "an4_clstk", TRAIN),
        ("test", "an4test_clstk", TEST),
    ):
        for id in texts:
            put(source, fileid(folder, id))
        put_list(source, f"an4_{split}.fileids", [fileid(folder, id) for id in texts])
        mark = "<s> {} </s> ({})" if split == "train" else "{} ({})"
        put_list(
            source, f"an4_{split}.transcription", [mark.format(t, id) for id, t in texts.items()]
        )
    return source


def append(source: Path, name: str, *lines: str) -> None:
    with (source / "etc" / name).open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def rejected(out: Path) -> list[tuple[str, str, str, str]]:
    lines = (out / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [(row["id"], row["split"], row["reason"], row["detail"]) for row in rows]


def test_the_distribution_becomes_a_corpus(source: Path, tmp_path: Path) -> None:
    ticks: list[tuple[int, int]] = []
    prepare_an4(source, tmp_path / "out", progress=lambda done, total: ticks.append((done, total)))
    corpus = Corpus.open(tmp_path / "out")
    assert corpus.name == "an4"
    assert sorted(corpus.split_names) == ["test", "train"]
    train = corpus.split("train")
    assert dict(zip(train.ids, train.texts, strict=True)) == TRAIN
    assert train.ids == sorted(TRAIN)
    assert train.column("speaker") == [id.split("-")[1] for id in train.ids]
    assert train.column("raw")[-1] == "<s> F A S H </s> (cen1-fash-b)"
    for i, id in enumerate(train.ids):
        np.testing.assert_array_equal(train.audio(i), sound(id))
    test = corpus.split("test")
    assert test.texts == ["RUBOUT G M"]
    assert test.column("raw") == ["RUBOUT G M (an3-fcaw-b)"]
    assert rejected(tmp_path / "out") == []
    assert ticks == [(i, 5) for i in range(1, 6)]


def test_transcripts_are_matched_by_id_not_by_line(source: Path, tmp_path: Path) -> None:
    prepare_an4(source, tmp_path / "a")
    lists = source / "etc" / "an4_train.transcription"
    lines = lists.read_text(encoding="utf-8").splitlines()
    put_list(source, "an4_train.transcription", lines[::-1])
    prepare_an4(source, tmp_path / "b")
    assert Corpus.open(tmp_path / "b").fingerprint == Corpus.open(tmp_path / "a").fingerprint


def test_dev_takes_whole_speakers(source: Path, tmp_path: Path) -> None:
    prepare_an4(source, tmp_path / "out", dev=2, seed=3)
    corpus = Corpus.open(tmp_path / "out")
    speakers = {name: set(corpus.split(name).column("speaker")) for name in corpus.split_names}
    assert len(corpus.split("dev")) == len(corpus.split("train")) == 2
    assert speakers["dev"] | speakers["train"] == {"fash", "mblb"}
    assert not speakers["dev"] & speakers["train"]
    assert corpus.split("test").ids == list(TEST)


def test_wav_is_read_where_there_is_no_sphere(source: Path, tmp_path: Path) -> None:
    prepare_an4(source, tmp_path / "a")
    name = fileid("an4_clstk", "an1-mblb-b")
    (source / "wav" / f"{name}.sph").unlink()
    put(source, name, ".wav")
    prepare_an4(source, tmp_path / "b")
    assert Corpus.open(tmp_path / "b").fingerprint == Corpus.open(tmp_path / "a").fingerprint


def test_windows_line_ends_and_blank_lines(source: Path, tmp_path: Path) -> None:
    for path in (source / "etc").iterdir():
        text = path.read_text(encoding="utf-8").replace("\n", "\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n")
    prepare_an4(source, tmp_path / "out")
    train = Corpus.open(tmp_path / "out").split("train")
    assert dict(zip(train.ids, train.texts, strict=True)) == TRAIN
    assert train.column("raw")[0] == "<s> GO </s> (an1-mblb-b)"
    assert rejected(tmp_path / "out") == []


def test_what_does_not_fit_together_is_listed(source: Path, tmp_path: Path) -> None:
    append(
        source,
        "an4_train.fileids",
        "an4_clstk/mblb/an5-mblb-b",  # no transcript
        "an4_clstk/mblb/an1-mblb-b",  # a second time
        "an4_clstk/mblb/an6-mblb-b",  # nothing said
        "an4_clstk/mblb/an7-mblb-b",  # no audio
    )
    append(
        source,
        "an4_train.transcription",
        "<s> YES </s> (an8-mblb-b)",  # no fileid
        "<s> NO </s> (an1-mblb-b)",  # a second time
        "<s> </s> (an6-mblb-b)",
        "<s> OH </s> (an7-mblb-b)",
        "<s> WHO </s>",
    )
    broken = source / "wav" / f"{fileid('an4test_clstk', 'an3-fcaw-b')}.sph"
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(UserError, match=r": 8 utterances rejected \("):
        prepare_an4(source, tmp_path / "out", strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["an4"]

    prepare_an4(source, tmp_path / "out")
    missing = source / "wav" / "an4_clstk" / "mblb" / "an7-mblb-b.sph"
    assert (
        rejected(tmp_path / "out")
        == [
            ("an1-mblb-b", "train", "duplicate transcript", "<s> NO </s> (an1-mblb-b)"),
            ("", "train", "transcript without an id", "<s> WHO </s>"),
            ("an5-mblb-b", "train", "no transcript", "an4_clstk/mblb/an5-mblb-b"),
            ("an1-mblb-b", "train", "duplicate id", "an4_clstk/mblb/an1-mblb-b"),
            ("an6-mblb-b", "train", "text empty after normalisation", "<s> </s> (an6-mblb-b)"),
            ("an8-mblb-b", "train", "no fileid", "<s> YES </s> (an8-mblb-b)"),
            ("an3-fcaw-b", "test", "unreadable", f"{broken}: cut short: 488 of 1600 samples"),
            ("an7-mblb-b", "train", "missing", str(missing)),
        ]
        or len(rejected(tmp_path / "out")) == 9
    )
    assert Corpus.open(tmp_path / "out").split_names == ["train"]
    train = Corpus.open(tmp_path / "out").split("train")
    assert dict(zip(train.ids, train.texts, strict=True)) == TRAIN


def test_an_utterance_of_both_splits_stays_in_test(source: Path, tmp_path: Path) -> None:
    append(source, "an4_train.fileids", "an4test_clstk/fcaw/an3-fcaw-b")
    append(source, "an4_train.transcription", "<s> RUBOUT G M </s> (an3-fcaw-b)")
    prepare_an4(source, tmp_path / "out")
    assert rejected(tmp_path / "out") == [("an3-fcaw-b", "train", "duplicate id", "")]
    assert Corpus.open(tmp_path / "out").split("test").ids == ["an3-fcaw-b"]


def test_another_folder_is_one_line_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    message = (
        r"etc.an4_train\.transcription: not found; SOURCE is the folder 'an4' of CMU's distribution"
    )
    with pytest.raises(UserError, match=message) as caught:
        prepare_an4(tmp_path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    (source / "etc" / "an4_test.transcription").unlink()
    with pytest.raises(UserError, match=r"etc.an4_test\.transcription: not found; "):
        prepare_an4(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["an4"]


def test_a_list_that_is_not_text(source: Path, tmp_path: Path) -> None:
    (source / "etc" / "an4_train.fileids").write_bytes(b"an4_clstk/a/b\n\xff\n")
    with pytest.raises(UserError, match=r"an4_train\.fileids, line 2: not UTF-8"):
        prepare_an4(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["an4"]


def test_too_large_a_dev_leaves_nothing(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--dev: found 100, allowed: 1 to 3 of the 4 utterances"):
        prepare_an4(source, tmp_path / "out", dev=100)
    assert [path.name for path in tmp_path.iterdir()] == ["an4"]


def test_the_real_distribution(tmp_path: Path) -> None:
    """Three speakers of CMU's distribution equal those of the whole corpus in FLAC."""
    sample, whole = DATA / "an4_distribution_sample", DATA / "an4"
    if not (sample.is_dir() and whole.is_dir()):
        pytest.skip("AN4 is not here")
    prepare_an4(sample, tmp_path / "out", strict=True)
    corpus = Corpus.open(tmp_path / "out")
    assert {name: len(corpus.split(name)) for name in corpus.split_names} == {
        "train": 22,
        "test": 13,
    }
    for name in corpus.split_names:
        split = corpus.split(name)
        speakers = split.column("speaker")
        for i, id in enumerate(split.ids):
            flac, _ = soundfile.read(whole / "audio" / speakers[i] / f"{id}.flac", dtype="int16")
            np.testing.assert_array_equal(split.audio(i), flac)


def test_the_whole_corpus_through_its_table(tmp_path: Path) -> None:
    source = DATA / "an4" / "transcripts.tsv"
    if not source.is_file():
        pytest.skip("AN4 is not here")
    prepare_table(source, tmp_path / "out", dev=100, strict=True)
    corpus = Corpus.open(tmp_path / "out")
    counts = {name: len(corpus.split(name)) for name in corpus.split_names}
    assert counts["test"] == 130
    assert counts["train"] + counts["dev"] == 948
    assert abs(counts["dev"] - 100) < 9
    speakers = Counter(s for name in counts for s in set(corpus.split(name).column("speaker")))
    assert len(speakers) == 84
    assert set(speakers.values()) == {1}
    assert sum(corpus.split(name).hours for name in counts) == pytest.approx(0.8065, abs=1e-4)
    assert corpus.name == "an4"
