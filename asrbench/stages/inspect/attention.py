"""What happens inside a trained model: where it attends, when it says what.

The passes over the encoder are those of evaluation; the inputs of each attention block are seen on
their way in, and `weights` of the block makes of them what `forward` used. Figures are of a whole
split, one utterance at a time; weights and posteriors are kept of a few chosen utterances.

Legend: B batch, T frames (queries), S frames (keys), H heads, U symbols, V tokenizer, D width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torchaudio
from torch import Tensor, nn

from asrbench.base.errors import UserError, nearest
from asrbench.base.reporting import Reporter
from asrbench.data.batch_sampler import length_plan
from asrbench.data.corpus import Split
from asrbench.data.waveform import SAMPLE_RATE_HZ
from asrbench.models.attention.block import FRAMES
from asrbench.models.heads.head import Encoded
from asrbench.recogniser.loader import Batch, load
from asrbench.recogniser.recogniser import Recogniser
from asrbench.stages.inspect.records import (
    AlignedSymbol,
    HeadAttention,
    InspectedUtterance,
    Inspection,
    LayerAttention,
)
from asrbench.text.tokenizer import BLANK

SYMBOLS = "symbols to frames"
"""What the weights of a head relate, rows to columns; attention blocks say their own."""


@dataclass(frozen=True)
class Clock:
    """When the frames of a model's output are, in milliseconds of audio."""

    frame_ms: float
    """From the middle of one frame to that of the next."""
    first_ms: float
    """The middle of the first."""

    @classmethod
    def of(cls, recogniser: Recogniser) -> "Clock":
        """Returns the clock from hop, window and the stride of the encoder."""
        features, encoder = recogniser.features, recogniser.model.encoder
        ms = 1000 / SAMPLE_RATE_HZ
        first = encoder.first_frame * features.hop + features.window / 2
        return cls(encoder.stride * features.hop * ms, first * ms)

    def edge(self, frame: float) -> float:
        """When the frame of that number begins, which is where the one before it ends."""
        return max(0.0, self.first_ms + (frame - 0.5) * self.frame_ms)


class Spoken(NamedTuple):
    """A symbol of the reference where the likeliest CTC path has it, frames `start` to `end`."""

    symbol: int
    start: int
    end: int
    probability: float
    """The mean over its frames."""


def aligned(log_probs_TV: Tensor, symbols: Sequence[int]) -> list[Spoken]:
    """The symbols on the likeliest CTC path that spells them (torchaudio's `forced_align`).

    CTC has to say a symbol somewhere within it, not as long as it sounds: times are those of the
    peaks. Raises `RuntimeError` for fewer frames than the symbols, and the blanks between repeats,
    need.
    """
    if not symbols:
        return []
    path_1T, scores_1T = torchaudio.functional.forced_align(
        log_probs_TV.float().cpu().contiguous()[None], torch.tensor([symbols]), blank=BLANK
    )
    spans = torchaudio.functional.merge_tokens(path_1T[0], scores_1T[0].exp(), blank=BLANK)
    return [Spoken(s.token, s.start, s.end, float(s.score)) for s in spans]


# One layer


