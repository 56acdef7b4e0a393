"""Attention weights, CTC posteriors and forced alignments of a trained model over a split.

The encoder runs as in evaluation. A hook records the input of each attention block, from which its
`weights` computes the weights that `forward` used. Means are over the whole split, one utterance
at a time; weights and posteriors are kept for a few chosen utterances.

Legend: B batch, T frames (queries), S frames (keys), H heads, U symbols, V vocabulary, D width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from asrbench.base.errors import UserError, nearest
from asrbench.base.reporting import Reporter
from asrbench.data.batch_sampler import length_plan
from asrbench.data.corpus import Split
from asrbench.models.alignment import AlignedSpan
from asrbench.models.attention.block import FRAMES
from asrbench.models.heads.head import Decoding, Encoded
from asrbench.recogniser.clock import Clock
from asrbench.recogniser.loader import Batch, load
from asrbench.recogniser.recogniser import Recogniser
from asrbench.stages.inspect.records import (
    AlignedSymbol,
    HeadAttention,
    InspectedUtterance,
    Inspection,
    LayerAttention,
)

SYMBOLS = "symbols to frames"
"""What the weights of a head relate, rows to columns; attention blocks say their own."""


# One layer


@dataclass
class LayerFigures:
    """Sums over the rows of a layer's weights, by head; a row holds the weights of one query."""

    relates: str
    rows: int = 0
    distance_rows: int = 0
    """Rows whose distance from their keys is defined."""
    relative_rows: int = 0
    """Rows with more than one key; with a single key the entropy is 0 whatever the model."""
    entropy_H: Tensor | float = 0.0
    relative_H: Tensor | float = 0.0
    distance_H: Tensor | float = 0.0
    """Sums of distances, in frames."""
    uniform_distance: float = 0.0
    """The same for uniform weights."""

    def add(self, weights_HTS: Tensor, distance_TS: Tensor | None) -> None:
        """Adds the rows of one utterance.

        `distance_TS` is the distance in frames from query t to key s, for the first T queries; it
        is None where distances are not defined.
        """
        keys = weights_HTS.shape[2]
        entropy_H = _sums(torch.special.entr(weights_HTS))
        self.rows += weights_HTS.shape[1]
        self.entropy_H = self.entropy_H + entropy_H
        if keys > 1:
            self.relative_rows += weights_HTS.shape[1]
            self.relative_H = self.relative_H + entropy_H / float(np.log(keys))
        if distance_TS is not None and len(distance_TS):
            rows = len(distance_TS)
            self.distance_rows += rows
            distance_HTS = weights_HTS[:, :rows] * distance_TS.to(weights_HTS)
            self.distance_H = self.distance_H + _sums(distance_HTS)
            self.uniform_distance += float(distance_TS.mean(1).sum())

    def means(self, frame_ms: float) -> LayerAttention:
        """Returns the means over rows, by head."""
        entropy = _means(self.entropy_H, self.rows)
        relative = _means(self.relative_H, self.relative_rows)
        distance = _means(self.distance_H, self.distance_rows, frame_ms)
        count = max(map(len, (entropy, relative, distance)))
        uniform = None
        if self.distance_rows:
            uniform = frame_ms * self.uniform_distance / self.distance_rows
        heads = tuple(
            HeadAttention(
                distance_ms=distance[h] if distance else None,
                entropy_nats=entropy[h] if entropy else None,
                entropy_relative=relative[h] if relative else None,
            )
            for h in range(count)
        )
        return LayerAttention(self.relates, self.rows, uniform, heads)


def _sums(x_HTS: Tensor) -> Tensor:
    return x_HTS.sum((1, 2), dtype=torch.float64).cpu()


def _means(sums_H: Tensor | float, rows: int, unit: float = 1.0) -> list[float]:
    return (sums_H * unit / rows).tolist() if isinstance(sums_H, Tensor) and rows else []


def frame_distances(frames: int) -> Tensor:
    """Returns distance_TS = |t - s|, in frames."""
    t = torch.arange(frames, dtype=torch.float64)
    return (t[:, None] - t).abs()


def symbol_distances(spans: Sequence[AlignedSpan], frames: int) -> Tensor:
    """Returns distance_US from the middle of the span of symbol u to frame s, in frames.

    The end of the text, which a decoder emits last, has no span and no row.
    """
    middle_U = torch.tensor([(s.start + s.end - 1) / 2 for s in spans], dtype=torch.float64)
    return (middle_U[:, None] - torch.arange(frames, dtype=torch.float64)).abs()


# One utterance


@dataclass
class _Utterance:
    """The weights, posteriors and alignment of one utterance."""

    id: str
    reference: str
    hypothesis: list[int]
    frames: int
    log_probs_TV: Tensor | None
    """None for a head that does not classify frames."""
    spans: list[AlignedSpan] | None
    """None where the reference cannot be aligned."""
    weights: dict[str, tuple[str, Tensor]]
    """By layer, what its weights relate and weights_HTS; with head mixing S are heads."""

    def distances(self, relates: str) -> Tensor | None:
        if relates == FRAMES:
            return frame_distances(self.frames)
        if relates == SYMBOLS and self.spans is not None:
            return symbol_distances(self.spans, self.frames)
        return None


