"""Attacks by corpora as they are distributed: their lists, their trees and their archives."""

import gzip
import json
import os
import random
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copytree, rmtree

from mutations import emptied, flipped, not_utf8, other_value, truncated, without_key

from asrbench.data.corpus import Corpus
from attack.attempt import Attack, Attempt
from attack.bounded import Outcome
from attack.recordings import rejected_rows
from attack.source_trees import TREES, Tree

OUT = "made"

BOMB_BYTES = 300 << 20
"""More than any file of a corpus may have."""

EVIL = (
    "",
    " ",
    "a/b",
    "../../outside",
    "/etc/passwd",
    "/dev/zero",
    "\x1b]0;mine\x07\x1b[31mred",
    "\0",
    "\r",
    "\x85\u2028",
    "x" * 5_000,
    "\u202eabc\u202c",
    "\ufeff",
    "\u200b",
    "e\u0301\u1112\u1161\u11ab",
    "cat x |",
    "u1",
    "nan",
    "inf",
    "-1",
    "-0.5",
    "1e308",
    "9" * 400,
    "0.00001",
    "None",
)
"""Values for any field of a line."""

_FIELD = re.compile(r"[^\t ,]+")
_KSPON = re.compile(r"KsponSpeech_E?\d+")
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that must not reach a terminal."""


# What is done to a list


def line_dropped(content: bytes, draw: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.pop(draw.randrange(len(lines)))
    return b"".join(lines)


def line_doubled(content: bytes, draw: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(draw.randrange(len(lines)), draw.choice(lines))
    return b"".join(lines)


def lines_joined(content: bytes, draw: random.Random) -> bytes:
    places = [place for place, byte in enumerate(content) if byte == ord("\n")]
    place = draw.choice(places)
    return content[:place] + draw.choice([b"", b"\r", b"\0", b" "]) + content[place + 1 :]


def field_changed(content: bytes, draw: random.Random) -> bytes:
    """Puts a value that is not meant there into a field of a line."""
    lines = content.decode("latin-1").split("\n")  # texts may be in cp949
    number = draw.randrange(max(1, len(lines) - 1))
    fields = list(_FIELD.finditer(lines[number]))
    if fields:
        field = draw.choice(fields)
        line = lines[number]
        evil = draw.choice(EVIL).encode().decode("latin-1")
        lines[number] = line[: field.start()] + evil + line[field.end() :]
    return "\n".join(lines).encode("latin-1")


def text_of_json_changed(content: bytes, draw: random.Random) -> bytes:
    """Puts such a value under a key of a line of JSON."""
    lines = [json.loads(line) for line in content.decode().splitlines()]
    row = draw.choice(lines)
    while isinstance(row, dict | list):
        keys = list(row) if isinstance(row, dict) else range(len(row))
        key = draw.choice(list(keys))
        if not isinstance(row[key], dict | list) or not row[key]:
            row[key] = draw.choice(EVIL)
            break
        row = row[key]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


BYTES = (flipped, partial(flipped, bits=8), truncated, not_utf8, emptied)
LINES = (line_dropped, line_doubled, lines_joined)
FIELDS = (*BYTES, *LINES, *[field_changed] * 6)
VALUES = (*BYTES, *LINES, without_key, *[other_value] * 3, *[text_of_json_changed] * 3)


def lists(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Damages a list of a corpus; half of the time over a corpus that is there, with --force."""
    for number in range(count):
        tree = TREES[number % len(TREES)]
        folder = home / "tree"
        folder.mkdir()
        tree.make(folder)
        path = draw.choice([each for name in tree.lists for each in sorted(folder.glob(name))])
        packed = path.suffix == ".gz"
        content = path.read_bytes()
        if packed:
            content = gzip.decompress(content)
        ways = VALUES if path.suffix in (".jsonl", ".json", ".gz") else FIELDS
        how = draw.choice(ways)
        damaged = how(content, draw)
        path.write_bytes(gzip.compress(damaged) if packed else damaged)
        what = f"{tree.recipe}: {path.name}, {getattr(how, '__name__', 'flipped')}"
        yield from prepared(home, tree, what, draw)
        rmtree(folder)


