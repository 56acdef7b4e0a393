"""The experiment, typed: what one run is. Every key a YAML may hold stands here, with its unit."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from asrbench.experiment.spec_augment import AugmentSpec
from asrbench.experiment.spec_base import Count, Impossible, Positive, Seed, Share, Spec
from asrbench.experiment.spec_train import TrainSpec
from asrbench.text.profiles import PROFILES, ProfileName, Side

OPERATIONAL = ("run", "decode", "train.max_hours", "train.stop_if_stuck")
"""Dotted keys that leave the weights as they are, and so are no part of a run's identity."""


SUBWORDS = 5000
"""Bpe where `text.vocabulary` says nothing, as recipes for KsponSpeech have them."""


class TextSpec(Spec):
    unit: Literal["char", "syllable", "jamo", "subword"] = "char"
    """What one output symbol spells."""
    vocabulary: Count | None = None
    """Number of pieces that `subword` learns from the training texts; 5000 unless told."""
    side: Side = "text"
    """Column of the corpus that training writes: its `text`, or one side of its duals."""

    @model_validator(mode="before")
    @classmethod
    def _resolved(cls, keys: Any) -> Any:
        if not isinstance(keys, dict) or keys.get("unit") != "subword":
            return keys
        return keys | ({"vocabulary": SUBWORDS} if keys.get("vocabulary") is None else {})

    @model_validator(mode="after")
    def _vocabulary_of_subwords(self) -> "TextSpec":
        if self.vocabulary is not None and self.unit != "subword":
            raise Impossible(
                "vocabulary",
                f"found {self.vocabulary}, but text.unit is '{self.unit}'; allowed: null, for only "
                f"'subword' has a vocabulary to choose",
            )
        return self


# Features


class _Frames(Spec):
    window_ms: Annotated[float, Field(ge=1)] = 25.0
    """Length of the analysis window, in milliseconds."""
    hop_ms: Annotated[float, Field(ge=1)] = 10.0
    """Time from one frame to the next, in milliseconds."""


class LogMel(_Frames):
    kind: Literal["log_mel"] = "log_mel"
    bands: Count = 80
    """Number of mel bands."""


class LogSpectrogram(_Frames):
    kind: Literal["log_spectrogram"] = "log_spectrogram"


class Mfcc(_Frames):
    kind: Literal["mfcc"] = "mfcc"
    coefficients: Count = 40
    """Number of cepstral coefficients."""
    bands: Count = 80
    """Number of mel bands they are computed from."""

    @model_validator(mode="after")
    def _no_more_than_bands(self) -> "Mfcc":
        if self.coefficients > self.bands:
            raise Impossible(
                "coefficients",
                f"found {self.coefficients}, allowed: at most bands ({self.bands})",
            )
        return self


class Fbank(_Frames):
    kind: Literal["fbank"] = "fbank"
    bands: Count = 80
    """Number of mel bands, as Kaldi's compute-fbank-feats."""


FeatureSpec = Annotated[LogMel | LogSpectrogram | Mfcc | Fbank, Field(discriminator="kind")]


# Model


class Ds2FrontEnd(Spec):
    kind: Literal["ds2"] = "ds2"
    convolutions: Literal[2, 3] = 2
    """Number of 2-D convolutions over frequency and time."""
    channels: Count = 32
    """Channels of each (the third has three times as many, as in the paper)."""
    time_stride: Literal[2, 4] = 2
    """Feature frames to one frame of the recurrence."""


class VggFrontEnd(Spec):
    kind: Literal["vgg"] = "vgg"
    channels: Count = 64
    """Channels of the first two convolutions; the next two have twice as many."""


FrontEndSpec = Annotated[Ds2FrontEnd | VggFrontEnd, Field(discriminator="kind")]


class RecurrenceSpec(Spec):
    cell: Literal["rnn", "gru", "lstm"] = "gru"
    """Kind of recurrent cell."""
    layers: Annotated[int, Field(ge=1, le=9)] = 3
    """Number of bidirectional layers."""
    width: Count = 1024
    """Units in one direction; a layer's output is twice as wide."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of each layer's outputs dropped in training."""


class NoAttention(Spec):
    kind: Literal["none"] = "none"


class _Heads(Spec):
    heads: Count = 8
    """Number of attention heads."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of attention weights, and of the block's outputs, dropped in training."""


class _OverTime(_Heads):
    head_dim: Count = 64
    """Width of one head's queries, keys and values, whatever the width of the recurrence."""


class SelfAttention(_OverTime):
    kind: Literal["self"] = "self"


class PositionalAttention(_OverTime):
    kind: Literal["positional"] = "positional"
    position: Literal["sinusoidal", "learned", "shaw", "transformer_xl", "rotary"] = "rotary"
    """How position enters."""
    max_distance: Count = 1024
    """Frames told apart: positions for `learned`, distances to either side for `shaw`."""

    @model_validator(mode="after")
    def _rotated_in_pairs(self) -> "PositionalAttention":
        if self.position == "rotary" and self.head_dim % 2:
            raise Impossible(
                "head_dim",
                f"found {self.head_dim}, allowed: an even number for rotary positions",
            )
        return self


class TemporalAttention(_OverTime):
    kind: Literal["temporal"] = "temporal"
    weight: Literal["gaussian", "linear"] = "gaussian"
    """The penalty on distance: its square (Sperber et al. 2018) or itself (ALiBi)."""
    learnable: bool = True
    """Whether each head learns how fast its penalty grows."""


