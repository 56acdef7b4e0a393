"""Padding, loader speed, and start-up time.

Padding is counted in the batches that training would use. The loader runs alone, through an epoch,
and its speed is compared with that of training steps in the same rounds. The start-up time is
measured from launching `asrbench train` to the line of its first step.
"""

import as_trained  # noqa: F401  # before torch is imported

# isort: split
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
import typer
from lengths import DRAWN, TRAIN
from measure import ROOT, Contestant, Figures, ratios, recorded, say, spread
from page import Table, run, show, times
from study import (
    SPECS,
    UTTERANCES,
    audio_seconds,
    cells_of,
    drawn_batch,
    drawn_seconds,
    drawn_text,
    noise,
    step_of,
    tokenizer_of,
)

from asrbench.base.errors import UserError
from asrbench.data.batch_sampler import epoch_plan
from asrbench.data.corpus import Corpus
from asrbench.data.corpus_writer import CorpusWriter, Utterance
from asrbench.data.waveform import SAMPLE_RATE_HZ, Samples
from asrbench.experiment.spec import LogMel
from asrbench.experiment.spec_augment import AugmentSpec
from asrbench.models.features import Features
from asrbench.recogniser.devices import resolve_device
from asrbench.recogniser.loader import Transform, load
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.augmentation import change_speed

BATCH_SECONDS = (60, 120, 240, 480)
LOADED_SECONDS = 60
"""The seconds of audio in a batch of the loader benchmark."""
WORKERS = (0, 1, 2)
SPEEDS = {"unchanged": (1.0,), "speed perturbed": (0.9, 1.0, 1.1)}
DRAWN_UTTERANCES = 400
"""The number of utterances of the synthetic corpus, which is used where none is given."""
START_SPEC = ROOT / "experiments" / "an4" / "ds2.yaml"

Frames = npt.NDArray[np.int64]


