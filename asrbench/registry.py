"""The models this program knows. A variant differs from the baseline by what its entry says."""

from dataclasses import dataclass

from asrbench.spec import (
    CrossAttentionDecoder,
    HeadMixing,
    ModelSpec,
    PositionalAttention,
    SelfAttention,
    TemporalAttention,
)


@dataclass(frozen=True)
class Entry:
    """A model at full size, what makes it differ from `ds2`, and where it comes from."""

    model: ModelSpec
    differs: str
    source: str


MODELS = {
    "ds2": Entry(
        ModelSpec(name="ds2"),
        "2-D convolutions, bidirectional recurrence, CTC: the baseline",
        "Amodei et al. 2015, arXiv:1512.02595",
    ),
    "ds2_selfattn": Entry(
        ModelSpec(name="ds2_selfattn", attention=SelfAttention()),
        "multi-head self-attention over time after each recurrent layer",
        "Vaswani et al. 2017, arXiv:1706.03762",
    ),
    "ds2_posattn": Entry(
        ModelSpec(name="ds2_posattn", attention=PositionalAttention()),
        "the same with position in it",
        "Su et al. 2021, arXiv:2104.09864; Dai et al. 2019, arXiv:1901.02860; "
        "Shaw et al. 2018, arXiv:1803.02155",
    ),
    "ds2_twattn": Entry(
        ModelSpec(name="ds2_twattn", attention=TemporalAttention()),
        "the same with a temporal weight on the scores",
        "Sperber et al. 2018, arXiv:1803.09519; Press et al. 2021, arXiv:2108.12409",
    ),
    "ds2_crossattn": Entry(
        ModelSpec(name="ds2_crossattn", decoder=CrossAttentionDecoder()),
        "a Transformer decoder attends to the encoder, trained jointly with CTC",
        "Watanabe et al. 2017; Hori et al. 2017, arXiv:1706.02737",
    ),
    "ds2_selfattn_deck": Entry(
        ModelSpec(name="ds2_selfattn_deck", attention=HeadMixing()),
        "the original study's block: mixes heads within a frame; kept to show what it does",
        "the study this program grew from",
    ),
}
