"""Helpers for the tests of the recipes: distinct sounds, calls of a recipe, views of a corpus."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from asrbench.base.errors import UserError
from asrbench.cli.app import app
from asrbench.data.corpus import Corpus
from asrbench.data.waveform import Samples
from asrbench.stages.prep import load_recipe
from asrbench.stages.prep.recipe import Preparation

COMMON = ("strict", "force", "jobs", "progress")

KINDS = {".flac": "FLAC", ".wav": "WAV", ".sph": "NIST", ".mp3": "MP3", ".ogg": "OGG"}


def sound(name: str, samples: int = 800) -> Samples:
    """Returns noise that depends on the name alone."""
    draws = np.random.default_rng(list(name.encode())).integers(-9000, 9000, samples)
    return draws.astype(np.int16)


def put_sound(path: Path, samples: Any, rate_hz: int = 16_000) -> Path:
    """Writes (S,) or (S, channels) in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, format=KINDS[path.suffix])
    return path


def put(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


def put_chapter(folder: Path, name: str, texts: dict[str, str]) -> Path:
    """Writes a transcript and, beside it, a FLAC file with a distinct sound for every id."""
    for id in texts:
        put_sound(folder / f"{id}.flac", sound(id))
    return put(folder / f"{name}.trans.txt", *(f"{id} {text}" for id, text in texts.items()))


def like_windows(path: Path) -> None:
    """Rewrites a text file with a byte order mark, CRLF, and blank lines."""
    text = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text + b"\r\n  \r\n")


def rejected(out: Path) -> list[tuple[str, str, str, str]]:
    """Returns (id, split, reason, detail) of every row of `rejected.jsonl`."""
    lines = (out / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, str]] = [json.loads(line) for line in lines]
    return [(row["id"], row["split"], row["reason"], row["detail"]) for row in rows]


def reasons(out: Path) -> list[tuple[str, str]]:
    """Returns (id, reason) of every utterance that was left out, sorted."""
    return sorted((id, reason) for id, _, reason, _ in rejected(out))


def texts(out: Path) -> dict[str, dict[str, str]]:
    """Returns the texts of a corpus by split and id."""
    corpus = Corpus.open(out)
    return {
        name: dict(zip(split.ids, split.texts, strict=True))
        for name in corpus.split_names
        for split in [corpus.split(name)]
    }


def column(out: Path, split: str, name: str) -> dict[str, Any]:
    """Returns the values of a column by id."""
    rows = Corpus.open(out).split(split)
    return dict(zip(rows.ids, rows.column(name), strict=True))


def audio(out: Path, split: str) -> dict[str, Samples]:
    rows = Corpus.open(out).split(split)
    return {id: rows.audio(i) for i, id in enumerate(rows.ids)}


def about(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "corpus.json").read_text(encoding="utf-8"))
    return found


def everything(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def prepare(recipe: str, out: Path, /, **options: Any) -> None:
    """Calls a recipe as its command does: with its own options and with those of all recipes."""
    common = {name: options.pop(name) for name in COMMON if name in options}
    loaded = load_recipe(recipe)
    loaded.prepare(loaded.options(**options), Preparation(recipe, out, **common))


def preparer(recipe: str) -> Callable[..., None]:
    """Returns `prepare` for one recipe, with the source first: `prepare(source, out, dev=2)`."""

    def prepare_source(source: Path | None, out: Path, **options: Any) -> None:
        prepare(recipe, out, source=source, **options)

    return prepare_source


def assert_same_for_any_jobs(prepare: Callable[[Path, int], None], tmp_path: Path) -> None:
    """Asserts that `prepare(out, jobs)` leaves the same bytes for one job and for four."""
    for jobs in (1, 4):
        prepare(tmp_path / f"jobs{jobs}", jobs)
    assert everything(tmp_path / "jobs1") == everything(tmp_path / "jobs4")
    assert sum(map(len, texts(tmp_path / "jobs1").values())) > 1


def refused(prepare: Callable[[Path], None], home: Path) -> str:
    """Returns the line of the `UserError`. Asserts that nothing is left behind in `home`."""
    before = sorted(home.rglob("*"))
    with pytest.raises(UserError) as caught:
        prepare(home / "never")
    assert sorted(home.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def run(*arguments: object) -> tuple[int, str, str]:
    """Returns the exit status, the output and the errors of a command."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def error(*arguments: object) -> str:
    """Returns the error line of a command that must fail, without its `error: `."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")
