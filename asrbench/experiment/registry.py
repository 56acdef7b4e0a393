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


CTC: Keys = {"kind": "ctc"}

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
    "ds2_crossattn": Entry(
        _ds2("none"),
        {"kind": "ctc_attention"},
        "a Transformer decoder attends to the encoder, trained jointly with CTC",
        "arXiv:1706.02737",
    ),
    "ds2_selfattn_deck": Entry(
        _ds2("head_mixing"),
        CTC,
        "the original study's block, for comparison: it mixes the heads of a frame, not frames",
        "the original study",
    ),
    "rnnt": Entry(
        _ds2("none", recurrence={"cell": "lstm"}),
        {"kind": "transducer"},
        "a transducer with LSTM encoder and prediction network",
        "arXiv:1211.3711, 1303.5778",
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


def kinds_of(name: str) -> dict[tuple[str, ...], str]:
    """Returns the kinds that define the model `name`, by path below `model`."""
    entry = MODELS[name]
    return defining_kinds({"encoder": entry.encoder, "head": entry.head})
