"""Damage to one file at a time, by its content or by what stands in its place, and its undoing."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from mutations import BYTES, DOCUMENTS, Mutation, other_value, without_key

from attack.bounded import Outcome, run

BLOCK = 4096
"""Bytes of a block of a disk."""


class Kept:
    """The files below a folder as they are now, to see what changed and to bring them back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = contents(folder)
        self.times = {path: path.stat().st_mtime_ns for path in self.files}
        self._folders = {path for path in folder.rglob("*") if path.is_dir()}

    def changed(self) -> list[str]:
        """Returns the names of files that are new, gone, or of other content, sorted."""
        now = contents(self.folder)
        names = {path for path in now.keys() | self.files if now.get(path) != self.files.get(path)}
        return sorted(str(path.relative_to(self.folder)) for path in names)

    def restore(self) -> None:
        """Makes the folder what it was, with the times of its files."""
        for path in sorted(self.folder.rglob("*"), reverse=True):  # a folder after its files
            kept = self._folders if path.is_dir() and not path.is_symlink() else self.files
            if path not in kept or path.is_symlink():
                remove(path)
        for path, content in self.files.items():
            if not path.is_file() or path.read_bytes() != content:
                remove(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                os.utime(path, ns=(self.times[path], self.times[path]))


def done(*arguments: object, folder: Path) -> Outcome:
    """Runs a command that prepares an attack and has to succeed."""
    outcome = run(*arguments, folder=folder, seconds=300)
    if outcome.status != 0:
        raise RuntimeError(f"{arguments}: {outcome.fault or outcome.refusal}")
    return outcome


def contents(folder: Path) -> dict[Path, bytes]:
    """Returns the content of every regular file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if not path.is_symlink() and path.is_file())
    return {path: path.read_bytes() for path in files}


@contextmanager
def undone(folder: Path) -> Iterator[Kept]:
    """Yields the files below a folder, and brings them back at the end."""
    kept = Kept(folder)
    try:
        yield kept
    finally:
        kept.restore()


def remove(path: Path) -> None:
    """Deletes whatever is at that path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# What stands in the place of a file

PLACES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a folder with a file": lambda path: (path.mkdir(), (path / "file").write_text("x")),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to its own folder": lambda path: path.symlink_to("."),
    "a pipe": os.mkfifo,
    "a device that never ends": lambda path: path.symlink_to("/dev/zero"),
}


# What a file contains


def zeroed(content: bytes, draw: random.Random) -> bytes:
    """Makes a block zero, as a disk does that lost it."""
    start = BLOCK * draw.randrange(len(content) // BLOCK + 1)
    block = content[start : start + BLOCK]
    return content[:start] + bytes(len(block)) + content[start + BLOCK :]


def exchanged(content: bytes, draw: random.Random) -> bytes:
    """Exchanges two blocks, of which a short file has many too."""
    size = min(BLOCK, len(content) // 4 + 1)
    blocks = [content[start : start + size] for start in range(0, len(content), size)]
    if blocks:
        one, other = draw.randrange(len(blocks)), draw.randrange(len(blocks))
        blocks[one], blocks[other] = blocks[other], blocks[one]
    return b"".join(blocks)


def doubled(content: bytes, draw: random.Random) -> bytes:
    return content + content


def lengthened(content: bytes, draw: random.Random) -> bytes:
    return content + draw.randbytes(draw.choice([1, 7, BLOCK]))


BLOCKS: tuple[Mutation, ...] = (*BYTES, BYTES[0], zeroed, exchanged, doubled, lengthened)
"""Damage to a file of any format."""

_KINDS: dict[str, tuple[Mutation, ...]] = {
    ".json": (*DOCUMENTS, doubled, other_value, without_key),
    ".jsonl": (*DOCUMENTS, exchanged, doubled, lengthened),
    # Few other documents: a reader of YAML gets attacks of its own.
    ".yaml": (*BYTES, other_value, other_value, without_key, without_key, doubled),
}


def damage(path: Path, draw: random.Random, places: float = 0.15) -> str:
    """Damages a file in place and returns in words what was done.

    The share `places` of the attempts puts something else in its place.
    """
    if draw.random() < places:
        what = draw.choice(sorted(PLACES))
        remove(path)
        PLACES[what](path)
        return f"{path.name} is {what}"
    whole = path.read_bytes()
    content = whole
    if path.suffix == ".yaml":  # every JSON document is YAML, and the mutators know JSON
        content = json.dumps(yaml.safe_load(whole)).encode()
    how = draw.choice(_KINDS.get(path.suffix, BLOCKS))
    damaged = how(content, draw)
    if damaged == content:  # an empty file, or a value that was drawn for itself
        damaged, how = lengthened(whole, draw), lengthened
    path.write_bytes(damaged)
    return f"{path.name} {how.__name__}"
