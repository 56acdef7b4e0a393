"""What the commands of `asrbench prep` share: common options, the bar, the table at the end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from asrbench.base.errors import UserError
from asrbench.base.process_map import available
from asrbench.cli.terminal import Terminal, print_table
from asrbench.stages.prep import How

CORES = available()

Out = Annotated[Path, typer.Option("--out", help="Corpus folder to make.")]
Strict = Annotated[bool, typer.Option("--strict", help="Make any rejected utterance an error.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the corpus that is there.")]
Jobs = Annotated[
    int, typer.Option("--jobs", min=1, help="Files read at a time.", show_default="a core each")
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the corpus.")]
SplitSeed = Annotated[int, typer.Option("--seed", help="Seed of the splits that are drawn.")]


@contextmanager
def making(task: str, out: Path, *, strict: bool, force: bool, jobs: int = CORES) -> Iterator[How]:
    """Yields what the recipe is asked for; shows its progress, and in the end what it made."""
    with Terminal() as terminal:
        yield How(
            strict=strict,
            force=force,
            jobs=jobs,
            tick=lambda done, total: terminal.progress(task, done, total),
        )
    _print_corpus(out)


def numbers(option: str, text: str, count: int, example: str) -> list[float]:
    """`count` numbers between slashes. Raises `UserError` for anything else."""
    try:
        found = [float(part) for part in text.split("/")]
    except ValueError:
        found = []
    if len(found) != count:
        raise UserError(f"{option}: found '{text}', allowed: {count} numbers, as {example}")
    return found


def shares(option: str, text: str) -> tuple[float, float, float]:
    train, dev, test = numbers(option, text, 3, "0.8/0.1/0.1")
    return train, dev, test


def _print_corpus(folder: Path) -> None:
    from asrbench.base.files import read_json

    about = read_json(folder / "corpus.json")
    rows = [
        [name, str(s["utterances"]), f"{s['hours']:.2f}", str(s["speakers"] or "unknown")]
        for name, s in about["splits"].items()
    ]
    title = f"{folder}: {about['name']}, {about['fingerprint']}"
    print_table(["split", "utterances", "hours", "speakers"], rows, title=title)
    if checks := about.get("checks"):
        _print_checks(checks)
    print_left_out(folder, about["rejected"], about["remarks"])


def print_left_out(folder: Path, rejected: Mapping[str, int], remarks: Mapping[str, int]) -> None:
    """By reason, and where each utterance is named."""
    for reason, count in rejected.items():
        typer.echo(f"{count} left out: {reason}; see {folder / 'rejected.jsonl'}")
    for remark, count in remarks.items():
        typer.echo(f"{count} kept, with {remark}; see {folder / 'remarks.jsonl'}")


def _print_checks(checks: list[dict[str, Any]]) -> None:
    """Of the splits that are whole; of the others there is nothing to say."""
    rows = []
    for check in checks:
        if check["agrees"] is None:
            continue
        low, high = (f"{figure:,}" for figure in check["published"])
        published = low if low == high else f"{low} to {high}"
        verdict = "agrees" if check["agrees"] else "differs"
        rows.append([check["figure"], check["split"], f"{check['found']:,}", published, verdict])
    if rows:
        header = ["figure", "split", "found", "published", ""]
        print_table(header, rows, title="Against what others counted in it")
    parts = dict.fromkeys(check["split"] for check in checks if check["agrees"] is None)
    if parts:
        typer.echo(
            f"not held against what others counted, being not whole: {', '.join(parts)}; what was "
            f"found is under checks in corpus.json"
        )
