"""Files that are made to take the machine. Each is bounded in time and memory, and it is refused in
one line, or its utterances are rejected with their reason.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mutations import NESTED

from attack.attempt import Attack, Attempt
from attack.bounded import Outcome

RUN = "results/tiny/ds2/seed*"
COMPARE = ("compare", "results", "--replicates", "50", "--json")
SCORE = ("score", "a={}", "--replicates", "50")
PREP = ("--out", "made")

READERS: dict[str, tuple[str, ...]] = {
    "tiny.yaml": ("train", "tiny.yaml", "--dry-run", "--results", "made"),
    "tones.tsv": ("prep", "table", "tones.tsv", *PREP),
    "train0.wav": ("prep", "table", "tones.tsv", *PREP),
    "test0.wav": ("transcribe", "results/tiny/ds2", "test0.wav", "--device", "cpu"),
    "corpus/corpus.json": ("corpus", "corpus"),
    "corpus/train.arrow": ("corpus", "corpus"),
    "corpus/rejected.jsonl": ("corpus", "corpus"),
    "corpus/remarks.jsonl": ("corpus", "corpus"),
    f"{RUN}/spec.yaml": COMPARE,
    f"{RUN}/env.json": COMPARE,
    f"{RUN}/history.jsonl": COMPARE,
    f"{RUN}/scores.json": COMPARE,
    f"{RUN}/hypotheses.test.jsonl": COMPARE,
    f"{RUN}/excluded.jsonl": ("verify", "results"),
    f"{RUN}/inspect.test.json": ("compare", "results", "--replicates", "0", "--out", "made"),
    f"{RUN}/checkpoints/best.safetensors": ("transcribe", "results/tiny/ds2", "test0.wav"),
    "plugin.py": ("models", "--plugin", "plugin.py"),
    "ref.trn": ("score", "a=hyp.trn", "--ref", "ref.trn"),
    "hyp.trn": ("score", "a=hyp.trn", "--ref", "ref.trn"),
    "utt2spk": ("score", "a=hyp.trn", "--ref", "ref.trn", "--speakers", "utt2spk"),
    "rows.jsonl": ("score", "a=rows.jsonl"),
    "whisper/u1.json": ("score", "a=whisper", "--ref", "ref.trn"),
    "nemo.json": ("prep", "nemo", "nemo.json", *PREP),
    "lhotse/cuts.jsonl": ("prep", "lhotse", "lhotse", *PREP),
    "kaldi/text": ("prep", "kaldi", "kaldi", *PREP),
    "kaldi/wav.scp": ("prep", "kaldi", "kaldi", *PREP),
    "kaldi/segments": ("prep", "kaldi", "kaldi", *PREP),
}
"""The files that are read, and the cheapest command that reads each."""


def _furnished(folder: Path) -> None:
    """Adds small files of every other format that is read."""
    row = {"id": "u1", "reference": "one two", "hypothesis": "one too"}
    nemo = {"audio_filepath": "train0.wav", "text": "abca", "duration": 0.8}
    texts = {
        "plugin.py": "import asrbench\n",
        "ref.trn": "one two (u1)\n",
        "hyp.trn": "one too (u1)\n",
        "utt2spk": "u1 s1\n",
        "rows.jsonl": json.dumps(row) + "\n",
        "whisper/u1.json": '{"text": "one too"}',
        "nemo.json": json.dumps(nemo) + "\n",
        "lhotse/cuts.jsonl": "{}\n",
        "kaldi/text": "u1 abca\n",
        "kaldi/wav.scp": f"u1 {folder / 'train0.wav'}\n",
        "kaldi/segments": "u1 u1 0 0.5\n",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _located(folder: Path, name: str) -> Path:
    (path,) = folder.glob(name)
    return path


Way = Callable[[Path], object]
"""What makes a hostile file at a path."""


def _replaced(
    folder: Path, draw: random.Random, count: int, ways: Sequence[tuple[str, Way]]
) -> Iterator[Attempt]:
    """Yields attempts in which a file is replaced by what one of `ways` makes at its path."""
    _furnished(folder)
    pairs = [(name, way) for name in READERS for way in ways]
    draw.shuffle(pairs)
    for number in range(count):
        name, (what, make) = pairs[number % len(pairs)]
        path, aside = _located(folder, name), folder / ".aside"
        path.rename(aside)
        make(path)
        yield Attempt(f"{name} is {what}", READERS[name], nothing_made(folder))
        shutil.rmtree(folder / "made", ignore_errors=True)
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        aside.rename(path)


def nothing_made(folder: Path) -> Callable[[Outcome], str | None]:
    def check(outcome: Outcome) -> str | None:
        if outcome.refusal is None or "the study lacks" in outcome.refusal:
            return None
        return "refused, but the folder was made" if (folder / "made").exists() else None

    return check


def _sparse(size: int) -> Way:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


NOT_FILES: tuple[tuple[str, Way], ...] = (
    ("a pipe", os.mkfifo),
    ("/dev/zero", lambda path: path.symlink_to("/dev/zero")),
    ("/dev/random", lambda path: path.symlink_to("/dev/random")),
    ("/dev/full", lambda path: path.symlink_to("/dev/full")),
    ("a link to itself", lambda path: path.symlink_to(path.name)),
    ("a link to nothing", lambda path: path.symlink_to("nothing")),
    ("a folder", Path.mkdir),
    ("/proc/self/mem", lambda path: path.symlink_to("/proc/self/mem")),
    ("a terabyte of zeros", _sparse(2**40)),
    ("400 MB of zeros", _sparse(4 * 10**8)),
)


def _not_files(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    return _replaced(folder, draw, count, NOT_FILES)


def _text(text: str) -> Way:
    return lambda path: path.write_text(text, encoding="utf-8")


ALIASES = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}}}\n" for i in range(1, 3000))
MANY = 200_000

DOCUMENTS: tuple[tuple[str, Way], ...] = (
    ("a million [", _text("[" * 10**6)),
    ("100,000 nested objects", _text('{"a":' * 100_000 + "1" + "}" * 100_000)),
    ("100,000 nested lists", _text("[" * 100_000 + "]" * 100_000)),
    ("900 nested lists", _text("[" * 900 + "]" * 900)),
    ("900 nested lists in a key", _text('{"name": ' + "[" * 900 + "]" * 900 + "}")),
    ("100,000 -", _text("- " * 100_000)),
    ("100,000 ?", _text("? " * 100_000)),
    ("aliases of 2^60 values", _text(ALIASES)),
    ("merges of merges", _text(MERGES)),
    ("an anchor in itself", _text("a: &a\n  b: *a\n")),
    ("a number of 5,000 digits", _text('{"a": ' + "9" * 5000 + "}")),
    ("a number of 20 MB", _text("9" * 20_000_000)),
    ("a fraction of 20 MB", _text('{"a": 0.' + "1" * 20_000_000 + "}")),
    ("a text of 20 MB", _text('{"id": "' + "a" * 20_000_000 + '"}')),
    ("a million null bytes", _text("\0" * 10**6)),
    ("200,000 empty objects", _text("{}\n" * MANY)),
    ("200,000 equal keys", _text("{" + '"a": 1, ' * MANY + '"a": 1}')),
    ("200,000 keys", _text("{" + ", ".join(f'"k{i}": {i}' for i in range(MANY)) + "}")),
    ("a list of 200,000 numbers", _text(json.dumps(list(range(MANY))))),
    ("spaces", _text(" " * 10**6)),
    ("200,000 spaces between words", _text("a" + " " * MANY + "b (u1)\n")),
    ("200,000 tabs", _text("\t" * MANY + "\n")),
    ("200,000 empty lines", _text("\n" * MANY)),
    ("200,000 opening brackets", _text("(" * MANY + "u1)\n")),
    ("a word of 200,000 letters", _text("u1 " + "a" * MANY + " (u1)\n")),
    ("a quote that does not end", _text('id,"' + "a,\n" * MANY)),
    ("combining marks", _text("a" + "\u0301\u0323" * 50_000 + " (u1)\n")),
    ("ligatures that expand", _text("\ufdfa" * 50_000 + " (u1)\n")),
    ("terminal escapes", _text("\x1b]0;x\x07\x1b[2J (u1)\n")),
    ("backslashes", _text('{"a": "' + "\\\\" * 10**6 + '"}')),
    ("nested brackets", _text(NESTED)),
)


def _documents(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    return _replaced(folder, draw, count, DOCUMENTS)


# Long transcripts


def _long_texts(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Utterances and ids of very many characters, in every format of transcripts."""

    def words(length: int) -> str:
        return "".join(draw.choice("abcdefg ") for _ in range(length))

    def rows(*texts: str) -> list[str]:
        return [f"u{i}\t{text}" for i, text in enumerate(texts)]

    long = [(n, words(n), words(n)) for n in (1000, 10_000, 100_000)]
    ways: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
    for n, one, other in long:
        files = {"ref.tsv": "\n".join(rows(one)), "hyp.tsv": "\n".join(rows(other))}
        files["same.tsv"] = files["ref.tsv"]
        for unit in ("character", "word"):
            options = ("--ref", "ref.tsv", "--unit", unit, "--replicates", "50")
            ways.append((f"{n:,} characters", files, ("score", "a=hyp.tsv", *options)))
            both = ("score", "a=hyp.tsv", "b=same.tsv", *options)
            ways.append((f"{n:,} characters, two systems", files, both))
    big = "a" * 10**7
    many = "\n".join(rows(*["a b"] * 20_000))
    csv = "id,targets,predictions\n"
    for what, files, command in (
        ("an id of 10 MB", {"ref.tsv": f"{big}\ta"}, ("score", "a=ref.tsv", "--ref", "ref.tsv")),
        ("a field of 1 MB", {"h.csv": f"{csv}u1,{big[:10**6]},b\n"}, ("score", "a=h.csv")),
        ("20,000 columns", {"h.csv": csv + "a," * 20_000}, ("score", "a=h.csv")),
        ("20,000 rows", {"ref.tsv": many}, ("score", "a=ref.tsv", "--ref", "ref.tsv")),
        ("a table with a field of 1 MB", {"t.tsv": f"id\taudio\ttext\nu\ttest0.wav\t{big[:10**6]}"},
            ("prep", "table", "t.tsv", *PREP)),
        ("a table with a path of 1 MB", {"t.tsv": f"id\taudio\ttext\nu\t{big[:10**6]}\ta"},
            ("prep", "table", "t.tsv", *PREP)),
        ("a table with 2,000 columns", {"t.tsv": "\t".join(f"c{i}" for i in range(2000)) + "\n"},
            ("prep", "table", "t.tsv", *PREP)),
        ("a table of 3,000 recordings",
            {"t.tsv": "id\taudio\ttext\n" + "".join(f"u{i}\ttest0.wav\tab\n" for i in range(3000))},
            ("prep", "table", "t.tsv", *PREP)),
    ):  # fmt: skip
        ways.append((what, files, command))
    for number in range(count):
        what, files, command = ways[number % len(ways)]
        for name, text in files.items():
            (folder / name).write_text(text + "\n", encoding="utf-8")
        yield Attempt(what, command, nothing_made(folder))
        shutil.rmtree(folder / "made", ignore_errors=True)


