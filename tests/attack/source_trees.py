"""Small corpora as they are distributed, for every recipe, with how many utterances they list."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from doors import put, put_chapter, put_sound, sound

IDS = tuple(f"u{number}" for number in range(8))
TEXTS = ("하나 둘", "셋 넷", "abc", "다섯", "여섯 일곱", "여덟", "hello there", "아홉")


@dataclass(frozen=True)
class Tree:
    """A corpus of a recipe: where it is made, which files list it, and how they are counted."""

    recipe: str
    make: Callable[[Path], object]
    source: str
    """The argument of the command, below the folder that the corpus is made in."""
    lists: tuple[str, ...]
    """Patterns of the files that may be damaged."""
    entries: tuple[str, ...]
    """Patterns of those whose every line is an utterance."""
    options: tuple[str, ...] = ()
    header: bool = False
    not_entries: tuple[str, ...] = ()
    """Reasons in `rejected.jsonl` that are not about a line of `entries`."""

    def listed(self, folder: Path) -> int:
        """Returns how many utterances the lists have, as they are now."""
        paths = [
            path for pattern in self.entries for path in folder.glob(pattern) if path.is_file()
        ]
        return sum(max(0, _count(path) - self.header) for path in paths)


def _count(path: Path) -> int:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    if path.suffix == ".csv":
        return sum(1 for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row)
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if path.suffix == ".tsv":
        return sum(1 for line in lines if line)
    return sum(1 for line in lines if line.strip())


def _split_of(number: int) -> str:
    return ("train", "train", "dev", "test")[number % 4]


def _rows() -> list[dict[str, str]]:
    return [
        {"id": id, "audio": f"wavs/{id}.wav", "text": text, "speaker": f"s{n % 4}"}
        | {"split": _split_of(n)}
        for n, (id, text) in enumerate(zip(IDS, TEXTS, strict=True))
    ]


def _sounds(folder: Path) -> None:
    for id in IDS:
        put_sound(folder / "wavs" / f"{id}.wav", sound(id))


def _table(folder: Path, separator: str, suffix: str) -> None:
    _sounds(folder)
    rows = _rows()
    lines = [separator.join(row.values()) for row in rows]
    put(folder / f"list.{suffix}", separator.join(rows[0]), *lines)


def _jsonl(folder: Path) -> None:
    _sounds(folder)
    put(folder / "list.jsonl", *(json.dumps(row, ensure_ascii=False) for row in _rows()))


def _an4(folder: Path) -> None:
    for split, start in (("train", 0), ("test", 6)):
        ids = IDS[start : 6 if split == "train" else 8]
        names = [f"an4_clstk/s{number % 3}/{id}" for number, id in enumerate(ids)]
        for name, id in zip(names, ids, strict=True):
            put_sound(folder / "wav" / f"{name}.sph", sound(id))
        put(folder / "etc" / f"an4_{split}.fileids", *names)
        said = (f"<s> {TEXTS[IDS.index(id)]} </s> ({id})" for id in ids)
        put(folder / "etc" / f"an4_{split}.transcription", *said)


def _kaldi(folder: Path) -> None:
    _sounds(folder)
    put(folder / "wav.scp", *(f"{id} {folder}/wavs/{id}.wav" for id in IDS))
    put(folder / "text", *(f"{id} {text}" for id, text in zip(IDS, TEXTS, strict=True)))
    put(folder / "utt2spk", *(f"{id} s{number % 3}" for number, id in enumerate(IDS)))


def _kaldi_cut(folder: Path) -> None:
    for number in range(2):
        put_sound(folder / f"r{number}.flac", sound(f"r{number}", 16_000))
    put(folder / "wav.scp", "r0 r0.flac", "r1 r1.flac")
    for name, number in zip(IDS, range(8), strict=True):
        start = number // 2 * 0.2
        with (folder / "segments").open("a", encoding="utf-8") as file:
            file.write(f"{name} r{number % 2} {start:.2f} {start + 0.2:.2f}\n")
    put(folder / "text", *(f"{id} {text}" for id, text in zip(IDS, TEXTS, strict=True)))
    put(folder / "utt2lang", *(f"{id} ko" for id in IDS))
    put(folder / "reco2file_and_channel", "r0 r0 1", "r1 r1 1")


def _nemo(folder: Path) -> None:
    _sounds(folder)
    rows = [
        {"audio_filepath": row["audio"], "text": row["text"], "duration": 0.05, "offset": 0.0}
        | {"speaker": row["speaker"], "lang": "ko", "split": row["split"]}
        for row in _rows()
    ]
    for split in ("train", "dev", "test"):
        mine = [row for row in rows if row["split"] == split]
        put(folder / f"{split}.json", *(json.dumps(row, ensure_ascii=False) for row in mine))


def _lhotse_rows(folder: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    _sounds(folder)
    recordings: list[dict[str, object]] = [
        {"id": f"r{id}", "sampling_rate": 16_000, "num_samples": 800, "duration": 0.05}
        | {"sources": [{"type": "file", "channels": [0], "source": f"{folder}/wavs/{id}.wav"}]}
        for id in IDS
    ]
    supervisions: list[dict[str, object]] = [
        {"id": id, "recording_id": f"r{id}", "start": 0.0, "duration": 0.05, "channel": 0}
        | {"text": text, "speaker": "ann", "language": "ko"}
        for id, text in zip(IDS, TEXTS, strict=True)
    ]
    return recordings, supervisions


def _lhotse_pair(folder: Path) -> None:
    recordings, supervisions = _lhotse_rows(folder)
    put(folder / "recordings.jsonl", *map(json.dumps, recordings))
    put(folder / "supervisions.jsonl", *map(json.dumps, supervisions))


def _lhotse_cuts(folder: Path) -> None:
    recordings, supervisions = _lhotse_rows(folder)
    cuts = [
        {"id": f"c-{one['id']}", "start": 0.0, "duration": 0.05, "channel": 0, "type": "MonoCut"}
        | {"supervisions": [one], "recording": recording}
        for recording, one in zip(recordings, supervisions, strict=True)
    ]
    put(folder / "cuts.jsonl", *map(json.dumps, cuts))
    content = (folder / "cuts.jsonl").read_bytes()
    (folder / "cuts.jsonl").unlink()
    (folder / "cuts.jsonl.gz").write_bytes(gzip.compress(content))


def _commonvoice(folder: Path) -> None:
    lines: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for row in _rows():
        put_sound(folder / "clips" / f"{row['id']}.mp3", sound(row["id"], 8_000) / 32_768)
        lines[row["split"]].append(f"{row['speaker']}\t{row['id']}.mp3\t{row['text']}\tko")
    for split, mine in lines.items():
        put(folder / f"{split}.tsv", "client_id\tpath\tsentence\tlocale", *mine)


def _librispeech(folder: Path) -> None:
    for number, subset in enumerate(("train-clean-5", "dev-clean-2", "test-clean", "train-other")):
        texts = {f"1{number}-2-{i}": TEXTS[2 * number + i] for i in range(2)}
        put_chapter(folder / "LibriSpeech" / subset / f"1{number}" / "2", f"1{number}-2", texts)


def _zeroth(folder: Path) -> None:
    for number in range(4):
        part = "test_data_01" if number == 3 else "train_data_01"
        texts = {f"1{number}_003_{i}": TEXTS[2 * number + i] for i in range(2)}
        put_chapter(folder / part / "003" / f"1{number}", f"1{number}_003", texts)


def _ksponspeech(folder: Path) -> None:
    names = [f"KsponSpeech_01/KsponSpeech_0001/KsponSpeech_{n:06d}.pcm" for n in range(1, 5)]
    names += [f"KsponSpeech_05/KsponSpeech_0623/KsponSpeech_62000{n}.pcm" for n in (1, 2)]
    names += [f"KsponSpeech_eval/eval_clean/KsponSpeech_E0000{n}.pcm" for n in (1, 2)]
    splits = ("train",) * 4 + ("dev",) * 2 + ("eval_clean",) * 2
    lines: dict[str, list[str]] = {}
    for name, split, text in zip(names, splits, TEXTS, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound(name).astype("<i2").tobytes())
        path.with_suffix(".txt").write_bytes(f"{text}\r\n".encode("cp949"))
        lines.setdefault(split, []).append(f"{name} :: {text}")
    for split, mine in lines.items():
        put(folder / "KsponSpeech_scripts" / f"{split}.trn", *mine)


_SPLITS_OF_TSV = ("train.tsv", "dev.tsv", "test.tsv")
_SPLITS_OF_JSON = ("train.json", "dev.json", "test.json")
_CHAPTERS = ("no transcript", "subset not asked for")

TREES = (
    Tree(
        "table",
        lambda f: _table(f, "\t", "tsv"),
        "list.tsv",
        ("list.tsv",),
        ("list.tsv",),
        (),
        True,
    ),
    Tree(
        "table", lambda f: _table(f, ",", "csv"), "list.csv", ("list.csv",), ("list.csv",), (), True
    ),
    Tree("table", _jsonl, "list.jsonl", ("list.jsonl",), ("list.jsonl",)),
    Tree(
        "an4",
        _an4,
        "",
        ("etc/*",),
        ("etc/an4_train.fileids", "etc/an4_test.fileids"),
        ("--dev", "2"),
        not_entries=("transcript without an id", "duplicate transcript", "no fileid"),
    ),
    Tree(
        "kaldi",
        _kaldi,
        "",
        ("wav.scp", "text", "utt2spk"),
        ("wav.scp",),
        not_entries=("no audio", "duplicate transcript"),
    ),
    Tree(
        "kaldi",
        _kaldi_cut,
        "",
        ("wav.scp", "text", "segments", "segments", "utt2lang", "reco2file_and_channel"),
        ("segments",),
        ("--dev", "2"),
        not_entries=("no audio", "duplicate transcript", "recording without a segment"),
    ),
    Tree(
        "nemo",
        _nemo,
        "train.json",
        _SPLITS_OF_JSON,
        _SPLITS_OF_JSON,
        ("--dev", "tree/dev.json", "--test", "tree/test.json"),
    ),
    Tree(
        "lhotse",
        _lhotse_pair,
        "",
        ("*.jsonl",),
        ("supervisions.jsonl",),
        not_entries=("recording without a supervision", "duplicate recording"),
    ),
    Tree("lhotse", _lhotse_cuts, "cuts.jsonl.gz", ("cuts.jsonl.gz",), ("cuts.jsonl.gz",)),
    Tree("commonvoice", _commonvoice, "", _SPLITS_OF_TSV, _SPLITS_OF_TSV, (), True),
    Tree(
        "librispeech",
        _librispeech,
        "",
        ("**/*.trans.txt",),
        ("**/*.trans.txt",),
        not_entries=_CHAPTERS,
    ),
    Tree(
        "zeroth",
        _zeroth,
        "",
        ("**/*.trans.txt",),
        ("**/*.trans.txt",),
        ("--dev", "2"),
        not_entries=_CHAPTERS,
    ),
    Tree("ksponspeech", _ksponspeech, "", ("**/*.trn", "**/*.txt"), ()),
)
"""One for every recipe that reads files, and one for each of its forms."""
