"""Cost of each variant relative to the baseline at equal size: step time and peak memory.

The time is that of a training step on utterances of 2 to 4 s; a variant and the baseline take
turns. The memory is that of a batch of 30 s utterances, for which attention over time costs most.
`ds2_selfattn_deck` is the block of [the original study](family.md).
"""

import as_trained  # noqa: F401  # before torch is imported

# isort: split
from typing import Annotated, Literal

import torch
import typer
from measure import ROOT, Contestant, Figures, ratios, recorded, say
from page import Table, run, show, times
from peak_memory import peak_memory
from study import (
    SPECS,
    UTTERANCES,
    cells_of,
    drawn_batch,
    drawn_seconds,
    step_of,
    tokenizer_of,
)

from asrbench.base.errors import pick
from asrbench.recogniser.devices import resolve_device

BASELINE = "ds2"
LONG_S = 30.0


def main(
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", help="Size, full or an4; repeatable. Both by default."),
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Turns of each model.")] = 3,
    long: Annotated[int, typer.Option(min=1, help="Utterances of 30 s in a batch.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of lengths, audio and text.")] = 0,
    device_name: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Device to run on.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure the step time and the peak memory of every variant relative to the baseline."""
    device = resolve_device(device_name)
    chosen = [pick("--size", size, SPECS) for size in sizes or SPECS]
    with recorded("attention", device) as figures:
        figures["long_utterances"] = long
        figures["sizes"] = {
            size: {
                "variants": _steps(size, pairs, seed, device),
                "bytes": {name: _memory(size, name, long, device) for name in cells_of(size)},
            }
            for size in chosen
        }
    show(figures, tables(figures), as_json)


def _steps(size: str, pairs: int, seed: int, device: torch.device) -> dict[str, Figures]:
    """Returns, for each variant, the seconds of its steps and the baseline's, and their ratio."""
    cells, tokenizer = cells_of(size), tokenizer_of(size)
    batch = drawn_batch(drawn_seconds(UTTERANCES[size], seed), tokenizer, seed, device)

    def contestant(name: str) -> Contestant:
        return Contestant(step_of(cells[name], tokenizer, batch, device), device)

    found: dict[str, Figures] = {}
    baseline = contestant(BASELINE)
    for name in cells:
        if name == BASELINE:
            continue
        other = contestant(name)
        turns = [(baseline.turn(), other.turn()) for _ in range(pairs)]
        ours, theirs = (list(column) for column in zip(*turns, strict=True))
        found[name] = {BASELINE: ours, name: theirs, "ratio": ratios(theirs, ours)}
        say(f"{size} {name}: {times(found[name]['ratio'])} times {BASELINE}'s step")
    return found


def _memory(size: str, name: str, long: int, device: torch.device) -> int:
    found = peak_memory(size, name, long, LONG_S, device)
    say(f"{size} {name}: {found / 1e9:.2f} GB for {long} utterances of {LONG_S:g} s")
    return found


def tables(figures: Figures) -> list[Table]:
    return [_table(size, found, figures) for size, found in figures["sizes"].items()]


def _table(size: str, found: Figures, figures: Figures) -> Table:
    memory = found["bytes"]
    rows = []
    for name, held in memory.items():
        step = times(found["variants"][name]["ratio"]) if name != BASELINE else "1"
        rows.append([name, step, f"{held / 1e9:.2f}", f"{held / memory[BASELINE]:.2f}"])
    header = ["variant", f"step over {BASELINE}'s", "peak, GB", f"over {BASELINE}'s"]
    note = (
        f"A step has {UTTERANCES[size]} utterances of 2 to 4 s. The peak memory is that of the "
        f"model, the optimizer and a batch of {figures['long_utterances']} utterances of "
        f"{LONG_S:g} s."
    )
    return Table(f"Variants at the size of {SPECS[size].relative_to(ROOT)}", header, rows, note)


if __name__ == "__main__":
    run(main)
