import errno
import hashlib
import json
import os
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mutations import BYTES, DOCUMENTS, damaged_files, flipped, refusal, truncated

from asrbench.base.errors import UserError
from asrbench.base.files import digest
from asrbench.data import content_check, corpus, corpus_writer, ledger
from asrbench.data.corpus import Corpus
from asrbench.data.corpus_writer import CorpusWriter, Utterance


def utterance(i: int, samples: int = 160, **fields: Any) -> Utterance:
    audio = np.random.default_rng(i).integers(-32768, 32768, samples).astype(np.int16)
    return Utterance(**{"id": f"u{i:04d}", "audio": audio, "text": f"말 {i}"} | fields)


def create(out: Path, **changes: Any) -> AbstractContextManager[CorpusWriter]:
    settings: dict[str, Any] = {
        "name": "toy",
        "recipe": "test",
        "source": "nowhere",
        "text_profile": "verbatim",
        "strict": False,
    }
    return CorpusWriter.create(out, **settings | changes)


def write(out: Path, splits: dict[str, Sequence[Utterance]], **changes: Any) -> Corpus:
    with create(out, **changes) as writer:
        for split, utterances in splits.items():
            for each in utterances:
                writer.add(split, each)
    return Corpus.open(out)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_equal(split: corpus.Split, utterances: Sequence[Utterance]) -> None:
    assert split.ids == [each.id for each in utterances]
    assert split.texts == [each.text for each in utterances]
    for column in ("speaker", "spelling", "phonetic", "raw", "channel", "language"):
        assert split.column(column) == [getattr(each, column) for each in utterances]
    assert split.samples.tolist() == [len(each.audio) for each in utterances]
    for i, each in enumerate(utterances):
        assert split.audio(i).dtype == np.int16
        np.testing.assert_array_equal(split.audio(i), each.audio)


def test_what_is_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    """Covers several Arrow batches, different lengths, and columns with and without values."""
    train = [
        utterance(i, samples=1 + 7 * i, speaker=f"s{i % 3}" if i % 2 else None)
        for i in range(2 * corpus_writer.ROWS_PER_BATCH + 5)
    ]
    dev = [utterance(900, spelling="10", phonetic="십", raw="(10)/(십)"), utterance(901, samples=0)]
    prepared = write(tmp_path / "toy", {"train": train, "dev": dev})
    assert prepared.name == "toy"
    assert prepared.text_profile == "verbatim"
    assert sorted(prepared.split_names) == ["dev", "train"]
    assert len(prepared.split("train")) == len(train)
    assert_equal(prepared.split("train"), train)
    assert_equal(prepared.split("dev"), dev)


def test_big_endian_and_strided_audio_is_stored_by_value(tmp_path: Path) -> None:
    values = np.array([1, -2, 300, -32768], dtype=np.int16)
    big = utterance(1, audio=values.astype(">i2"))
    strided = utterance(2, audio=np.repeat(values, 2)[::2])
    split = write(tmp_path / "toy", {"train": [big, strided]}).split("train")
    assert split.audio(0).tolist() == values.tolist()
    assert split.audio(1).tolist() == values.tolist()


def test_what_a_reader_does_to_audio_does_not_reach_the_corpus(tmp_path: Path) -> None:
    split = write(tmp_path / "toy", {"train": [utterance(1)]}).split("train")
    with suppress(ValueError):  # a read-only view is as good as a copy
        split.audio(0)[:] = 0
    np.testing.assert_array_equal(split.audio(0), utterance(1).audio)