# Folders in a circle


def _circles(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Links that lead to a folder above, and folders 400 deep."""
    _furnished(folder)
    deep = "/".join(["d"] * 400)
    commands = (
        ("compare", "results", "--replicates", "0", "--json"),
        ("verify", "results", "corpus"),
        ("eval", "results", "--split", "nowhere", "--device", "cpu"),
        ("score", "a=whisper", "--ref", "ref.trn"),
        ("prep", "librispeech", "whisper", *PREP),
        ("prep", "zeroth", "whisper", *PREP),
        ("prep", "an4", "whisper", *PREP),
        ("prep", "ksponspeech", "whisper", *PREP),
        ("prep", "commonvoice", "whisper", *PREP),
        ("prep", "kaldi", "whisper", *PREP),
        ("prep", "lhotse", "whisper", *PREP),
        ("train", "tiny.yaml", "--dry-run", "--set", "augment.noise={folders: [whisper]}"),
        ("prep", "table", "tones.tsv", "--out", "whisper/up/made"),
    )
    for number in range(count):
        command = commands[number % len(commands)]
        for place in (folder / "whisper", folder / "results", folder / "corpus"):
            (place / "up").symlink_to("..")
            (place / "self").symlink_to("self")
            (place / deep).mkdir(parents=True)
        yield Attempt(" ".join(command[:3]), command, nothing_made(folder))
        for place in (folder / "whisper", folder / "results", folder / "corpus"):
            (place / "up").unlink()
            (place / "self").unlink()
            shutil.rmtree(place / "d")
        shutil.rmtree(folder / "made", ignore_errors=True)


ATTACKS = (
    Attack(
        "hostile: no files",
        "A pipe, /dev/zero, /dev/full, a folder, a link to itself or to nothing, or a terabyte of "
        "zeros stands in place of each kind of file that is read.",
        _not_files,
    ),
    Attack(
        "hostile: documents",
        "Each kind of file that is read holds a million `[`, aliases that stand for 2^60 values, a "
        "number of 20 MB, 200,000 keys, 200,000 spaces, or a quote that does not end.",
        _documents,
        1.5,
    ),
    Attack(
        "hostile: transcripts",
        "Utterances of 100,000 characters are scored; ids, fields and lists are as long.",
        _long_texts,
        0.2,
    ),
    Attack(
        "hostile: circles",
        "Folders that hold a link to the folder above them, and folders 400 deep.",
        _circles,
        0.15,
    ),
)
