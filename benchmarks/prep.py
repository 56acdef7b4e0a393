"""Times the preparation of KsponSpeech, beside reading its files and KoSpeech's preparation.

Reading is one thread that reads the same files in sorted order and keeps nothing. `asrbench prep`
checks every utterance, keeps both sides of its text, and writes audio and texts to the disk.
KoSpeech prepares one side of the texts and opens no audio.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from shutil import disk_usage
from typing import Annotated, Any

import typer
from child import Ended, run_apart
from kospeech_text import check, prepare_texts, volumes_of
from measure import Figures, ratios, recorded, say, spread
from page import Table, run, show, times
from torch import device

from asrbench.base.errors import UserError
from asrbench.base.files import read_json
from asrbench.base.process_map import available
from asrbench.stages.prep.trees import Tree

READ, OURS, THEIRS = "plain read", "asrbench prep", "KoSpeech, texts alone"
NAME = "KsponSpeech_"
BUFFER_BYTES = 1 << 20
SPARE_BYTES = 1 << 30
"""Disk space that a preparation has to leave free."""


def main(
    tree: Annotated[Path, typer.Argument(help="KsponSpeech's folder, unpacked.")],
    kospeech_path: Annotated[
        Path | None, typer.Option("--kospeech", help="A checkout of KoSpeech to measure against.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Jobs of asrbench prep.", show_default="a core each")
    ] = available(),
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, in which each takes a turn.")] = 3,
    scratch: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the prepared corpora, which are deleted; by default that of TREE."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Time the preparation of KsponSpeech, in turns with reading it and with KoSpeech."""
    with recorded("prep", device("cpu")) as figures:
        figures |= measured(tree, kospeech_path, jobs, rounds, scratch)
    show(figures, tables(figures), as_json)


def measured(
    tree: Path, checkout: Path | None, jobs: int, rounds: int, scratch: Path | None
) -> Figures:
    files = files_of(tree)
    total = sum(file.stat().st_size for file in files)
    scratch = scratch or tree.resolve().parent
    _check_room(scratch, total)
    if checkout is not None:
        check(checkout)
        volumes_of(tree)
    say(f"reading {total / 1e9:.2f} GB once before the rounds")
    figures: Figures = {
        "files": len(files),
        "bytes": total,
        "jobs": jobs,
        "first_read_seconds": read_seconds(files),
        "rounds": [],
    }
    for number in range(rounds):
        found = _round(tree, files, checkout, jobs, scratch)
        figures["rounds"].append(found)
        shown = ", ".join(f"{name} {each['seconds']:.3g} s" for name, each in found.items())
        say(f"round {number + 1}/{rounds}: {shown}")
    return figures


# What is read


def files_of(tree: Path) -> list[Path]:
    """Returns the files that `asrbench prep ksponspeech` reads, sorted.

    These are audio, lists, and the texts of utterances that are in no list.
    """
    with Tree(tree, ".pcm", ".wav", ".txt", ".trn") as found:
        names = found.names
    audio = [n for n in names if n.endswith((".pcm", ".wav")) and _stem(n).startswith(NAME)]
    if not audio:
        raise UserError(f"{tree}: found none of KsponSpeech's audio there")
    lists = [name for name in names if name.endswith(".trn")]
    unlisted = {_stem(name) for name in audio}
    for name in lists:
        lines = (tree / name).read_bytes().decode("utf-8", errors="replace").split("\n")
        unlisted -= {_stem(line.partition(" :: ")[0]) for line in lines}
    texts = [name for name in names if name.endswith(".txt") and _stem(name) in unlisted]
    files = [tree / name for name in sorted((*audio, *lists, *texts))]
    if packed := [file for file in files if not file.is_file()]:
        raise UserError(
            f"{tree}: {packed[0].name} and {len(packed) - 1} more are in zips; unpack them"
        )
    return files


def _stem(path: str) -> str:
    return PurePosixPath(path.strip()).stem


def read_seconds(files: Sequence[Path]) -> float:
    """Returns the time to read files one after the other, into the same memory."""
    buffer = bytearray(BUFFER_BYTES)
    began = time.perf_counter()
    for path in files:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - began


def _check_room(scratch: Path, needed: int) -> None:
    if not scratch.is_dir():
        raise UserError(f"--scratch {scratch}: no such folder")
    free = disk_usage(scratch).free
    if free < needed + SPARE_BYTES:
        raise UserError(
            f"--scratch: found {free / 1e9:.1f} GB free at {scratch}, allowed: "
            f"{(needed + SPARE_BYTES) / 1e9:.1f} or more; name another folder"
        )


# Turns


