"""The models that a spec can name, each with its difference from the baseline.

Entries are plain keys, so that their names and order are known without torch. The kinds in an entry
define its model; every other key is a size that a spec may change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asrbench.base.errors import UserError
from asrbench.experiment.kinds import ASRBENCH, Kinds
from asrbench.experiment.spec_model import ModelSpec

Keys = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A model at full size, how it differs from the baseline `ds2`, and its source."""

    encoder: Keys
    head: Keys
    differs: str
    source: str
    control_of: str | None = None
    """The variant whose size or cost a control matches; None for other models."""
    origin: str = ASRBENCH
    """The plug-in file that registered it, or `ASRBENCH`."""

    @cached_property
    def model(self) -> ModelSpec:
        """The typed spec of the model with every default; its `name` is the default, `ds2`."""
        return ModelSpec.model_validate({"encoder": self.encoder, "head": self.head})


def _ds2(attention: str, **sizes: Any) -> Keys:
    return {"kind": "deepspeech2", "attention": {"kind": attention}, **sizes}


def _layered(kind: str, attention: str, **sizes: Any) -> Keys:
    return {"kind": kind, "attention": {"kind": attention, **sizes}}


CTC: Keys = {"kind": "ctc"}
DECODER: Keys = {"kind": "transformer", "layers": 6, "width": 256, "heads": 4}
"""A Transformer decoder with half as many layers as its encoder, and as wide."""

MODELS = {
    "ds2": Entry(
        _ds2("none"),
        CTC,
        "2-D convolutions, bidirectional recurrence, CTC: the baseline",
        "arXiv:1512.02595",
    ),
    "ds2_selfattn": Entry(
        _ds2("self"),
        CTC,
        "multi-head self-attention over time after each recurrent layer",
        "arXiv:1706.03762",
    ),
    "ds2_posattn": Entry(
        _ds2("positional"),
        CTC,
        "ds2_selfattn that also uses the positions of frames",
        "arXiv:2104.09864, 1901.02860, 1803.02155",
    ),
    "ds2_twattn": Entry(
        _ds2("temporal"),
        CTC,
        "ds2_selfattn whose scores fall with the distance in time",
        "arXiv:1803.09519, 2108.12409",
    ),
    "ds2_addattn": Entry(
        _ds2("additive"),
        CTC,
        "ds2_selfattn whose scores are those of a small network instead of products",
        "arXiv:1409.0473",
    ),
    "ds2_locattn": Entry(
        _ds2("location"),
        CTC,
        "ds2_addattn whose scores also know where the frame before has attended",
        "arXiv:1506.07503",
    ),
    "ds2_crossattn": Entry(
        _ds2("none"),
        {"kind": "ctc_attention", "decoder": {"kind": "transformer"}},
        "a Transformer decoder attends to the encoder, trained jointly with CTC",
        "arXiv:1706.02737",
    ),
    "ds2_selfattn_deck": Entry(
        _ds2("head_mixing"),
        CTC,
        "the original study's block, for comparison: it mixes the heads of a frame, not frames",
        "the original study",
    ),
    # Dropout 0 as in the study, whose torch.nn.GRU(num_layers=1, dropout=p) applied none, so a base
    # spec that sets another rate for all variants has to say 0 for this one.
    "ds2_selfattn_study": Entry(
        _ds2("head_mixing", recurrence={"activation": "clipped_relu", "dropout": 0.0}),
        CTC,
        "the original study's model: ds2_selfattn_deck, with a clipped ReLU before each GRU and no "
        "dropout of their outputs",
        "the original study",
    ),
    # These widths match at full size. A study of another size sets its own; tests check both.
    "ds2_wide": Entry(
        _ds2("none", recurrence={"width": 1152}),
        CTC,
        "a control: the baseline, widened to the number of parameters of ds2_selfattn",
        "this program",
        control_of="ds2_selfattn",
    ),
    "ds2_timed": Entry(
        _ds2("none", recurrence={"width": 1168}),
        CTC,
        "a control: the baseline, widened to the operations of ds2_selfattn for 10 s of audio",
        "this program",
        control_of="ds2_selfattn",
    ),
    "transformer_ctc": Entry(
        _layered("transformer", "self", heads=4),
        CTC,
        "a Transformer encoder at a quarter of the frame rate instead of recurrence",
        "Dong et al. 2018, arXiv:1706.03762",
    ),
    "transformer": Entry(
        _layered("transformer", "self", heads=4),
        {"kind": "attention", "decoder": DECODER},
        "Speech-Transformer: transformer_ctc with a Transformer decoder instead of CTC",
        "Dong et al. 2018",
    ),
    "joint_transformer": Entry(
        _layered("transformer", "self", heads=4),
        {"kind": "ctc_attention", "decoder": DECODER},
        "transformer, trained jointly with CTC",
        "Karita et al. 2019, arXiv:1909.06317",
    ),
    "conformer_ctc": Entry(
        _layered("conformer", "positional", heads=4, position="transformer_xl"),
        CTC,
        "a Conformer encoder of the paper's size M at a quarter of the frame rate",
        "arXiv:2005.08100",
    ),
    "conformer": Entry(
        _layered("conformer", "positional", heads=4, position="transformer_xl"),
        {"kind": "transducer", "prediction": {"kind": "lstm", "width": 640}, "joiner": 640},
        "the paper's model of size M: conformer_ctc with a transducer of one LSTM layer",
        "arXiv:2005.08100",
    ),
    "whisper_ctc": Entry(
        _layered("whisper", "whisper", heads=6),
        CTC,
        "Whisper's encoder of the size tiny at half the frame rate, without its decoder",
        "arXiv:2212.04356",
    ),
    "whisper": Entry(
        _layered("whisper", "whisper", heads=6),
        {
            "kind": "attention",
            "decoder": {
                "kind": "transformer",
                "layers": 4,
                "width": 384,
                "heads": 6,
                "feed_forward": 1536,
                "dropout": 0.0,
                "task_tokens": ["transcribe", "notimestamps"],
            },
            "label_smoothing": 0.0,
        },
        "whisper_ctc with a decoder of the size tiny instead of CTC, trained from random weights",
        "arXiv:2212.04356",
    ),
    # Three layers, so that CTC has a frame for every four feature frames; the paper's four, of
    # which it has one for every eight, are the default of the encoder.
    "pyramid_ctc": Entry(
        {"kind": "pyramid", "recurrence": {"layers": 3}},
        CTC,
        "the listener of LAS: LSTM layers, each but the lowest at half the frame rate",
        "arXiv:1508.01211",
    ),
    "las": Entry(
        {"kind": "pyramid"},
        {"kind": "attention", "decoder": {"kind": "lstm"}},
        "Listen, Attend and Spell: an LSTM decoder attends to the encoder; no CTC",
        "arXiv:1508.01211, 1506.07503, 1409.0473",
    ),
    "joint_las": Entry(
        {"kind": "pyramid", "recurrence": {"layers": 3}},
        {"kind": "ctc_attention", "decoder": {"kind": "lstm"}},
        "las, trained jointly with CTC, for which it has three layers instead of four",
        "arXiv:1706.02737",
    ),
    "rnnt": Entry(
        _ds2("none", recurrence={"cell": "lstm"}),
        {"kind": "transducer"},
        "a transducer with LSTM encoder and prediction network",
        "arXiv:1211.3711, 1303.5778",
    ),
    "jasper": Entry(
        {"kind": "jasper"},
        CTC,
        "1-D convolutions in 10 blocks of 5, dense residual connections, no recurrence",
        "arXiv:1904.03288",
    ),
}


