"""KsponSpeech as AI Hub distributes it: 622,545 utterances and 6,000 for evaluation, 969 hours.

    KsponSpeech_01/KsponSpeech_0001/KsponSpeech_000001.pcm   headless, 16 kHz, 16 bits
    KsponSpeech_01/KsponSpeech_0001/KsponSpeech_000001.txt   its text, in cp949
    KsponSpeech_eval/eval_clean/KsponSpeech_E00001.pcm       with or without the first folder
    KsponSpeech_scripts/train.trn                            path :: text, a line an utterance

and the same for dev.trn, eval_clean.trn and eval_other.trn, wherever they lie. What is marked in
the texts, and what becomes of it, stands in `asrbench.stages.prep.kspon_text`.
"""

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from asrbench.base.errors import Fault, UserError
from asrbench.data.audio import read_audio
from asrbench.data.corpus import CorpusWriter, Utterance
from asrbench.data.waveform import Samples
from asrbench.stages.prep import PLAINLY, How
from asrbench.stages.prep.kspon_figures import Census
from asrbench.stages.prep.kspon_text import transcript
from asrbench.stages.prep.sources import MIN_SAMPLES, write_utterances
from asrbench.stages.prep.splits import take_dev
from asrbench.stages.prep.trees import Tree
from asrbench.text.normal_form import is_hangul, without_punctuation

Side = Literal["spelling", "phonetic"]
Punctuation = Literal["none", "sentence"]

KEPT = {"none": "", "sentence": ".?!"}
"""Of the punctuation of `text`; `spelling` and `phonetic` keep it all."""

SPLITS = ("train", "dev", "eval_clean", "eval_other")
TRAIN_NUMBERS = range(1, 620_001)
DEV_NUMBERS = range(620_001, 622_546)
"""Official, and only needed where there is no list: of an evaluation file no number tells."""

DEV_SHARE, DEV_MOST = 0.05, 2_500
"""Of train, what becomes dev where the official one is not at hand."""

ODD_BYTE = "odd_trailing_byte"
RIFF = "RIFF header under the name of a headless file"

_NAME = re.compile(r"(?P<id>KsponSpeech_(?P<number>E?\d+))\.(?:pcm|wav)")
_FOLDERS = re.compile(
    r"(?:KsponSpeech_\d\d/)?(?:KsponSpeech_)?(?P<first>\d{4})"
    r"(?:\.\.(?:KsponSpeech_)?(?P<last>\d{4}))?"
)


def prepare(
    source: Path,
    out: Path,
    *,
    side: Side = "spelling",
    punctuation: Punctuation = "none",
    folders: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    how: How = PLAINLY,
) -> None:
    """Reads the download in `source`, a folder or a zip, and leaves a corpus in `out`.

    `text` is the `side` of dual transcriptions, with `punctuation`; the columns `spelling`,
    `phonetic` and `raw` are there whatever is chosen. `folders`, as `0001..0010`, and `limit`, a
    number of utterances drawn by `seed`, make train smaller, and nothing else. Where the official
    dev set is not at hand, a twentieth of train, drawn by `seed`, takes its place.

    What a list names and the download lacks is left out, a row for each folder that is missing
    whole. Raises `UserError`, leaving nothing behind: there is no KsponSpeech in `source`, lists
    contradict each other, the selection is empty, or as `CorpusWriter.create` does.
    """
    wanted = None if folders is None else _folder_numbers(folders)
    if limit is not None and limit < 2:
        raise UserError(f"--limit: found {limit}, allowed: 2 or more, for train and dev")
    with (
        Tree(source, ".pcm", ".wav", ".trn") as tree,
        CorpusWriter.create(
            out,
            name="ksponspeech",
            recipe="ksponspeech",
            source=str(source),
            text_profile=f"{side}, punctuation {punctuation}",
            strict=how.strict,
            force=how.force,
        ) as writer,
    ):
        taste = _Taste(tree, side, KEPT[punctuation])
        found = _find(tree, taste, writer)
        if not any(found.values()):
            raise UserError(
                f"{source}: found none of KsponSpeech's audio there, as KsponSpeech_01/"
                f"KsponSpeech_0001/KsponSpeech_000001.pcm"
            )
        splits, selection = _select(found, wanted, limit, seed)
        census = Census()
        write_utterances(writer, splits, how, census.count)
        writer.about = {"selection": selection, "checks": census.checks()}


