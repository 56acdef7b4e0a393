"""One training step compared with KoSpeech's step and with the peak of the machine.

The model has 3 bidirectional GRU layers of 1,024 units over 80 mel bands and 2,002 symbols; a batch
has 32 utterances of 2 to 4 s. asrbench's step begins with int16 waveforms: features, SpecAugment,
forward, backward, clipping, optimizer. KoSpeech's step gets finished features, which favours it.
"""

import as_trained  # before torch is imported

# isort: split
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer
from bare_loop import bare_step
from kospeech_step import check, kospeech
from measure import (
    PRECISIONS,
    Contestant,
    Figures,
    product_peak,
    ratios,
    recorded,
    say,
)
from page import Table, per_cent, run, show, times
from study import audio_seconds, cells_of, drawn_batch, drawn_seconds, step_of, tokenizer_of
from torch import Tensor, device
from torch.utils.flop_counter import FlopCounterMode

from asrbench.experiment.spec import Cell
from asrbench.models.encoders.deepspeech2 import DeepSpeech2Spec
from asrbench.models.features import Features
from asrbench.recogniser.devices import resolve_device, runs_in_bf16
from asrbench.recogniser.loader import Batch

OURS = "asrbench"
Turn = Callable[[], float]


def main(
    kospeech_path: Annotated[
        Path | None, typer.Option("--kospeech", help="Checkout of KoSpeech to compare with.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Turns of each program.")] = 3,
    utterances: Annotated[int, typer.Option(min=1, help="Utterances in the batch.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Seed of lengths, audio and text.")] = 0,
    device_name: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Device to run on.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Time a training step of the full-size model in turns with other programs."""
    place = resolve_device(device_name)
    if kospeech_path is not None:
        check(kospeech_path)
    with recorded("train_step", place) as figures:
        figures |= _measured(place, kospeech_path, pairs, utterances, seed)
    show(figures, tables(figures), as_json)


def _measured(
    place: device, checkout: Path | None, pairs: int, utterances: int, seed: int
) -> Figures:
    cell, tokenizer = cells_of("full")["ds2"], tokenizer_of("full")
    batch = drawn_batch(drawn_seconds(utterances, seed), tokenizer, seed, place)
    say("counting the FLOPs of a step")
    flops = _flops(batch)
    with ExitStack() as stack:
        others: dict[str, Turn] = {}
        sizes, tensors = _sizes(cell), _as_tensors(cell, batch)
        if checkout is not None:
            say("warming up KoSpeech")
            theirs = kospeech(checkout, sizes, tensors, place, as_trained.ENVIRONMENT)
            others["KoSpeech"] = stack.enter_context(theirs)
        if place.type == "cuda":
            for name, half in (("cuDNN, fp32", False), ("cuDNN, fp16", True)):
                others[name] = Contestant(bare_step(sizes, tensors, place, half), place).turn
        ours = Contestant(step_of(cell, tokenizer, batch, place), place)
        rounds = [_round(ours.turn, others, place, f"{i + 1}/{pairs}") for i in range(pairs)]
    precision = "bf16" if runs_in_bf16(place, cell.train.precision) else "fp32"
    seconds = {name: [each[name] for each in rounds] for name in rounds[0]}
    return {
        "batch": {
            "utterances": utterances,
            "audio_seconds": audio_seconds(batch),
            "symbols": int(batch.target_lengths_B.sum()),
            "seed": seed,
        },
        "precision": precision,
        "flops": flops,
        "rounds": rounds,
        "ratios": {name: ratios(seconds[name], seconds[OURS]) for name in others},
        "share_of_peak": ratios([flops / s for s in seconds[OURS]], seconds[f"{precision}_peak"]),
    }


def _round(ours: Turn, others: dict[str, Turn], place: device, number: str) -> dict[str, float]:
    """Returns the seconds per step of each program, and the peaks in FLOP/s measured between."""
    found = {OURS: ours()}
    found |= {
        f"{name}_peak": product_peak(place, precision) for name, precision in PRECISIONS.items()
    }
    found |= {name: turn() for name, turn in others.items()}
    shown = ", ".join(f"{name} {found[name]:.3g} s" for name in (OURS, *others))
    say(f"round {number}: {shown}")
    return found


def _flops(batch: Batch) -> int:
    """Returns the operations of a step in matrix products and convolutions, with the backward pass.

    The count is made in fp32 on the CPU, because the counter can count neither the prepacked
    products of bf16 nor cuDNN's recurrence, and because the CPU's recurrence skips padding.
    """
    cell = cells_of("full", "train.precision=fp32")["ds2"]
    step = step_of(cell, tokenizer_of("full"), batch, device("cpu"))
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def _sizes(cell: Cell) -> dict[str, int]:
    encoder = cell.model.encoder
    assert isinstance(encoder, DeepSpeech2Spec)
    return {
        "bands": Features(cell.features).bins,
        "symbols": len(tokenizer_of("full")),
        "layers": encoder.recurrence.layers,
        "width": encoder.recurrence.width,
    }


def _as_tensors(cell: Cell, batch: Batch) -> dict[str, Tensor]:
    """Returns the features and targets of `batch`, for programs that do not read waveforms."""
    x_BTF, frames_B = Features(cell.features)(batch.waves_BS, batch.samples_B)
    return {
        "x_BTF": x_BTF.contiguous(),
        "frames_B": frames_B,
        "targets_BU": batch.targets_BU,
        "target_lengths_B": batch.target_lengths_B,
    }


def tables(figures: Figures) -> list[Table]:
    batch, rounds = figures["batch"], figures["rounds"]
    steps = [OURS, *figures["ratios"]]
    header = ["step", *(f"round {i + 1}, s" for i in range(len(rounds))), "over asrbench's"]
    rows = [
        [
            name,
            *(f"{each[name]:.3g}" for each in rounds),
            times(figures["ratios"][name]) if name in figures["ratios"] else "1",
        ]
        for name in steps
    ]
    note = (
        f"{batch['utterances']} utterances, {batch['audio_seconds']:.1f} s of audio, "
        f"{batch['symbols']} symbols. The last column divides each time by that of asrbench's step "
        f"in the same round: the median over the rounds, the least and the greatest."
    )
    return [Table("Training step, ds2 at full size", header, rows, note), _peak_table(figures)]


def _peak_table(figures: Figures) -> Table:
    rounds, precision = figures["rounds"], figures["precision"]
    peaks = {name: max(each[f"{name}_peak"] for each in rounds) for name in PRECISIONS}
    rate = max(figures["flops"] / each[OURS] for each in rounds)
    rows = [
        ["FLOPs of a step", f"{figures['flops'] / 1e9:,.0f} G"],
        ["asrbench's step, best round", f"{rate / 1e9:,.0f} GFLOP/s"],
        *([f"{name} matrix product, best", f"{peaks[name] / 1e9:,.0f} GFLOP/s"] for name in peaks),
        [f"share of the {precision} peak, %", per_cent(figures["share_of_peak"])],
    ]
    note = (
        f"The step runs in {precision}. The peak is the fastest square matrix product measured "
        f"right after it, and the share is the median over the rounds. Operations other than "
        f"matrix products and convolutions count as time, but not as FLOPs."
    )
    return Table("Share of the machine's peak", ["quantity", "value"], rows, note)


if __name__ == "__main__":
    run(main)