def register_model(
    name: str,
    *,
    encoder: Keys,
    head: Keys = CTC,
    differs: str = "",
    source: str = "",
    control_of: str | None = None,
) -> None:
    """Adds a model of a plug-in to the registry under `name`.

    `encoder` and `head` are keys as in a spec; the kinds in them define the model. Raises
    `UserError` for a name that the package or another plug-in has registered.
    """
    known = MODELS.get(name)
    if known is not None and known.origin != Kinds.origin:
        raise UserError(
            f"{Kinds.origin}: model '{name}': is registered by {known.origin} already; choose "
            f"another name"
        )
    MODELS[name] = Entry(encoder, head, differs, source, control_of, Kinds.origin)


def defining_kinds(keys: Keys, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """Returns every `kind` in `keys`, by the path of its section."""
    found = {path: str(keys["kind"])} if "kind" in keys else {}
    for name, value in keys.items():
        if isinstance(value, Mapping):
            found |= defining_kinds(value, (*path, name))
    return found


def nearest_with(name: str, path: tuple[str, ...], kind: str) -> list[str]:
    """Returns the models that have `kind` at `path` and otherwise differ least from `name`."""
    own = kinds_of(name)
    apart = {
        other: len(kinds_of(other).items() ^ own.items())
        for other in MODELS
        if kinds_of(other).get(path) == kind
    }
    return [other for other, distance in apart.items() if distance == min(apart.values())]


def kinds_of(name: str) -> dict[tuple[str, ...], str]:
    """Returns the kinds that define the model `name`, by path below `model`."""
    entry = MODELS[name]
    return defining_kinds({"encoder": entry.encoder, "head": entry.head})