def prepared(home: Path, tree: Tree, what: str, draw: random.Random) -> Iterator[Attempt]:
    """Yields the attempt to prepare a damaged tree, and cleans up after it."""
    out = home / OUT
    force = draw.random() < 0.5
    if force:
        copytree(home / "corpus", out)
    options = (*tree.options, *(["--force"] if force else []))
    before = _everything_but(home, out)
    source = home / "tree" / tree.source
    yield Attempt(
        f"{what}{', --force' if force else ''}",
        ("prep", tree.recipe, source.relative_to(home), "--out", OUT, *options),
        partial(_well_ended, home, tree, before, force),
    )
    rmtree(out, ignore_errors=True)


def _everything_but(home: Path, out: Path) -> set[str]:
    """Returns the names of all files and folders, without following links into circles."""
    return {
        os.path.join(folder, name)
        for folder, folders, files in os.walk(os.fsencode(home).decode("utf-8", "surrogateescape"))
        for name in (*folders, *files)
        if not Path(folder, name).is_relative_to(out) and not name.startswith(".attack-")
    }


def _well_ended(
    home: Path, tree: Tree, before: set[str], force: bool, outcome: Outcome
) -> str | None:
    """Checks what a preparation left, whether it was refused or done."""
    out = home / OUT
    if (new := _everything_but(home, out) - before) or before - _everything_but(home, out):
        return f"outside --out, files are new or gone: {sorted(new)[:3]}"
    if found := _FORBIDDEN.search(outcome.out + outcome.err):
        return f"{found[0]!r} reached the terminal"
    if outcome.status == 2:
        if out.exists() != force:
            return "left a folder" if out.exists() else "took the old corpus away"
        return "changed the old corpus" if force and not _same(out, home / "corpus") else None
    if outcome.err:
        return f"a line on the terminal: {outcome.err[:200]!r}"
    return _complete(home / "tree", out, tree)


def _same(one: Path, other: Path) -> bool:
    files = {path.name: path.read_bytes() for path in one.iterdir()}
    return files == {path.name: path.read_bytes() for path in other.iterdir()}


def _complete(folder: Path, out: Path, tree: Tree) -> str | None:
    """Returns which utterances of the lists are neither in the corpus nor rejected."""
    corpus = Corpus.open(out)
    ids = [id for name in corpus.split_names for id in corpus.split(name).ids]
    rows = rejected_rows(out)
    if len(set(ids)) < len(ids):
        return "has an id twice"
    if not all(row["reason"] for row in rows):
        return "rejects without a reason"
    if tree.recipe == "ksponspeech":
        named = {*ids, *(row["id"] for row in rows)}
        audio = {path.stem for path in folder.glob("**/*.pcm") if _KSPON.fullmatch(path.stem)}
        return f"drops {sorted(audio - named)}" if audio - named else None
    about_entries = [
        row
        for row in rows
        if row["reason"] not in tree.not_entries and not row["detail"].startswith("recordings")
    ]
    listed = tree.listed(folder)
    if len(ids) + len(about_entries) != listed:
        return f"{len(ids)} kept and {len(about_entries)} rejected of {listed}"
    texts = [text for name in corpus.split_names for text in corpus.split(name).texts]
    if not all(unicodedata.normalize("NFC", text).strip() for text in texts):
        return "has an empty text"
    return None


# What is done to a tree


def link_to_itself(folder: Path, draw: random.Random) -> None:
    """Links a folder of the tree into itself, which makes a circle."""
    below = draw.choice([folder, *(path for path in sorted(folder.glob("*")) if path.is_dir())])
    (below / "again").symlink_to(draw.choice([folder, below]), target_is_directory=True)


def link_elsewhere(folder: Path, draw: random.Random) -> None:
    """Replaces a file by a link: to nothing, to itself, to a folder, to a device without end."""
    path = _any_file(folder, draw)
    path.unlink()
    path.symlink_to(draw.choice(["nowhere", path.name, "/", "/dev/zero", "/dev/stdin", ".."]))


def no_file(folder: Path, draw: random.Random) -> None:
    """Replaces a file by a folder, by a pipe, or by nothing."""
    path = _any_file(folder, draw)
    path.unlink()
    draw.choice([path.mkdir, partial(os.mkfifo, path), path.exists])()


