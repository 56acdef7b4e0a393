"""Makes a folder with the layout of KsponSpeech and texts with its marks.

The corpus itself may not be redistributed, and is not needed to measure the cost of reading it.

    python benchmarks/kspon_tree.py TREE --utterances 100000
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.stages.prep.sentences import sentences

PER_FOLDER = 1_000
FOLDERS_PER_VOLUME = 124
EVAL_SHARE = 0.01
"""The share of evaluation utterances, as in the corpus: 6,000 of 628,545."""


class Marked(NamedTuple):
    """A transcription with marks, and its two sides."""

    raw: str
    spelling: str
    phonetic: str


@dataclass(frozen=True)
class Spoken:
    """An utterance of the tree. `number` has six digits, or E and five in an evaluation set."""

    split: str
    number: str
    audio: Samples
    raw: str

    @property
    def id(self) -> str:
        return f"KsponSpeech_{self.number}"

    @property
    def path(self) -> str:
        """Returns the path of the audio, as a list names it."""
        if self.split.startswith("eval"):
            return f"KsponSpeech_eval/{self.split}/{self.id}.pcm"
        folder = (int(self.number) - 1) // PER_FOLDER + 1
        volume = (folder - 1) // FOLDERS_PER_VOLUME + 1
        return f"KsponSpeech_{volume:02d}/KsponSpeech_{folder:04d}/{self.id}.pcm"


def write_tree(
    root: Path, spoken: Iterable[Spoken], *, lists: str | None = "KsponSpeech_scripts"
) -> None:
    """Writes audio, texts, and lists in the folder `lists` of the tree; `None` writes no lists.

    Evaluation files end in half a sample, as in the corpus.
    """
    lines: dict[str, list[str]] = {}
    for each in spoken:
        path = root / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        half = b"\0" if each.split.startswith("eval") else b""
        path.write_bytes(each.audio.astype("<i2").tobytes() + half)
        path.with_suffix(".txt").write_bytes(f"{each.raw}\r\n".encode("cp949"))
        lines.setdefault(each.split, []).append(f"{each.path} :: {each.raw}\n")
    if lists is not None:
        (root / lists).mkdir(parents=True, exist_ok=True)
        for split, rows in lines.items():
            (root / lists / f"{split}.trn").write_text("".join(rows), encoding="utf-8")


DUALS = [
    ("3시", "세 시"),
    ("2월", "이 월"),
    ("100%", "백 프로"),
    ("TV", "티비"),
    ("1개", "한 개"),
    ("0.1%", "영 점 일 퍼센트"),
    ("내가", "내"),
    ("PC방", "피씨방"),
]
TAGS = ("b/", "l/", "n/", "o/", "u/")
FILLERS = ("아", "어", "그", "음", "뭐", "막")


def marked(text: str, rng: np.random.Generator) -> Marked:
    """Puts random marks between and after the words of `text`, at about every third word."""
    raw, spelling, phonetic = [], [], []
    for word in text.split():
        written = said = marks = word
        match int(rng.integers(0, 18)):
            case 0:
                raw.append(str(rng.choice(TAGS)))
            case 1:
                marks = f"{word}+"
            case 2:
                marks = f"{word}*"
            case 3:
                filler = str(rng.choice(FILLERS))
                raw.append(f"{filler}/")
                spelling.append(filler)
                phonetic.append(filler)
            case 4:
                left, right = DUALS[int(rng.integers(len(DUALS)))]
                raw.append(f"({left})/({right})")
                spelling.append(left)
                phonetic.append(right)
            case 5 if word[-1].isalnum() and not word[-1].isascii():
                marks = f"{word}{rng.choice(TAGS)}"
        raw.append(marks)
        spelling.append(written)
        phonetic.append(said)
    return Marked(" ".join(raw), " ".join(spelling), " ".join(phonetic))


def composed(utterances: int, seconds: float, seed: int) -> Iterator[Spoken]:
    """Yields utterances of noise with sentences of a grammar; `seconds` is their mean length."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 500, 60 * SAMPLE_RATE_HZ).astype(np.int16)
    texts = _forever(seed)
    heldout = max(2, round(EVAL_SHARE * utterances))
    for k in range(utterances):
        length = int(SAMPLE_RATE_HZ * max(0.3, rng.lognormal(np.log(seconds) - 0.2, 0.65)))
        start = int(rng.integers(0, max(1, len(noise) - length)))
        raw = marked(next(texts), rng).raw
        if k < heldout:
            split = "eval_clean" if 2 * k < heldout else "eval_other"
            yield Spoken(split, f"E{k + 1:05d}", noise[start : start + length], raw)
        else:
            number = k - heldout + 1
            yield Spoken("train", f"{number:06d}", noise[start : start + length], raw)


def _forever(seed: int) -> Iterator[str]:
    """Yields the sentences of the grammar, and then those of the next seeds."""
    while True:
        yield from sentences(seed)
        seed += 1


def main(
    tree: Annotated[Path, typer.Argument(help="Folder to make.")],
    utterances: Annotated[int, typer.Option(min=10, help="Number of utterances.")] = 100_000,
    seconds: Annotated[
        float, typer.Option(help="Mean length in s; that of the corpus is 5.6.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of texts and lengths.")] = 0,
) -> None:
    """Make a folder with the layout of KsponSpeech."""
    if tree.exists():
        sys.exit(f"{tree}: exists already")
    write_tree(tree, composed(utterances, seconds, seed))


if __name__ == "__main__":
    typer.run(main)
