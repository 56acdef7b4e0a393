"""Seeded damage to files: what disks, editors, other programs and other versions do to them."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asrbench.base.errors import UserError

WRONG = (None, True, -1, 0, 1e308, float("nan"), "", "x", "\ud800", [], [1], {}, {"a": {}}, 10**30)
"""Values of every type of JSON, of which few have a meaning at any one place."""

NESTED = "[" * 100_000


def flipped(content: bytes, draw: random.Random, bits: int = 1) -> bytes:
    """Returns the content with some bits turned over."""
    damaged = bytearray(content)
    for _ in range(bits if content else 0):
        place = draw.randrange(8 * len(content))
        damaged[place // 8] ^= 1 << place % 8
    return bytes(damaged)


def truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))] if content else b""


def not_utf8(content: bytes, draw: random.Random) -> bytes:
    place = draw.randint(0, len(content))
    return content[:place] + b"\xff\xfe" + content[place:]


def without_key(content: bytes, draw: random.Random) -> bytes:
    """Drops a key of an object, or an item of a list, anywhere in a JSON document."""
    return _document_changed(content, draw, lambda node, key: node.pop(key))


def other_value(content: bytes, draw: random.Random) -> bytes:
    """Puts another value, mostly of another type, anywhere in a JSON document."""

    def change(node: Any, key: Any) -> None:
        node[key] = draw.choice(WRONG)

    return _document_changed(content, draw, change)


def emptied(content: bytes, draw: random.Random) -> bytes:
    return draw.choice([b"", b"\n", b"\0" * len(content)])


def another_document(content: bytes, draw: random.Random) -> bytes:
    return draw.choice([*(json.dumps(value) for value in WRONG), NESTED]).encode()


BYTES = (flipped, truncated, not_utf8, emptied)
DOCUMENTS = (*BYTES, without_key, other_value, other_value, another_document)

Mutation = Callable[[bytes, random.Random], bytes]


def mutants(content: bytes, count: int, seed: int, how: tuple[Mutation, ...]) -> Iterator[bytes]:
    """Yields `count` damaged versions of a file, which differ from it."""
    draw = random.Random(seed)
    for number in range(count):
        damaged = how[number % len(how)](content, draw)
        if damaged != content:
            yield damaged


def damaged_files(path: Path, count: int, seed: int, how: tuple[Mutation, ...]) -> Iterator[bytes]:
    """Damages a file in place, once for each step of a loop, and puts it right at the end."""
    whole = path.read_bytes()
    try:
        for damaged in mutants(whole, count, seed, how):
            path.write_bytes(damaged)
            yield damaged
    finally:
        path.write_bytes(whole)


def refusal(read: Callable[[], object]) -> str | None:
    """Returns the one line with which `read` refuses a file; None if it accepts it.

    Everything else that it may raise is a fault of the program.
    """
    try:
        read()
    except UserError as error:
        line = str(error)
        assert "\n" not in line
        line.encode()
        return line
    return None


def _document_changed(
    content: bytes, draw: random.Random, change: Callable[[Any, Any], object]
) -> bytes:
    """Applies `change` to a place in the document, or in that of one of the lines."""
    try:
        documents = [json.loads(content)]
        indent: int | None = 2
    except ValueError:
        documents = [json.loads(line) for line in content.decode().splitlines() if line]
        indent = None
    places = [place for document in documents for place in _places(document)]
    if places:
        change(*draw.choice(places))
    return "".join(json.dumps(each, indent=indent) + "\n" for each in documents).encode()


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yields every container of a document with each of its keys."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys if isinstance(node, (dict, list)) else ():
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from _places(node[key])
