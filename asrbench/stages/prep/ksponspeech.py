"""KsponSpeech as AI Hub distributes it: 622,545 utterances and 6,000 for evaluation, 969 hours.

    KsponSpeech_01/KsponSpeech_0001/KsponSpeech_000001.pcm   headless, 16 kHz, 16 bits
    KsponSpeech_01/KsponSpeech_0001/KsponSpeech_000001.txt   its text, in cp949
    KsponSpeech_eval/eval_clean/KsponSpeech_E00001.pcm       with or without the first folder
    KsponSpeech_scripts/train.trn                            path :: text, a line an utterance

and the same for dev.trn, eval_clean.trn and eval_other.trn, in any folder. The marks in the texts
are described in `asrbench.stages.prep.kspon_text`.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

from asrbench.base.errors import Fault, UserError
from asrbench.stages.prep.kspon_figures import Census
from asrbench.stages.prep.kspon_text import transcript
from asrbench.stages.prep.recipe import Argument, Option, Preparation, Recipe, SplitSeed
from asrbench.stages.prep.sources import write_utterances
from asrbench.stages.prep.splits import take_dev
from asrbench.stages.prep.trees import Tree
from asrbench.text.normal_form import without_punctuation

if TYPE_CHECKING:
    from asrbench.data.corpus_writer import CorpusWriter, Utterance

Side = Literal["spelling", "phonetic"]
Punctuation = Literal["none", "sentence"]

KEPT = {"none": "", "sentence": ".?!"}
"""The punctuation that `text` keeps. The columns `spelling` and `phonetic` keep all of it."""

SPLITS = ("train", "dev", "eval_clean", "eval_other")
TRAIN_NUMBERS = range(1, 620_001)
DEV_NUMBERS = range(620_001, 622_546)
"""Official ranges, for a download without lists. Evaluation files have no such ranges."""

DEV_SHARE, DEV_MOST = 0.05, 2_500
"""The share of train, and the largest number, that becomes dev if the official dev is missing."""

_NAME = re.compile(r"(?P<id>KsponSpeech_(?P<number>E?\d+))\.(?:pcm|wav)")
_TEXT_NAME = re.compile(r"(?P<id>KsponSpeech_E?\d+)\.txt")
_FOLDERS = re.compile(
    r"(?:KsponSpeech_\d\d/)?(?:KsponSpeech_)?(?P<first>\d{4})"
    r"(?:\.\.(?:KsponSpeech_)?(?P<last>\d{4}))?"
)


@dataclass(frozen=True)
class Options:
    source: Annotated[Path, Argument("AI Hub's download: a folder, or a zip.")]
    side: Annotated[
        Side, Option("Side of dual transcriptions that becomes `text`; both sides are kept.")
    ] = "spelling"
    punctuation: Annotated[
        Punctuation, Option("Punctuation that stays in `text`: none, or . ? and !")
    ] = "none"
    folders: Annotated[
        str | None, Option("Folders of train to take, as KsponSpeech_01/KsponSpeech_0001..0010.")
    ] = None
    limit: Annotated[int | None, Option("Utterances of train to take, drawn with --seed.")] = None
    seed: SplitSeed = 0


@dataclass(frozen=True)
class SelectedUtterances:
    """The utterances that the options selected, as `corpus.json` records them."""

    train_found: int
    folders: str | None
    limit: int | None
    dev: str


def prepare(options: Options, preparation: Preparation) -> None:
    """Prepares KsponSpeech, complete or in part, from a folder or a zip, with lists or without.

    The column `text` is one side of dual transcriptions; the columns `spelling`, `phonetic` and
    `raw` are always there. `options.folders` and `options.limit` reduce train only. If the official
    dev set is missing, a twentieth of train, drawn with the seed, takes its place.

    An utterance that a list names and the download lacks is left out, with one row for each folder
    that is missing completely. Raises `UserError`, leaving nothing behind, if `source` holds no
    KsponSpeech, if its lists contradict each other, or if the selection is empty.
    """
    source, limit = options.source, options.limit
    wanted = None if options.folders is None else _folder_numbers(options.folders)
    if limit is not None and limit < 2:
        raise UserError(f"--limit: found {limit}, allowed: 2 or more, for train and dev")
    with (
        Tree(source, ".pcm", ".wav", ".txt", ".trn") as tree,
        preparation.new_corpus(
            name="ksponspeech",
            source=str(source),
            text_profile=f"{options.side}, punctuation {options.punctuation}",
        ) as writer,
    ):
        found = _find(tree, _TextForm(tree, options.side, KEPT[options.punctuation]), writer)
        if not any(found.values()):
            raise UserError(
                f"{source}: found none of KsponSpeech's audio there, as KsponSpeech_01/"
                f"KsponSpeech_0001/KsponSpeech_000001.pcm"
            )
        splits, selection = _select(found, wanted, limit, options.seed)
        census = Census()
        write_utterances(writer, splits, preparation, census.count)
        checks = [asdict(check) for check in census.checks()]
        writer.about = {"selection": asdict(selection), "checks": checks}


# Finding the utterances


@dataclass(frozen=True, slots=True)
class _TextForm:
    """The settings that all utterances share: the download, and the form of the column `text`."""

    tree: Tree
    side: Side
    punctuation: str


@dataclass(frozen=True, slots=True)
class _Utterance:
    """An utterance that is still in files. If `line` is `None`, its text is beside the audio."""

    id: str
    audio: str
    line: str | None
    form: _TextForm

    speaker = None
    """The corpus names no speakers."""

    @property
    def text(self) -> str:
        """Returns the line of the list, "" if the utterance is in no list."""
        return self.line or ""

    def read(self) -> "Utterance":
        """Reads audio and text. Raises `Fault` if either cannot be used."""
        from asrbench.data.corpus_writer import Utterance
        from asrbench.stages.prep.kspon_files import decode_audio

        data = self.form.tree.read(self.audio)
        audio, remarks = decode_audio(data, self.audio)
        raw = self._text_beside() if self.line is None else self.line
        found = transcript(raw, self.id)
        text = without_punctuation(getattr(found, self.form.side), self.form.punctuation)
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
        from asrbench.stages.prep.kspon_files import decode_text

        name = str(PurePosixPath(self.audio).with_suffix(".txt"))
        return decode_text(self.form.tree.read(name), name)


def _find(tree: Tree, form: _TextForm, writer: "CorpusWriter") -> dict[str, list[_Utterance]]:
    """Returns the utterances of each split, and rejects those with only audio or only a text."""
    audio_of: dict[str, str] = {}  # id -> path of its audio
    for name in tree.names:
        if match := _NAME.fullmatch(PurePosixPath(name).name):
            audio_of.setdefault(match["id"], name)
    splits: dict[str, list[_Utterance]] = {split: [] for split in SPLITS}
    listed: set[str] = set()
    for split in SPLITS:
        lines = dict(_listed(tree, split, listed, writer))
        here = {_folder(audio_of[id]) for id in lines if id in audio_of}
        absent: Counter[str] = Counter()
        for id, (path, line) in lines.items():
            if id in audio_of:
                splits[split].append(_Utterance(id, audio_of[id], line, form))
            elif _folder(path) in here:
                writer.reject(id, split, "missing", path)
            else:
                absent[_folder(path)] += 1
        for folder, count in sorted(absent.items()):
            writer.leave_out(folder, split, "folder not there", f"{count} utterances")
    for id, name in audio_of.items():
        if id not in listed:
            if unlisted := _split_of(id, name):
                splits[unlisted].append(_Utterance(id, name, None, form))
            else:
                writer.reject(id, "", "in no list", name)
    for name in tree.names:
        match = _TEXT_NAME.fullmatch(PurePosixPath(name).name)
        if match and match["id"] not in audio_of and match["id"] not in listed:
            split = _split_of(match["id"], name) or ""
            writer.reject(match["id"], split, "missing", f"{name} has no audio beside it")
    return splits


def _listed(
    tree: Tree, split: str, listed: set[str], writer: "CorpusWriter"
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yields (id, (path, text)) for each line of a split's list; nothing if there is no list."""
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
    """Returns the lines of a split's list. Raises `UserError` if it cannot be read."""
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
    """Returns the split of an utterance that is in no list, by its folder or its number."""
    number = id.removeprefix("KsponSpeech_")
    if number.startswith("E"):
        return next((split for split in SPLITS if split in PurePosixPath(name).parts), None)
    if int(number) in TRAIN_NUMBERS:
        return "train"
    return "dev" if int(number) in DEV_NUMBERS else None


