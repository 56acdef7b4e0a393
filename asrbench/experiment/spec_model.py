"""The typed spec of a model: a name, an encoder, a head, and loss terms.

Encoders, heads, attention blocks and loss terms are open sections: their spec classes stand beside
their modules in `asrbench.models` or in a plug-in, and are looked up by their `kind`.
"""

from typing import Annotated

from pydantic import ConfigDict, PlainSerializer, PlainValidator, model_validator

from asrbench.experiment.kinds import Kinds, KindSpec
from asrbench.experiment.spec_base import Impossible, Positive, Spec


class AttentionSpec(KindSpec):
    """The base of the spec classes of attention blocks."""

    def check_width(self, width: int) -> None:
        """Raises `Impossible` where the block cannot take inputs of `width` features."""


class EncoderSpec(KindSpec):
    """The base of the spec classes of encoders."""

    def check_attention(self, attention: AttentionSpec, width: int, words: str) -> None:
        """Raises `Impossible` where the block of the key `attention` cannot take `width` features.

        `words` say which key that width comes from.
        """
        try:
            attention.check_width(width)
        except Impossible as error:
            path = ".".join(("attention", *error.path))
            raise Impossible(path, f"{error} ({words})") from None


class HeadSpec(KindSpec):
    """The base of the spec classes of heads."""


class LossTermSpec(KindSpec):
    """The base of the spec classes of loss terms."""

    weight: Positive = 1.0
    """Weight of the term in the total loss."""


ATTENTION = AttentionSpec.table = Kinds("attention", AttentionSpec)
ENCODERS = EncoderSpec.table = Kinds("encoder", EncoderSpec)
HEADS = HeadSpec.table = Kinds("head", HeadSpec)
LOSS_TERMS = LossTermSpec.table = Kinds("loss_term", LossTermSpec)

_AS_ITS_OWN_CLASS = PlainSerializer(lambda spec: spec.model_dump(mode="json"), return_type=dict)

Attention = Annotated[AttentionSpec, PlainValidator(ATTENTION.validated), _AS_ITS_OWN_CLASS]
Encoder = Annotated[EncoderSpec, PlainValidator(ENCODERS.validated), _AS_ITS_OWN_CLASS]
Head = Annotated[HeadSpec, PlainValidator(HEADS.validated), _AS_ITS_OWN_CLASS]
LossTerm = Annotated[LossTermSpec, PlainValidator(LOSS_TERMS.validated), _AS_ITS_OWN_CLASS]


class ModelSpec(Spec):
    name: str = "ds2"
    """Name of the model in the registry (`asrbench models`); the other keys change its sizes."""
    encoder: Encoder
    """Encoder, which turns features into a sequence of vectors."""
    head: Head
    """Head, which turns the vectors into text and computes the loss."""
    loss_terms: tuple[LossTerm, ...] = ()
    """Loss terms that are added to the head's loss, each with its weight."""

    @model_validator(mode="after")
    def _each_term_once(self) -> "ModelSpec":
        kinds = [term.kind for term in self.loss_terms]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise Impossible("loss_terms", f"found '{kind}' twice, allowed: each kind once")
        return self


class RecordedModel(Spec):
    """The model of a run folder as plain data, which needs neither torch nor plug-ins."""

    model_config = ConfigDict(extra="allow")

    name: str
    """Entry of the registry."""
