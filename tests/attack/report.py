"""The page on what was attacked and what came of it; every figure on it is one of the run."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from asrbench.base.cpu import this_cpu
from attack.attempt import Attack, Tally
from attack.bounded import FILE_SIZE, MEMORY, SECONDS
from attack.home import SPLITS

MIB, GIB = 2**20, 2**30
ANSWERS = ("done", "refused", "fault")

HEAD = """# Reliability

`make attack` damages the inputs of every command, takes away what commands need while they run, and
writes this page from what it found. [The promises and their tests](promises.md) are a page of their
own. What is tried follows from the seed, so the same command tries the same again.

An attempt is one command of asrbench, or a few, in a process that is bounded: {seconds:.0f} s, or
what its class says, without the time in which other processes had all cores; {memory:.0f} GiB of
memory; files of at most {size:.0f} GiB; and no network. It starts from a finished study of two
small variants on {recordings} recordings. Each attempt ends in one of three ways:

- *done*: the command did its work; where there is a right answer, this was it.
- *refused*: one line says what is wrong with the input, the exit status is 2, and, where the class
  below says so, no file was left or changed.
- *fault*: anything else. That is a traceback, a signal, no end within the time, more memory,
  another exit status, an error of several lines, or damage that was accepted.
"""


@dataclass(frozen=True)
class Result:
    """What came of an attack, and the seconds that all of it took."""

    name: str
    tally: Tally
    seconds: float


def line(result: Result) -> str:
    """Returns the line that is printed when an attack has ended."""
    tally = result.tally
    answers = ", ".join(f"{tally.answers[kind]} {kind}" for kind in ANSWERS)
    return (
        f"{result.name}: {tally.tried} tried, {answers}; slowest {tally.slowest:.1f} s, "
        f"most memory {tally.peak_bytes / MIB:.0f} MiB; {result.seconds:.0f} s in all"
    )


def as_json(results: Iterable[Result]) -> str:
    """Returns all figures as one JSON document: an object by the name of the attack."""
    return json.dumps(
        {
            each.name: {
                "tried": each.tally.tried,
                **{kind: each.tally.answers[kind] for kind in ANSWERS},
                "faults": each.tally.faults,
                "slowest_seconds": each.tally.slowest,
                "peak_bytes": each.tally.peak_bytes,
                "seconds": each.seconds,
            }
            for each in results
        },
        indent=2,
    )


def page(
    modules: Sequence[ModuleType],
    results: Mapping[str, Result],
    seed: int,
    scale: float,
    seconds: float,
) -> str:
    """Returns the page, in Markdown, on the attacks of `modules` that have a result."""
    carried_out = [each for module in modules for each in module.ATTACKS if each.name in results]
    parts = [
        HEAD.format(
            seconds=SECONDS, memory=MEMORY / GIB, size=FILE_SIZE / GIB, recordings=_recordings()
        ),
        _run(results, seed, scale, seconds),
        "## What was tried\n",
        *(_sentences(module, results) for module in modules),
        "## What came of it\n",
        _table(carried_out, results),
        "## Faults\n",
        _faults(results, seed, scale),
    ]
    return "\n".join(parts)


def _recordings() -> int:
    return sum(map(len, SPLITS.values()))


def _run(results: Mapping[str, Result], seed: int, scale: float, seconds: float) -> str:
    """Returns the section on the run: its command, the machine, and the totals."""
    tallies = [each.tally for each in results.values()]
    tried = sum(each.tried for each in tallies)
    kinds = {kind: sum(each.answers[kind] for each in tallies) for kind in ANSWERS}
    rows = [
        ["command", f"`make attack SEED={seed}" + (f" SCALE={scale:g}`" if scale != 1 else "`")],
        ["commit", _commit()],
        ["machine", f"{this_cpu()}, {_cores()} cores, {_memory() / GIB:.0f} GiB of memory"],
        ["software", f"Python {platform.python_version()}, torch {version('torch')}"],
        ["attempts", f"{tried:,} in {len(results)} classes"],
        *([kind, f"{count:,}"] for kind, count in kinds.items()),
        ["slowest attempt", f"{max(each.slowest for each in tallies):.1f} s"],
        ["most memory", f"{max(each.peak_bytes for each in tallies) / MIB:,.0f} MiB"],
        ["time", f"{seconds / 60:.0f} min"],
    ]
    cells = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"## The run\n\n| | |\n| --- | --- |\n{cells}\n"


def _sentences(module: ModuleType, results: Mapping[str, Result]) -> str:
    """Returns what the attacks of a module do, below the first sentence of its docstring."""
    attacks = [each for each in module.ATTACKS if each.name in results]
    if not attacks:
        return ""
    what = " ".join((module.__doc__ or "").partition("\n\n")[0].split())
    return "\n".join([what, "", *(f"- *{each.name}*: {each.does}" for each in attacks), ""])


def _table(attacks: Sequence[Attack], results: Mapping[str, Result]) -> str:
    rows = [_row(each.name, results[each.name].tally) for each in attacks]
    header = "| class | tried | done | refused | fault | slowest, s | most memory, MiB |"
    return "\n".join([header, f"| --- |{' ---: |' * 6}", *rows, ""])


def _row(name: str, tally: Tally) -> str:
    answers = " | ".join(f"{tally.answers[kind]:,}" for kind in ANSWERS)
    figures = f"{tally.slowest:.1f} | {tally.peak_bytes / MIB:,.0f}"
    return f"| {name} | {tally.tried:,} | {answers} | {figures} |"


def _faults(results: Mapping[str, Result], seed: int, scale: float) -> str:
    """Returns every fault, with the number of its attempt, below the command that repeats it."""
    faulty = [each for each in results.values() if each.tally.faults]
    if not faulty:
        return "None.\n"
    parts = []
    for each in faulty:
        options = f"--only '{each.name}' --seed {seed}" + (f" --scale {scale:g}" * (scale != 1))
        parts.append(f"`PYTHONPATH=tests python -m attack {options}`:\n")
        parts += [f"- {' '.join(fault.split())}" for fault in each.tally.faults]
        parts.append("")
    return "\n".join(parts)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _commit() -> str:
    """Returns the commit of the code, with `+` where files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    if head.returncode != 0:
        return "unknown"
    root = ["--", ":/asrbench", ":/tests"]
    changed = subprocess.run([*git, "status", "--porcelain", *root], capture_output=True)
    return head.stdout.strip() + "+" * bool(changed.stdout)