def _folder(path: str) -> str:
    return PurePosixPath(path).parent.name


# Selecting from them


def _select(
    splits: dict[str, list[_Utterance]], wanted: set[int] | None, limit: int | None, seed: int
) -> tuple[dict[str, list[_Utterance]], SelectedUtterances]:
    """Returns the splits with train reduced and with a dev set, and what was selected."""
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
    selection = SelectedUtterances(
        train_found=found,
        folders=None if wanted is None else f"{min(wanted):04d}..{max(wanted):04d}",
        limit=limit,
        dev=f"{drawn} drawn from train, seed {seed}" if drawn else "official",
    )
    return splits | {"train": train, "dev": dev}, selection


def _folder_numbers(folders: str) -> set[int]:
    """Returns the numbers of the folders that `--folders` names. Raises `UserError`."""
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
    """Returns the folder of an utterance: 1 holds the numbers 1 to 1,000. Evaluation has none."""
    number = id.removeprefix("KsponSpeech_")
    return None if number.startswith("E") else (int(number) - 1) // 1000 + 1


def _draw(seed: int, id: str) -> bytes:
    return hashlib.sha256(f"{seed} {id}".encode()).digest()


RECIPE = Recipe(
    details="Unpacked or still zipped, with its .trn lists or without, all of it or a part.",
    options=Options,
    prepare=prepare,
)
