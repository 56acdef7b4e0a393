"""Comparing many runs, beside reading their hypotheses.

One thread reads the hypotheses of every run as JSON and keeps nothing. `asrbench compare` runs
with `--replicates 0`, which gives the table of rates only, and with its defaults: bootstrap, tests,
error analysis, figures and page.
"""

import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from child import Ended, run_apart
from measure import Figures, ratios, recorded, say
from page import Table, run, show, times
from torch import device

from asrbench.base.errors import UserError
from asrbench.base.files import write_jsonl
from asrbench.experiment.registry import MODELS
from asrbench.experiment.run_folder import Run
from asrbench.experiment.spec_file import load_study
from asrbench.scoring.score import score
from asrbench.stages.prep.sentences import sentences

READ = "plain read"
WAYS = {"rates alone": ["--replicates", "0"], "all of compare": []}
SEEDS = 5
EPOCHS = 45
WRONG = 0.08
"""Share of characters that are left out, replaced or followed by a space."""
FINGERPRINT = "f1" * 8


def main(
    runs: Annotated[int, typer.Option(min=2, help="Of five seeds a variant.")] = 100,
    utterances: Annotated[int, typer.Option(min=2, help="In the test set.")] = 3_000,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of texts and errors.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Time the comparison of many runs, in turns with reading them."""
    with (
        recorded("comparing", device("cpu")) as figures,
        tempfile.TemporaryDirectory(prefix="asrbench-") as folder,
    ):
        say(f"writing {runs} runs of {utterances:,} utterances")
        figures |= {"runs": runs, "utterances": utterances, "rounds": []}
        made(Path(folder), runs, utterances, seed)
        for number in range(rounds):
            found = one_round(Path(folder))
            figures["rounds"].append(found)
            shown = ", ".join(f"{name} {each['seconds']:.3g} s" for name, each in found.items())
            say(f"round {number + 1}/{rounds}: {shown}")
    show(figures, tables(figures), as_json)


# Runs that nobody trained


def made(folder: Path, runs: int, utterances: int, seed: int) -> None:
    """Leaves `results/` in `folder`: run folders as training and evaluation leave them."""
    generator = np.random.default_rng(seed)
    references = list(itertools.islice(sentences(seed), utterances))
    if len(references) < utterances:
        raise UserError(f"--utterances: found {utterances}, allowed: {len(references)} or fewer")
    spec = folder / "study.yaml"
    variants = [f"ds2_{k}" if k else "ds2" for k in range(-(-runs // SEEDS))]
    spec.write_text(
        json.dumps(
            {
                "name": "many",
                "corpus": "data/many",
                "seeds": [*range(SEEDS)],
                "train": {"epochs": EPOCHS},
                "variants": {name: {"model": {"name": next(iter(MODELS))}} for name in variants},
            }
        )
    )
    for cell in load_study(spec).cells[:runs]:
        run = Run.of(folder / "results", cell, FINGERPRINT)
        run.begin(cell, {"device_name": "none", "threads": 1})
        rows = [{"epoch": e, "steps": 41 * e, "loss": 5 / e} for e in range(1, EPOCHS + 1)]
        run.write_history(
            [row | {"train_seconds": 12.0, "dev_cer": 0.9 / row["epoch"]} for row in rows]
        )
        hypotheses = [garbled(reference, generator) for reference in references]
        texts = enumerate(zip(references, hypotheses, strict=True))
        write_jsonl(
            run.hypotheses_path("test", "greedy"),
            [{"id": f"u{u}", "reference": one, "hypothesis": other} for u, (one, other) in texts],
        )
        scores = score(references, hypotheses, cell.score.profile, run).plain()
        more = {"parameters": 1, "corpus": FINGERPRINT, "side": "text", "sides": ["text"]}
        run.write_scores("test", "greedy", scores | more)


def garbled(text: str, generator: np.random.Generator) -> str:
    """`text` with errors of every kind, independent of each other."""
    wrong = generator.random(len(text)) < WRONG
    instead = generator.integers(0, 3, len(text))
    return "".join(
        ("", "가", f"{symbol} ")[how] if is_wrong else symbol
        for symbol, is_wrong, how in zip(text, wrong, instead, strict=True)
    )


# Turns


def one_round(folder: Path) -> dict[str, Figures]:
    found: dict[str, Figures] = {READ: {"seconds": read_seconds(folder)}}
    for name, options in WAYS.items():
        with tempfile.TemporaryDirectory(dir=folder) as out:
            command = [sys.executable, "-m", "asrbench", "compare", "results", "--quiet"]
            ended = run_apart([*command, *options, "--out", out], folder)
        if ended.status:
            raise UserError(f"asrbench compare failed: {ended.last_line}")
        found[name] = _told(ended)
    return found


def read_seconds(folder: Path) -> float:
    began = time.perf_counter()
    for path in sorted((folder / "results").rglob("hypotheses.*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                json.loads(line)
    return time.perf_counter() - began


def _told(ended: Ended) -> Figures:
    return {
        "seconds": ended.seconds,
        "cpu_seconds": ended.cpu_seconds,
        "peak_bytes": ended.peak_bytes,
    }


# Tables


def tables(figures: Figures) -> list[Table]:
    rounds = figures["rounds"]
    header = ["work", *(f"round {i + 1}, s" for i in range(len(rounds)))]
    header += ["over the plain read's", "cores busy", "peak, MB"]
    rows = []
    for name in rounds[0]:
        seconds, read = ([each[key]["seconds"] for each in rounds] for key in (name, READ))
        row = [name, *(f"{s:.3g}" for s in seconds)]
        rows.append(row + (["1", "-", "-"] if name == READ else _process(rounds, name, read)))
    note = (
        f"{figures['runs']} runs of {figures['utterances']:,} utterances, {SEEDS} seeds a variant; "
        f"{100 * WRONG:.0f} % of the characters are wrong, different ones in every run, so that no "
        f"two runs have the same hypotheses. Processes are timed from launch to end; the peak is "
        f"that of the largest of them."
    )
    return [Table("Time to compare", header, rows, note)]


def _process(rounds: list[dict[str, Figures]], name: str, read: list[float]) -> list[str]:
    seconds, cpu_seconds, peaks = (
        [each[name][key] for each in rounds] for key in ("seconds", "cpu_seconds", "peak_bytes")
    )
    busy = ratios(cpu_seconds, seconds)["median"]
    return [times(ratios(seconds, read), 1), f"{busy:.2f}", f"{max(peaks) / 1e6:,.0f}"]


if __name__ == "__main__":
    run(main)