def half_is_missing(folder: Path, draw: random.Random) -> None:
    """Deletes half of the files: recordings, lists, or any."""
    files = [path for path in sorted(folder.glob("**/*")) if path.is_file()]
    for path in draw.sample(files, len(files) // 2):
        path.unlink()


def names_are_not_utf8(folder: Path, draw: random.Random) -> None:
    """Adds a copy of a file under a name that is not UTF-8, or that a terminal would obey."""
    path = _any_file(folder, draw)
    name = draw.choice([b"\xff\xfe", b"\x1b[31m", b"a\nb", "\u202e".encode(), b"x" * 200])
    copy = os.path.join(os.fsencode(path.parent), name + os.fsencode(path.name))
    Path(os.fsdecode(copy)).write_bytes(path.read_bytes())


def lists_swapped(folder: Path, draw: random.Random) -> None:
    """Exchanges two files, such as a list and a recording."""
    one, other = _any_file(folder, draw), _any_file(folder, draw)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _any_file(folder: Path, draw: random.Random) -> Path:
    return draw.choice([path for path in sorted(folder.glob("**/*")) if path.is_file()])


CHANGES: tuple[Callable[[Path, random.Random], None], ...] = (
    link_to_itself,
    link_elsewhere,
    no_file,
    half_is_missing,
    names_are_not_utf8,
    lists_swapped,
)


def trees(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Damages the folders of a corpus."""
    for number in range(count):
        tree = TREES[number % len(TREES)]
        folder = home / "tree"
        folder.mkdir()
        tree.make(folder)
        change = draw.choice(CHANGES)
        change(folder, draw)
        yield from prepared(home, tree, f"{tree.recipe}: {change.__name__}", draw)
        rmtree(os.fsencode(folder))


# What is done to an archive


def archives(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Packs KsponSpeech into a zip that is damaged, leads outside, or unpacks to gigabytes."""
    tree = TREES[-1]
    for number in range(count):
        folder = home / "tree"
        tree.make(folder / "inner")
        kind = ("whole", "bytes", "outside", "bomb", "twice", "nested")[number % 6]
        path = folder / "download.zip"
        _packed(folder / "inner", path, kind, draw)
        if kind == "bytes":
            damage = draw.choice([flipped, partial(flipped, bits=16), truncated])
            path.write_bytes(damage(path.read_bytes(), draw))
        rmtree(folder / "inner")
        for attempt in prepared(home, tree, f"zip: {kind}", draw):
            check = partial(_of_archive, home, kind, attempt.check)
            yield replace(attempt, check=check)
        rmtree(folder)


def _packed(inner: Path, path: Path, kind: str, draw: random.Random) -> None:
    members = [each for each in sorted(inner.glob("**/*")) if each.is_file()]
    chosen = draw.choice(members)
    outside = draw.choice(["../../evil.pcm", "/tmp/evil.txt", "a/../../evil.trn", "..\\evil.pcm"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in members:
            name = str(each.relative_to(inner))
            if kind == "bomb" and each == chosen:
                archive.writestr(name, bytes(BOMB_BYTES))
            else:
                archive.writestr(name, each.read_bytes())
        if kind == "outside":
            archive.writestr(outside, b"out")
        if kind == "nested":
            archive.writestr("more.zip", b"PK\x05\x06" + bytes(18))
        if kind == "twice":
            with warnings.catch_warnings(action="ignore"):
                archive.writestr(str(chosen.relative_to(inner)), chosen.read_bytes())


def _of_archive(
    home: Path, kind: str, check: Callable[[Outcome], str | None], outcome: Outcome
) -> str | None:
    if kind in ("whole", "twice", "nested") and outcome.status != 0:
        return f"was refused: {outcome.refusal}"
    if (complaint := check(outcome)) or outcome.status:
        return complaint
    about = json.loads((home / OUT / "corpus.json").read_text(encoding="utf-8"))
    kept = sum(split["utterances"] for split in about["splits"].values())
    if kept + sum(about["rejected"].values()) < 8:
        return f"{kept} kept and {about['rejected']} of 8"
    return None if kept == 8 or kind in ("bytes", "bomb") else f"{kept} kept of 8"


ATTACKS = (
    Attack("lists of corpora", "damages the lists of every recipe", lists, 1.2),
    Attack("trees of corpora", "damages the folders of every recipe", trees, 0.6),
    Attack("archives of corpora", "damages zips, or fills them with evil", archives, 0.3),
)
