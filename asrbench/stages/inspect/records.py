"""The figures of an inspection, typed; `Inspection.plain` is what `inspect.<split>.json` holds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = 1
"""Version of `inspect.<split>.json` and of `gradients.json`."""

Arrays = Mapping[str, npt.NDArray[np.float16]]


@dataclass(frozen=True)
class HeadAttention:
    """Means over the queries of one attention head; None where a figure has no meaning."""

    distance_ms: float | None
    """Distance between a query and the keys it attends to."""
    entropy_nats: float | None
    """Entropy of the weights."""
    entropy_relative: float | None
    """Entropy of the weights over that of a uniform distribution: 0 to 1."""


@dataclass(frozen=True)
class LayerAttention:
    """The heads of one attention layer over a whole split."""

    relates: str
    """Rows and columns of its weights, as in `frames to frames`."""
    rows: int
    """Queries counted."""
    uniform_distance_ms: float | None
    """The distance that uniform weights would have."""
    heads: tuple[HeadAttention, ...]


@dataclass(frozen=True)
class AlignedSymbol:
    """A symbol of the reference on the likeliest CTC path that spells the reference."""

    symbol: str
    index: int
    """Its index in the output of the model; 0 is the blank."""
    start_ms: float
    end_ms: float
    probability: float
    """Mean over its frames."""


@dataclass(frozen=True)
class InspectedUtterance:
    """One of the chosen utterances."""

    id: str
    reference: str
    hypothesis: str
    unknown_symbols: int
    """Symbols of the reference that the tokenizer cannot spell."""
    frames: int
    """Frames of the model's output."""
    alignment: tuple[AlignedSymbol, ...] | None
    """None if there are too few frames to align the reference."""


@dataclass(frozen=True)
class Inspection:
    """The figures and arrays of one model on one split."""

    epoch: int | None
    """Epoch of the weights."""
    corpus: str
    """Fingerprint of the corpus."""
    utterances_seen: int
    utterances_unaligned: int
    """Utterances with too few frames to align their reference."""
    frame_ms: float
    """From the middle of one frame of the model's output to that of the next."""
    first_ms: float
    """The middle of the first frame."""
    layers: Mapping[str, LayerAttention]
    """The attention layers by name, in the order of the model."""
    utterances: tuple[InspectedUtterance, ...]
    """The chosen utterances."""
    arrays: Arrays
    """Arrays of the k-th chosen utterance: `k.log_probs` (T, V) and `k.<layer>` (H, T, S)."""

    def plain(
        self,
        *,
        split: str,
        checkpoint: str,
        side: str,
        pictures: Sequence[str],
        utterance_pictures: Sequence[Sequence[str]],
    ) -> dict[str, Any]:
        """Returns the JSON document, with file names of the pictures."""
        return {
            "version": VERSION,
            "split": split,
            "checkpoint": checkpoint,
            "side": side,
            "epoch": self.epoch,
            "corpus": self.corpus,
            "utterances_seen": self.utterances_seen,
            "utterances_unaligned": self.utterances_unaligned,
            "frame_ms": self.frame_ms,
            "first_ms": self.first_ms,
            "layers": {name: asdict(layer) for name, layer in self.layers.items()},
            "utterances": [
                {**asdict(utterance), "pictures": list(names)}
                for utterance, names in zip(self.utterances, utterance_pictures, strict=True)
            ],
            "pictures": list(pictures),
        }