@contextmanager
def _inputs_of(blocks: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Yields a dictionary that receives the last input of each block, by its name."""
    inputs: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def record(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs[name] = arguments[0]

        return record

    hooks = [block.register_forward_pre_hook(recorder(name)) for name, block in blocks.items()]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()


class _Observer:
    """Runs batches through a recogniser in eval mode and records its attention."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser, self.head = recogniser, recogniser.model.head
        self.blocks = recogniser.model.encoder.attention_layers()

    def utterances(self, batch: Batch) -> Iterator[_Utterance]:
        with _inputs_of(self.blocks) as inputs:
            encoded = self.recogniser.encode(batch)
        with self.recogniser.precision():
            search = self.head.searches[self.recogniser.selection]
            hypotheses = search(encoded, Decoding(self.recogniser.cell.decode))
            log_probs_BTV = self.head.frame_log_probs(encoded)
        for b, length in enumerate(encoded.cpu_lengths_B.tolist()):
            symbols = batch.targets_BU[b, : int(batch.target_lengths_B[b])].tolist()
            log_probs_TV = None if log_probs_BTV is None else log_probs_BTV[b, :length]
            alone = encoded.utterance(b)
            spans = self.recogniser.aligned(alone, symbols)
            yield _Utterance(
                batch.ids[b],
                batch.references[b],
                hypotheses[b],
                length,
                log_probs_TV,
                spans,
                dict(self._weights(alone, inputs, b, symbols)),
            )

    def _weights(
        self, alone: Encoded, inputs: dict[str, Tensor], b: int, symbols: list[int]
    ) -> Iterator[tuple[str, tuple[str, Tensor]]]:
        """Yields the weights of each layer, in fp32 and for one utterance at a time.

        They grow with the square of its length.
        """
        length = alone.x_BTD.shape[1]
        for name, block in self.blocks.items():
            x_1TD = inputs[name][b : b + 1, :length].float()
            yield name, (str(block.relates), block.weights(x_1TD, alone.mask_BT)[0])
        alone = alone._replace(x_BTD=alone.x_BTD.float())
        for name, weights_HUT in self.head.weights(alone, symbols).items():
            yield name, (SYMBOLS, weights_HUT)


# A split


def inspect_split(
    recogniser: Recogniser, split: Split, chosen: Sequence[int], reporter: Reporter
) -> Inspection:
    """Returns the attention over all of `split`, and all that is seen of the `chosen` utterances.

    `chosen` are indices into the split.
    """
    clock = Clock.of(recogniser)
    kept = {split.ids[i]: k for k, i in enumerate(chosen)}
    layers: dict[str, LayerFigures] = {}
    utterances: dict[int, InspectedUtterance] = {}
    arrays: dict[str, npt.NDArray[np.float16]] = {}
    unaligned = 0
    for done, each in enumerate(_seen(recogniser, split), start=1):
        for name, (relates, weights_HTS) in each.weights.items():
            layer = layers.setdefault(name, LayerFigures(relates))
            layer.add(weights_HTS, each.distances(relates))
        unaligned += each.spans is None
        if each.id in kept:
            k = kept[each.id]
            utterances[k] = _utterance(each, recogniser, clock)
            arrays |= _arrays(each, k)
        reporter.progress("inspect", done, len(split))
    return Inspection(
        epoch=recogniser.epoch,
        corpus=recogniser.fingerprint,
        utterances_seen=len(split),
        utterances_unaligned=unaligned,
        frame_ms=clock.frame_ms,
        first_ms=clock.first_ms,
        layers={name: each.means(clock.frame_ms) for name, each in layers.items()},
        utterances=tuple(utterances[k] for k in sorted(utterances)),
        arrays=arrays,
    )


def choose(split: Split, ids: Sequence[str], count: int, where: str) -> list[int]:
    """Returns the indices of the utterances with those ids, or of `count` spaced by duration.

    Raises `UserError` for an id that the split does not have.
    """
    if ids:
        index = {id: i for i, id in enumerate(split.ids)}
        for id in ids:
            if id not in index:
                raise UserError(
                    f"{where}: found '{id}', which is none of its {len(index):,} utterances"
                    f"{nearest(id, index)}"
                )
        return [index[id] for id in dict.fromkeys(ids)]
    by_length = sorted(range(len(split)), key=lambda i: (split.samples[i], split.ids[i]))
    count = min(count, len(by_length))
    return [by_length[int((k + 0.5) * len(by_length) / count)] for k in range(count)]


@torch.inference_mode()
def _seen(recogniser: Recogniser, split: Split) -> Iterator[_Utterance]:
    model, observer = recogniser.model, _Observer(recogniser)
    plan = length_plan(split.samples, recogniser.cell.train.batch_seconds)
    was_training = model.training
    model.eval()
    try:
        for batch in load(split, recogniser.tokenizer, plan):
            yield from observer.utterances(batch)
    finally:
        model.train(was_training)


def _utterance(each: _Utterance, recogniser: Recogniser, clock: Clock) -> InspectedUtterance:
    tokenizer = recogniser.tokenizer
    alignment = None
    if each.spans is not None:
        alignment = tuple(
            AlignedSymbol(
                symbol=tokenizer.symbols[s.symbol - 1],
                index=s.symbol,
                start_ms=clock.edge(s.start),
                end_ms=clock.edge(s.end),
                probability=s.probability,
            )
            for s in each.spans
        )
    return InspectedUtterance(
        id=each.id,
        reference=each.reference,
        hypothesis=tokenizer.decode(each.hypothesis),
        unknown_symbols=tokenizer.unknown([each.reference]).total(),
        frames=each.frames,
        alignment=alignment,
    )


def _arrays(each: _Utterance, k: int) -> dict[str, npt.NDArray[np.float16]]:
    named = {name: weights for name, (_, weights) in each.weights.items()}
    if each.log_probs_TV is not None:
        named["log_probs"] = each.log_probs_TV
    # Log posteriors of a model that is hardly trained may be below the smallest number of fp16.
    least = torch.finfo(torch.float16).min
    halves = {name: t.float().clamp_min(least).cpu().numpy() for name, t in named.items()}
    return {f"{k}.{name}": array.astype(np.float16) for name, array in halves.items()}
