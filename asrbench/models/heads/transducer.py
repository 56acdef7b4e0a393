"""A transducer: a prediction network and a joiner over the encoder's frames.

Graves 2012, arXiv:1211.3711; the joiner is that of Graves et al. 2013, arXiv:1303.5778, equations
15 to 18: the sum of both projections, tanh, a linear layer. Legend: B batch, T frames, D encoder
width, U symbols, W = U + 1 numbers of symbols written, E width of the prediction network,
J joiner width, V vocabulary with the blank, N nodes of the lattice.
"""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from asrbench.experiment.spec_base import Count
from asrbench.experiment.spec_model import HeadSpec
from asrbench.models.alignment import AlignedSpan
from asrbench.models.graph_part import GraphPart, Sizes
from asrbench.models.heads.head import FUSION, Decoding, Encoded, Head, Losses, Targets
from asrbench.models.layers.prediction import (
    LstmPredictionSpec,
    PredictionSpec,
    PredictionState,
    prediction_network,
)
from asrbench.models.layers.transducer_lattice import (
    best_path,
    lattice_scores,
    transducer_loss,
)
from asrbench.models.searches.transducer import transducer_beam, transducer_greedy

LOGITS = 2**27
"""Logits that are held at once, 512 MB. Larger batches are computed in parts, each of them again
for its gradient."""


class TransducerSpec(HeadSpec):
    kind: Literal["transducer"] = "transducer"
    """A transducer: a prediction network and a joiner (arXiv:1211.3711, 1303.5778)."""
    prediction: PredictionSpec = LstmPredictionSpec()
    """The prediction network, which reads the symbols written so far."""
    joiner: Count = 512
    """Width of the joiner, which adds the projections of a frame and of a prediction."""
    selection: Literal["greedy", "beam"] = "greedy"
    """The search that decodes the development set in training; `eval` uses it by default."""