@dataclass
class LayerFigures:
    """Sums over rows of weights, head by head; a row is one query."""

    relates: str
    rows: int = 0
    apart_rows: int = 0
    """Those whose distance from their keys means something."""
    telling_rows: int = 0
    """Those with more than one key: a single one is certain whatever the model."""
    entropy_H: Tensor | float = 0.0
    relative_H: Tensor | float = 0.0
    apart_H: Tensor | float = 0.0
    """In frames."""
    uniform_apart: float = 0.0

    def add(self, weights_HTS: Tensor, apart_TS: Tensor | None) -> None:
        """Rows of one utterance; `apart_TS` is how far key s is from where query t stands, in
        frames, for the first T queries, and nothing where there is no such thing."""
        keys = weights_HTS.shape[2]
        entropy_H = _sums(torch.special.entr(weights_HTS))
        self.rows += weights_HTS.shape[1]
        self.entropy_H = self.entropy_H + entropy_H
        if keys > 1:
            self.telling_rows += weights_HTS.shape[1]
            self.relative_H = self.relative_H + entropy_H / float(np.log(keys))
        if apart_TS is not None and len(apart_TS):
            rows = len(apart_TS)
            self.apart_rows += rows
            apart_HTS = weights_HTS[:, :rows] * apart_TS.to(weights_HTS)
            self.apart_H = self.apart_H + _sums(apart_HTS)
            self.uniform_apart += float(apart_TS.mean(1).sum())

    def means(self, frame_ms: float) -> LayerAttention:
        """Returns the means over rows, by head."""
        entropy = _means(self.entropy_H, self.rows)
        relative = _means(self.relative_H, self.telling_rows)
        apart = _means(self.apart_H, self.apart_rows, frame_ms)
        count = max(map(len, (entropy, relative, apart)))
        uniform = frame_ms * self.uniform_apart / self.apart_rows if self.apart_rows else None
        heads = tuple(
            HeadAttention(
                distance_ms=apart[h] if apart else None,
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


def frames_apart(frames: int) -> Tensor:
    """apart_TS = |t - s|, in frames."""
    t = torch.arange(frames, dtype=torch.float64)
    return (t[:, None] - t).abs()


def symbols_apart(spoken: Sequence[Spoken], frames: int) -> Tensor:
    """apart_US: from the middle of where CTC has symbol u to frame s, in frames. The end, which a
    decoder says last, is nowhere."""
    middle_U = torch.tensor([(s.start + s.end - 1) / 2 for s in spoken], dtype=torch.float64)
    return (middle_U[:, None] - torch.arange(frames, dtype=torch.float64)).abs()


# One utterance


@dataclass
class _Utterance:
    """What is seen of one: weights by layer, in the order of the model."""

    id: str
    reference: str
    hypothesis: list[int]
    frames: int
    log_probs_TV: Tensor | None
    """None for a head that does not classify frames."""
    spoken: list[Spoken] | None
    """None where the reference cannot be aligned."""
    weights: dict[str, tuple[str, Tensor]]
    """Layer -> what it relates, and weights_HTS; of head mixing S are the heads again."""

    def distances(self, relates: str) -> Tensor | None:
        if relates == FRAMES:
            return frames_apart(self.frames)
        if relates == SYMBOLS and self.spoken is not None:
            return symbols_apart(self.spoken, self.frames)
        return None


@contextmanager
def _inputs_of(blocks: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Within, what each of `blocks` was last given first, in their order."""
    seen: list[Tensor] = []
    hooks = [
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        for block in blocks
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


class _Seer:
    """Looks at batches with a recogniser, in eval mode."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser, self.head = recogniser, recogniser.model.head
        self.blocks = recogniser.model.encoder.attention_layers()

    def utterances(self, batch: Batch) -> Iterator[_Utterance]:
        with _inputs_of(list(self.blocks.values())) as inputs:
            encoded = self.recogniser.encode(batch)
        with self.recogniser.precision():
            search = self.head.searches[self.recogniser.selection]
            hypotheses = search(encoded, self.recogniser.cell.decode)
            log_probs_BTV = self.head.frame_log_probs(encoded)
        for b, length in enumerate(encoded.cpu_lengths_B.tolist()):
            symbols = batch.targets_BU[b, : int(batch.target_lengths_B[b])].tolist()
            log_probs_TV = None if log_probs_BTV is None else log_probs_BTV[b, :length]
            spoken = None
            if log_probs_TV is not None and length >= self.head.frames_needed(symbols):
                spoken = aligned(log_probs_TV, symbols)
            yield _Utterance(
                batch.ids[b],
                batch.references[b],
                hypotheses[b],
                length,
                log_probs_TV,
                spoken,
                dict(self._weights(encoded.utterance(b), inputs, b, symbols)),
            )

    def _weights(
        self, alone: Encoded, inputs: list[Tensor], b: int, symbols: list[int]
    ) -> Iterator[tuple[str, tuple[str, Tensor]]]:
        """Yields the weights of each layer, in fp32 and for one utterance at a time.

        They grow with the square of its length.
        """
        length = alone.x_BTD.shape[1]
        for (name, block), x_BTD in zip(self.blocks.items(), inputs, strict=True):
            x_1TD = x_BTD[b : b + 1, :length].float()
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
        unaligned += each.spoken is None
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
    """Indices of the utterances of those ids, or of `count` evenly spaced by duration.

    Raises `UserError` for an id that is none of the split's.
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
    model, seer = recogniser.model, _Seer(recogniser)
    plan = length_plan(split.samples, recogniser.cell.train.batch_seconds)
    was_training = model.training
    model.eval()
    try:
        for batch in load(split, recogniser.tokenizer, plan):
            yield from seer.utterances(batch)
    finally:
        model.train(was_training)


def _utterance(each: _Utterance, recogniser: Recogniser, clock: Clock) -> InspectedUtterance:
    tokenizer = recogniser.tokenizer
    alignment = None
    if each.spoken is not None:
        alignment = tuple(
            AlignedSymbol(
                symbol=tokenizer.symbols[s.symbol - 1],
                index=s.symbol,
                start_ms=clock.edge(s.start),
                end_ms=clock.edge(s.end),
                probability=s.probability,
            )
            for s in each.spoken
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
    return {f"{k}.{name}": t.float().cpu().numpy().astype(np.float16) for name, t in named.items()}