def test_the_folder_says_what_is_in_it(tmp_path: Path) -> None:
    with create(tmp_path / "toy") as writer:
        for i in range(3):
            writer.add("train", utterance(i, samples=16_000 * 60, speaker=f"s{i % 2}"))
        writer.add("test", utterance(9))
        writer.reject("x", "test", "missing", "x.wav")
        writer.leave_out("y", "train", "shared text")
    about = json.loads((tmp_path / "toy" / "corpus.json").read_text(encoding="utf-8"))
    fingerprint, files = about.pop("fingerprint"), about.pop("files")
    assert files == {
        name: {"bytes": (tmp_path / "toy" / name).stat().st_size, "digest": digest}
        for name in ("test.arrow", "train.arrow")
        for digest in [sha256((tmp_path / "toy" / name).read_bytes()).hexdigest()[:16]]
    }
    assert about == {
        "format": 1,
        "name": "toy",
        "recipe": "test",
        "source": "nowhere",
        "text_profile": "verbatim",
        "sample_rate_hz": 16_000,
        "splits": {
            "test": {"utterances": 1, "hours": 0.0, "speakers": None},
            "train": {"utterances": 3, "hours": 0.05, "speakers": 2},
        },
        "rejected": {"missing": 1, "shared text": 1},
        "remarks": {},
    }
    assert fingerprint == Corpus.open(tmp_path / "toy").fingerprint
    assert len(fingerprint) == 16
    assert lines(tmp_path / "toy" / "rejected.jsonl") == [
        {"id": "x", "split": "test", "reason": "missing", "detail": "x.wav"},
        {"id": "y", "split": "train", "reason": "shared text", "detail": ""},
    ]
    assert sorted(path.name for path in (tmp_path / "toy").iterdir()) == [
        "corpus.json",
        "rejected.jsonl",
        "remarks.jsonl",
        "test.arrow",
        "train.arrow",
    ]
    assert Corpus.open(tmp_path / "toy").split("train").hours == pytest.approx(0.05)


def test_remarks_are_counted_and_listed(tmp_path: Path) -> None:
    odd = utterance(1, raw="n/ 말 1", remarks=("odd_trailing_byte", "lone bracket"))
    write(tmp_path / "toy", {"train": [utterance(0), odd, odd]})
    about = json.loads((tmp_path / "toy" / "corpus.json").read_text(encoding="utf-8"))
    assert about["remarks"] == {"odd_trailing_byte": 1, "lone bracket": 1}
    assert about["rejected"] == {"duplicate id": 1}
    assert lines(tmp_path / "toy" / "remarks.jsonl") == [
        {"id": "u0001", "split": "train", "reason": reason, "detail": "n/ 말 1"}
        for reason in ("odd_trailing_byte", "lone bracket")
    ]


def test_marks_count_in_the_fingerprint_where_they_are(tmp_path: Path) -> None:
    """Columns that were added later leave the fingerprint of older corpora unchanged."""
    plain = write(tmp_path / "a", {"train": [utterance(0)]}).fingerprint
    korean = write(tmp_path / "b", {"train": [utterance(0, language="ko")]}).fingerprint
    left = write(tmp_path / "c", {"train": [utterance(0, channel="1")]}).fingerprint
    assert plain == "512b48ff4f6c63bd"
    assert len({plain, korean, left}) == 3


def test_a_column_that_an_old_folder_lacks_is_empty(tmp_path: Path) -> None:
    split = write(tmp_path / "toy", {"train": [utterance(0), utterance(1)]}).split("train")
    assert split.column("a column of the future") == [None, None]


