"""Attacks on every file of a prepared corpus, through the commands that read it."""

import itertools
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

from asrbench.base.files import digest
from attack.attempt import Attack, Attempt, refused
from attack.bounded import Outcome
from attack.damage import damage, done, undone
from attack.home import PREP

SHARDS = ("train.arrow", "dev.arrow", "test.arrow")
"""The files that are checked by their content."""

FRESH = ("--results", "fresh", "--set", "train.epochs=1", "--device", "cpu")

COMMANDS: dict[str, tuple[str, ...]] = {
    "corpus": ("corpus", "corpus", "--json"),
    "verify": ("verify", "corpus"),
    "train": ("train", "tiny.yaml", "--only", "ds2", *FRESH),
    "eval": ("eval", "results/tiny/ds2", "--device", "cpu"),
}
SHARES = {"corpus": 3, "verify": 4, "train": 4, "eval": 1}
"""How often each command is tried: cheap ones more often than others."""


def _result(home: Path, command: str, outcome: Outcome) -> object:
    """Returns what a command made of the corpus."""
    if command == "train":
        found = sorted((home / "fresh").rglob("*.safetensors"))
        weights = {path.name: load_file(path) for path in found}
        return {
            (file, name): tensor.tolist()
            for file, tensors in weights.items()
            for name, tensor in tensors.items()
        }
    if command == "eval":
        (path,) = home.glob("results/tiny/ds2/*/hypotheses.test.jsonl")
        return path.read_bytes()
    return outcome.out if command == "corpus" else outcome.status


@dataclass
class Commands:
    """The commands on a home, with what each made of the whole corpus."""

    home: Path
    whole: dict[str, object]

    @classmethod
    def of(cls, home: Path) -> "Commands":
        found = {}
        with undone(home):
            for name, command in COMMANDS.items():
                found[name] = _result(home, name, done(*command, folder=home))
        return cls(home, found)

    def check(self, command: str, *, begun: bool = False) -> Callable[[Outcome], str | None]:
        """Returns the check that the result is that of the whole corpus, or that there is none.

        A run that had `begun` leaves its folder, to go on from.
        """

        def check(outcome: Outcome) -> str | None:
            if outcome.status == 2:
                left = command == "train" and not begun and sorted((self.home / "fresh").rglob("*"))
                return f"was refused and left {left[0]}" if left else None
            if _result(self.home, command, outcome) != self.whole[command]:
                return "gave another result than the whole corpus"
            return None

        return check

    def drawn(self, draw: random.Random) -> str:
        return draw.choices(list(SHARES), list(SHARES.values()))[0]


def _damaged(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    commands = Commands.of(home)
    names = itertools.cycle(["corpus.json", *SHARDS, "corpus.json", "rejected.jsonl", *SHARDS])
    for _ in range(count):
        name, command = next(names), commands.drawn(draw)
        with undone(home):
            what = damage(home / "corpus" / name, draw)
            check = commands.check(command)
            if command == "verify" and name in SHARDS:
                check = refused
            elif command in ("corpus", "verify") and name not in SHARDS:
                check = _anything  # they show what corpus.json says beside the content
            yield Attempt(f"{what}, {command}", COMMANDS[command], check)


def _anything(outcome: Outcome) -> None:
    return None


def _misplaced(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Whole files in the wrong places; in half of the attempts `corpus.json` has their digests."""
    (home / "other.tsv").write_text(_with_texts_reversed((home / "tones.tsv").read_text()))
    other = home / "other"
    done(*(each.replace("tones", "other") for each in PREP[:-1]), other, folder=home)
    commands = Commands.of(home)
    corpus = home / "corpus"
    for number in range(count):
        name, command = draw.choice(SHARDS), commands.drawn(draw)
        if draw.random() < 0.5:
            source = corpus / draw.choice([each for each in SHARDS if each != name])
        else:
            source = other / draw.choice(SHARDS)
        with undone(home):
            target = corpus / name
            one, two = target.read_bytes(), source.read_bytes()
            target.write_bytes(two)
            if source.parent == corpus:
                source.write_bytes(one)
            what = f"{name} is {source.parent.name}/{source.name}, {command}"
            if signed := number % 2 == 1:
                _sign(corpus)
                what += ", with its digest"
            checked = refused if command == "verify" else commands.check(command)
            # A digest that was written for the file makes it whole; the fingerprint shows it.
            yield Attempt(
                what, COMMANDS[command], checked if command == "verify" or not signed else _anything
            )


def _with_texts_reversed(table: str) -> str:
    header, *lines = table.splitlines()
    rows = [line.split("\t") for line in lines]
    for row in rows:
        row[2] = row[2][::-1]
    return "\n".join([header, *("\t".join(row) for row in rows)]) + "\n"


def _sign(corpus: Path) -> None:
    """Writes the sizes and digests of the files that are there into `corpus.json`."""
    about = json.loads((corpus / "corpus.json").read_text())
    for name in about["files"]:
        path = corpus / name
        about["files"][name] = {"bytes": path.stat().st_size, "digest": digest(path)}
    (corpus / "corpus.json").write_text(json.dumps(about))


def _without_digests(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Damage to files of a corpus of an earlier version, whose `corpus.json` has no digests."""
    commands = Commands.of(home)
    about = home / "corpus/corpus.json"
    document = json.loads(about.read_text())
    del document["files"]
    for _ in range(count):
        name, command = draw.choice(SHARDS), commands.drawn(draw)
        with undone(home):
            about.write_text(json.dumps(document))
            yield Attempt(f"{damage(home / 'corpus' / name, draw)}, {command}", COMMANDS[command])


def _cut_while_read(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """A file is cut after it was opened and found whole, as by a program that writes it again."""
    commands = Commands.of(home)
    for _ in range(count):
        name, command = draw.choice(SHARDS), draw.choice(["corpus", "train", "train", "eval"])
        path = home / "corpus" / name
        size, read = draw.randrange(path.stat().st_size), draw.randrange(6)
        with undone(home):
            yield Attempt(
                f"{name} is cut to {size} bytes before read {read}, {command}",
                COMMANDS[command],
                commands.check(command, begun=True),
                before=lambda path=path, size=size, read=read: _cut_at(path, size, read),
            )


def _cut_at(path: Path, size: int, read: int) -> None:
    """Has a file of the corpus cut once a split of it is open, after that many recordings."""
    from asrbench.data import corpus

    opened, audio, count = corpus.Split.__init__, corpus.Split.audio, itertools.count(1)

    def opened_and_cut(self: corpus.Split, paths: list[Path], *rest: object) -> None:
        opened(self, paths, *rest)  # type: ignore[arg-type]
        if not read and path.name in [each.name for each in paths]:
            os.truncate(path, size)

    def cut_and_read(self: corpus.Split, index: int) -> object:
        if next(count) == read:
            os.truncate(path, size)
        return audio(self, index)

    corpus.Split.__init__ = opened_and_cut  # type: ignore[assignment,method-assign]
    corpus.Split.audio = cut_and_read  # type: ignore[assignment,method-assign]


ATTACKS = (
    Attack(
        "corpora",
        "damages a file of a prepared corpus, or puts something else in its place",
        _damaged,
        3.5,
    ),
    Attack(
        "misplaced shards",
        "exchanges whole files between splits and corpora, with and without their digests",
        _misplaced,
    ),
    Attack(
        "corpora without digests",
        "damages a file of a corpus of an earlier version, which has no digests",
        _without_digests,
        1.5,
    ),
    Attack(
        "shards cut while they are read",
        "cuts a file of a corpus that is open",
        _cut_while_read,
    ),
)
