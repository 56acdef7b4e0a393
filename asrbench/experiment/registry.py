"""The models this program knows. A variant differs from the baseline by what its entry says."""

from dataclasses import dataclass

from asrbench.experiment.spec import (
    CrossAttentionDecoder,
    HeadMixing,
    ModelSpec,
    PositionalAttention,
    RecurrenceSpec,
    SelfAttention,
    TemporalAttention,
)


@dataclass(frozen=True)
class Entry:
    """A model at full size, what makes it differ from `ds2`, and where it comes from."""

    model: ModelSpec
    differs: str
    source: str
    control_of: str | None = None
    """The variant whose size or cost the baseline is given here, if it is."""


MODELS = {
    "ds2": Entry(
        ModelSpec(name="ds2"),
        "2-D convolutions, bidirectional recurrence, CTC: the baseline",
        "arXiv:1512.02595",
    ),
    "ds2_selfattn": Entry(
        ModelSpec(name="ds2_selfattn", attention=SelfAttention()),
        "multi-head self-attention over time after each recurrent layer",
        "arXiv:1706.03762",
    ),
    "ds2_posattn": Entry(
        ModelSpec(name="ds2_posattn", attention=PositionalAttention()),
        "the same with position in it",
        "arXiv:2104.09864, 1901.02860, 1803.02155",
    ),
    "ds2_twattn": Entry(
        ModelSpec(name="ds2_twattn", attention=TemporalAttention()),
        "the same with a temporal weight on the scores",
        "arXiv:1803.09519, 2108.12409",
    ),
    "ds2_crossattn": Entry(
        ModelSpec(name="ds2_crossattn", decoder=CrossAttentionDecoder()),
        "a Transformer decoder attends to the encoder, trained jointly with CTC",
        "arXiv:1706.02737",
    ),
    "ds2_selfattn_deck": Entry(
        ModelSpec(name="ds2_selfattn_deck", attention=HeadMixing()),
        "the original study's block: mixes heads within a frame; kept to show what it does",
        "the original study",
    ),
    # Widths are those at full size; a study of another size names its own. Tests hold both.
    "ds2_wide": Entry(
        ModelSpec(name="ds2_wide", recurrence=RecurrenceSpec(width=1152)),
        "a control: the baseline with a recurrence so wide that it has ds2_selfattn's parameters",
        "this program",
        control_of="ds2_selfattn",
    ),
    "ds2_timed": Entry(
        ModelSpec(name="ds2_timed", recurrence=RecurrenceSpec(width=1168)),
        "a control: so wide that it takes ds2_selfattn's operations for 10 s of audio",
        "this program",
        control_of="ds2_selfattn",
    ),
}
