"""Prints a prepared corpus: its splits, its checks, and what was left out of it."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from asrbench.cli.terminal import echo, print_table


def print_corpus(folder: Path) -> None:
    """Prints the splits of a prepared corpus, its checks, and what was left out of it."""
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
    for name, encoding in about.get("encodings", {}).items():
        echo(f"{name} is not UTF-8 and was read as {encoding}, because all of it is Korean then")
    kept = sum(s["utterances"] for s in about["splits"].values())
    echo(f"kept {kept:,} of {kept + sum(about['rejected'].values()):,}")
    for line in _lacking(about["splits"]):
        echo(f"warning: {line}")


def _lacking(splits: Collection[str]) -> Iterator[str]:
    """Yields what cannot be done with a corpus that has these splits only."""
    from asrbench.data.corpus import TRAINING_SPLITS

    for name in TRAINING_SPLITS:
        if name not in splits:
            yield f"there is no {name} split, which training needs (asrbench prep RECIPE --help)"
    if not set(splits).difference(TRAINING_SPLITS):
        yield "there is no split to test on, and dev chooses the weights, so its rates are too low"


def print_left_out(folder: Path, rejected: Mapping[str, int], remarks: Mapping[str, int]) -> None:
    """Prints one line for each reason and each remark, with the file that lists the utterances."""
    for reason, count in rejected.items():
        echo(f"{count} left out: {reason}; see {folder / 'rejected.jsonl'}")
    for remark, count in remarks.items():
        echo(f"{count} kept, with {remark}; see {folder / 'remarks.jsonl'}")


def _print_checks(checks: list[dict[str, Any]]) -> None:
    """Prints published figures beside those that were found, for the splits that are complete."""
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
        print_table(header, rows, title="Compared with published figures")
    parts = dict.fromkeys(check["split"] for check in checks if check["agrees"] is None)
    if parts:
        echo(
            f"not compared with published figures, because incomplete: {', '.join(parts)}; "
            f"corpus.json has what was found, under 'checks'"
        )
