"""A Transformer decoder that attends to the encoder.

Vaswani et al. 2017, arXiv:1706.03762, pre-norm as Xiong et al. 2020, arXiv:2002.04745. Task tokens
are those of Whisper, Radford et al. 2022, arXiv:2212.04356, section 2.3, as far as they mean
something for a model that is trained from scratch on one corpus: a fixed prompt of learned vectors
before the start symbol, which the decoder reads and never predicts. Whisper predicts the language
and the absence of speech itself; with one language, and speech in every utterance, there would be
nothing to learn.

Legend: B batch, W hypotheses of an utterance, T encoder frames, U symbols, P task tokens,
D encoder width, E decoder width, V symbols in all, H heads, K width of a head.
Symbol 0, CTC's blank, is start and end here.
"""

import math
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from asrbench.experiment.spec_base import Count, DropoutRate, Impossible, Layers, Spec
from asrbench.models.heads.decoder import Decoder, uncovered
from asrbench.models.layers.positions import sinusoids
from asrbench.models.searches.state import State


class TransformerDecoderSpec(Spec):
    kind: Literal["transformer"] = "transformer"
    """A Transformer decoder (arXiv:1706.03762), pre-norm."""
    layers: Layers = 2
    """Number of Transformer decoder layers."""
    width: Count = 512
    """Width of the decoder; even, and divisible by `heads`."""
    heads: Count = 8
    """Number of attention heads."""
    feed_forward: Count = 2048
    """Width of each layer's feed-forward part."""
    dropout: DropoutRate = 0.1
    """Share dropped in training."""
    # Not strict, because pydantic validates the members of a union as Python, where YAML's lists
    # would not be tuples.
    task_tokens: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), strict=False)
    """Names of learned tokens that the decoder reads before the text, as [ko, transcribe]."""

    @model_validator(mode="after")
    def _width_splits(self) -> "TransformerDecoderSpec":
        if self.width % 2:
            raise Impossible("width", f"found {self.width}, allowed: an even number")
        if self.width % self.heads:
            raise Impossible(
                "heads", f"found {self.heads}, allowed: a divisor of decoder.width ({self.width})"
            )
        return self


