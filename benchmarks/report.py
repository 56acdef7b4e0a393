"""Joins the figures of the benchmarks into the page docs/performance.md."""

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
"""Those whose section is there when their figures are."""

HEAD = """# Performance

Written by `make bench`, which measures and leaves the figures as JSON in `build/bench/`. With
`KOSPEECH=PATH`, a checkout of KoSpeech, its training step is measured too; `CORPUS=DIR` names a
prepared corpus other than `data/an4`; `KSPON=TREE`, a download of KsponSpeech or what
`benchmarks/kspon_tree.py` makes, has its preparation measured.

## How to read this page

Read ratios, not seconds. Hardware is often shared, and the same step takes other times on another
day; so what is compared took turns on the same machine, never at the same moment, and each ratio
is the median over the rounds of the ratios within a round, with the least and the greatest in
parentheses. Where those lie far apart, or "other work meanwhile" is more than a small
part of a core, measure again on a quiet machine.
"""

FOOT = """## What is not measured

- KoSpeech's data loading, features and SpecAugment, its error rate of every batch and its
  `empty_cache()` after every step: it is handed features, and only its model, loss and optimizer
  are timed. asrbench's step begins with int16 waveforms, and features and SpecAugment count.
- Whether what is trained is any good: audio is noise, texts are drawn. For that see the tables of
  `asrbench compare`.
- Whole epochs, checkpoints and dev passes. `history.jsonl` of every run has them, with the share
  of the time that the step waited for the loader.
- More than one device.
- Preparing a corpus from zips, or when none of its files is in memory yet.
"""


def main(
    folder: Annotated[Path, typer.Argument(help="Where the JSON of each benchmark lies.")],
    out: Annotated[Path, typer.Option("--out", help="The page.")] = ROOT / "docs/performance.md",
) -> None:
    """Write the page of figures."""
    write_text(out, "\n".join([HEAD, *map(_section, figures_in(folder)), FOOT]))


def figures_in(folder: Path) -> list[Figures]:
    """Of every benchmark in its order. Raises `UserError` for one that is missing and needed."""
    paths = {name: folder / f"{name}.json" for name in BENCHMARKS}
    there = [path for name, path in paths.items() if name not in OPTIONAL or path.is_file()]
    return [read_json(path) for path in there]


def _section(figures: Figures) -> str:
    module = BENCHMARKS[figures["benchmark"]]
    if module.__doc__ is None:
        raise UserError(f"{figures['benchmark']}: its text was stripped; run without -OO")
    title, _, text = module.__doc__.strip().partition("\n\n")
    tables = [machine_table(figures), *module.tables(figures)]
    parts = [f"## {title.rstrip('.')}", text, f"    {figures['command']}", *map(markdown, tables)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    run(main)
