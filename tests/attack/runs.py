"""Attacks on the files of run folders and of the tables, through the commands that read them."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attack.attempt import Attack, Attempt
from attack.bounded import Outcome
from attack.damage import PLACES, Kept, contents, damage, done, remove, undone

RESULTS = "results"
RATES = ("compare", RESULTS, "--replicates", "0", "--json")
TABLES = ("compare", RESULTS, "--replicates", "20", "--out", "tables")
FOLDER_OF = {"ds2": "ds2_selfattn", "ds2_selfattn": "ds2"}
"""Each variant, and the other."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "rates": RATES,
    "tables": TABLES,
    "verify": ("verify", RESULTS),
    "eval": ("eval", RESULTS, "--device", "cpu"),
    "inspect": ("inspect", RESULTS, "--count", "1", "--device", "cpu"),
}
SHARES = {"rates": 10, "verify": 8, "tables": 1, "eval": 1, "inspect": 1}
"""How often each command is tried: cheap ones more often than others."""

SHARED_ERRORS = ("compare.margin: found ", "--replicates", "found two runs of", "decoding with")
"""Errors about two readable runs that contradict each other, as only the user can decide."""


def run_folder(home: Path, variant: str) -> Path:
    (folder,) = (home / RESULTS / "tiny" / variant).iterdir()
    return folder


def rates_of(document: str) -> dict[str, Any]:
    """Returns the error rates of each variant in the JSON of `compare`."""
    (study,) = json.loads(document)["studies"]
    return {
        system["variant"]: [(each["cer"], each["seed"]) for each in system["runs"]]
        for system in (*study["systems"], *study["not_comparable"])
    }


# Files of a run