def test_force_replaces_a_corpus_and_nothing_else(tmp_path: Path) -> None:
    first = write(tmp_path / "toy", {"train": [utterance(0)]})
    with pytest.raises(UserError, match=r"toy: exists already; choose another --out, or --force$"):
        write(tmp_path / "toy", {"train": [utterance(1)]})
    with suppress(KeyboardInterrupt), create(tmp_path / "toy", force=True) as writer:
        writer.add("train", utterance(1))
        raise KeyboardInterrupt
    assert Corpus.open(tmp_path / "toy").fingerprint == first.fingerprint
    second = write(tmp_path / "toy", {"dev": [utterance(1)]}, force=True)
    assert second.split_names == ["dev"]
    assert not (tmp_path / "toy" / "train.arrow").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"thesis: is no prepared corpus, and --force replaces"):
        write(tmp_path / "thesis", {"train": [utterance(1)]}, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis", "toy"]


OTHERS = {
    "a list of texts": ("corpus.json", '["a", "b"]', "is no prepared corpus"),
    "another program's": ("corpus.json", '{"documents": 12}', "is no prepared corpus"),
    "no JSON": ("corpus.json", "{", "is no prepared corpus"),
    "a file of the user": ("notes.txt", "", "holds notes.txt, which is no part of a corpus"),
    "a split that the corpus lacks": ("dev.arrow", "", "holds dev.arrow, which is no part of a"),
}


@pytest.mark.parametrize(("name", "text", "message"), OTHERS.values(), ids=OTHERS)
def test_force_deletes_no_folder_that_is_more_or_less_than_a_corpus(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    write(tmp_path / "toy", {"train": [utterance(0)]})
    (tmp_path / "toy" / name).write_text(text)
    before = {path.name: path.read_bytes() for path in (tmp_path / "toy").iterdir()}
    with pytest.raises(UserError, match=f"toy: {message}"):
        write(tmp_path / "toy", {"train": [utterance(1)]}, force=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "toy").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_file_put_beside_the_corpus_while_its_successor_is_made_is_not_deleted(
    tmp_path: Path,
) -> None:
    write(tmp_path / "toy", {"train": [utterance(0)]})

    def replaced() -> None:
        with create(tmp_path / "toy", force=True) as writer:
            writer.add("train", utterance(1))
            (tmp_path / "toy" / "notes.txt").write_text("found while listening")

    with pytest.raises(UserError, match=r"toy: holds notes\.txt"):
        replaced()
    assert (tmp_path / "toy" / "notes.txt").is_file()


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill() -> None:
        with create(tmp_path / "toy") as writer:
            for i in range(64):
                writer.add("train", utterance(i, samples=1_600_000))
            writer.share_written = share
            monkeypatch.setattr(pa.ipc, "new_file", full)
            writer.add("dev", utterance(64))

    needed = " of about 0.8" if share else ""
    expected = f"toy: the disk is full after 0.2{needed} GB; make room, or choose another --out"
    with pytest.raises(UserError, match=expected):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_another_error_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error"), create(tmp_path / "toy"):
        raise OSError(errno.EIO, "Input/output error")
    assert list(tmp_path.iterdir()) == []


def test_plain_pyarrow_reads_it(tmp_path: Path) -> None:
    given = [utterance(i, speaker="s") for i in range(3)]
    write(tmp_path / "toy", {"train": given})
    table = pa.ipc.open_file(tmp_path / "toy" / "train.arrow").read_all()
    assert table.column_names == [
        "id",
        "audio",
        "samples",
        "speaker",
        "text",
        "spelling",
        "phonetic",
        "raw",
        "channel",
        "language",
    ]
    assert table.num_rows == 3
    row = table.to_pylist()[2]
    assert (row["id"], row["text"], row["speaker"], row["raw"]) == ("u0002", "말 2", "s", None)
    assert row["samples"] == 160
    np.testing.assert_array_equal(np.frombuffer(row["audio"], "<i2"), given[2].audio)


def test_pandas_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "toy", {"train": [utterance(i) for i in range(3)]})
    frame = pa.ipc.open_file(tmp_path / "toy" / "train.arrow").read_pandas()
    assert frame["text"].tolist() == ["말 0", "말 1", "말 2"]


def test_shards_read_back_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [utterance(i, samples=100 + i) for i in range(23)]
    whole = write(tmp_path / "whole", {"train": given})
    monkeypatch.setattr(corpus_writer, "SHARD_BYTES", 1000)
    monkeypatch.setattr(corpus_writer, "ROWS_PER_BATCH", 4)
    cut = write(tmp_path / "cut", {"train": given})
    names = sorted(path.name for path in (tmp_path / "cut").glob("*.arrow"))
    # 4 rows of about 200 bytes are less than a shard, 8 are more.
    assert names == ["train-00000.arrow", "train-00001.arrow", "train-00002.arrow"]
    assert_equal(cut.split("train"), given)
    assert cut.fingerprint == whole.fingerprint


def fingerprint(folder: Path, splits: dict[str, Sequence[Utterance]], **changes: Any) -> str:
    return write(folder, splits, **changes).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda u: replace(u, id="other"),
        lambda u: replace(u, text=u.text + "."),
        lambda u: replace(u, raw="raw"),
        lambda u: replace(u, speaker="s"),
        lambda u: replace(u, audio=np.append(u.audio, np.int16(0))),
        lambda u: replace(u, audio=u.audio ^ np.eye(1, len(u.audio), 80, dtype=np.int16)[0]),
    ],
    ids=["id", "text", "raw", "speaker", "length", "one bit"],
)
def test_any_change_of_an_utterance_changes_the_fingerprint(
    tmp_path: Path, change: Callable[[Utterance], Utterance]
) -> None:
    given = [utterance(i) for i in range(3)]
    changed = [given[0], change(given[1]), given[2]]
    assert fingerprint(tmp_path / "a", {"train": given}) != fingerprint(
        tmp_path / "b", {"train": changed}
    )


