"""The cells of the study, and synthetic batches with utterances of realistic lengths.

Audio is noise and text is random, because the cost of a step does not depend on them. Legend:
B batch, S samples, U symbols, all as in `asrbench.recogniser.loader`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from measure import ROOT

from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.experiment.spec import Cell
from asrbench.experiment.spec_file import load_study
from asrbench.recogniser.loader import Batch, make_batch
from asrbench.text.tokenizer import Tokenizer
from asrbench.training.step import StepMetrics, Trainer

SPECS = {
    "full": ROOT / "experiments" / "ablation.yaml",
    "an4": ROOT / "experiments" / "an4" / "ablation.yaml",
}
UTTERANCES = {"full": 32, "an4": 20}
"""The number of utterances in a batch; those of AN4 fill its 60 s."""
SYMBOLS = {"full": 2002, "an4": 28}
"""The size of the vocabulary, with the blank: KoSpeech's for KsponSpeech, and AN4's."""
SHORTEST_S, LONGEST_S = 2.0, 4.0
"""The bounds of the uniform distribution of utterance lengths, in seconds."""
CHARACTERS_PER_SECOND = 21.5 / 3.17
"""The mean characters over the mean seconds of an utterance of KsponSpeech's eval_clean."""
FIRST_SYLLABLE = ord("가")


def cells_of(size: str, *sets: str) -> dict[str, Cell]:
    """Returns one cell of each variant at `size`, a key of `SPECS`."""
    cells = load_study(SPECS[size], list(sets)).cells
    return {cell.variant: cell for cell in cells if cell.seed == cells[0].seed}


def tokenizer_of(size: str) -> Tokenizer:
    return Tokenizer("char", tuple(chr(FIRST_SYLLABLE + i) for i in range(SYMBOLS[size] - 1)))


def drawn_seconds(utterances: int, seed: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(SHORTEST_S, LONGEST_S, utterances)


def drawn_batch(
    seconds: npt.NDArray[np.float64], tokenizer: Tokenizer, seed: int, device: torch.device
) -> Batch:
    """Returns a batch of utterances of `seconds`, the longest first, as KoSpeech needs them."""
    generator = np.random.default_rng(seed)
    lengths = np.sort(seconds)[::-1]
    waves = [noise(generator, length) for length in lengths]
    texts = [drawn_text(generator, length, tokenizer) for length in lengths]
    batch = make_batch([str(i) for i in range(len(lengths))], texts, waves, tokenizer)
    if device.type != "cuda":
        return batch
    # The loader pins memory too.
    return batch._replace(
        waves_BS=batch.waves_BS.pin_memory(),
        samples_B=batch.samples_B.pin_memory(),
        targets_BU=batch.targets_BU.pin_memory(),
        target_lengths_B=batch.target_lengths_B.pin_memory(),
    )


def noise(generator: np.random.Generator, seconds: float) -> npt.NDArray[np.int16]:
    return (2000 * generator.standard_normal(round(seconds * SAMPLE_RATE_HZ))).astype(np.int16)


def drawn_text(generator: np.random.Generator, seconds: float, tokenizer: Tokenizer) -> str:
    return "".join(generator.choice(tokenizer.symbols, round(seconds * CHARACTERS_PER_SECOND)))


def audio_seconds(batch: Batch) -> float:
    return int(batch.samples_B.sum()) / SAMPLE_RATE_HZ


def step_of(
    cell: Cell, tokenizer: Tokenizer, batch: Batch, device: torch.device
) -> Callable[[], StepMetrics]:
    """Returns a function that makes one step of a new trainer on `batch`."""
    trainer = Trainer(cell, tokenizer, "benchmark", device)
    return lambda: trainer.step([batch], epoch=0, number=0, progress=0.5)
