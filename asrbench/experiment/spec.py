"""The typed spec of one run: every key that a YAML file may hold, with its unit."""

import hashlib
import json
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from asrbench.experiment.spec_augment import AugmentSpec
from asrbench.experiment.spec_base import Count, Impossible, Positive, Seed, Share, Spec
from asrbench.experiment.spec_model import ModelSpec, RecordedModel
from asrbench.experiment.spec_train import TrainSpec
from asrbench.text.profiles import PROFILES, ProfileName, Side

OPERATIONAL = ("run", "decode", "compare", "train.max_hours", "train.stop_if_stuck")
"""Dotted keys that do not change the weights, and so are not part of a run's identity."""

ADDED_LATER: dict[str, Any] = {
    "train.weights": {"kind": "best"},
    "train.weights.of": "last",
    "train.freeze": [],
    "train.share": 1.0,
    "fold": None,
    "init_from": None,
    "model.head.intermediate": None,
    "model.head.consistency": None,
    "model.head.decoder.kind": "transformer",
    "model.head.decoder.task_tokens": [],
    "model.head.scheduled_sampling": 0.0,
    "model.encoder.recurrence.batch_norm": True,
    "model.encoder.recurrence.activation": "none",
    "model.encoder.recurrence.initial": "uniform",
    "model.encoder.recurrence.forget_bias": 0.0,
}
"""Dotted keys that came after runs were recorded, with the value those runs were trained with.

A run with that value has the identity that it had before the key existed. Keys of one kind are
missing in the specs of others.
"""

SUBWORDS = 5000
"""The default of `text.vocabulary` for subwords, as in other toolkits' KsponSpeech recipes."""


class TextSpec(Spec):
    unit: Literal["char", "syllable", "jamo", "subword"] = "char"
    """Unit of text that one output symbol stands for."""
    vocabulary: Count | None = None
    """Number of subwords that BPE learns from the training texts, for `subword`; default 5000."""
    side: Side = "text"
    """Column of the corpus to train on: `text`, or one side of a dual transcription."""

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
                f"found {self.vocabulary}, but text.unit is '{self.unit}'; allowed: null, because "
                f"only 'subword' has a vocabulary of any size",
            )
        return self


# Features


Bands = Annotated[int, Field(ge=1, le=1000)]


class _Frames(Spec):
    window_ms: Annotated[float, Field(ge=1, le=1000)] = 25.0
    """Length of the analysis window, in milliseconds."""
    hop_ms: Annotated[float, Field(ge=1, le=1000)] = 10.0
    """Time from one frame to the next, in milliseconds."""


class LogMel(_Frames):
    kind: Literal["log_mel"] = "log_mel"
    """Logarithms of the energies of mel bands."""
    bands: Bands = 80
    """Number of mel bands."""


class LogSpectrogram(_Frames):
    kind: Literal["log_spectrogram"] = "log_spectrogram"
    """Logarithms of the power of each frequency bin."""


class Mfcc(_Frames):
    kind: Literal["mfcc"] = "mfcc"
    """Mel-frequency cepstral coefficients."""
    coefficients: Count = 40
    """Number of cepstral coefficients."""
    bands: Bands = 80
    """Number of mel bands from which the coefficients are computed."""

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
    """Log mel energies as Kaldi computes them, which sherpa-onnx reads."""
    bands: Annotated[int, Field(ge=4, le=1000)] = 80
    """Number of mel bands, at least 4 as in Kaldi, whose compute-fbank-feats this is."""


FeatureSpec = Annotated[LogMel | LogSpectrogram | Mfcc | Fbank, Field(discriminator="kind")]


# Scoring


class ScoreSpec(Spec):
    profile: ProfileName = "verbatim"
    """Text normalisation of the CER, also of the dev CER in training."""


# Operational


class DecodeSpec(Spec):
    search: str | None = None
    """Search of `asrbench eval`; null is the one that decodes the dev set in training."""
    beam: Count = 10
    """Hypotheses of an utterance that a beam search keeps."""
    ctc_weight: Share = 0.3
    """Weight of the CTC prefix score in joint decoding; the decoder's score has the rest."""
    lm: str | None = None
    """ARPA file of an n-gram model of the tokenizer's symbols, as `asrbench lm` makes it."""
    lm_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the language model's log probability."""
    length_bonus: float = 0.0
    """Nats that every symbol of a hypothesis adds to its score."""
    length_exponent: Annotated[float, Field(ge=0, le=10)] = 0.6
    """Length normalisation of `attention_beam` (Wu et al. 2016); 0 has none, 1 is a mean."""
    coverage: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the penalty for frames without attention in `attention_beam` (Wu et al. 2016)."""
    repeats: Count | None = 8
    """Times that `attention_beam` may say the same passage in a row; null is without limit."""


class CompareSpec(Spec):
    margin: Positive | None = None
    """Largest difference that does not matter, in points; smaller ones are `equivalent`."""
    systems: tuple[str, ...] = ()
    """Rows that are judged although their search is not the baseline's: `joint_las [joint]`."""


class RunSpec(Spec):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the tensors; `auto` is CUDA where available."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that read batches ahead, at most one for each core; 0 is the training process."""
    log_seconds: Positive = 30.0
    """Time between log lines where the output is not a terminal, in seconds."""
    checkpoint_minutes: Positive = 10.0
    """Time between checkpoints within an epoch, in minutes."""
    deterministic: bool = False
    """Use deterministic (slower) algorithms on CUDA; a CPU is deterministic anyway."""


