"""The graphs of an attention decoder: `decoder_start` and `decoder`.

They are `Decoder.start` and `Decoder.step`, which the searches call, for one hypothesis in each
row. What all steps read of the encoder's output is named `memory_...`; what changes with each
symbol is named `state_...`, and `next_state_...` after it.

Legend: N rows, T encoder frames, D encoder width, V symbols in all.
"""

import torch
from torch import Tensor, nn

from asrbench.models.graph_part import GraphPart, Sizes
from asrbench.models.heads.decoder import Decoder
from asrbench.models.layers.masking import valid_frames
from asrbench.models.searches.state import State


def decoder_parts(decoder: Decoder) -> dict[str, GraphPart]:
    """Returns the graph of the state before the start symbol, and that of one symbol more."""
    start, step = _Start(decoder), _Step(decoder)
    return {
        "decoder_start": GraphPart(start, start.example, step.before),
        "decoder": GraphPart(step, step.example, ("log_probs", *step.after)),
    }


class _Start(nn.Module):
    """Maps the encoder's output x_NTD and its lengths_N to the state before the start symbol."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x_NTD: Tensor, lengths_N: Tensor) -> tuple[Tensor, ...]:
        state = self.decoder.start(x_NTD, valid_frames(lengths_N, x_NTD.shape[1]))
        return *state.shared.values(), *(x[:, 0] for x in state.own.values())

    def example(self, sizes: Sizes, generator: torch.Generator) -> dict[str, Tensor]:
        shape = (sizes.rows, sizes.frames, self.decoder.memory_width)
        return {
            "encoder_out": torch.randn(shape, generator=generator),
            "encoder_out_lens": torch.randint(1, sizes.frames + 1, shape[:1], generator=generator),
        }


class _Step(nn.Module):
    """Maps symbols_N and the state before them to log_probs_NV and the state after them."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder
        device = decoder.embedding.weight.device
        x_11D = torch.zeros(1, 1, decoder.memory_width, device=device)
        with torch.no_grad():
            state = decoder.start(x_11D, torch.ones(1, 1, dtype=torch.bool, device=device))
        self.shared, self.own = tuple(state.shared), tuple(state.own)
        self.before = (
            *(f"memory_{_plain(name)}" for name in self.shared),
            *(f"state_{_plain(name)}" for name in self.own),
        )
        self.after = tuple(f"next_state_{_plain(name)}" for name in self.own)

    def forward(self, symbols_N: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
        memory, own = before[: len(self.shared)], before[len(self.shared) :]
        state = State(
            dict(zip(self.shared, memory, strict=True)),
            {name: x[:, None] for name, x in zip(self.own, own, strict=True)},
        )
        log_probs_N1V, state = self.decoder.step(state, symbols_N[:, None])
        return log_probs_N1V[:, 0], *(state.own[name][:, 0] for name in self.own)

    def example(self, sizes: Sizes, generator: torch.Generator) -> dict[str, Tensor]:
        start = _Start(self.decoder)
        symbols_UN = torch.randint(
            self.decoder.embedding.num_embeddings,
            (sizes.symbols + 1, sizes.rows),
            generator=generator,
        )
        with torch.no_grad():
            tensors = start(*start.example(sizes, generator).values())
            memory, state = tensors[: len(self.shared)], tensors[len(self.shared) :]
            for symbols_N in symbols_UN[:-1]:
                _, *state = self(symbols_N, *memory, *state)
        return dict(zip(("symbols", *self.before), (symbols_UN[-1], *memory, *state), strict=True))


def _plain(name: str) -> str:
    return name.replace(".", "_")