def _round(
    tree: Path, files: Sequence[Path], checkout: Path | None, jobs: int, scratch: Path
) -> dict[str, Any]:
    """Runs each once and returns its figures. What one writes is deleted before the next starts."""
    found: dict[str, Any] = {READ: {"seconds": read_seconds(files)}}
    with tempfile.TemporaryDirectory(prefix="asrbench-", dir=scratch) as folder:
        found[OURS] = _ours(tree, jobs, Path(folder))
    if checkout is not None:
        volumes = volumes_of(tree)
        # The files of asrbench were read right before its turn, too.
        read_seconds(sorted(path for volume in volumes for path in volume.rglob("*.txt")))
        with tempfile.TemporaryDirectory(prefix="asrbench-", dir=scratch) as folder:
            found[THEIRS] = _ended_figures(*prepare_texts(checkout, volumes, Path(folder)))
    return found


def _ours(tree: Path, jobs: int, folder: Path) -> Figures:
    out = folder / "corpus"
    command = [sys.executable, "-m", "asrbench", "prep", "ksponspeech", str(tree.resolve())]
    ended = run_apart([*command, "--out", str(out), "--jobs", str(jobs)], folder)
    if ended.status:
        raise UserError(f"{tree}: asrbench prep failed: {ended.last_line}")
    splits = read_json(out / "corpus.json")["splits"].values()
    hours = sum(split["hours"] for split in splits)
    return _ended_figures(sum(split["utterances"] for split in splits), ended) | {"hours": hours}


def _ended_figures(utterances: int, ended: Ended) -> Figures:
    return {
        "utterances": utterances,
        "seconds": ended.seconds,
        "cpu_seconds": ended.cpu_seconds,
        "peak_bytes": ended.peak_bytes,
    }


# Tables


def tables(figures: Figures) -> list[Table]:
    return [_time_table(figures), _rate_table(figures)]


def _time_table(figures: Figures) -> Table:
    header = [
        "work",
        *(f"round {i + 1}, s" for i in range(len(figures["rounds"]))),
        "over the plain read's",
        "an utterance's, over asrbench's",
    ]
    seconds = {name: _each(figures, name, "seconds") for name in figures["rounds"][0]}
    over = {READ: ["1", "-"], OURS: [times(ratios(seconds[OURS], seconds[READ]), 1), "1"]}
    if THEIRS in seconds:
        over[THEIRS] = ["-", times(ratios(*(_of_one(figures, name) for name in (THEIRS, OURS))))]
    rows = [[name, *(f"{s:.3g}" for s in seconds[name]), *over[name]] for name in seconds]
    return Table("Time to prepare KsponSpeech", header, rows, _note(figures))


def _rate_table(figures: Figures) -> Table:
    rows = []
    for name in figures["rounds"][0]:
        speeds = [figures["bytes"] / 1e6 / s for s in _each(figures, name, "seconds")]
        speed = "-" if name == THEIRS else f"{spread(speeds)['median']:,.0f}"
        rows.append([name, speed, *(["-"] * 3 if name == READ else _process(figures, name))])
    note = (
        "MB of what is read; medians over the rounds, but for the peak. A core is busy for the "
        "CPU time of the process over its time; the peak is what it held resident in memory."
    )
    header = ["work", "MB/s", "utterances/s", "cores busy", "peak, MB"]
    return Table("Rate and memory", header, rows, note)


def _process(figures: Figures, name: str) -> list[str]:
    seconds, cpu_seconds = (_each(figures, name, key) for key in ("seconds", "cpu_seconds"))
    return [
        f"{1 / spread(_of_one(figures, name))['median']:,.0f}",
        f"{ratios(cpu_seconds, seconds)['median']:.2f}",
        f"{max(_each(figures, name, 'peak_bytes')) / 1e6:,.0f}",
    ]


def _of_one(figures: Figures, name: str) -> list[float]:
    """Returns the seconds per utterance of each round."""
    seconds, utterances = (_each(figures, name, key) for key in ("seconds", "utterances"))
    return [s / n for s, n in zip(seconds, utterances, strict=True)]


def _each(figures: Figures, name: str, key: str) -> list[float]:
    return [each[name][key] for each in figures["rounds"]]


def _note(figures: Figures) -> str:
    first = figures["rounds"][0]
    ours, before = first[OURS], figures["bytes"] / 1e6 / figures["first_read_seconds"]
    note = (
        f"{ours['utterances']:,} utterances, {ours['hours']:.1f} h of audio, in "
        f"{figures['files']:,} files of {figures['bytes'] / 1e9:.2f} GB. The plain read is told "
        f"which files there are. asrbench, with {figures['jobs']} jobs, finds them, writes about "
        f"as many bytes as it reads, and ends when they are on the disk. Processes are timed from "
        f"launch to end. Nothing is dropped from the page cache: all was read once before the "
        f"rounds, at {before:,.0f} MB/s, and what of it fits into memory is read from there."
    )
    if THEIRS in first:
        note += (
            f" KoSpeech read {first[THEIRS]['utterances']:,} texts, those in the training volumes, "
            f"which were read right before its turn."
        )
    return note


if __name__ == "__main__":
    run(main)