class Transducer(Head):
    """log p(symbol or blank | frame, symbols before it), summed over all alignments."""

    reads = MappingProxyType({"beam": ("beam", *FUSION)})

    def __init__(self, spec: TransducerSpec, width: int, symbols: int) -> None:
        super().__init__()
        self.prediction = prediction_network(spec.prediction, symbols)
        self.frame = nn.Linear(width, spec.joiner)
        self.written = nn.Linear(self.prediction.width, spec.joiner, bias=False)
        self.output = nn.Linear(spec.joiner, symbols)
        self.selection = spec.selection
        self.searches = {"greedy": self._greedy, "beam": self._beam}

    def losses(self, encoded: Encoded, targets: Targets) -> Losses:
        written_BWJ = self.written(self.prediction(targets.symbols_BU))
        frame_BTJ = self.frame(encoded.x_BTD)
        frames, symbols = frame_BTJ.shape[1], targets.symbols_BU.shape[1]
        scores = []
        parts = [*self._parts(encoded.cpu_lengths_B, targets.lengths_B)]
        for rows, t, u in parts:
            inputs = (frame_BTJ[rows, :t], written_BWJ[rows, : u + 1], targets.symbols_BU[rows, :u])
            if len(parts) == 1:
                found = self._scores(*inputs)
            else:
                found = checkpoint(
                    self._scores, *inputs, use_reentrant=False, preserve_rng_state=False
                )
            scores.append([F.pad(each, (0, symbols - u, 0, frames - t)) for each in found])
        blank_BTW, symbol_BTW = (torch.cat(each) for each in zip(*scores, strict=True))
        lengths_B = targets.lengths_B.to(blank_BTW.device, non_blocking=True)
        loss_B = transducer_loss(blank_BTW, symbol_BTW, encoded.lengths_B, lengths_B)
        return {"total": loss_B.sum()}

    def aligned(self, encoded: Encoded, symbols: list[int]) -> list[AlignedSpan]:
        """Returns the frame of each symbol on the most probable path that writes the text."""
        symbols_1U = torch.tensor([symbols], dtype=torch.int64, device=encoded.x_BTD.device)
        scores = self._scores(
            self.frame(encoded.x_BTD), self.written(self.prediction(symbols_1U)), symbols_1U
        )
        blank_TW, symbol_TW = (each[0].cpu() for each in scores)
        frames = best_path(blank_TW, symbol_TW)
        return [
            AlignedSpan(symbol, t, t + 1, float(symbol_TW[t, u].exp()))
            for u, (symbol, t) in enumerate(zip(symbols, frames, strict=True))
        ]

    def join(self, frame_NJ: Tensor, written_NJ: Tensor) -> Tensor:
        """Returns logits_NV in fp32 of what follows, for projections of any leading shape."""
        return self.output(torch.tanh(frame_NJ + written_NJ)).float()  # type: ignore[no-any-return]

    def parts(self) -> dict[str, GraphPart]:
        step, join = _PredictionStep(self), _Join(self)
        return {
            "decoder": GraphPart(step, step.example, ("decoder_out", *step.after)),
            "joiner": GraphPart(join, join.example, ("logits",)),
        }

    def _scores(
        self, frame_BTJ: Tensor, written_BWJ: Tensor, symbols_BU: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits_BTWV = self.join(frame_BTJ[:, :, None], written_BWJ[:, None])
        return lattice_scores(logits_BTWV, symbols_BU)

    def _parts(self, frames_B: Tensor, symbols_B: Tensor) -> Iterator[tuple[slice, int, int]]:
        """Yields neighbours in the batch, with the most frames and symbols that one of them has.

        Each part has at most `LOGITS` logits, or is a single utterance.
        """
        vocabulary = self.output.out_features
        first, t, u = 0, 0, 0
        sizes = list(zip(frames_B.tolist(), symbols_B.tolist(), strict=True))
        for b, (frames, symbols) in enumerate(sizes):
            longest = max(t, frames), max(u, symbols)
            logits = (b + 1 - first) * longest[0] * (longest[1] + 1) * vocabulary
            if b > first and logits > LOGITS:
                yield slice(first, b), t, u
                first, longest = b, (frames, symbols)
            t, u = longest
        yield slice(first, len(sizes)), t, u

    def _greedy(self, encoded: Encoded, _: Decoding) -> list[list[int]]:
        return transducer_greedy(self, self.frame(encoded.x_BTD), encoded.cpu_lengths_B)

    def _beam(self, encoded: Encoded, decoding: Decoding) -> list[list[int]]:
        batch, symbols = len(encoded.x_BTD), self.output.out_features
        return transducer_beam(
            self,
            self.frame(encoded.x_BTD),
            encoded.cpu_lengths_B,
            beam=decoding.settings.beam,
            fusion=decoding.fusion.scorers(batch, symbols, encoded.x_BTD.device),
        )


class _PredictionStep(nn.Module):
    """One step of the prediction network as a function of tensors.

    Maps symbols_N and the state to written_NJ and the state after them. Symbol 0 with a state of
    zeros gives those of the empty prefix.
    """

    def __init__(self, head: Transducer) -> None:
        super().__init__()
        self.prediction, self.written = head.prediction, head.written
        self.symbols = head.output.out_features
        _, state = head.prediction.start(1, head.output.weight.device)
        self.shapes = [(each.shape[1:], each.dtype) for each in state.tensors]
        self.states = tuple(f"state_{i}" for i in range(len(self.shapes)))
        self.after = tuple(f"next_{name}" for name in self.states)

    def forward(self, symbols_N: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        y_NE, after = self.prediction.step(PredictionState(state), symbols_N)
        return self.written(y_NE), *after.tensors

    def example(self, sizes: Sizes, generator: torch.Generator) -> dict[str, Tensor]:
        def symbols(*shape: int) -> Tensor:
            return torch.randint(self.symbols, shape, generator=generator)

        found = {"symbols": symbols(sizes.rows)}
        for name, (shape, dtype) in zip(self.states, self.shapes, strict=True):
            drawn = torch.randn(sizes.rows, *shape, generator=generator)
            whole = not dtype.is_floating_point
            found[name] = symbols(sizes.rows, *shape) if whole else drawn.to(dtype)
        return found


class _Join(nn.Module):
    """The joiner as a function of the encoder's frames x_ND and of written_NJ."""

    def __init__(self, head: Transducer) -> None:
        super().__init__()
        self.frame, self.output = head.frame, head.output

    def forward(self, x_ND: Tensor, written_NJ: Tensor) -> Tensor:
        return self.output(torch.tanh(self.frame(x_ND) + written_NJ))  # type: ignore[no-any-return]

    def example(self, sizes: Sizes, generator: torch.Generator) -> dict[str, Tensor]:
        widths = {"encoder_out": self.frame.in_features, "decoder_out": self.frame.out_features}
        return {
            name: torch.randn(sizes.rows, width, generator=generator)
            for name, width in widths.items()
        }