class PluginFile(Spec):
    """A Python file that registers kinds of attention, encoders, heads, loss terms or models."""

    path: str
    """Path of the file when the spec was read; not part of the run's identity."""
    digest: str
    """16 hexadecimal digits of the SHA-256 of its content."""


class InitSpec(Spec):
    """The weights of another run that a training starts from, instead of drawn ones."""

    run: Annotated[str, Field(min_length=1)]
    """Folder of the other run; not part of the run's identity, as only its weights count."""
    parts: Literal["all", "encoder"] = "all"
    """The tensors to take: those of the `encoder`, or `all` that have the same name and shape."""
    checkpoint: Literal["best", "last", "average"] | None = None
    """Weights of the other run; null is the ones that its `train.weights` chooses."""
    digest: str | None = None
    """16 hexadecimal digits of the weights and their tokenizer, which `train` fills in."""


InitFrom = Annotated[
    InitSpec | None,
    # A text is made a section where layers are laid over one another, before validation.
    BeforeValidator(lambda section: section, json_schema_input_type=InitSpec | str | None),
]


class FoldSpec(Spec):
    """One fold of a corpus: the part that the run is tested on and does not see in training."""

    index: Count
    """Number of the fold, counted from 1."""
    of: Annotated[int, Field(ge=2)]
    """Number of folds that the corpus is divided into."""

    def __str__(self) -> str:
        return f"fold {self.index} of {self.of}"


M = TypeVar("M", ModelSpec, RecordedModel)


class CellOf(Spec, Generic[M]):
    """One run: one variant of an experiment with one seed, with every default filled in."""

    experiment: str
    """Name of the experiment and of its folder under results/."""
    variant: str
    """Name of the variant and of its folder under the experiment's."""
    seed: Seed
    """Seed of initial weights, batch order, augmentation and dropout."""
    corpus: str
    """Corpus folder that `asrbench prep` made."""
    fold: FoldSpec | None = None
    """Fold that the run is tested on; null tests it on the splits of the corpus."""
    text: TextSpec = TextSpec()
    """Units of the output text."""
    features: FeatureSpec = LogMel()
    """Features that the model reads."""
    augment: AugmentSpec = AugmentSpec()
    """Augmentation of the training audio and features."""
    model: M
    """Model: an encoder, a head, and loss terms."""
    init_from: InitFrom = None
    """Run whose weights the training starts from; null draws all weights from the seed."""
    train: TrainSpec = TrainSpec()
    """Optimizer, schedule, batches and length of the training."""
    score: ScoreSpec = ScoreSpec()
    """Scoring of the output text."""
    decode: DecodeSpec = DecodeSpec()
    """Search and its options in `asrbench eval`; not part of the run's identity."""
    compare: CompareSpec = CompareSpec()
    """Options of `asrbench compare`; not part of the run's identity."""
    run: RunSpec = RunSpec()
    """Device, workers, logging and checkpoints; not part of the run's identity."""
    plugins: tuple[PluginFile, ...] = ()
    """Python files, by their path relative to the spec, that register kinds for the model."""

    def identity(self, fingerprint: str, *sounds: str) -> str:
        """Returns 8 hexadecimal digits that identify the run.

        They are a hash of the resolved spec, the version of its scoring profile, the fingerprint of
        the corpus, and those of the folders of `augment.folders`, in their order. Corpus, folders,
        plug-ins and the weights of `init_from` count by their content, not by their paths.
        """
        places = ["corpus", *(f"augment.{key}.folders" for key in self.augment.folders)]
        places += ["init_from.run", "init_from.checkpoint"] if self.init_from else []
        plain = self.plain()
        as_before = [path for path, value in ADDED_LATER.items() if _at(path, plain) == value]
        known = self.without(*OPERATIONAL, *places, *as_before)
        known["plugins"] = sorted(plugin.digest for plugin in self.plugins)
        known["score"]["profile"] = str(PROFILES[self.score.profile])
        canonical = json.dumps(known | {"corpus": fingerprint, "sounds": sounds}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]

    def without(self, *paths: str) -> dict[str, Any]:
        """Returns the spec as plain data, without the dotted keys `paths`."""
        plain = self.plain()
        for path in paths:
            section, _, last = path.rpartition(".")
            del _at(section, plain)[last]
        return plain

    def plain(self) -> dict[str, Any]:
        """Returns the spec as plain data, as it stands in `spec.yaml`."""
        return self.model_dump(mode="json")

    @property
    def seed_and_fold(self) -> str:
        """The seed in words, with the fold if there is one: `seed 0`, `seed 0 fold 2 of 5`."""
        return f"seed {self.seed}" + (f" {self.fold}" if self.fold else "")


def _at(path: str, plain: Any) -> Any:
    """Returns the value at a dotted path of plain data; the empty path is all of it.

    Where there is none, it is `...`.
    """
    for key in path.split(".") if path else ():
        plain = plain.get(key, ...) if isinstance(plain, dict) else ...
    return plain


class Cell(CellOf[ModelSpec]):
    """The spec of a run with a typed model, so that the model can be built."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles plain data, because unpickling must run the plug-ins before it has the types."""
        from asrbench.experiment.plugins import unpickled

        return unpickled, (self.plain(),)


class RecordedCell(CellOf[RecordedModel]):
    """The spec of a run as its folder records it, which needs neither torch nor plug-ins."""