def main(
    corpora: Annotated[
        list[Path] | None, typer.Argument(help="Corpus folders; without one, a synthetic corpus.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of loader and step; starts.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of lengths, audio, text and batches.")] = 0,
    device_name: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Device to run on.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure the share of padding, the speed of the loader, and the time to the first step."""
    device = resolve_device(device_name)
    with recorded("feeding", device) as figures, ExitStack() as stack:
        folders = corpora or [
            _made(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "drawn", seed)
        ]
        opened = [Corpus.open(folder) for folder in folders]
        figures["padding"] = _padding(opened if corpora else [], seed)
        figures["consumed"], figures["loaders"] = _fed(opened, rounds, seed, device)
        figures["starts"] = {
            corpus.name: _starts(corpus.folder, rounds, device) for corpus in opened
        }
    show(figures, tables(figures), as_json)


# Padding


def _padding(corpora: list[Corpus], seed: int) -> dict[str, dict[str, float]]:
    """Returns the share of frames that are padding, by corpus and by seconds in a batch."""
    lengths = {corpus.name: corpus.split("train").samples for corpus in corpora}
    lengths |= {drawn.name: drawn.samples(seed) for drawn in DRAWN}
    return {
        name: {str(limit): padding_share(samples, limit, seed) for limit in BATCH_SECONDS}
        for name, samples in lengths.items()
    }


def padding_share(samples: npt.NDArray[np.int64], batch_seconds: float, seed: int) -> float:
    """Returns the share of the frames of an epoch's batches that are padding."""
    plan = epoch_plan(
        samples, seed=seed, epoch=0, fingerprint="benchmark", batch_seconds=batch_seconds
    )
    frames: Frames = Features(LogMel()).frames(torch.from_numpy(samples.copy())).numpy()
    padded = sum(len(batch) * int(frames[batch].max()) for batch in plan)
    return 1 - int(frames.sum()) / padded


# Loader


def _fed(
    corpora: list[Corpus], rounds: int, seed: int, device: torch.device
) -> tuple[dict[str, list[float]], list[Figures]]:
    """Returns seconds of audio per second: of training steps by size, and of each way to load.

    Each way to load also gets the ratio of its speed to that of steps, by rounds.
    """
    steps = {size: _consumer(size, seed, device) for size in SPECS}
    consumed: dict[str, list[float]] = {size: [] for size in SPECS}
    ways: list[Figures] = [
        {"corpus": corpus.name, "workers": workers, "audio": audio, "delivered": []}
        for corpus in corpora
        for audio in SPEEDS
        for workers in WORKERS
    ]
    by_name = {corpus.name: corpus for corpus in corpora}
    for number in range(rounds):
        for size, (contestant, audio_s) in steps.items():
            consumed[size].append(audio_s / contestant.turn())
        for way in ways:
            corpus = by_name[way["corpus"]]
            way["delivered"].append(
                _delivered(corpus, way["workers"], way["audio"], number, device)
            )
        say(f"loader, round {number + 1}/{rounds}")
    for way in ways:
        way["over_step"] = {size: ratios(way["delivered"], consumed[size]) for size in SPECS}
    return consumed, ways


def _consumer(size: str, seed: int, device: torch.device) -> tuple[Contestant, float]:
    """Returns the baseline's step, and the seconds of audio in one."""
    tokenizer = tokenizer_of(size)
    batch = drawn_batch(drawn_seconds(UTTERANCES[size], seed), tokenizer, seed, device)
    step = step_of(cells_of(size)["ds2"], tokenizer, batch, device)
    return Contestant(step, device), audio_seconds(batch)


def _delivered(corpus: Corpus, workers: int, audio: str, epoch: int, device: torch.device) -> float:
    """Returns the seconds of audio per second over an epoch, with the start of the workers."""
    split = corpus.split("train")
    tokenizer = Tokenizer.of("char", split.texts)
    plan = epoch_plan(
        split.samples,
        seed=0,
        epoch=epoch,
        fingerprint=corpus.fingerprint,
        batch_seconds=LOADED_SECONDS,
    )
    speeds = SPEEDS[audio]
    transform: Transform | None = partial(_at_speed, epoch, speeds) if len(speeds) > 1 else None
    began = time.perf_counter()
    pin = device.type == "cuda"
    batches = load(split, tokenizer, plan, workers=workers, transform=transform, pin=pin)
    delivered = sum(audio_seconds(batch) for batch in batches)
    return delivered / (time.perf_counter() - began)


def _at_speed(epoch: int, speeds: tuple[float, ...], wave: Samples, utterance: str) -> Samples:
    return change_speed(wave, AugmentSpec(speeds=speeds), seed=0, epoch=epoch, utterance=utterance)


# Start


def _starts(corpus: Path, times: int, device: torch.device) -> list[float]:
    """Returns the seconds from launching `asrbench train` to the end of its first step."""
    found = []
    for number in range(times):
        with tempfile.TemporaryDirectory() as results:
            found.append(_start(corpus, results, device))
        say(f"start {number + 1}/{times}: {found[-1]:.2f} s")
    return found


def _start(corpus: Path, results: str, device: torch.device) -> float:
    command = [sys.executable, "-m", "asrbench", "train", str(START_SPEC), "--results", results]
    # With this option every step prints a line.
    command += ["--set", "run.log_seconds=1e-9", "--set", f"corpus={corpus.resolve()}"]
    command += ["--device", device.type]
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        line = ""
        for line in process.stdout:
            if line.startswith("epoch 1/"):
                seconds = time.perf_counter() - began
                process.kill()
                return seconds
    raise UserError(f"{corpus}: training ended before its first step, saying: {line.strip()}")


# The synthetic corpus


def _made(folder: Path, seed: int) -> Path:
    """Makes a corpus of noise with utterance lengths like KsponSpeech's, and returns its folder."""
    generator, tokenizer = np.random.default_rng(seed), tokenizer_of("full")
    with CorpusWriter.create(
        folder, name="drawn", recipe="noise", source="drawn", text_profile="verbatim", strict=True
    ) as writer:
        lengths = TRAIN._replace(utterances=DRAWN_UTTERANCES).samples(seed) / SAMPLE_RATE_HZ
        for number, seconds in enumerate(lengths.tolist()):
            text = drawn_text(generator, seconds, tokenizer)
            # Training needs a dev split, although no benchmark uses it.
            split = "dev" if number == 0 else "train"
            writer.add(split, Utterance(f"u{number}", noise(generator, seconds), text))
    return folder


# Tables


def tables(figures: Figures) -> list[Table]:
    return [_padding_table(figures), _loader_table(figures), _start_table(figures)]


def _padding_table(figures: Figures) -> Table:
    header = ["lengths", *(f"{limit} s, %" for limit in BATCH_SECONDS)]
    rows = [
        [name, *(f"{100 * shares[str(limit)]:.2f}" for limit in BATCH_SECONDS)]
        for name, shares in figures["padding"].items()
    ]
    note = (
        "Each column is the share of padding among the frames of an epoch's batches, for one batch "
        "size in seconds of audio. On a CPU the recurrence skips padding, but the convolutions do "
        "not. Synthetic lengths are log-normal; the figure in their name is the standard deviation "
        "of the logarithm, and `benchmarks/lengths.py` gives the source of the other parameters."
    )
    return Table("Padding", header, rows, note)


def _loader_table(figures: Figures) -> Table:
    header = ["corpus", "audio", "workers", "s/s", *(f"over {size} step" for size in SPECS)]
    rows = [
        [
            way["corpus"],
            way["audio"],
            str(way["workers"]),
            f"{spread(way['delivered'])['median']:,.0f}",
            *(times(way["over_step"][size], 0) for size in SPECS),
        ]
        for way in figures["loaders"]
    ]
    consumed = " and ".join(
        f"{spread(rates)['median']:,.0f} s/s at the {size} size"
        for size, rates in figures["consumed"].items()
    )
    note = (
        f"The column s/s is the seconds of audio per second that the loader delivers alone, in "
        f"batches of {LOADED_SECONDS} s, with the start of its workers. The last columns divide it "
        f"by the speed of a `ds2` step in the same round: {consumed}."
    )
    return Table("Loader", header, rows, note)


def _start_table(figures: Figures) -> Table:
    rows = [[name, times(spread(each))] for name, each in figures["starts"].items()]
    note = (
        f"The time from launching `asrbench train {START_SPEC.relative_to(ROOT)}` to the end of "
        f"its first step."
    )
    return Table("Start", ["corpus", "seconds"], rows, note)


if __name__ == "__main__":
    run(main)