def _damaged(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    expected = rates_of(done(*RATES, folder=home).out)
    done(*TABLES, folder=home)
    for _ in range(count):
        variant = draw.choice(list(FOLDER_OF))
        command = draw.choices(list(SHARES), list(SHARES.values()))[0]
        files = [path for path in contents(run_folder(home, variant)) if path.suffix != ".svg"]
        # The few files that every command reads are damaged as often as all others together.
        chosen = [path for path in files if path.suffix in (".yaml", ".json", ".jsonl")]
        path = draw.choice(draw.choice([chosen, files]))
        with undone(home):
            what = f"{variant}: {damage(path, draw)}, {command}"
            other = FOLDER_OF[variant]
            yield Attempt(what, COMMANDS[command], _check(home, command, other, expected))


def _check(
    home: Path, command: str, other: str, expected: dict[str, Any]
) -> Callable[[Outcome], str | None]:
    """Returns the check that the other run is there, and that no half of anything was left."""
    if command == "rates":
        return lambda outcome: _has_row(outcome, other, expected)
    if command == "tables":
        return _whole_set(home / "tables")
    if command == "verify":
        return _nothing_written(home)
    folder = run_folder(home, other)
    (made,) = {"eval": ["hypotheses.test.jsonl"], "inspect": ["inspect.test.json"]}[command]
    whole = (folder / made).read_bytes()
    (folder / made).unlink()

    def check(outcome: Outcome) -> str | None:
        if not (folder / made).is_file():
            return f"the other run has no {made}: {outcome.refusal}"
        same = (folder / made).read_bytes() == whole
        return None if same else f"the other run has another {made}"

    return check


def _has_row(outcome: Outcome, variant: str, expected: dict[str, Any]) -> str | None:
    if outcome.refusal and any(each in outcome.refusal for each in SHARED_ERRORS):
        return None
    if not outcome.out:
        return f"there is no row of {variant}: {outcome.refusal}"
    found = rates_of(outcome.out).get(variant)
    return None if found == expected[variant] else f"{variant} has {found}"


def _whole_set(folder: Path) -> Callable[[Outcome], str | None]:
    """Returns the check that a folder of tables is wholly old or wholly new."""
    before = Kept(folder)

    def check(outcome: Outcome) -> str | None:
        now = contents(folder)
        if strays := [path.name for path in folder.iterdir() if path.name.startswith(".")]:
            return f"left {strays[0]}"
        written = "wrote " in outcome.out
        changed = before.changed()
        if not written:
            return f"was refused and changed {changed[0]}" if changed else None
        if outcome.status == 0 and (missing := before.files.keys() - now.keys()):
            return f"there is no {min(missing).name}"
        old = [path.name for path in before.files if path.name not in changed and path in now]
        old = [name for name in old if _time(folder / name) == before.times[folder / name]]
        return f"{old[0]} is old and {changed[0]} is new" if old and changed else None

    return check


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns


def _nothing_written(home: Path) -> Callable[[Outcome], str | None]:
    before = Kept(home)

    def check(outcome: Outcome) -> str | None:
        changed = [name for name in before.changed() if not name.startswith(".attack")]
        return f"wrote {changed[0]}" if changed else None

    return check


# Files of the tables


def _tables(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Something else stands where `compare` writes, or what it wrote is damaged."""
    done(*TABLES, folder=home)
    tables = home / "tables"
    names = sorted(path.name for path in tables.iterdir())
    rates = (*TABLES[:3], "0", *TABLES[4:])
    written = ("table.md", "table.csv", "table.tex", "study.json")
    for number in range(count):
        full = number % 4 == 0
        with undone(home):
            if full:
                path = tables / draw.choice(names)
            else:
                for name in {*names} - {*written}:
                    (tables / name).unlink()
                path = tables / draw.choice(written)
            what = damage(path, draw, places=0.7)
            check = _replaced(tables, path)
            yield Attempt(f"{what}, compare", TABLES if full else rates, check)


def _replaced(folder: Path, damaged: Path) -> Callable[[Outcome], str | None]:
    before = contents(folder)

    def check(outcome: Outcome) -> str | None:
        now = contents(folder)
        if strays := [path.name for path in folder.iterdir() if path.name.startswith(".")]:
            return f"left {strays[0]}"
        if outcome.status == 2:
            return None if now == before else "was refused and changed files"
        old = [path for path in before if now.get(path) == before[path]]
        study = json.loads((folder / "study.json").read_text())
        if damaged in old and damaged.suffix == ".json":
            return "left the damaged file"
        return None if study["studies"] and damaged in now else "left a folder without a study"

    return check


# What else lies in the folders

NAMES = (
    "lock",
    "lock.scores",
    "lock.holder",
    "excluded.jsonl",
    "train.log",
    "plugins",
    "gradients.json",
    "spec.yaml.tmp-00000000-1-00000000",
    "spec.yaml.tmp-00000000-99999999999999999999-00000000",
    "hypotheses.test.attention.jsonl",
    "hypotheses..jsonl",
    "hypotheses.dev.jsonl",
    "inspect.dev.json",
    "checkpoints/state-5-0123456789abcdef.pt",
    "checkpoints/state-x.pt",
    "checkpoints/best.previous.safetensors",
    "checkpoints/average.safetensors",
    ".seed0-00000000.tmp",
    ".seed0-00000000.old",
    "a\nb\x1b[31m\u202e",
    "n" * 250,
    os.fsdecode(b"\xff\xfe"),
)
"""Names that a run folder can have, and some that it should not."""


def _beside(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Something new or something else lies in a run folder or above it."""
    expected = rates_of(done(*RATES, folder=home).out)
    tried = {
        "rates": RATES,
        "verify": COMMANDS["verify"],
        "repair": (*COMMANDS["verify"], "--repair"),
        "train": ("train", "tiny.yaml", "--results", RESULTS, "--device", "cpu"),
        "eval": COMMANDS["eval"],
    }
    for _ in range(count):
        variant = draw.choice(list(FOLDER_OF))
        command = draw.choices(list(tried), [6, 3, 3, 2, 1])[0]
        folder = run_folder(home, variant)
        with undone(home):
            what = draw.choice([_placed, _placed, _placed, _filled, _copied])(home, folder, draw)
            check = _anything
            if command == "rates":
                check = _rows_or_twice(FOLDER_OF[variant], expected)
            yield Attempt(f"{variant}: {what}, {command}", tried[command], check)


def _anything(outcome: Outcome) -> None:
    return None


def _rows_or_twice(variant: str, expected: dict[str, Any]) -> Callable[[Outcome], str | None]:
    return lambda outcome: _has_row(outcome, variant, expected)


def _placed(home: Path, folder: Path, draw: random.Random) -> str:
    name, place = draw.choice(NAMES), draw.choice(sorted(PLACES))
    remove(folder / name)
    PLACES[place](folder / name)
    return f"{name!r} is {place}"


def _filled(home: Path, folder: Path, draw: random.Random) -> str:
    name = draw.choice(NAMES)
    content = draw.choice([b"", b"\0" * 100, b"process 1 on x", b"\xff\xfe", b"{}\n", b"[1, 2"])
    remove(folder / name)
    (folder / name).write_bytes(content)
    return f"{name!r} contains {content[:20]!r}"


def _copied(home: Path, folder: Path, draw: random.Random) -> str:
    """The run a second time, under another name, or as a link."""
    target = draw.choice(
        [
            folder.with_name("seed1-00000000"),
            folder / folder.name,
            home / RESULTS / "other" / folder.name,
            home / RESULTS / folder.name,
        ]
    )
    target.parent.mkdir(exist_ok=True)
    how = draw.choice(["copied", "linked", "copied without spec.yaml"])
    if how == "linked":
        target.symlink_to(folder)
    else:
        shutil.copytree(folder, home / "copy")
        (home / "copy").rename(target)
        if how != "copied":
            (target / "spec.yaml").unlink()
    return f"{how} to {target.relative_to(home / RESULTS)}"


ATTACKS = (
    Attack(
        "runs",
        "damages a file of one run, or puts something else in its place, beside a whole run",
        _damaged,
        5,
    ),
    Attack(
        "tables",
        "damages the files that compare replaces, or puts something else in their place",
        _tables,
        1.5,
    ),
    Attack(
        "beside runs",
        "puts locks, temporaries, copies of runs and files of other names into results",
        _beside,
        2.5,
    ),
)