# What is there


@dataclass(frozen=True, slots=True)
class _Taste:
    """What is the same for every utterance: where it lies, and what its `text` is to be."""

    tree: Tree
    side: Side
    kept: str


@dataclass(frozen=True, slots=True)
class _Utterance:
    """An utterance that still lies in its files. Without a `line`, its text is beside the audio."""

    id: str
    audio: str
    line: str | None
    taste: _Taste

    speaker = None
    """Nowhere told."""

    @property
    def text(self) -> str:
        return self.line or ""

    def read(self) -> Utterance:
        data = self.taste.tree.read(self.audio)
        audio, remarks = decode_audio(data, self.audio)
        raw = self._text_beside() if self.line is None else self.line
        found = transcript(raw, self.id)
        text = without_punctuation(getattr(found, self.taste.side), self.taste.kept)
        if not text:
            raise Fault("text empty after normalisation", raw)
        return Utterance(
            self.id,
            audio,
            text,
            spelling=found.spelling,
            phonetic=found.phonetic,
            raw=raw,
            remarks=(*remarks, *found.remarks),
        )

    def _text_beside(self) -> str:
        name = str(PurePosixPath(self.audio).with_suffix(".txt"))
        return decode_text(self.taste.tree.read(name), name)


def decode_audio(data: bytes, name: str) -> tuple[Samples, tuple[str, ...]]:
    """The samples of a headless file of 16-bit samples at 16 kHz, and what was odd about it.

    All 6,000 evaluation files end in half a sample, which is left out: without their first byte
    instead they would be noise. A file that has a header in spite of its name is read by it.
    Raises `Fault` for one that is empty or shorter than a frame.
    """
    if not data:
        raise Fault("empty file", name)
    remarks: tuple[str, ...] = ()
    if data[:4] == b"RIFF":
        audio = read_audio(io.BytesIO(data))
        remarks = (RIFF,) if name.endswith(".pcm") else ()
    else:
        audio = np.frombuffer(data, dtype="<i2", count=len(data) // 2)
        remarks = (ODD_BYTE,) if len(data) % 2 else ()
    if len(audio) < MIN_SAMPLES:
        raise Fault("shorter than a frame", f"{name}: {len(audio)} samples")
    return audio, remarks


def decode_text(data: bytes, name: str) -> str:
    """The one line of a text file, in cp949 or UTF-8.

    Either decoding may succeed on bytes of the other: what is right is the one that gives nothing
    but Hangul and ASCII. Raises `Fault` where none does.
    """
    for encoding in ("cp949", "utf-8-sig"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if all(character.isascii() or is_hangul(character) for character in text):
            return " ".join(text.split("\n")).strip()
    raise Fault("text neither cp949 nor UTF-8", name)


def _find(tree: Tree, taste: _Taste, writer: CorpusWriter) -> dict[str, list[_Utterance]]:
    """Every utterance with audio, under its split; rejects what has only audio or only a text."""
    shelf: dict[str, str] = {}  # id -> where its audio is
    for name in tree.names:
        if match := _NAME.fullmatch(PurePosixPath(name).name):
            shelf.setdefault(match["id"], name)
    splits: dict[str, list[_Utterance]] = {split: [] for split in SPLITS}
    listed: set[str] = set()
    for split in SPLITS:
        lines = dict(_listed(tree, split, listed, writer))
        here = {_folder(shelf[id]) for id in lines if id in shelf}
        absent: Counter[str] = Counter()
        for id, (path, line) in lines.items():
            if id in shelf:
                splits[split].append(_Utterance(id, shelf[id], line, taste))
            elif _folder(path) in here:
                writer.reject(id, split, "missing", path)
            else:
                absent[_folder(path)] += 1
        for folder, count in sorted(absent.items()):
            writer.leave_out(folder, split, "folder not there", f"{count} utterances")
    for id, name in shelf.items():
        if id not in listed:
            if unlisted := _split_of(id, name):
                splits[unlisted].append(_Utterance(id, name, None, taste))
            else:
                writer.reject(id, "", "in no list", name)
    return splits


def _listed(
    tree: Tree, split: str, listed: set[str], writer: CorpusWriter
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Id -> (path, text) of the lines of a split's list; nothing where there is no list."""
    for number, line in enumerate(_list_of(tree, split), start=1):
        if not line.strip():
            continue
        path, separator, text = line.partition(" :: ")
        match = _NAME.fullmatch(PurePosixPath(path.strip()).name)
        where = f"{split}.trn, line {number}: {line[:80]}"
        if not separator or match is None:
            writer.reject("", split, "line that is not 'path :: text'", where)
        elif match["id"] in listed:
            writer.reject(match["id"], split, "duplicate id", where)
        else:
            listed.add(match["id"])
            yield match["id"], (path.strip(), text.strip())


def _list_of(tree: Tree, split: str) -> list[str]:
    file = f"{split}.trn"
    names = [name for name in tree.names if PurePosixPath(name).name == file]
    if not names:
        return []
    try:
        data, *others = map(tree.read, names)
    except Fault as fault:
        raise UserError(f"{fault.detail}; download it again") from None
    for name, other in zip(names[1:], others, strict=True):
        if other != data:
            raise UserError(
                f"{tree.root}: found two different {file}, {names[0]} and {name}; delete one"
            )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("cp949")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{tree.root / names[0]}: neither UTF-8 nor cp949 at byte {error.start}; "
                f"download it again"
            ) from None
    return text.split("\n")


def _split_of(id: str, name: str) -> str | None:
    """The split of an utterance that is in no list, by its folder or its number."""
    number = id.removeprefix("KsponSpeech_")
    if number.startswith("E"):
        return next((split for split in SPLITS if split in PurePosixPath(name).parts), None)
    if int(number) in TRAIN_NUMBERS:
        return "train"
    return "dev" if int(number) in DEV_NUMBERS else None


def _folder(path: str) -> str:
    return PurePosixPath(path).parent.name


# What of it is wanted


def _select(
    splits: dict[str, list[_Utterance]], wanted: set[int] | None, limit: int | None, seed: int
) -> tuple[dict[str, list[_Utterance]], dict[str, Any]]:
    """`splits` with train made smaller and a dev set; and in words what was selected."""
    train = splits["train"]
    found = len(train)
    if wanted is not None:
        train = [each for each in train if _folder_number(each.id) in wanted]
        if not train:
            raise UserError(
                f"--folders: none of the {found} utterances of train that are here is in "
                f"KsponSpeech_{min(wanted):04d} to KsponSpeech_{max(wanted):04d}"
            )
    if limit is not None and limit < len(train):
        train = sorted(train, key=lambda each: _draw(seed, each.id))[:limit]
    dev, drawn = splits["dev"], 0
    if not dev and len(train) > 1:
        drawn = min(max(1, round(DEV_SHARE * len(train))), DEV_MOST)
        ids = take_dev(train, drawn, seed)
        dev = [each for each in train if each.id in ids]
        train = [each for each in train if each.id not in ids]
    selection = {
        "train_found": found,
        "folders": None if wanted is None else f"{min(wanted):04d}..{max(wanted):04d}",
        "limit": limit,
        "dev": f"{drawn} drawn from train, seed {seed}" if drawn else "official",
    }
    return splits | {"train": train, "dev": dev}, selection


def _folder_numbers(folders: str) -> set[int]:
    match = _FOLDERS.fullmatch(folders)
    first = int(match["first"]) if match else 0
    last = int(match["last"] or first) if match else 0
    if not 1 <= first <= last:
        raise UserError(
            f"--folders: found '{folders}', allowed: one folder or a range, as "
            f"KsponSpeech_01/KsponSpeech_0001..0010"
        )
    return set(range(first, last + 1))


def _folder_number(id: str) -> int | None:
    """KsponSpeech_0001 has the numbers 1 to 1,000, and so on; evaluation files are in none."""
    number = id.removeprefix("KsponSpeech_")
    return None if number.startswith("E") else (int(number) - 1) // 1000 + 1


def _draw(seed: int, id: str) -> bytes:
    return hashlib.sha256(f"{seed} {id}".encode()).digest()
