"""Writes the page docs/performance.md from the figures of all benchmarks."""

from pathlib import Path
from typing import Annotated

import attention
import comparing
import feeding
import prep
import train_step
import typer
from measure import ROOT, Figures
from page import machine_table, markdown, run

from asrbench.base.errors import UserError
from asrbench.base.files import read_json, write_text

BENCHMARKS = {
    module.__name__: module for module in (train_step, attention, feeding, prep, comparing)
}
OPTIONAL = ("prep", "comparing")
"""The benchmarks that may be missing; the page then has no section on them."""

HEAD = """# Performance

`make bench` writes this page and leaves the figures as JSON in `build/bench/`. `KOSPEECH=PATH`, a
checkout of KoSpeech, adds its training step; `CORPUS=DIR` names a corpus folder other than
`data/an4`; `KSPON=TREE`, a download of KsponSpeech or the output of `benchmarks/kspon_tree.py`,
adds the preparation of KsponSpeech.

## How to read this page

Read ratios, not seconds. Hardware is often shared, and the same step takes a different time on
another day. So the programs under comparison take turns on the same machine, and never run at the
same time. Each ratio is the median over the rounds of the ratios within a round, with the least and
the greatest in parentheses. If those differ much, or if "other processes" used more than a small
part of a core, measure again on a quiet machine.
"""

FOOT = """## What is not measured

- KoSpeech's data loading, features and SpecAugment, its error rate of every batch and its
  `empty_cache()` after every step. It gets finished features, and only its model, loss and
  optimizer are timed. asrbench's step begins with int16 waveforms and includes features and
  SpecAugment.
- The accuracy of the trained models: audio is noise, and texts are random. For accuracy see the
  tables of `asrbench compare`.
- Whole epochs, checkpoints and dev passes. `history.jsonl` of every run has their times, with the
  share of the time that the step waited for the loader.
- More than one device.
- Preparing a corpus from zip files, or from files that the page cache does not hold yet.
"""


def main(
    folder: Annotated[Path, typer.Argument(help="Folder with the JSON file of each benchmark.")],
    out: Annotated[Path, typer.Option("--out", help="File to write the page to.")] = ROOT
    / "docs/performance.md",
) -> None:
    """Write the page on performance."""
    write_text(out, "\n".join([HEAD, *map(_section, figures_in(folder)), FOOT]))


def figures_in(folder: Path) -> list[Figures]:
    """Returns the figures of the benchmarks, in the order of `BENCHMARKS`.

    Raises `UserError` for a missing benchmark that is not optional.
    """
    paths = {name: folder / f"{name}.json" for name in BENCHMARKS}
    wanted = [path for name, path in paths.items() if name not in OPTIONAL or path.is_file()]
    return [read_json(path) for path in wanted]


def _section(figures: Figures) -> str:
    module = BENCHMARKS[figures["benchmark"]]
    if module.__doc__ is None:
        raise UserError(f"{figures['benchmark']}: found no docstring; run Python without -OO")
    title, _, text = module.__doc__.strip().partition("\n\n")
    tables = [machine_table(figures), *module.tables(figures)]
    parts = [f"## {title.rstrip('.')}", text, f"    {figures['command']}", *map(markdown, tables)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    run(main)