def test_order_and_split_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    first, second = utterance(1), utterance(2)
    prints = {
        fingerprint(tmp_path / "a", {"train": [first, second]}),
        fingerprint(tmp_path / "b", {"train": [second, first]}),
        fingerprint(tmp_path / "c", {"train": [first], "dev": [second]}),
        fingerprint(tmp_path / "d", {"train": [second], "dev": [first]}),
        fingerprint(tmp_path / "e", {"train": [first], "test": [second]}),
    }
    assert len(prints) == 5


def test_nothing_else_changes_the_fingerprint(tmp_path: Path) -> None:
    splits: dict[str, Sequence[Utterance]] = {"train": [utterance(1)], "dev": [utterance(2)]}
    wanted = fingerprint(tmp_path / "a", splits)
    assert wanted == fingerprint(
        tmp_path / "b", splits, name="n", recipe="r", source="s", text_profile="p", strict=True
    )
    assert wanted == fingerprint(tmp_path / "c", dict(reversed(splits.items())))
    with create(tmp_path / "d") as writer:
        writer.reject("x", "train", "missing")
        writer.add("train", utterance(1))
        writer.add("dev", utterance(2))
    assert wanted == Corpus.open(tmp_path / "d").fingerprint


def test_the_same_corpus_is_the_same_bytes(tmp_path: Path) -> None:
    given = [utterance(i) for i in range(5)]
    digests = []
    for name in ("a", "b"):
        write(tmp_path / name, {"train": given})
        files = sorted((tmp_path / name).iterdir())
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert digests[0] == digests[1]


def test_a_second_utterance_of_an_id_is_rejected_in_any_split(tmp_path: Path) -> None:
    first = utterance(1)
    with create(tmp_path / "toy") as writer:
        writer.add("train", first)
        writer.add("train", replace(first, text="again"))
        writer.add("dev", replace(first, text="and again"))
    prepared = Corpus.open(tmp_path / "toy")
    assert prepared.split_names == ["train"]
    assert prepared.split("train").texts == [first.text]
    assert lines(tmp_path / "toy" / "rejected.jsonl") == [
        {"id": "u0001", "split": split, "reason": "duplicate id", "detail": ""}
        for split in ("train", "dev")
    ]


def test_strict_leaves_nothing_behind(tmp_path: Path) -> None:
    def prepare() -> None:
        with create(tmp_path / "toy", strict=True) as writer:
            writer.add("train", utterance(1))
            writer.reject("x", "train", "missing")
            writer.reject("y", "train", "missing")

    with pytest.raises(UserError, match=r"^nowhere: 2 utterances rejected \(2 missing\); without"):
        prepare()
    assert list(tmp_path.iterdir()) == []


def test_strict_does_not_mind_what_was_asked_for(tmp_path: Path) -> None:
    with create(tmp_path / "toy", strict=True) as writer:
        writer.add("train", utterance(1))
        writer.leave_out("x", "train", "shared text")
    assert len(lines(tmp_path / "toy" / "rejected.jsonl")) == 1


