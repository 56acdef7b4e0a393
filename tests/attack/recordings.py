"""Attacks by recordings: every format that is read, damaged, and lied about in its header.

A table of many damaged recordings is prepared by one command, and every recording is an attempt of
its own: it must be rejected with a reason, or have the samples that soundfile reads from it.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import soundfile

from asrbench.base.stderr import silenced_stderr
from asrbench.data.corpus import Corpus
from attack.attempt import Attack, Attempt
from attack.bounded import Outcome, run
from attack.damaged_audio import RATE_HZ, Recording, recordings
from attack.long_audio import long_recordings

BATCH = 40
"""Damaged recordings in a table."""

TRAINING_SECONDS = 60.0
"""An epoch takes 3 s on a machine that does nothing else."""


def in_tables(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Prepares tables of damaged recordings; each of them is an attempt, and so is each table."""
    endless = recordings(draw)
    folder, out = home / "damaged", home / "corpus-of-damaged"
    done = 0
    while done < count:
        batch = {f"r{number}": next(endless) for number in range(min(BATCH, count))}
        folder.mkdir()
        write_table(folder, batch)
        prepare = ("prep", "table", "damaged/list.tsv", "--out", out.name)
        outcome = run(*prepare, folder=home)
        if outcome.status != 0:
            what = f"a table of {len(batch)} recordings, some of them whole"
            yield Attempt(what, make=lambda outcome=outcome: outcome, check=lambda _: "refused all")
        else:
            yield from of_batch(folder, out, batch, outcome)
            rmtree(out)
        yield Attempt(
            "the same table with --strict", (*prepare, "--strict"), check=refused_whole(out)
        )
        done += len(batch) + 2
        rmtree(folder)


def write_table(folder: Path, batch: dict[str, Recording]) -> None:
    rows = ["id\taudio\ttext"]
    for id, recording in batch.items():
        name = f"{id}.{recording.suffix}"
        (folder / name).write_bytes(recording.content)
        rows.append(f"{id}\t{name}\tabc")
    (folder / "list.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def refused_whole(out: Path) -> Callable[[Outcome], str | None]:
    """Returns the check of a command that must be refused and must leave no folder."""

    def check(outcome: Outcome) -> str | None:
        if not outcome.refusal:
            return "was accepted"
        return f"left {out.name}" if out.exists() else None

    return check


def of_batch(
    folder: Path, out: Path, batch: dict[str, Recording], outcome: Outcome
) -> Iterator[Attempt]:
    """Yields an attempt for each recording of a prepared table."""
    rows = rejected_rows(out)
    reasons = {row["id"]: row["reason"] for row in rows}
    split = Corpus.open(out).split("train")
    found = {id: split.audio(number) for number, id in enumerate(split.ids)}
    complaint = None
    if len(rows) + len(found) != len(batch):
        complaint = f"{len(rows)} rejected and {len(found)} kept of {len(batch)}"
    yield Attempt(
        f"a table of {len(batch)} recordings",
        make=lambda: outcome,
        check=_without_a_line,
    )
    for id, recording in batch.items():
        one = outcome
        if id in reasons:
            one = replace(outcome, status=2, err=f"error: {reasons[id]}\n")
        yield Attempt(
            recording.what,
            make=lambda one=one: one,
            check=partial(
                _judged, folder / f"{id}.{recording.suffix}", recording, found.get(id), complaint
            ),
        )


def rejected_rows(out: Path) -> list[dict[str, str]]:
    """Returns the rows of `rejected.jsonl` of a corpus."""
    lines = (out / "rejected.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def _judged(
    path: Path, recording: Recording, samples: Any, complaint: str | None, outcome: Outcome
) -> str | None:
    if complaint is not None:
        return complaint
    if (samples is None) != (outcome.status == 2):
        return "is both rejected and kept" if outcome.status == 2 else "is neither"
    if (samples is not None) not in recording.allowed:
        return "was read" if samples is not None else f"was rejected: {outcome.refusal}"
    return None if samples is None else difference(path, samples)


def difference(path: Path, samples: Any) -> str | None:
    """Returns how samples differ from those that soundfile reads; None if they do not."""
    with silenced_stderr(), path.open("rb") as stream:
        wave, rate_hz = soundfile.read(stream, dtype="float64")
    expected = -(-len(wave) * RATE_HZ // rate_hz)
    if len(samples) != expected:
        return f"has {len(samples)} samples, and soundfile reads {expected}"
    if rate_hz == RATE_HZ:
        off = np.abs(np.clip(wave * 32_768, -32_768, 32_767) - samples).max()
        return f"differs by {off}" if off > 0.51 else None
    return None


# Reading them otherwise


def transcribed(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Transcribes one damaged recording at a time."""
    (model,) = home.glob("results/tiny/ds2/seed0-*")
    for _, recording in zip(range(count), recordings(draw), strict=False):
        path = home / f"heard.{recording.suffix}"
        path.write_bytes(recording.content)
        command = ("transcribe", model, path.name, "--device", "cpu")
        yield Attempt(recording.what, command, partial(_as_allowed, recording))
        path.unlink()


def in_noise(home: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Opens a damaged recording among noise or rooms for a training, and of every eighth trains."""
    spec = (home / "tiny.yaml").read_text(encoding="utf-8")
    (home / "alone.yaml").write_text(spec[: spec.index("variants:")], encoding="utf-8")
    sounds, results = home / "sounds", home / "noisy"
    for number, recording in zip(range(count), recordings(draw), strict=False):
        sounds.mkdir()
        (sounds / f"a.{recording.suffix}").write_bytes(recording.content)
        (sounds / "whole.wav").write_bytes((home / "train0.wav").read_bytes())
        kind = draw.choice(["noise", "rooms"])
        command = (
            *("train", "alone.yaml", "--results", results.name, "--device", "cpu"),
            *("--set", f"augment.{kind}={{folders: sounds, probability: 1}}"),
            *("--set", "train.epochs=1"),
            *(["--dry-run"] if number % 8 else []),
        )
        train = partial(run, *command, folder=home, seconds=TRAINING_SECONDS)
        yield Attempt(f"{kind}: {recording.what}", make=train, check=_without_a_line)
        rmtree(sounds)
        rmtree(results, ignore_errors=True)


def _as_allowed(recording: Recording, outcome: Outcome) -> str | None:
    """Checks a command that read one recording. A short one has a text, though no use."""
    done = outcome.status == 0
    if complaint := _without_a_line(outcome):
        return complaint
    if done in recording.allowed or (done and "samples" in recording.what):
        return None
    return "was read" if done else "was refused"


def _without_a_line(outcome: Outcome) -> str | None:
    done = outcome.status == 0
    return f"a line on the terminal: {outcome.err[:200]!r}" if done and outcome.err else None


ATTACKS = (
    Attack("recordings in tables", "prepares damaged recordings", in_tables, 3.0),
    Attack("recordings transcribed", "transcribes damaged recordings", transcribed, 0.3),
    Attack("recordings as noise", "trains with damaged noise and rooms", in_noise, 0.2),
    Attack("long recordings", "prepares hours of audio", long_recordings, 0.02),
)
