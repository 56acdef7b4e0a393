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


@dataclass(frozen=True)
class Environment:
    """The part of `env.json` that says what a run was trained on."""

    fingerprint: str = ""
    sounds: dict[str, SoundFolders] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochRow:
    """A row of `history.jsonl`; the fields after `dev_cer` are missing in some versions."""

    epoch: Count
    steps: Count
    train_seconds: Figure
    dev_cer: Figure
    loss: AnyFloat | None = None
    dev_profile: str | None = None
    dev_search: str | None = None
    dev_characters: Count | None = None
    peak_memory_gb: Figure | None = None
    other_load: AnyFloat | None = None
    layer_gradient_norms: dict[str, AnyFloat] | None = None


@dataclass(frozen=True)
class Counts:
    """The counts of a rate, of which the reader needs the number of reference symbols."""

    n: Count


@dataclass(frozen=True)
class Figures:
    """The figures of one split and decoder in `scores.json`."""

    profile: str
    cer: Figure
    characters: Counts
    checkpoint: str = "best"
    epoch: Count | None = None
    corpus: str | None = None
    side: str = "text"
    sides: list[str] = field(default_factory=list)
    settings: dict[str, Any] | None = None
    utterances: Count | None = None
    parameters: Count | None = None
    flops_per_audio_second: Figure | None = None
    real_time_factor: Figure | None = None
    peak_memory_gb: Figure | None = None
    environment: dict[str, Any] | None = None


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