class HeadMixing(_Heads):
    """Its heads divide the width of its input, which is 2 x recurrence.width."""

    kind: Literal["head_mixing"] = "head_mixing"


AttentionSpec = Annotated[
    NoAttention | SelfAttention | PositionalAttention | TemporalAttention | HeadMixing,
    Field(discriminator="kind"),
]


class NoDecoder(Spec):
    kind: Literal["none"] = "none"


class CrossAttentionDecoder(Spec):
    kind: Literal["cross_attention"] = "cross_attention"
    layers: Count = 2
    """Number of Transformer decoder layers."""
    width: Count = 512
    """Width of the decoder; even, and divisible by `heads`."""
    heads: Count = 8
    """Number of attention heads."""
    feed_forward: Count = 2048
    """Width of each layer's feed-forward part."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share dropped in training."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target's probability spread over all symbols."""
    ctc_weight: Share = 0.3
    """Weight of CTC in the loss; the decoder's cross-entropy has the rest."""

    @model_validator(mode="after")
    def _width_splits(self) -> "CrossAttentionDecoder":
        if self.width % 2:
            raise Impossible("width", f"found {self.width}, allowed: an even number")
        if self.width % self.heads:
            raise Impossible(
                "heads", f"found {self.heads}, allowed: a divisor of decoder.width ({self.width})"
            )
        return self


DecoderSpec = Annotated[NoDecoder | CrossAttentionDecoder, Field(discriminator="kind")]


class ModelSpec(Spec):
    name: str = "ds2"
    """Entry of the registry (`asrbench models`); the other keys change its sizes."""
    front_end: FrontEndSpec = Ds2FrontEnd()
    """Convolutions in front of the recurrence."""
    recurrence: RecurrenceSpec = RecurrenceSpec()
    """The bidirectional recurrent layers."""
    attention: AttentionSpec = NoAttention()
    """The block after each recurrent layer; its kind is the entry's."""
    decoder: DecoderSpec = NoDecoder()
    """What decodes beside CTC; its kind is the entry's."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ModelSpec":
        width = 2 * self.recurrence.width
        if isinstance(self.attention, HeadMixing) and width % self.attention.heads:
            raise Impossible(
                "attention.heads",
                f"found {self.attention.heads}, allowed: a divisor of {width} "
                f"(2 x recurrence.width)",
            )
        return self


# Scoring


class ScoreSpec(Spec):
    profile: ProfileName = "verbatim"
    """What a CER counts, on the development set too, where it chooses the weights."""


# Operational


class DecodeSpec(Spec):
    beam: Count = 10
    """Hypotheses kept by joint decoding."""
    ctc_weight: Share = 0.3
    """Weight of the CTC prefix score in joint decoding; the decoder's has the rest."""


class RunSpec(Spec):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where tensors live; `auto` is CUDA where there is one."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that read batches ahead; 0 reads in the training process."""
    log_seconds: Positive = 30.0
    """Time between log lines where the output is no terminal."""
    checkpoint_minutes: Positive = 10.0
    """Time between checkpoints within an epoch."""
    deterministic: bool = False
    """Whether CUDA gives the same bits each time, at some cost; a CPU does without it."""


class Cell(Spec):
    """One run: one variant of an experiment with one seed, every default filled in."""

    experiment: str
    """Name of the experiment: the folder under results/."""
    variant: str
    """Name of the variant: the folder under the experiment's."""
    seed: Seed
    """Seed of initial weights, batch order, augmentation and dropout."""
    corpus: str
    """Folder that `asrbench prep` left."""
    text: TextSpec = TextSpec()
    """How text is spelled."""
    features: FeatureSpec = LogMel()
    """What the model sees of the audio."""
    augment: AugmentSpec = AugmentSpec()
    """What training does to it first."""
    model: ModelSpec = ModelSpec()
    """The network."""
    train: TrainSpec = TrainSpec()
    """How it is trained."""
    score: ScoreSpec = ScoreSpec()
    """How it is scored."""
    decode: DecodeSpec = DecodeSpec()
    """How `asrbench eval` decodes; no part of the run's identity."""
    run: RunSpec = RunSpec()
    """Where and how it is run; no part of the run's identity."""

    def identity(self, fingerprint: str, *sounds: str) -> str:
        """8 hexadecimal digits over the resolved spec, the version of its scoring profile, and the
        fingerprints of what it names: the corpus, and the folders of `augment.folders` in their
        order.

        All of these count by their content, not by where they lie.
        """
        folders = [f"augment.{key}.folders" for key in self.augment.folders]
        known = self.without(*OPERATIONAL, "corpus", *folders)
        known["score"]["profile"] = str(PROFILES[self.score.profile])
        canonical = json.dumps(known | {"corpus": fingerprint, "sounds": sounds}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]

    def without(self, *paths: str) -> dict[str, Any]:
        """As plain data, the dotted keys `paths` left out."""
        plain = self.plain()
        for path in paths:
            *sections, last = path.split(".")
            node = plain
            for section in sections:
                node = node[section]
            del node[last]
        return plain

    def plain(self) -> dict[str, Any]:
        """As plain data: what `spec.yaml` holds."""
        return self.model_dump(mode="json")
