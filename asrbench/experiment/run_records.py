"""The shape of the JSON files in a run folder: the keys that this program reads back.

The files hold further keys, which are for people. A file is checked against its record and then
used as plain data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from asrbench.base.errors import UserError
from asrbench.base.records import checked

Count = Annotated[int, Field(strict=True, ge=0)]
Figure = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
AnyFloat = Annotated[float, Field(strict=True)]
"""A number that training may write as NaN or infinity."""


@dataclass(frozen=True)
class SoundFolders:
    """The folders of sounds of one kind of augmentation, in `env.json`."""

    fingerprint: str
    """Digest of the names, the sizes and the beginnings of the files."""


@dataclass(frozen=True)
class Environment:
    """The part of `env.json` that says what a run was trained on."""

    fingerprint: str = ""
    """Fingerprint of the corpus, as in its `corpus.json`."""
    sounds: dict[str, SoundFolders] = field(default_factory=dict)
    """The sounds of each kind of augmentation: rooms, noise."""


@dataclass(frozen=True)
class EpochRow:
    """A row of `history.jsonl`; the fields after `dev_cer` are missing in some versions."""

    epoch: Count
    """Number of the epoch, counted from 1."""
    steps: Count
    """Optimizer steps since the training began."""
    train_seconds: Figure
    """Time of the epoch without its dev pass, in seconds."""
    dev_cer: Figure
    """CER on the dev set after the epoch, as a fraction."""
    loss: AnyFloat | None = None
    """Mean training loss of the epoch, in nats per reference character."""
    dev_profile: str | None = None
    """Scoring profile of the dev CER, with its version."""
    dev_search: str | None = None
    """Search that decoded the dev set."""
    dev_characters: Count | None = None
    """Reference characters of the dev set."""
    peak_memory_gb: Figure | None = None
    """Peak memory of the device, in GB; only on CUDA."""
    other_load: AnyFloat | None = None
    """Share of the machine's CPU time that other processes used meanwhile."""
    layer_gradient_norms: dict[str, AnyFloat] | None = None
    """Gradient norm of each layer, averaged over the steps of the epoch."""


@dataclass(frozen=True)
class Counts:
    """The counts of a rate, of which the reader needs the number of reference symbols."""

    n: Count
    """Number of reference symbols."""


@dataclass(frozen=True)
class Figures:
    """The figures of one split and decoder in `scores.json`."""

    profile: str
    """Scoring profile of the CER, with its version."""
    cer: Figure
    """CER as a fraction."""
    characters: Counts
    """Character edits, and the reference characters that they are counted over."""
    checkpoint: str = "best"
    """Rule of `train.weights` that chose the weights."""
    epoch: Count | None = None
    """Epoch of the weights."""
    corpus: str | None = None
    """Fingerprint of the corpus."""
    side: str = "text"
    """Side of the text that the references are."""
    sides: list[str] = field(default_factory=list)
    """Sides of the text that the hypotheses file has."""
    settings: dict[str, Any] | None = None
    """Settings of the search, as its beam."""
    utterances: Count | None = None
    """Utterances of the split."""
    parameters: Count | None = None
    """Parameters of the model."""
    flops_per_audio_second: Figure | None = None
    """Operations of a forward pass for one second of audio."""
    real_time_factor: Figure | None = None
    """Time of decoding over the duration of the audio."""
    peak_memory_gb: Figure | None = None
    """Peak memory of decoding, in GB: of the device, or on a CPU of the whole process."""
    environment: dict[str, Any] | None = None
    """Versions, commit and machine that decoded."""


def check_history(rows: Sequence[Any], where: str) -> None:
    """Raises `UserError` unless the rows are epochs 1, 2, ... of one model.

    `where` is the path of the file.
    """
    remedy = "train the run again, or restore the file"
    layers: set[str] | None = None
    for number, row in enumerate(rows, start=1):
        line = f"{where}, line {number}"
        found = checked(row, EpochRow, line, remedy)
        if found.epoch != number:
            raise UserError(f"{line}: found epoch {found.epoch}, allowed: {number}; {remedy}")
        if found.layer_gradient_norms is not None:
            own = found.layer_gradient_norms.keys()
            if layers not in (None, own):
                raise UserError(f"{line}: found gradient norms of other layers; {remedy}")
            layers = set(own)
