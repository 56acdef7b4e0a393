"""Carries out the attacks, each on its own copy of the home, and writes what came of them.

`PYTHONPATH=tests python -m attack --seed 13`, or `make attack`. The exit status is 1 if any attempt
was a fault.
"""

import importlib
import os
import pkgutil
import shutil
import sys
import tempfile
import time
import traceback
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from typer.testing import CliRunner

from attack import (
    checkpoints,
    command_lines,
    corpora,
    disks,
    hostile,
    kills,
    lying,
    recordings,
    runs,
    sources,
    specs,
    surroundings,
    transcripts,
)
from attack.attempt import Attack, Tally, carried_out
from attack.home import make_home
from attack.report import Result, as_json, line, page

MODULES = (
    specs,
    command_lines,
    recordings,
    sources,
    corpora,
    runs,
    checkpoints,
    transcripts,
    hostile,
    lying,
    kills,
    disks,
    surroundings,
)
"""The modules that define attacks, in the order of the page."""

ATTACKS: dict[str, Attack] = {each.name: each for module in MODULES for each in module.ATTACKS}

ATTEMPTS = 100
"""Attempts of an attack whose share is 1, at scale 1."""


def attempts_of(attack: Attack, scale: float) -> int:
    return max(1, round(ATTEMPTS * attack.share * scale))


def load_everything() -> None:
    """Imports all of asrbench, so that a command that is forked from here starts at once."""
    import asrbench

    for module in pkgutil.walk_packages(asrbench.__path__, "asrbench."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # Typer imports a part of itself when it is first called, before any code of asrbench.
    from asrbench.cli.app import app

    CliRunner().invoke(app, ["models", "--help"])


def results(names: Sequence[str], seed: int, scale: float) -> Iterator[Result]:
    """Carries out the attacks, as many at a time as there are cores; yields each when it ends."""
    load_everything()
    with tempfile.TemporaryDirectory(prefix="asrbench-attack-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        make_home(home)
        cores = len(os.sched_getaffinity(0))
        # Forked, because a command is to be forked from a process that has imported everything.
        with ProcessPoolExecutor(cores, mp_context=get_context("fork")) as pool:
            longest_first = sorted(names, key=lambda name: -ATTACKS[name].share)
            started = [pool.submit(_result, each, home, seed, scale) for each in longest_first]
            for done in as_completed(started):
                yield done.result()


def _result(name: str, home: Path, seed: int, scale: float) -> Result:
    """Carries out an attack on a copy of the home. An attack that fails is a fault as well."""
    attack = ATTACKS[name]
    # In a folder of its own: a command that is given `..` finds nothing of another attack there.
    around = home.with_name(name.replace(" ", "-"))
    folder = around / "home"
    shutil.copytree(home, folder, symlinks=True)
    start = time.monotonic()
    try:
        tally = carried_out(attack, folder, seed, attempts_of(attack, scale))
    except Exception:
        tally = Tally(faults=[f"the attack itself failed: {traceback.format_exc()}"])
        tally.answers["fault"] += 1
    shutil.rmtree(around, ignore_errors=True)
    return Result(name, tally, time.monotonic() - start)


def main(arguments: Sequence[str]) -> int:
    parser = ArgumentParser(prog="python -m attack", description=__doc__)
    parser.add_argument("--seed", type=int, default=13, help="seed of all attempts")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the attempts to make")
    parser.add_argument(
        "--only", action="append", choices=ATTACKS, metavar="NAME", help="only this attack"
    )
    parser.add_argument("--out", type=Path, help="page to write, in Markdown")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    found: dict[str, Result] = {}
    for result in results(options.only or list(ATTACKS), options.seed, options.scale):
        found[result.name] = result
        print(line(result), flush=True)
        for fault in result.tally.faults:
            print(f"    {fault}", flush=True)
    if options.json is not None:
        options.json.write_text(as_json(found.values()), encoding="utf-8")
    if options.out is not None:
        seconds = time.monotonic() - start
        text = page(MODULES, found, options.seed, options.scale, seconds)
        options.out.write_text(text, encoding="utf-8")
    return int(any(result.tally.faults for result in found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