class TransformerDecoder(Decoder):
    """log p(symbol u | symbols before it, encoder), in pre-norm layers.

    The layers are torch's own. Right padding of the prefixes needs no mask: no symbol sees later
    ones.
    """

    def __init__(self, spec: TransformerDecoderSpec, encoder_width: int, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, spec.width)
        self.memory = nn.Linear(encoder_width, spec.width)
        self.dropout = nn.Dropout(spec.dropout)
        layer = nn.TransformerDecoderLayer(
            spec.width,
            spec.heads,
            spec.feed_forward,
            spec.dropout,
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerDecoder(layer, spec.layers, norm=nn.LayerNorm(spec.width))
        self.output = nn.Linear(spec.width, symbols)
        self.heads, self.memory_width = spec.heads, encoder_width
        self.prompt: nn.Embedding | None = None
        if spec.task_tokens:
            self.prompt = nn.Embedding(len(spec.task_tokens), spec.width)

    def forward(self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor) -> Tensor:
        x_BUE = self._embedded(prefix_BU)
        prompt_PE = self._prompt()
        x_BUE = torch.cat([prompt_PE.expand(len(x_BUE), -1, -1).to(x_BUE.dtype), x_BUE], dim=1)
        u = torch.arange(x_BUE.shape[1], device=prefix_BU.device)
        y_BUE = self.layers(
            self.dropout(x_BUE + sinusoids(u, x_BUE.shape[2])),
            self.memory(memory_BTD),
            tgt_mask=u > u[:, None],
            memory_key_padding_mask=~mask_BT,
        )
        return self._log_probs(y_BUE[:, len(prompt_PE) :])

    def start(self, memory_BTD: Tensor, mask_BT: Tensor, *, covered: bool = False) -> State:
        memory_BTE = self.memory(memory_BTD)
        shared, own = {"mask": mask_BT}, {}
        for index, layer in enumerate(self.layers.layers):
            width = memory_BTE.shape[-1]
            weight, bias = layer.multihead_attn.in_proj_weight, layer.multihead_attn.in_proj_bias
            kv_BTE = F.linear(memory_BTE, weight[width:], bias[width:])
            for name, x_BTE in zip(("keys", "values"), kv_BTE.chunk(2, -1), strict=True):
                shared[f"{name}.{index}"] = self._split(x_BTE)
            # No symbol has been read, so the caches of self-attention have no rows.
            none_B1HUK = memory_BTE.new_zeros(len(mask_BT), 1, self.heads, 0, width // self.heads)
            own[f"keys.{index}"] = own[f"values.{index}"] = none_B1HUK
        if covered:
            own["covered"] = uncovered(mask_BT)
        state = State(shared, own)
        for x_E in self._prompt():
            state = self._read(state, x_E.expand(len(mask_BT), 1, -1))[1]
        # The start symbol has not been read, so what the prompt attends to does not count.
        return State(shared, {**state.own, "covered": own["covered"]}) if covered else state

    def step(self, state: State, symbols_BW: Tensor) -> tuple[Tensor, State]:
        y_BWE, state = self._read(state, self._embedded(symbols_BW))
        return self._log_probs(y_BWE), state

    def weights(self, memory_BTD: Tensor, mask_BT: Tensor, prefix_BU: Tensor) -> list[Tensor]:
        asked: list[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]] = []
        hooks = [
            layer.multihead_attn.register_forward_pre_hook(
                lambda *call: asked.append(call), with_kwargs=True
            )
            for layer in self.layers.layers
        ]
        try:
            self(memory_BTD, mask_BT, prefix_BU)
        finally:
            for hook in hooks:
                hook.remove()
        wanted = {"need_weights": True, "average_attn_weights": False}
        first = len(self._prompt())
        return [attend(*args, **kwargs | wanted)[1][:, :, first:] for attend, args, kwargs in asked]

    def _embedded(self, symbols: Tensor) -> Tensor:
        return self.embedding(symbols) * math.sqrt(self.embedding.embedding_dim)  # type: ignore[no-any-return]

    def _prompt(self) -> Tensor:
        """Returns the embeddings (P, E) of the task tokens."""
        if self.prompt is None:
            return self.embedding.weight.new_zeros(0, self.embedding.embedding_dim)
        return self.prompt.weight * math.sqrt(self.embedding.embedding_dim)

    def _norm(self, x_BWE: Tensor) -> Tensor:
        """Returns the output of the layer norm after the last layer."""
        assert self.layers.norm is not None
        return self.layers.norm(x_BWE)  # type: ignore[no-any-return]

    def _log_probs(self, y: Tensor) -> Tensor:
        return self.output(y).float().log_softmax(-1)  # type: ignore[no-any-return]

    def _split(self, x_BNE: Tensor) -> Tensor:
        """Returns x_BHNK."""
        return x_BNE.reshape(*x_BNE.shape[:2], self.heads, -1).transpose(1, 2)

    def _read(self, state: State, x_BWE: Tensor) -> tuple[Tensor, State]:
        """Returns the output of the layers after one symbol more, whose embedding is `x_BWE`.

        This is what torch's layers compute for the last symbol in eval mode, with the keys and
        values of the symbols before it from the state.
        """
        own, shared = dict(state.own), state.shared
        valid_B11T = shared["mask"][:, None, None]
        read = own["keys.0"].shape[3]
        position_1 = torch.arange(read, read + 1, device=x_BWE.device)
        x_BWE = x_BWE + sinusoids(position_1, x_BWE.shape[2])
        for index, layer in enumerate(self.layers.layers):
            cache = (f"keys.{index}", f"values.{index}")
            q_BWH1K, *new = self._of_symbols(layer.self_attn, layer.norm1(x_BWE))
            for name, new_BWH1K in zip(cache, new, strict=True):
                own[name] = torch.cat([own[name].to(new_BWH1K.dtype), new_BWH1K], dim=3)
            q, k, v = (x.flatten(0, 1) for x in (q_BWH1K, own[cache[0]], own[cache[1]]))
            y_BWH1K = F.scaled_dot_product_attention(q, k, v).view(q_BWH1K.shape)
            x_BWE = x_BWE + layer.self_attn.out_proj(y_BWH1K.flatten(2))

            q_BHWK = self._query(layer.multihead_attn, layer.norm2(x_BWE))
            k_BHTK, v_BHTK = shared[cache[0]], shared[cache[1]]
            y_BHWK = F.scaled_dot_product_attention(q_BHWK, k_BHTK, v_BHTK, attn_mask=valid_B11T)
            x_BWE = x_BWE + layer.multihead_attn.out_proj(y_BHWK.transpose(1, 2).flatten(2))

            x_BWE = x_BWE + layer.linear2(layer.activation(layer.linear1(layer.norm3(x_BWE))))
        if "covered" in own:
            # Of several layers the last one counts, with the mean of its heads.
            scores_BHWT = (q_BHWK @ k_BHTK.mT).float() / math.sqrt(q_BHWK.shape[-1])
            weights_BHWT = scores_BHWT.masked_fill(~valid_B11T, -math.inf).softmax(-1)
            own["covered"] = own["covered"] + weights_BHWT.mean(1)
        return self._norm(x_BWE), State(shared, own)

    def _of_symbols(self, attend: nn.MultiheadAttention, x_BWE: Tensor) -> list[Tensor]:
        """Returns the query, key and value (B, W, H, 1, K) of self-attention."""
        parts = F.linear(x_BWE, attend.in_proj_weight, attend.in_proj_bias).chunk(3, -1)
        return [part.reshape(*x_BWE.shape[:2], self.heads, 1, -1) for part in parts]

    def _query(self, attend: nn.MultiheadAttention, x_BWE: Tensor) -> Tensor:
        """Returns the query_BHWK of attention on the encoder."""
        width = x_BWE.shape[2]
        weight, bias = attend.in_proj_weight[:width], attend.in_proj_bias[:width]
        return self._split(F.linear(x_BWE, weight, bias))
