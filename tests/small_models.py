"""Models at small sizes, and batches for them, for every test that computes with a model.

Legend: B batch, T frames, F feature bins.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from asrbench.experiment.kinds import ASRBENCH
from asrbench.experiment.registry import CTC, MODELS
from asrbench.experiment.spec_base import Spec
from asrbench.experiment.spec_model import ATTENTION, ENCODERS, HEADS, ModelSpec
from asrbench.models.heads.head import Targets
from asrbench.models.heads.lstm_decoder import LstmDecoderSpec
from asrbench.models.heads.transformer_decoder import TransformerDecoderSpec
from asrbench.models.layers.masking import MaskedBatchNorm
from asrbench.models.model import Model, build_model

BINS, SYMBOLS = 20, 7
LENGTHS = [37, 61, 8, 1]
"""Feature frames of the batch that most tests use."""
SMALL: dict[str, Any] = {
    "heads": 2,
    "head_dim": 16,
    "max_distance": 3,
    "dropout": 0.0,
    "layers": 2,
    "width": 16,
    "feed_forward": 32,
    "kernel": 5,
    "subsampling": {"channels": 4},
    "front_end": {"kind": "ds2", "channels": 4},
    "recurrence": {"layers": 2, "width": 16, "dropout": 0.0},
    "width_factor": 0.03,
    "dropout_factor": 0.0,
    "prediction": {"kind": "lstm", "layers": 1, "width": 16, "dropout": 0.0},
    "joiner": 16,
    "decoder": {"layers": 1, "width": 16, "heads": 2, "dropout": 0.0},
}
"""Small values of the sizes that kinds have, by name; a kind takes those that it has."""
DECODERS: dict[str, dict[str, Any]] = {
    "transformer": {"feed_forward": 32},
    "lstm": {"attention_width": 8, "location_channels": 2, "location_kernel": 5},
}
"""Small values of further sizes of decoders, by their kind."""

Keys = Mapping[str, Any]


def overlaid(base: Keys, over: Keys) -> dict[str, Any]:
    """Returns `base` with the keys of `over` laid over it; another kind replaces a section."""
    if over.get("kind", base.get("kind")) != base.get("kind"):
        return dict(over)
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = overlaid(old, value) if both else value  # type: ignore[arg-type]
    return merged


def sizes_of(table: Any, kind: str) -> dict[str, Any]:
    """Returns the kind with the sizes of `SMALL` that its spec class has."""
    names = table.of(kind).spec.model_fields
    return {"kind": kind, **{name: SMALL[name] for name in names if name in SMALL}}


def small(name: str, *, encoder: Keys | None = None, head: Keys | None = None) -> ModelSpec:
    """Returns the model `name` of the registry at small sizes, with the keys given laid over it."""
    entry = MODELS[name]
    keys = of_kinds(entry.encoder, entry.head).model_dump(mode="json")
    changes = {"name": name, "encoder": encoder or {}, "head": head or {}}
    return _model(overlaid(keys, changes))


def of_kinds(encoder: Keys, head: Keys) -> ModelSpec:
    """Returns the model that `encoder` and `head` describe, its sizes those of `SMALL`."""
    sizes = sizes_of(ENCODERS, encoder["kind"])
    own = ENCODERS.of(encoder["kind"]).spec.model_fields.get("attention")
    if own is not None:
        keys = overlaid(own.default.model_dump(), encoder.get("attention", {}))
        sizes["attention"] = overlaid(keys, sizes_of(ATTENTION, keys["kind"]))
    sizes_of_head = sizes_of(HEADS, head["kind"])
    if head.get("prediction", {}).get("kind") == "stateless":
        sizes_of_head["prediction"] = {"kind": "stateless", "width": 16, "dropout": 0.0}
    if "decoder" in sizes_of_head:
        decoder = {"kind": "transformer", **head.get("decoder", {})}
        sizes_of_head["decoder"] = decoder | SMALL["decoder"] | DECODERS[decoder["kind"]]
    head = overlaid(head, sizes_of_head)
    return _model({"encoder": overlaid(encoder, sizes), "head": head})


def _model(keys: Keys) -> ModelSpec:
    # Strict models take lists for tuples in JSON only.
    return ModelSpec.model_validate_json(json.dumps(keys))


def settings_of(spec: type[Spec]) -> Iterator[dict[str, Any]]:
    """Yields every combination of the named settings of a kind: its literals and its switches."""
    allowed: dict[str, tuple[Any, ...]] = {}
    for name, field in spec.model_fields.items():
        if get_origin(field.annotation) is Literal:
            allowed[name] = get_args(field.annotation)
        elif field.annotation is bool:
            allowed[name] = (False, True)
    for values in product(*allowed.values()):
        yield dict(zip(allowed, values, strict=True))


def sections_of(spec: type[Spec]) -> Iterator[dict[str, Any]]:
    """Yields every named setting of the decoder or prediction network of a kind of heads."""
    if "prediction" in spec.model_fields:
        yield {"kind": spec.model_fields["kind"].default, "prediction": {"kind": "stateless"}}
    if "decoder" in spec.model_fields:
        kind = spec.model_fields["kind"].default
        for decoder in (TransformerDecoderSpec, LstmDecoderSpec):
            for keys in settings_of(decoder):
                yield {"kind": kind, "decoder": keys}
        yield {"kind": kind, "decoder": {"kind": "transformer", "task_tokens": ["ko", "text"]}}


def every_model() -> dict[str, ModelSpec]:
    """Returns every named model, and one for each named setting of every kind of the package."""
    found, ds2 = {name: small(name) for name in MODELS}, MODELS["ds2"].encoder
    for table, encoder, head in (
        (ATTENTION, lambda keys: {**ds2, "attention": keys}, lambda _: CTC),
        (ENCODERS, lambda keys: keys, lambda _: CTC),
        (HEADS, lambda _: ds2, lambda keys: keys),
    ):
        for each in table.by_origin(ASRBENCH):
            for keys in (*settings_of(each.spec), *sections_of(each.spec)):
                spec = of_kinds(encoder(keys), head(keys))
                if (spec.encoder, spec.head) not in [(s.encoder, s.head) for s in found.values()]:
                    found[f"{table.section} {named(keys)}"] = spec
    return found


def named(keys: Keys) -> str:
    """Returns the values of the keys in one line, those of sections as well."""
    return " ".join(named(v) if isinstance(v, Mapping) else str(v) for v in keys.values())


def fresh(spec: ModelSpec, seed: int = 5) -> Model:
    """Returns the model as training begins with it."""
    return build_model(spec, bins=BINS, symbols=SYMBOLS, seed=seed)


def build(spec: ModelSpec, seed: int = 1) -> Model:
    """Returns a model in eval mode whose norms, biases and running statistics are not 0 and 1."""
    model = fresh(spec, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        for module in model.modules():
            if isinstance(module, MaskedBatchNorm):
                module.running_mean.uniform_(-0.3, 0.3, generator=generator)
                module.running_var.uniform_(0.3, 1.5, generator=generator)
    return model


def features(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def padded(utterances: list[Tensor], frames: int) -> Tensor:
    """Returns x_BTF with garbage beyond each utterance."""
    x_BTF = 50 * features(len(utterances), frames, *utterances[0].shape[1:], seed=frames)
    for row, x_TF in zip(x_BTF, utterances, strict=True):
        row[: len(x_TF)] = x_TF
    return x_BTF


def batch(lengths: list[int] = LENGTHS, more: int = 0) -> tuple[Tensor, Tensor]:
    """Returns the same utterances, whatever `more` frames of padding there are."""
    utterances = [features(length, BINS, seed=length) for length in lengths]
    return padded(utterances, max(lengths) + more), torch.tensor(lengths)


def padded_targets(targets: list[list[int]]) -> Targets:
    """Returns symbols_BU, 0 beyond each utterance, and their lengths."""
    longest = max(map(len, targets))
    rows = [symbols + [0] * (longest - len(symbols)) for symbols in targets]
    return Targets(torch.tensor(rows), torch.tensor([len(symbols) for symbols in targets]))


def close(actual: Any, expected: Any, **tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, **{"rtol": 1e-4, "atol": 1e-5} | tolerance)
