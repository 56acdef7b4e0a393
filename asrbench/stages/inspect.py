"""What happens inside a trained model: where it attends, when it says what.

The passes over the encoder are those of evaluation; the inputs of each attention block are seen on
their way in, and `weights` of the block makes of them what `forward` used. Figures are of a whole
split, one utterance at a time; weights and posteriors are kept of a few chosen utterances.

Legend: B batch, T frames (queries), S frames (keys), H heads, U symbols, V tokenizer, D width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from asrbench.models.layers.attention import HeadMixingBlock, SelfAttentionBlock
from asrbench.models.objective import frames_needed
from asrbench.models.searches import ctc_greedy
from asrbench.recogniser.loader import Batch, load
from asrbench.recogniser.recogniser import Heard, Recogniser
from asrbench.text.tokenizer import BLANK

FORMAT = 1
FRAMES, HEADS, SYMBOLS = "frames to frames", "heads to heads", "symbols to frames"
"""What weights relate: rows to columns."""

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Clock:
    """When the frames of a model's output are, in milliseconds of audio."""

    frame_ms: float
    """From the middle of one frame to that of the next."""
    first_ms: float
    """The middle of the first."""

    @classmethod
    def of(cls, recogniser: Recogniser) -> "Clock":
        """From hop, window and the strides of the front end."""
        features, front_end = recogniser.features, recogniser.model.front_end
        ms = 1000 / SAMPLE_RATE_HZ
        first = front_end.first * features.hop + features.window / 2
        return cls(front_end.stride * features.hop * ms, first * ms)

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
    peaks. Raises `ValueError` where there are fewer frames than `frames_needed`.
    """
    if not symbols:
        return []
    if len(log_probs_TV) < frames_needed(list(symbols)):
        raise ValueError("fewer frames than CTC needs")
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

    def plain(self, frame_ms: float) -> dict[str, Any]:
        """Means over rows, by head."""
        entropy = _means(self.entropy_H, self.rows)
        relative = _means(self.relative_H, self.telling_rows)
        apart = _means(self.apart_H, self.apart_rows, frame_ms)
        count = max(map(len, (entropy, relative, apart)))
        uniform = frame_ms * self.uniform_apart / self.apart_rows if self.apart_rows else None
        return {
            "relates": self.relates,
            "rows": self.rows,
            "uniform_distance_ms": uniform,
            "heads": [
                {
                    "distance_ms": apart[h] if apart else None,
                    "entropy_nats": entropy[h] if entropy else None,
                    "entropy_relative": relative[h] if relative else None,
                }
                for h in range(count)
            ],
        }


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
    log_probs_TV: Tensor
    spoken: list[Spoken] | None
    """Nothing where CTC cannot align the reference."""
    weights: dict[str, tuple[str, Tensor]]
    """Layer -> what it relates, and weights_HTS; of head mixing S are the heads again."""

    def distances(self, relates: str) -> Tensor | None:
        frames = len(self.log_probs_TV)
        if relates == FRAMES:
            return frames_apart(frames)
        if relates == SYMBOLS and self.spoken is not None:
            return symbols_apart(self.spoken, frames)
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
        self.recogniser, self.model = recogniser, recogniser.model
        self.blocks = {
            f"attention.{i}": block
            for i, block in enumerate(self.model.attention)
            if isinstance(block, SelfAttentionBlock | HeadMixingBlock)
        }

    def utterances(self, batch: Batch) -> Iterator[_Utterance]:
        with _inputs_of(list(self.blocks.values())) as inputs:
            heard = self.recogniser.heard(batch)
        hypotheses = ctc_greedy(heard.log_probs_BTV, heard.lengths_B)
        for b, length in enumerate(heard.lengths_B.tolist()):
            symbols = batch.targets_BU[b, : int(batch.target_lengths_B[b])].tolist()
            log_probs_TV = heard.log_probs_BTV[b, :length]
            spoken = aligned(log_probs_TV, symbols) if length >= frames_needed(symbols) else None
            yield _Utterance(
                batch.ids[b],
                batch.references[b],
                hypotheses[b],
                log_probs_TV,
                spoken,
                dict(self._weights(heard, inputs, b, length, symbols)),
            )

    def _weights(
        self, heard: Heard, inputs: list[Tensor], b: int, length: int, symbols: list[int]
    ) -> Iterator[tuple[str, tuple[str, Tensor]]]:
        """In fp32, and one utterance at a time: they grow with the square of its length."""
        device = self.recogniser.device
        mask_1T = torch.ones(1, length, dtype=torch.bool, device=device)
        for (name, block), x_BTD in zip(self.blocks.items(), inputs, strict=True):
            weights = block.weights(x_BTD[b : b + 1, :length].float(), mask_1T)[0]
            if isinstance(block, HeadMixingBlock):
                yield name, (HEADS, weights.transpose(0, 1))
            else:
                yield name, (FRAMES, weights)
        if self.model.decoder is not None:
            memory_1TD = heard.encoder_BTD[b : b + 1, :length].float()
            prefix_1U = torch.tensor([[BLANK, *symbols]], device=device)
            layers = self.model.decoder.weights(memory_1TD, mask_1T, prefix_1U)
            for i, weights_1HUS in enumerate(layers):
                yield f"decoder.{i}", (SYMBOLS, weights_1HUS[0])


# A split


@dataclass(frozen=True)
class Inside:
    """What was seen: plain data for `inspect.<split>.json`, arrays by name for the file beside it.

    Arrays are of the k-th chosen utterance: `k.log_probs` (T, V), `k.<layer>` (H, T, S).
    """

    figures: dict[str, Any]
    arrays: Arrays


def look(recogniser: Recogniser, split: Split, chosen: Sequence[int], reporter: Reporter) -> Inside:
    """Attention over all of `split`; weights, posteriors and times of the `chosen` utterances."""
    clock = Clock.of(recogniser)
    kept = {split.ids[i]: k for k, i in enumerate(chosen)}
    layers: dict[str, LayerFigures] = {}
    utterances: dict[int, dict[str, Any]] = {}
    arrays: Arrays = {}
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
    figures = {
        "format": FORMAT,
        "epoch": recogniser.epoch,
        "corpus": recogniser.fingerprint,
        "utterances_seen": len(split),
        "utterances_unaligned": unaligned,
        "frame_ms": clock.frame_ms,
        "first_ms": clock.first_ms,
        "layers": {name: each.plain(clock.frame_ms) for name, each in layers.items()},
        "utterances": [utterances[k] for k in sorted(utterances)],
    }
    return Inside(figures, arrays)


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


def _utterance(each: _Utterance, recogniser: Recogniser, clock: Clock) -> dict[str, Any]:
    tokenizer = recogniser.tokenizer
    return {
        "id": each.id,
        "reference": each.reference,
        "hypothesis": tokenizer.decode(each.hypothesis),
        "unknown_symbols": tokenizer.unknown([each.reference]).total(),
        "frames": len(each.log_probs_TV),
        "alignment": None
        if each.spoken is None
        else [
            {
                "symbol": tokenizer.symbols[s.symbol - 1],
                "index": s.symbol,
                "start_ms": clock.edge(s.start),
                "end_ms": clock.edge(s.end),
                "probability": s.probability,
            }
            for s in each.spoken
        ],
    }


def _arrays(each: _Utterance, k: int) -> Arrays:
    named = {"log_probs": each.log_probs_TV, **{n: w for n, (_, w) in each.weights.items()}}
    return {f"{k}.{name}": t.float().cpu().numpy().astype(np.float16) for name, t in named.items()}