def test_a_crash_leaves_nothing_behind(tmp_path: Path) -> None:
    def prepare() -> None:
        with create(tmp_path / "toy") as writer:
            writer.add("train", utterance(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        prepare()
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_of_nothing_is_an_error(tmp_path: Path) -> None:
    def prepare() -> None:
        with create(tmp_path / "toy") as writer:
            writer.reject("x", "train", "missing")

    with pytest.raises(UserError, match=r"^nowhere: no usable utterance \(rejected: 1 missing\)$"):
        prepare()
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "toy", {"train": [utterance(1)]})
    with pytest.raises(UserError, match="exists already"):
        write(tmp_path / "toy", {"train": [utterance(2)]})
    assert Corpus.open(tmp_path / "toy").split("train").ids == ["u0001"]
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_a_missing_corpus_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no prepared corpus; make it with `asrbench prep "):
        Corpus.open(tmp_path / "none")


@pytest.mark.parametrize("about", ['{"format": 2, "name": "toy"}', "{}"])
def test_another_format_version_is_refused(tmp_path: Path, about: str) -> None:
    write(tmp_path / "toy", {"train": [utterance(1)]})
    (tmp_path / "toy" / "corpus.json").write_text(about, encoding="utf-8")
    with pytest.raises(UserError, match=r"corpus.json: found format (2|None), allowed: 1; "):
        Corpus.open(tmp_path / "toy")


def test_a_broken_description_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "toy", {"train": [utterance(1)]})
    (tmp_path / "toy" / "corpus.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"corpus.json: not JSON"):
        Corpus.open(tmp_path / "toy")


def test_splits_that_are_not_there(tmp_path: Path) -> None:
    prepared = write(tmp_path / "toy", {"train": [utterance(1)], "dev": [utterance(2)]})
    with pytest.raises(UserError, match=r"split: found 'trian', allowed: .*did you mean 'train'"):
        prepared.split("trian")
    (tmp_path / "toy" / "dev.arrow").unlink()
    with pytest.raises(UserError, match=r"dev.arrow: is missing; prepare the corpus again"):
        prepared.split("dev")


def test_a_batch_ends_before_arrow_can_no_longer_count_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_writer, "BATCH_BYTES", 1_000)
    train = [utterance(i, samples=300) for i in range(5)]
    prepared = write(tmp_path / "toy", {"train": train})
    assert_equal(prepared.split("train"), train)
    table = pa.ipc.open_file(pa.memory_map(str(tmp_path / "toy" / "train.arrow")))
    assert [table.get_batch(i).num_rows for i in range(table.num_record_batches)] == [2, 2, 1]


def test_an_utterance_that_is_too_long_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_writer, "MOST_AUDIO_BYTES", 1_000)
    prepared = write(tmp_path / "toy", {"train": [utterance(0), utterance(1, samples=501)]})
    assert prepared.split("train").ids == ["u0000"]
    assert prepared.rejected == {"too long": 1}


def test_little_is_kept_of_a_very_long_id_that_is_rejected(tmp_path: Path) -> None:
    write(tmp_path / "toy", {"train": [utterance(0), utterance(1, id="a" * 10**6 + "\udcff")]})
    (row,) = lines(tmp_path / "toy" / "rejected.jsonl")
    assert row["id"] == "a" * ledger.SHOWN


def test_a_name_that_is_not_unicode_is_rejected(tmp_path: Path) -> None:
    prepared = write(tmp_path / "toy", {"train": [utterance(0), utterance(1, id="a\udcff")]})
    assert prepared.split("train").ids == ["u0000"]
    assert prepared.rejected == {"not Unicode": 1}


@pytest.mark.parametrize("out", ["", ".", "/", "..", "link"])
def test_a_path_that_names_no_new_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("nowhere")
    with (
        pytest.raises(UserError, match=r"--out: found .*, allowed: the name of a new folder"),
        create(Path(out)),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


# Damage


def read_all(folder: Path) -> list[Any]:
    """What training and evaluation read of a corpus."""
    opened = Corpus.open(folder)
    return [
        (split.ids, split.texts, [split.audio(i).tobytes() for i in range(len(split))])
        for split in map(opened.split, opened.split_names)
    ]


@pytest.mark.parametrize("name", ["train.arrow", "test.arrow"])
def test_no_damaged_file_is_read(name: str, tmp_path: Path) -> None:
    splits = {"train": [utterance(i) for i in range(5)], "test": [utterance(9)]}
    folder = write(tmp_path / "toy", splits).folder
    for _ in damaged_files(folder / name, 200, 1, (flipped, flipped, flipped, truncated)):
        with pytest.raises(UserError, match=rf"^[^\n]*{name}: is damaged[^\n]*$"):
            read_all(folder)
    read_all(folder)


def test_a_file_that_is_cut_after_it_was_opened_is_one_line(tmp_path: Path) -> None:
    """Through a memory map, a read beyond the end would end the process by SIGBUS."""
    utterances = [utterance(i, samples=9_000) for i in range(9)]
    folder = write(tmp_path / "toy", {"train": utterances}).folder
    split = Corpus.open(folder).split("train")
    texts = split.texts
    path = folder / "train.arrow"
    size = path.stat().st_size
    os.truncate(path, 4_096)
    line = (
        f"{path}: was cut while it was read, from {size:,} bytes to 4,096; restore the file, or "
        f"prepare the corpus again"
    )
    assert refusal(lambda: split.audio(8)) == line
    assert refusal(lambda: split.ids) == line
    assert (split.texts, split.samples.tolist()) == (texts, [9_000] * 9)


def test_a_missing_file_among_several_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_writer, "SHARD_BYTES", 100_000)
    folder = write(tmp_path / "toy", {"train": [utterance(i) for i in range(1000)]}).folder
    assert len(Corpus.open(folder).files) > 2
    (folder / "train-00001.arrow").unlink()
    with pytest.raises(UserError, match=r"train-00001.arrow: is missing; prepare"):
        Corpus.open(folder).split("train")


def test_a_large_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(content_check, "REMEMBERED_BYTES", 1)
    read: list[Path] = []

    def counting(path: Path) -> str:
        read.append(path)
        return digest(path)

    folder = write(tmp_path / "toy", {"train": [utterance(1)]}).folder
    monkeypatch.setattr(content_check, "digest", counting)
    for _ in range(3):
        monkeypatch.setattr(content_check, "_found_whole", set())  # as in another process
        Corpus.open(folder).split("train")
    assert len(read) == 1
    Corpus.open(folder).check_files(again=True)
    assert len(read) == 2
    path = folder / "train.arrow"
    times, whole = path.stat(), path.read_bytes()
    path.write_bytes(flipped(whole, random.Random(0)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(UserError, match="is damaged"):
        Corpus.open(folder).split("train")


def test_a_folder_without_digests_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "toy", {"train": [utterance(1)]}).folder
    whole = read_all(folder)
    about = json.loads((folder / "corpus.json").read_text())
    del about["files"]
    (folder / "corpus.json").write_text(json.dumps(about))
    assert read_all(folder) == whole
    for _ in damaged_files(folder / "train.arrow", 100, 2, (flipped, truncated)):
        with suppress(UserError):
            read_all(folder)


def test_a_damaged_file_of_a_folder_without_digests_is_refused_or_read(tmp_path: Path) -> None:
    """Texts that are no UTF-8, audio beyond its batch: Arrow does not check these by itself."""
    splits = {"train": [utterance(i) for i in range(5)]}
    folder = write(tmp_path / "toy", splits).folder
    about = json.loads((folder / "corpus.json").read_text())
    (folder / "corpus.json").write_text(json.dumps(about | {"files": {}}))
    refused = 0
    for _ in damaged_files(folder / "train.arrow", 300, 2, BYTES):
        refused += refusal(lambda: read_all(folder)) is not None
    assert refused > 150


@pytest.mark.parametrize("digests", [True, False])
def test_what_is_no_file_is_one_line_and_not_waited_for(digests: bool, tmp_path: Path) -> None:
    folder = write(tmp_path / "toy", {"train": [utterance(0)]}).folder
    about = json.loads((folder / "corpus.json").read_text())
    if not digests:
        (folder / "corpus.json").write_text(json.dumps(about | {"files": {}}))
    path = folder / "train.arrow"
    path.unlink()
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink(path.name, path)):
        make(path)
        said = refusal(lambda: read_all(folder))
        assert said is not None
        assert said.startswith(f"{path}: ")
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_damaged_description_is_one_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "toy", {"train": [utterance(1)], "test": [utterance(2)]}).folder
    assert (
        sum(
            refusal(lambda: read_all(folder)) is not None
            for _ in damaged_files(folder / "corpus.json", 400, 3, DOCUMENTS)
        )
        > 200
    )
